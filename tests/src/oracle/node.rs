//! What the oracle asks of anvil: one run of `handleOps`, and what the entities have at stake.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, Bytes, U256, address, hex, keccak256},
    sol,
    sol_types::{SolCall, SolValue},
};
use anyhow::{Context, Result, ensure};
use erc4337::{EntryPointVersion, UserOperation, pack::handle_ops};
use jsonrpsee::{
    core::{
        client::ClientT,
        params::{ArrayParams, BatchRequestBuilder},
    },
    http_client::{HttpClient, HttpClientBuilder},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{opcodes, trace::Trace};

/// Who sends the bundle: an EOA, as v0.9 wants it.
const BUNDLER: Address = address!("0x00000000000000000000000000000000000b0b01");
/// Of the bundle.
const GAS: u64 = 30_000_000;
/// Bytes of an answer, at most.
const ANSWER: u32 = 1 << 30;

sol! {
    struct DepositInfo { uint256 deposit; bool staked; uint112 stake; uint32 unstakeDelaySec; uint48 withdrawTime; }
    function getDepositInfo(address account) external view returns (DepositInfo info);
}

/// Which of anvil's tracers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracer {
    /// The oracle's script.
    Script,
    /// The built-in tracer of calls.
    Calls,
}

/// What is known of an entity before the bundle.
#[derive(Debug)]
pub(super) struct Known {
    /// A stake that is locked: wei and seconds.
    pub(super) stake: Option<(U256, u32)>,
    /// Its code.
    pub(super) code: Bytes,
}

/// A run and what was before it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) trace: Trace,
    pub(super) known: BTreeMap<Address, Known>,
}

/// Anvil.
#[derive(Debug)]
pub(super) struct Node(HttpClient);

impl Node {
    pub(super) fn new(url: &str) -> Result<Self> {
        let timeout = std::time::Duration::from_secs(600);
        let client = HttpClientBuilder::default().max_response_size(ANSWER).request_timeout(timeout).build(url)?;
        Ok(Self(client))
    }

    /// Runs a bundle of this operation on the newest block, down to the end of its validation.
    pub(super) async fn run(
        &self,
        version: EntryPointVersion,
        entry_point: Address,
        op: &UserOperation,
    ) -> Result<Run> {
        let block: Value = self.0.request("eth_blockNumber", ArrayParams::new()).await?;
        let options = self.options(op, &block, Tracer::Script).await?;

        let entities: Vec<Address> =
            [Some(op.sender), op.factory(), op.paymaster_address()].into_iter().flatten().collect();
        let mut batch = BatchRequestBuilder::new();
        let mut insert = |method, params: Vec<&Value>| {
            let mut array = ArrayParams::new();
            params.into_iter().try_for_each(|param| array.insert(param))?;
            batch.insert(method, array)?;
            anyhow::Ok(())
        };
        insert("debug_traceCall", vec![&bundle(version, entry_point, op), &block, &options])?;
        for entity in &entities {
            let call = Bytes::from(getDepositInfoCall { account: *entity }.abi_encode());
            insert("eth_call", vec![&json!({ "to": entry_point, "data": call }), &block])?;
            insert("eth_getCode", vec![&json!(entity), &block])?;
        }
        let mut answers = Vec::new();
        for answer in self.0.batch_request::<Value>(batch).await? {
            answers.push(answer.map_err(|error| anyhow::anyhow!("{error}"))?);
        }
        ensure!(answers.len() == 1 + 2 * entities.len(), "{} answers", answers.len());
        let trace = Trace::deserialize(&answers[0]).with_context(|| format!("no trace: {}", answers[0]))?;
        let mut known = BTreeMap::new();
        for (entity, answers) in entities.into_iter().zip(answers[1..].chunks(2)) {
            let info = DepositInfo::abi_decode(&Bytes::deserialize(&answers[0])?)?;
            let stake = info.staked.then(|| (U256::from(info.stake), info.unstakeDelaySec));
            known.insert(entity, Known { stake, code: Bytes::deserialize(&answers[1])? });
        }
        Ok(Run { trace, known })
    }

    /// Which creations of the same run failed for want of gas, in the order they began. None if that cannot be told:
    /// JSON nests no deeper than its reader lets it.
    pub(super) async fn starved_creations(
        &self,
        version: EntryPointVersion,
        entry_point: Address,
        op: &UserOperation,
    ) -> Result<Option<Vec<bool>>> {
        let answer = self.record(version, entry_point, op, Tracer::Calls).await?;
        let Ok(top) = serde_json::from_str::<Call>(answer.get()) else { return Ok(None) };
        let mut starved = Vec::new();
        top.creations(&mut starved);
        Ok(Some(starved))
    }

    /// The answer of one of the tracers, as it comes.
    pub(super) async fn record(
        &self,
        version: EntryPointVersion,
        entry_point: Address,
        op: &UserOperation,
        tracer: Tracer,
    ) -> Result<Box<RawValue>> {
        let block = json!("latest");
        let options = self.options(op, &block, tracer).await?;
        let mut params = ArrayParams::new();
        for param in [&bundle(version, entry_point, op), &block, &options] {
            params.insert(param)?;
        }
        Ok(self.0.request("debug_traceCall", params).await?)
    }

    async fn options(&self, op: &UserOperation, block: &Value, tracer: Tracer) -> Result<Value> {
        let mut options = self.overrides(op, block).await?;
        options["tracer"] = json!(match tracer {
            Tracer::Script => include_str!("tracer.js"),
            Tracer::Calls => "callTracer",
        });
        options["tracerConfig"] = match tracer {
            Tracer::Script => json!({ "noted": opcodes::noted(), "topic": keccak256("BeforeExecution()") }),
            Tracer::Calls => json!({}),
        };
        Ok(options)
    }

    /// The delegation that the bundle's transaction would make before the bundle runs (EIP-7702). That the tuple is
    /// the sender's and valid is taken for granted.
    async fn overrides(&self, op: &UserOperation, block: &Value) -> Result<Value> {
        let Some(tuple) = &op.eip7702_auth else { return Ok(json!({})) };
        let mut params = ArrayParams::new();
        params.insert(op.sender)?;
        params.insert(block)?;
        let nonce: U256 = self.0.request("eth_getTransactionCount", params).await?;
        let (code, nonce) = (delegation(*tuple.address()), format!("{:#x}", nonce + U256::ONE));
        Ok(json!({ "stateOverrides": { op.sender.to_string(): { "code": code, "nonce": nonce } } }))
    }
}

/// The code of an account that delegates to another; none if to nobody.
pub(super) fn delegation(to: Address) -> Bytes {
    if to.is_zero() { Bytes::new() } else { [&hex!("ef0100"), to.as_slice()].concat().into() }
}

fn bundle(version: EntryPointVersion, entry_point: Address, op: &UserOperation) -> Value {
    let data = handle_ops(version, [op], BUNDLER);
    json!({ "from": BUNDLER, "to": entry_point, "data": data, "gas": format!("{GAS:#x}") })
}

/// A frame as the call tracer tells it.
#[derive(Deserialize)]
struct Call {
    #[serde(rename = "type")]
    kind: String,
    error: Option<String>,
    #[serde(default)]
    calls: Vec<Call>,
}

impl Call {
    fn creations(&self, starved: &mut Vec<bool>) {
        if self.kind.starts_with("CREATE") {
            starved.push(self.error.as_deref().is_some_and(is_out_of_gas));
        }
        self.calls.iter().for_each(|call| call.creations(starved));
    }
}

/// Whether anvil says so.
pub(super) fn is_out_of_gas(error: &str) -> bool {
    error.to_lowercase().replace([' ', '_'], "").contains("outofgas")
}
