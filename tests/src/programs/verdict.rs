//! What is said of an operation: by the product, over JSON-RPC, and by the oracle.

use std::collections::BTreeSet;

use alloy::primitives::{Address, Bytes};
use anyhow::{Context, Result, bail};
use erc4337::{EntryPointVersion, UserOperation, revert::EntryPointRevert, wire};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};

use super::scenario::Placement;
use crate::{Stack, oracle::Opinion};

/// All that is said against an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The EntryPoint refuses it.
    Failed(String),
    /// It passes, and breaks these rules by these entities.
    Judged(BTreeSet<(String, String)>),
    /// The oracle has none.
    None,
}

impl Verdict {
    /// Whether both say the same. Why the EntryPoint refuses is no matter of rules.
    pub fn agrees(&self, other: &Self) -> bool {
        self.differences(other).is_empty()
    }

    /// What the bundler says that the oracle does not, and the other way round.
    pub fn differences(&self, oracle: &Self) -> BTreeSet<String> {
        let rules = |these: &BTreeSet<(String, String)>, those, who: &str| -> BTreeSet<String> {
            let only = these.difference(those);
            only.map(|(rule, entity)| format!("{rule} by the {entity} says only the {who}")).collect()
        };
        match (self, oracle) {
            (Self::Failed(_), Self::Failed(_)) | (_, Self::None) => BTreeSet::new(),
            (Self::Judged(these), Self::Judged(those)) => {
                rules(these, those, "bundler").into_iter().chain(rules(those, these, "oracle")).collect()
            }
            (Self::Failed(reason), Self::Judged(_)) | (Self::Judged(_), Self::Failed(reason))
                if is_close_call(reason) =>
            {
                BTreeSet::new()
            }
            (Self::Failed(_), _) => BTreeSet::from(["fails, says only the bundler".to_owned()]),
            (_, Self::Failed(_)) => BTreeSet::from(["fails, says only the oracle".to_owned()]),
            (Self::None, Self::Judged(_)) => BTreeSet::from(["the bundler has no verdict".to_owned()]),
        }
    }
}

/// The EntryPoint's own gas counts against the limits, and differs a little with the bundle that the operation is in.
fn is_close_call(reason: &str) -> bool {
    ["AA26 ", "AA36 ", "AA40 ", "AA41 "].iter().any(|limit| reason.contains(limit))
}

/// Asks the bundler for all of its objections.
pub async fn explain(stack: &Stack, entry_point: Address, placement: &Placement) -> Result<Verdict> {
    let params = vec![wire::to_json(&placement.op, placement.version), json!(entry_point)];
    let answer = stack.node.ask("fabstir_explainUserOperation", params).await?;
    let violations = answer["violations"].as_array().with_context(|| format!("no violations: {answer}"))?;
    let accepted = answer["accepted"].as_bool().with_context(|| format!("no verdict: {answer}"))?;
    if violations.is_empty() && !accepted {
        return Ok(Verdict::Failed(answer["error"].to_string()));
    }
    let broken: BTreeSet<_> =
        violations.iter().map(|violation| (text(violation, "rule"), text(violation, "entity"))).collect();
    if accepted != broken.is_empty() {
        bail!("accepted and with violations: {answer}");
    }
    Ok(Verdict::Judged(broken))
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

impl From<Opinion> for Verdict {
    fn from(opinion: Opinion) -> Self {
        match opinion {
            Opinion::Failed(data) => {
                let data: Bytes = data.parse().unwrap_or_default();
                Self::Failed(EntryPointRevert::decode(&data).to_string())
            }
            Opinion::Judged(broken) => Self::Judged(broken),
            Opinion::TooDeep => Self::None,
        }
    }
}

/// Why an operation is refused: code, rule, entity, and all of it in words.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "as it says")]
pub struct Refusal {
    pub code: i32,
    pub rule: String,
    pub entity: String,
    pub words: String,
}

/// Sends an operation to the bundler.
pub async fn send(
    stack: &Stack,
    op: &UserOperation,
    version: EntryPointVersion,
    entry_point: Address,
) -> Result<Result<(), Refusal>> {
    let params = vec![wire::to_json(op, version), json!(entry_point)];
    match stack.node.ask("eth_sendUserOperation", params).await {
        Ok(_) => Ok(Ok(())),
        Err(ClientError::Call(error)) => {
            let data = error.data().map_or(Ok(Value::Null), |data| serde_json::from_str(data.get()))?;
            let words = format!("{} {} {data}", error.code(), error.message());
            Ok(Err(Refusal { code: error.code(), rule: text(&data, "rule"), entity: text(&data, "entity"), words }))
        }
        Err(other) => Err(other.into()),
    }
}
