//! Receipts, with what chains of the OP stack say of what they charged beside gas.

use alloy::{primitives::U256, rpc::types::TransactionReceipt};

use crate::l1_fee::{L1Prices, Upgrade};

/// A receipt of an OP-stack chain.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OpReceipt {
    /// What every chain has in it.
    #[serde(flatten)]
    pub(crate) receipt: TransactionReceipt,
    /// Wei that the transaction was charged for its data on L1.
    #[serde(default)]
    l1_fee: Option<U256>,
    /// Since Isthmus, if they are not zero.
    #[serde(default)]
    operator_fee_scalar: Option<U256>,
    #[serde(default)]
    operator_fee_constant: Option<U256>,
    /// Since Jovian.
    #[serde(default)]
    da_footprint_gas_scalar: Option<U256>,
}

impl OpReceipt {
    /// Wei that the transaction cost, with what L1 and the operator of the chain took.
    pub(crate) fn cost(&self) -> u128 {
        let word = |value: Option<U256>| value.unwrap_or_default();
        let charged = L1Prices {
            upgrade: if self.da_footprint_gas_scalar.is_some() { Upgrade::Jovian } else { Upgrade::Isthmus },
            operator_fee_scalar: word(self.operator_fee_scalar).saturating_to(),
            operator_fee_constant: word(self.operator_fee_constant).saturating_to(),
            ..L1Prices::default()
        };
        let gas = u128::from(self.receipt.gas_used);
        let execution = gas.saturating_mul(self.receipt.effective_gas_price);
        let l1: u128 = word(self.l1_fee).saturating_to();
        execution.saturating_add(l1).saturating_add(charged.operator_fee(gas))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cost(charged: Value) -> u128 {
        let mut receipt = json!({
            "type": "0x2", "status": "0x1", "cumulativeGasUsed": "0x186a0", "logs": [],
            "logsBloom": alloy::primitives::Bloom::ZERO,
            "transactionHash": alloy::primitives::B256::ZERO, "transactionIndex": "0x2",
            "blockHash": alloy::primitives::B256::ZERO, "blockNumber": "0x1",
            "gasUsed": "0x186a0", "effectiveGasPrice": "0xa",
            "from": alloy::primitives::Address::ZERO, "to": alloy::primitives::Address::ZERO,
        });
        receipt.as_object_mut().unwrap().extend(charged.as_object().unwrap().clone());
        serde_json::from_value::<OpReceipt>(receipt).unwrap().cost()
    }

    #[test]
    fn what_a_transaction_cost_is_its_gas_data_on_l1_and_the_operators_fee_by_its_upgrade() {
        let gas = 100_000 * 10;
        assert_eq!(cost(json!({})), gas);
        assert_eq!(cost(json!({"l1Fee": "0x64", "l1GasUsed": "0x640"})), gas + 100);
        let isthmus = json!({"l1Fee": "0x64", "operatorFeeScalar": "0x1b58", "operatorFeeConstant": "0x5"});
        assert_eq!(cost(isthmus), gas + 100 + 100_000 * 7_000 / 1_000_000 + 5);
        let jovian = json!({
            "l1Fee": "0x64", "operatorFeeScalar": "0x7", "operatorFeeConstant": "0x5", "daFootprintGasScalar": "0x190",
            "blobGasUsed": "0x9c40",
        });
        assert_eq!(cost(jovian), gas + 100 + 100_000 * 7 * 100 + 5);
        assert_eq!(cost(json!({"l1Fee": "0x64", "daFootprintGasScalar": "0x190"})), gas + 100);
    }
}
