//! A second opinion on the rules of ERC-7562: a real anvil traces the operation, and other eyes than the product's judge.
//!
//! ```text
//!  handleOps([op, one that is sure to fail]) ──► call tracer ──► frames ─┐
//!                                            └─► tracer.js ───► steps ──┴─► rules ──► Opinion
//! ```
//!
//! - `trace`: what anvil tells. - `phases`: which frame runs for whom. - `rules`: the rules.
//!
//! Nothing here is taken from the bundler. Its source is the ERC's text and `docs/erc-7562.md`.

mod phases;
mod rules;
mod trace;

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, Bytes, U256, address},
    sol_types::{Revert, SolCall, SolError},
};
use anyhow::{Result, ensure};
use erc4337::{
    EntryPointVersion, UserOperation,
    abi::{entry_point_v06, entry_point_v08, entry_point_v09},
};
use jsonrpsee::{
    core::client::ClientT,
    http_client::{HttpClient, HttpClientBuilder},
    rpc_params,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::{
    phases::Parties,
    rules::{Case, Mappings},
    trace::{Call, Steps},
};

/// An address without code, as a bundler's is.
const BUNDLER: Address = address!("0xb0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0");

/// What the oracle says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// The EntryPoint refuses it: its revert data.
    Failed(String),
    /// Rules (such as `OP-011`) that were broken, and who broke them: `account`, `factory` or `paymaster`. None: accepted.
    Judged(BTreeSet<(String, String)>),
    /// Calls go deeper into one another than anvil's answer can be read: no opinion.
    TooDeep,
}

/// How to have a validation traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracer {
    /// The node's own, frame by frame.
    Calls,
    /// A script that sees every instruction, as bundlers without an EVM of their own run it.
    Script,
}

impl Tracer {
    fn options(self) -> Value {
        match self {
            Self::Calls => json!({ "tracer": "callTracer" }),
            Self::Script => {
                json!({ "tracer": include_str!("tracer.js"), "tracerConfig": { "noted": rules::noted() } })
            }
        }
    }
}

/// Judges operations on the state that a chain has now.
#[derive(Clone, Debug)]
pub struct Oracle {
    anvil: HttpClient,
    min_stake: U256,
    min_unstake_delay: u32,
}

impl Oracle {
    /// Through this anvil, with what the chain takes for a stake (wei, seconds).
    pub fn new(anvil: &str, min_stake: U256, min_unstake_delay: u32) -> Result<Self> {
        // A program that loops makes a long record.
        let anvil = HttpClientBuilder::default().max_response_size(1 << 28).build(anvil)?;
        Ok(Self { anvil, min_stake, min_unstake_delay })
    }

    /// Its opinion of one operation.
    pub async fn judge(&self, version: EntryPointVersion, entry_point: Address, op: &UserOperation) -> Result<Opinion> {
        let calldata = validation_only(version, op);
        // Without steps this takes next to no time, and is all there is to say of many.
        let root: Call = match self.trace(entry_point, op, &calldata, Tracer::Calls).await {
            Err(error) if error.to_string().contains("recursion limit exceeded") => return Ok(Opinion::TooDeep),
            root => root?,
        };
        if root.output != sure_failure(version) {
            return Ok(Opinion::Failed(root.output.to_string()));
        }
        let steps: Steps = self.trace(entry_point, op, &calldata, Tracer::Script).await?;

        let (factory, paymaster) = (op.factory(), op.paymaster_address());
        let parties = Parties { version, entry_point, sender: op.sender, factory, paymaster };
        let frames = phases::frames(&root, &parties, &steps.made);
        // An error in the script would make the instruction fail.
        ensure!(steps.output == root.output, "the tracers disagree on the outcome: {}", steps.output);
        ensure!(frames.len() == steps.entered + 1, "the tracers disagree on frames");
        for event in &steps.events {
            ensure!(frames[event.frame].contract == event.contract, "the tracers disagree on {event:?}");
        }
        let mut staked = BTreeSet::new();
        for party in [Some(op.sender), factory, paymaster].into_iter().flatten() {
            if self.is_staked(entry_point, party).await? {
                staked.insert(party);
            }
        }
        let deployed = match factory {
            Some(_) => !self.ask::<Bytes>("eth_getCode", json!([op.sender, "latest"])).await?.is_empty(),
            None => true,
        };
        let mappings = Mappings::new(&steps.preimages);
        let case = Case { parties, deployed, staked, frames: &frames, events: &steps.events, mappings };
        Ok(Opinion::Judged(case.judge()))
    }

    /// The node's record of a validation, unread.
    pub async fn record(
        &self,
        version: EntryPointVersion,
        entry_point: Address,
        op: &UserOperation,
        tracer: Tracer,
    ) -> Result<Value> {
        self.trace(entry_point, op, &validation_only(version, op), tracer).await
    }

    async fn trace<T: DeserializeOwned>(
        &self,
        entry_point: Address,
        op: &UserOperation,
        calldata: &Bytes,
        tracer: Tracer,
    ) -> Result<T> {
        let mut options = tracer.options();
        if let Some(auth) = &op.eip7702_auth {
            let code = Bytes::from([&[0xef, 0x01, 0x00], auth.address.as_slice()].concat());
            options["stateOverrides"] = json!({ op.sender.to_string(): { "code": code } });
        }
        let call = json!({ "from": BUNDLER, "to": entry_point, "data": calldata, "gas": "0x1c9c380" });
        self.ask("debug_traceCall", json!([call, "latest", options])).await
    }

    async fn is_staked(&self, entry_point: Address, party: Address) -> Result<bool> {
        let call = entry_point_v08::getDepositInfoCall { account: party }.abi_encode();
        let call = json!({ "to": entry_point, "data": Bytes::from(call) });
        let info: Bytes = self.ask("eth_call", json!([call, "latest"])).await?;
        let info = entry_point_v08::getDepositInfoCall::abi_decode_returns(&info)?;
        Ok(info.staked && U256::from(info.stake) >= self.min_stake && info.unstakeDelaySec >= self.min_unstake_delay)
    }

    async fn ask<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T> {
        let mut array = rpc_params![];
        for param in params.as_array().into_iter().flatten() {
            array.insert(param)?;
        }
        Ok(self.anvil.request(method, array).await?)
    }
}

/// Calldata of `handleOps` for this operation and one whose `paymasterAndData` is too short to hold an address. Since
/// all are validated before any is executed, the run ends when the first has been validated.
fn validation_only(version: EntryPointVersion, op: &UserOperation) -> Bytes {
    let last = UserOperation::default();
    if version.is_packed() {
        let mut last = last.to_packed(version);
        last.paymasterAndData = Bytes::from_static(&[0]);
        entry_point_v08::handleOpsCall { ops: vec![op.to_packed(version), last], beneficiary: BUNDLER }.abi_encode()
    } else {
        let mut last = last.to_unpacked();
        last.paymasterAndData = Bytes::from_static(&[0]);
        entry_point_v06::handleOpsCall { ops: vec![op.to_unpacked(), last], beneficiary: BUNDLER }.abi_encode()
    }
    .into()
}

/// How that run ends if nothing else is wrong. No operation of ours is refused so: its `paymasterAndData` is empty, or
/// holds an address.
fn sure_failure(version: EntryPointVersion) -> Bytes {
    match version {
        EntryPointVersion::V0_9 => {
            entry_point_v09::InvalidPaymasterData { paymasterAndDataLength: U256::from(1) }.abi_encode()
        }
        _ => Revert::from("AA93 invalid paymasterAndData").abi_encode(),
    }
    .into()
}
