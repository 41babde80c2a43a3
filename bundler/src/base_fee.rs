//! The base fee of a header's child, by the header alone (EIP-1559).
//!
//! OP-stack chains write their parameters into `extraData` since Holocene, and the least base fee since Jovian; elsewhere
//! they are Ethereum's. Whether that is so on a chain is not taken on trust: whoever uses this holds it against what the
//! node says now and then.

use alloy::{
    eips::eip1559::{BaseFeeParams, calc_next_block_base_fee},
    rpc::types::Header,
};

/// Wei per gas; none without EIP-1559, or where the parameters are the chain's own and not in the header.
pub(crate) fn after(header: &Header) -> Option<u128> {
    let (params, least, data_counts) = parameters(&header.extra_data)?;
    // A data footprint, where there is one, stands in the blob gas's place.
    let used =
        if data_counts { header.gas_used.max(header.blob_gas_used.unwrap_or_default()) } else { header.gas_used };
    let next = calc_next_block_base_fee(used, header.gas_limit, header.base_fee_per_gas?, params);
    Some(u128::from(next.max(least)))
}

fn parameters(extra: &[u8]) -> Option<(BaseFeeParams, u64, bool)> {
    let word = |at: usize| Some(u128::from(u32::from_be_bytes(extra.get(at..at + 4)?.try_into().ok()?)));
    let (least, data_counts) = match (extra.len(), extra.first()) {
        (9, Some(0)) => (0, false),
        (17, Some(1)) => (u64::from_be_bytes(extra.get(9..)?.try_into().ok()?), true),
        _ => return Some((BaseFeeParams::ethereum(), 0, false)),
    };
    let (denominator, elasticity) = (word(1)?, word(5)?);
    (denominator > 0 && elasticity > 0).then(|| (BaseFeeParams::new(denominator, elasticity), least, data_counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(used: u64, blobs: Option<u64>, extra: &[u8]) -> Header {
        let inner = alloy::consensus::Header {
            gas_limit: 40_000_000,
            gas_used: used,
            blob_gas_used: blobs,
            base_fee_per_gas: Some(10_000_000),
            extra_data: extra.to_vec().into(),
            ..Default::default()
        };
        Header { inner, ..Header::default() }
    }

    fn jovian(denominator: u32, elasticity: u32, least: u64) -> Vec<u8> {
        [&[1][..], &denominator.to_be_bytes(), &elasticity.to_be_bytes(), &least.to_be_bytes()].concat()
    }

    #[test]
    fn ethereums_rules_are_those_of_a_header_that_says_nothing() {
        assert_eq!(after(&header(20_000_000, None, b"")), Some(10_000_000));
        assert_eq!(after(&header(40_000_000, Some(9), b"geth")), Some(11_250_000));
        assert_eq!(after(&header(0, None, b"")), Some(8_750_000));
    }

    #[test]
    fn an_op_stack_header_has_its_own_and_the_least() {
        let base = jovian(1_000, 5, 5_000_000);
        // Target 8M: 40M used is four times the target too much, of which a thousandth is added.
        assert_eq!(after(&header(40_000_000, None, &base)), Some(10_040_000));
        assert_eq!(after(&header(0, Some(40_000_000), &base)), Some(10_040_000), "the data footprint counts");
        assert_eq!(after(&header(0, Some(0), &jovian(1, 5, 5_000_000))), Some(5_000_000));
        let holocene = [&[0][..], &250_u32.to_be_bytes(), &6_u32.to_be_bytes()].concat();
        assert_eq!(after(&header(40_000_000, Some(40_000_000), &holocene)), Some(10_200_000));
    }

    #[test]
    fn parameters_that_are_the_chains_own_are_not_guessed() {
        assert_eq!(after(&header(1, None, &jovian(0, 0, 7))), None);
        let mut before_london = header(1, None, b"");
        before_london.inner.base_fee_per_gas = None;
        assert_eq!(after(&before_london), None);
    }
}
