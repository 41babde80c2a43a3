//! What is promised, what was spent, what is there.

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use axum::{
    Json,
    extract::{Query, State},
    http::HeaderMap,
};
use erc4337::abi::{entry_point_v06, entry_point_v08};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, Answer, Asked, Problem, Role, Shared};
use crate::{
    DAY, Refusal,
    chain::Read,
    ledger::Denied,
    policy::{Kind, Payer, Per, job_usage, policy_usage},
    service::unix_now,
};

/// Days of one answer at most.
const MOST_DAYS: u64 = 90;

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::Refused(Refusal::Ledger(denied))
    }
}

/// Whose limits are wanted besides: those of one user or key are many.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetsOf {
    user: Option<Address>,
    key: Option<String>,
}

pub(super) async fn budgets(State(admin): Shared, headers: HeaderMap, of: Asked<BudgetsOf>) -> Answer {
    admin.keys.admit(&headers, Role::Viewer)?;
    let Query(of) = of?;
    let (service, now) = (&admin.service, unix_now());
    // Of all together, then of the account.
    let mut all = service.config().limits.charges(of.user.unwrap_or_default());
    all.truncate(if of.user.is_some() { 2 } else { 1 });
    let all = service.limits(&all, U256::ZERO, None, now).await?;
    let mut policies = Vec::new();
    for policy in service.policies().current().iter() {
        let payer = Payer { policy: &policy.id, sender: of.user.unwrap_or_default(), key: of.key.as_deref() };
        let common = policy.limits.iter().filter(|limit| match limit.per {
            Per::Policy | Per::Global => true,
            Per::User => of.user.is_some(),
            Per::Key => of.key.is_some(),
            Per::Operation => false,
        });
        let charges: Vec<_> = common.filter_map(|limit| limit.charge(payer)).collect();
        let limits = service.limits(&charges, U256::ZERO, policy.price, now).await?;
        policies.push(json!({ "policyId": policy.id, "limits": limits }));
    }
    let standing = service.ledger().standing().await?;
    Ok(Json(json!({
        "all": all, "policies": policies,
        "standing": {
            "block": standing.block.map(|(number, hash, at)| json!({ "number": number, "hash": hash, "at": at })),
            "spent": standing.spent, "unreserved": standing.unreserved, "drift": standing.drift,
            "deepReorgs": standing.deep_reorgs,
        },
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageOf {
    policy: Option<String>,
    user: Option<Address>,
    kind: Option<Kind>,
    market: Option<Address>,
    job: Option<B256>,
    days: Option<u64>,
}

/// Of one policy, user or job.
pub(super) async fn usage(State(admin): Shared, headers: HeaderMap, of: Asked<UsageOf>) -> Answer {
    admin.keys.admit(&headers, Role::Viewer)?;
    let Query(of) = of?;
    let days = of.days.unwrap_or(14).clamp(1, MOST_DAYS);
    match of {
        UsageOf { policy: Some(id), user: None, job: None, .. } => by_day(&admin, &policy_usage(&id), days).await,
        UsageOf { policy: None, user: Some(user), job: None, .. } => {
            by_day(&admin, &format!("sender/{user}"), days).await
        }
        UsageOf { policy: None, user: None, job: Some(id), market: Some(market), kind, .. } => {
            let bucket = job_usage(kind.unwrap_or(Kind::Job).name(), market, id);
            let usage = admin.service.ledger().usage(&[(&bucket, 0, unix_now())]).await?;
            let usage = usage.first().copied().unwrap_or_default();
            Ok(Json(json!({ "reserved": usage.reserved, "settled": usage.settled })))
        }
        _ => Err(Problem::Field("name one of: policy; user; job with market, and kind=session for sessions".into())),
    }
}

/// Oldest first; wei.
async fn by_day(admin: &Admin, bucket: &str, days: u64) -> Answer {
    let today = unix_now() / DAY;
    let starts: Vec<u64> = (0..days).rev().map(|back| today.saturating_sub(back) * DAY).collect();
    let asked: Vec<_> = starts.iter().map(|start| (bucket, DAY, *start)).collect();
    let usages = admin.service.ledger().usage(&asked).await?;
    let day = |(start, usage): (&u64, &crate::ledger::Usage)| json!({ "start": start, "reserved": usage.reserved, "settled": usage.settled });
    Ok(Json(starts.iter().zip(&usages).map(day).collect()))
}

/// What the EntryPoints hold of ours.
pub(super) async fn deposits(State(admin): Shared, headers: HeaderMap) -> Answer {
    admin.keys.admit(&headers, Role::Viewer)?;
    let service = &admin.service;
    let paymasters: Vec<_> = service.config().paymasters.iter().collect();
    let question = |account: Address| entry_point_v08::getDepositInfoCall { account }.abi_encode().into();
    let reads = paymasters
        .iter()
        .map(|(entry_point, deployed)| Read::Call { to: **entry_point, data: question(deployed.paymaster) })
        .collect();
    let answers = service.chain().read(reads).await.map_err(Refusal::from)?.values;
    let row = |((entry_point, deployed), answer): (&(&Address, &crate::Deployed), Option<alloy::primitives::Bytes>)| {
        let info = answer.and_then(|bytes| {
            if deployed.version.is_packed() {
                let info = entry_point_v08::getDepositInfoCall::abi_decode_returns(&bytes).ok()?;
                Some((info.deposit, info.staked, U256::from(info.stake), info.unstakeDelaySec))
            } else {
                let info = entry_point_v06::getDepositInfoCall::abi_decode_returns(&bytes).ok()?;
                Some((U256::from(info.deposit), info.staked, U256::from(info.stake), info.unstakeDelaySec))
            }
        });
        let (deposit, staked, stake, delay) = info.unwrap_or_default();
        json!({
            "entryPoint": entry_point, "version": deployed.version.to_string(), "paymaster": deployed.paymaster,
            "deposit": deposit, "staked": staked, "stake": stake, "unstakeDelaySec": delay,
        })
    };
    Ok(Json(Value::Array(paymasters.iter().zip(answers).map(row).collect())))
}
