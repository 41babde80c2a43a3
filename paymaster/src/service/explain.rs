//! What would be decided of an operation, and why; nothing is signed and nothing set aside.

use alloy::primitives::{Address, U256};
use erc4337::{UserOperation, UserOperationRequest};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Service, complete, over};
use crate::{
    Denial, Refusal, Scope,
    ledger::Charge,
    policy::{CallReport, owner, unit_name},
};

/// A dry run, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Whether it would be sponsored.
    pub sponsored: bool,
    /// The policy.
    pub policy_id: String,
    /// The rule that says no: the key of the policy file.
    pub rule: Option<String>,
    /// The call that it says no to, by its positions in the batch.
    pub call: Option<String>,
    /// Why not.
    pub reason: Option<String>,
    /// Its worst case, in wei.
    pub max_cost: U256,
    /// Each call, and the rule that sponsors it.
    pub calls: Vec<Value>,
    /// Each limit that it is charged to.
    pub limits: Vec<LimitReport>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitReport {
    /// Name of its bucket.
    pub bucket: String,
    /// Whose it is.
    pub of: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// How much of it in a period.
    pub limit: U256,
    /// Promised, and not settled for good.
    pub reserved: U256,
    /// Settled.
    pub settled: U256,
    /// How much may still be promised.
    pub remaining: U256,
    /// How much of it this operation would take.
    pub asked: U256,
    /// Seconds since 1970 at which it is whole again, if it ever is.
    pub resets_at: Option<u64>,
}

impl Service {
    /// What would become of the operation. Gas and fees that are open count as zero.
    ///
    /// The webhook is not asked: it may count.
    ///
    /// # Errors
    /// If that cannot be said: the chain or the ledger is out of reach.
    pub async fn explain(
        &self,
        scope: &Scope,
        operation: &UserOperationRequest,
        entry_point: Address,
    ) -> Result<Explanation, Refusal> {
        let deployed = self.deployed(entry_point)?;
        let op = match complete(operation, deployed) {
            Ok((op, limits)) => UserOperation { paymaster: Some(limits), ..op },
            Err(_) => operation.with_open_fields_zero(),
        };
        let assessed = self.assess(scope, &op, entry_point, deployed).await?;
        let (decision, reservation) = (assessed.decision, assessed.reservation);
        let limits = self.limits(&decision.charges, decision.cost, scope.policy.price, reservation.now).await?;
        let verdict = match decision.verdict {
            Ok(()) => match self.ledger.check(reservation).await.map_err(|why| over(why, &decision.charges, scope)) {
                Ok(()) => Ok(()),
                Err(Refusal::Denied { denial, .. }) => Err(*denial),
                Err(other) => return Err(other),
            },
            denied => denied,
        };
        let denial = verdict.err();
        Ok(Explanation {
            sponsored: denial.is_none(),
            policy_id: scope.policy.id.clone(),
            rule: denial.as_ref().map(|denial| denial.rule().to_owned()),
            call: denial.as_ref().and_then(Denial::call).map(str::to_owned),
            reason: denial.as_ref().map(ToString::to_string),
            max_cost: decision.cost,
            calls: decision.calls.iter().map(call_report).collect(),
            limits,
        })
    }

    /// Where these limits stand, for an operation of this worst case (wei).
    ///
    /// # Errors
    /// If the ledger is out of reach.
    pub async fn limits(
        &self,
        charges: &[Charge],
        cost: U256,
        price: Option<U256>,
        now: u64,
    ) -> Result<Vec<LimitReport>, Refusal> {
        // Those without a limit only count.
        let charges: Vec<&Charge> = charges.iter().filter(|charge| charge.limit < U256::MAX).collect();
        let names: Vec<_> = charges.iter().map(|charge| (charge.bucket.as_str(), charge.period, now)).collect();
        let usages = self.ledger.usage(&names).await.map_err(Refusal::Ledger)?;
        let report = |(charge, usage): (&&Charge, &crate::ledger::Usage)| LimitReport {
            bucket: charge.bucket.clone(),
            of: owner(&charge.bucket),
            unit: unit_name(charge.unit),
            limit: charge.limit,
            reserved: usage.reserved,
            settled: usage.settled,
            remaining: charge.limit.saturating_sub(usage.total()),
            asked: charge.unit.amount(cost, price.unwrap_or_default()),
            resets_at: charge.resets_at(now),
        };
        Ok(charges.iter().zip(&usages).map(report).collect())
    }
}

fn call_report(report: &CallReport) -> Value {
    let call = &report.step.call;
    let (rule, reason) = match &report.rule {
        Ok(rule) => (Some(rule.clone()), None),
        Err((rule, why)) => (rule.clone(), Some(why.to_string())),
    };
    json!({
        "path": report.step.path, "target": call.target, "value": call.value,
        "selector": report.step.selector().map(alloy::hex::encode_prefixed),
        "delegatecall": call.delegatecall, "sponsored": reason.is_none(), "rule": rule, "reason": reason,
    })
}
