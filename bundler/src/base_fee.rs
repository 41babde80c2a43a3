//! The next block's base fee, from the head's own header where that says how it moves.
//!
//! Since Holocene an OP-stack header carries its EIP-1559 parameters in `extraData`, since Jovian the least base fee
//! too; data on L1 counts as gas where it is more (`blobGasUsed`). Headers of other chains have whatever text their
//! builder likes there: the node is asked instead.

use alloy::{
    eips::eip1559::{BaseFeeParams, calc_next_block_base_fee},
    rpc::types::Header,
};

/// First byte of Holocene's `extraData`.
const HOLOCENE: u8 = 0;
/// First byte of Jovian's.
const JOVIAN: u8 = 1;

/// How a header says that the base fee moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parameters {
    denominator: u32,
    elasticity: u32,
    /// Wei per gas.
    least: u64,
    /// Whether data counts as gas.
    data_counts: bool,
}

impl Parameters {
    /// What the `extraData` of an OP-stack block says; nothing before Holocene, or if it leaves that to the chain's
    /// configuration.
    fn of(extra_data: &[u8]) -> Option<Self> {
        let (version, rest) = extra_data.split_first()?;
        let (denominator, rest) = rest.split_first_chunk()?;
        let (elasticity, rest) = rest.split_first_chunk()?;
        let (least, data_counts) = match (*version, rest) {
            (HOLOCENE, []) => (0, false),
            (JOVIAN, least) => (u64::from_be_bytes(least.try_into().ok()?), true),
            _ => return None,
        };
        let (denominator, elasticity) = (u32::from_be_bytes(*denominator), u32::from_be_bytes(*elasticity));
        (denominator > 0 && elasticity > 0).then_some(Self { denominator, elasticity, least, data_counts })
    }
}

/// Wei per gas in the block after this one of an OP-stack chain, if its header tells.
pub(crate) fn next_base_fee(header: &Header) -> Option<u128> {
    let Parameters { denominator, elasticity, least, data_counts } = Parameters::of(&header.extra_data)?;
    let data = if data_counts { header.blob_gas_used.unwrap_or_default() } else { 0 };
    let params = BaseFeeParams::new(denominator.into(), elasticity.into());
    let next = calc_next_block_base_fee(header.gas_used.max(data), header.gas_limit, header.base_fee_per_gas?, params);
    Some(next.max(least).into())
}

#[cfg(test)]
mod tests {
    use alloy::consensus;

    use super::*;

    const DENOMINATOR: u32 = 1_000;
    const ELASTICITY: u32 = 5;
    const LEAST: u64 = 5_000_000;

    fn jovian() -> Vec<u8> {
        [&[JOVIAN][..], &DENOMINATOR.to_be_bytes(), &ELASTICITY.to_be_bytes(), &LEAST.to_be_bytes()].concat()
    }

    fn holocene() -> Vec<u8> {
        [&[HOLOCENE][..], &DENOMINATOR.to_be_bytes(), &ELASTICITY.to_be_bytes()].concat()
    }

    fn header(extra_data: Vec<u8>, base_fee: u64, gas_used: u64, data: u64) -> Header {
        Header::new(consensus::Header {
            extra_data: extra_data.into(),
            base_fee_per_gas: Some(base_fee),
            gas_limit: 40_000_000,
            gas_used,
            blob_gas_used: Some(data),
            ..consensus::Header::default()
        })
    }

    #[test]
    fn a_block_at_its_target_changes_nothing() {
        assert_eq!(next_base_fee(&header(jovian(), 9_000_000, 8_000_000, 0)), Some(9_000_000));
        assert_eq!(next_base_fee(&header(holocene(), 9_000_000, 8_000_000, 0)), Some(9_000_000));
    }

    #[test]
    fn a_fuller_block_raises_it_by_the_share_above_its_target_and_an_emptier_one_lowers_it() {
        // Five times the target: four targets above, a thousandth each.
        assert_eq!(next_base_fee(&header(jovian(), 9_000_000, 40_000_000, 0)), Some(9_036_000));
        assert_eq!(next_base_fee(&header(jovian(), 9_000_000, 0, 0)), Some(8_991_000));
        assert_eq!(next_base_fee(&header(holocene(), 7, 8_000_001, 0)), Some(8), "by a wei at the least");
    }

    #[test]
    fn data_counts_as_gas_where_it_is_more_and_only_since_jovian() {
        assert_eq!(next_base_fee(&header(jovian(), 9_000_000, 1_000_000, 40_000_000)), Some(9_036_000));
        assert_eq!(next_base_fee(&header(jovian(), 9_000_000, 40_000_000, 1_000_000)), Some(9_036_000));
        assert_eq!(next_base_fee(&header(holocene(), 9_000_000, 8_000_000, 40_000_000)), Some(9_000_000));
    }

    #[test]
    fn it_does_not_fall_below_the_least_and_rises_to_it() {
        assert_eq!(next_base_fee(&header(jovian(), 5_000_001, 0, 0)), Some(5_000_000));
        assert_eq!(next_base_fee(&header(jovian(), 1_000, 8_000_000, 0)), Some(5_000_000));
        assert_eq!(next_base_fee(&header(holocene(), 5_000_001, 0, 0)), Some(4_995_001));
    }

    /// EIP-1559 as the text has it, signed, with one division for each step.
    fn by_the_text(parent: i128, used: i128, limit: i128, denominator: i128, elasticity: i128) -> i128 {
        let target = limit / elasticity;
        let delta = |difference: i128| parent * difference / target / denominator;
        match used - target {
            0 => parent,
            above @ 1.. => parent + delta(above).max(1),
            below => parent - delta(-below),
        }
    }

    #[test]
    fn ten_thousand_random_headers_have_the_base_fee_of_the_text() {
        let mut seed = 7_u64;
        let mut throw = |limit: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 20) % limit
        };
        for _ in 0..10_000 {
            let (denominator, elasticity) = (1 + throw(2_000) as u32, 1 + throw(10) as u32);
            let (parent, least) = (throw(1_000_000_000_000), throw(100_000_000));
            let (used, data) = (throw(40_000_001), throw(40_000_001));
            let extra =
                [&[JOVIAN][..], &denominator.to_be_bytes(), &elasticity.to_be_bytes(), &least.to_be_bytes()].concat();
            let expected =
                by_the_text(parent.into(), used.max(data).into(), 40_000_000, denominator.into(), elasticity.into());
            let got = next_base_fee(&header(extra, parent, used, data)).unwrap();
            assert_eq!(
                got,
                expected.max(least.into()).unsigned_abs(),
                "{denominator} {elasticity} {parent} {used} {data}"
            );
        }
    }

    #[test]
    fn a_header_that_does_not_say_is_not_guessed_at() {
        let tells = |extra: &[u8]| next_base_fee(&header(extra.to_vec(), 9, 9, 9)).is_some();
        assert!(tells(&jovian()) && tells(&holocene()));
        assert!(!tells(b"") && !tells(b"beaverbuild.org") && !tells(b"geth-1.14"));
        assert!(
            !tells(&[&jovian()[..], &[0]].concat())
                && !tells(&jovian()[..16])
                && !tells(&[&[2], &jovian()[1..]].concat())
        );
        assert!(!tells(&[HOLOCENE, 0, 0, 0, 0, 0, 0, 0, 0]), "left to the chain's configuration");
        assert!(
            !tells(&[&[JOVIAN][..], &holocene()[1..]].concat()) && !tells(&[&[HOLOCENE][..], &jovian()[1..]].concat())
        );
    }
}
