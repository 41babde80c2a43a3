//! How exact estimates are: operations of every kind are estimated, probed with one unit less, sent and executed.
//!
//! ```text
//!  Case ──estimate──► limits ──► handleOps on anvil with callGasLimit - 1 ──► eth_sendUserOperation ──► receipt
//!                                    │ works: bisect for the least that does
//! ```
//!
//! - `cases`: who does what. - `actor`, `own`, `passkey`: accounts and who signs for them. - `payer`: who pays.
//! - `contracts`: what there is to call. - `report`: what came of it.

mod actor;
mod cases;
mod contracts;
mod own;
mod passkey;
mod payer;
mod report;

use alloy::primitives::{Address, Bytes, U256};
use anyhow::{Context, Result, ensure};
use erc4337::{UserOperationRequest, abi::entry_point_v08::UserOperationEvent, pack};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

pub use self::report::Report;
use self::{actor::Actor, cases::Case};
use crate::{accounts, programs::Dice, stack::Stack};

/// Arguments of the node: all operations come from one address here.
pub const ARGUMENTS: [&str; 2] = ["--calls-per-second", "0"];
/// Operations under way at a time.
const AT_ONCE: usize = 8;

/// Init code of the contract that writes slots.
pub fn deployment_of_writer() -> Bytes {
    init_code(&contracts::WRITER)
}

fn init_code(code: &[u8]) -> Bytes {
    // PUSH1 length, DUP1, PUSH1 offset, PUSH0, CODECOPY, PUSH0, RETURN
    let mut init = vec![0x60, code.len() as u8, 0x80, 0x60, 9, 0x5f, 0x39, 0x5f, 0xf3];
    init.extend(code);
    init.into()
}

/// One operation, estimated and executed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) kind: String,
    /// Whether nothing that is called looks at its gas.
    pub(crate) straight: bool,
    /// Estimate of the call's limit, and the least that works.
    pub(crate) estimated: u128,
    pub(crate) least: u128,
    /// Why it was not executed, if it was not.
    pub(crate) failure: Option<String>,
}

/// Estimates, probes and executes at least `count` operations.
pub async fn run(stack: &Stack, seed: u64, count: usize) -> Result<Report> {
    let cases = cases::all(stack, &mut Dice::new(seed), count).await?;
    let outcomes = stream::iter(cases).map(|case| judge(stack, case)).buffer_unordered(AT_ONCE);
    Ok(Report(outcomes.try_collect().await?))
}

async fn judge(stack: &Stack, case: Case) -> Result<Outcome> {
    let Case { actor, payer, mut op, kind, straight } = case;
    let entry_point = json!(actor.entry_point());
    let failed =
        |failure: String| Outcome { kind: kind.clone(), straight, estimated: 0, least: 0, failure: Some(failure) };
    let gas = match stack.node.ask("eth_estimateUserOperationGas", vec![op.clone(), entry_point.clone()]).await {
        Ok(gas) => gas,
        Err(error) => return Ok(failed(format!("not estimated: {error}"))),
    };
    op.as_object_mut().context("no object")?.extend(gas.as_object().cloned().unwrap_or_default());
    let estimated: U256 = serde_json::from_value(op["callGasLimit"].clone())?;
    let estimated: u128 = estimated.to();
    let works = async |limit: u128| {
        let mut op = op.clone();
        op["callGasLimit"] = json!(U256::from(limit));
        actor.sign(stack, &payer, &mut op).await?;
        succeeds(stack, &actor, &op).await
    };
    ensure!(works(estimated).await?, "{kind}: the probe fails where the estimate is {estimated}: {op}");
    let least = if works(estimated - 1).await? {
        let (mut low, mut high) = (0, estimated - 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if works(middle).await? { high = middle } else { low = middle }
        }
        high
    } else {
        estimated
    };
    actor.sign(stack, &payer, &mut op).await?;
    let sent = stack.node.ask("eth_sendUserOperation", vec![op, entry_point]).await;
    let hash = match sent {
        Ok(hash) => serde_json::from_value(hash)?,
        Err(error) => return Ok(failed(format!("not admitted: {error}"))),
    };
    let receipt = accounts::receipt(stack, hash).await?;
    let failure = (receipt["success"] != json!(true)).then(|| format!("not executed: {receipt}"));
    Ok(Outcome { kind, straight, estimated, least, failure })
}

/// Whether the operation, in a bundle of its own, would succeed on anvil now.
async fn succeeds(stack: &Stack, actor: &Actor, op: &Value) -> Result<bool> {
    let version = actor.version();
    let op = UserOperationRequest::from_json(op, version)?.complete(version)?;
    let bundler = Address::repeat_byte(0xbb);
    let mut call = json!({
        "from": bundler,
        "to": actor.entry_point(),
        "input": pack::handle_ops(version, [&op], bundler),
        "gas": U256::from(30_000_000),
    });
    if let Some(auth) = &op.eip7702_auth {
        call["authorizationList"] = json!([auth]);
    }
    let simulate = json!({ "blockStateCalls": [{ "calls": [call] }] });
    let answer = stack.anvil.ask("eth_simulateV1", vec![simulate, json!("latest")]).await?;
    let call = &answer[0]["calls"][0];
    ensure!(call["status"] == "0x1", "handleOps reverts: {call}");
    let logs: Vec<alloy::rpc::types::Log> = serde_json::from_value(call["logs"].clone())?;
    let event = logs.iter().find_map(|log| log.log_decode::<UserOperationEvent>().ok()).context("no event")?;
    Ok(event.inner.data.success)
}
