//! One operation, with all there is to say about it.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes};
use bundler::Rejection;
use erc4337::{EntryPointVersion, calls};
use serde_json::{Value, json};

use super::Explorer;

impl Explorer {
    /// The operation, its timeline, its calls, who pays, what it cost, how it was validated, why it failed.
    pub(super) async fn operation(self: Arc<Self>, hash: B256) -> Result<Value, Rejection> {
        let (known, status, receipt, trace) = tokio::try_join!(
            self.ask("eth_getUserOperationByHash", hash),
            self.ask("fabstir_getUserOperationStatus", hash),
            self.ask("eth_getUserOperationReceipt", hash),
            self.ask("fabstir_getUserOperationTrace", hash),
        )?;
        if known.is_null() && status.is_null() && trace.is_null() {
            return Ok(Value::Null);
        }
        let op = &known["userOperation"];
        let sender = address(&op["sender"]).or_else(|| address(&trace["sender"]));
        Ok(json!({
            "userOpHash": hash,
            "status": self.status(&status, &trace),
            "sender": sender,
            "entryPoint": self.named(address(&known["entryPoint"]).or_else(|| address(&trace["entryPoint"]))),
            "operation": op,
            "calls": sender.map(|sender| self.calls(op, sender)),
            "payer": self.payer(op),
            "receipt": brief(&receipt),
            "timeline": trace,
        }))
    }

    /// What the records say; of one that was never taken, its life.
    fn status(&self, status: &Value, trace: &Value) -> Value {
        if !status.is_null() {
            return status.clone();
        }
        let last = trace["steps"].as_array().and_then(|steps| steps.last());
        last.map_or(Value::Null, |step| json!({ "status": step["stage"], "reason": step["reason"] }))
    }

    fn calls(&self, op: &Value, sender: Address) -> Value {
        let data: Option<Bytes> = op["callData"].as_str().and_then(|text| text.parse().ok());
        match data.as_ref().map(calls::decode) {
            Some(Ok(calls)) => calls.iter().map(|call| self.names.call(call, sender)).collect(),
            // Another account's way to make calls.
            _ => Value::Null,
        }
    }

    /// Whoever pays for the gas: a paymaster, or the account.
    fn payer(&self, op: &Value) -> Value {
        let packed = op["paymasterAndData"].as_str().and_then(|text| text.get(..42));
        let paymaster = address(&op["paymaster"]).or_else(|| packed?.parse().ok()).filter(|it| !it.is_zero());
        match paymaster {
            Some(paymaster) => self.named(Some(paymaster)),
            None => json!({ "address": op["sender"], "name": "the account itself" }),
        }
    }

    fn named(&self, address: Option<Address>) -> Value {
        address.map_or(Value::Null, |address| json!({ "address": address, "name": self.names.of_address(address) }))
    }

    /// EntryPoints that are served, with their versions.
    pub(super) fn entry_points(&self) -> Vec<(Address, EntryPointVersion)> {
        self.deployment.entry_point_versions().unwrap_or_default().into_iter().collect()
    }
}

/// Of a receipt, what is of the operation's own.
fn brief(receipt: &Value) -> Value {
    if receipt.is_null() {
        return Value::Null;
    }
    json!({
        "success": receipt["success"], "actualGasCost": receipt["actualGasCost"], "actualGasUsed": receipt["actualGasUsed"],
        "reason": receipt["reason"], "transactionHash": receipt["receipt"]["transactionHash"],
        "blockNumber": receipt["receipt"]["blockNumber"], "logs": receipt["logs"].as_array().map(Vec::len),
    })
}

fn address(value: &Value) -> Option<Address> {
    value.as_str()?.parse().ok()
}
