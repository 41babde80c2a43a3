//! Looks at everything, again and again: what must be right goes to the board, what can be counted to the figures.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy::primitives::{B256, U256};
use bundler::{Bundler, Vitals, node::NodeClient};
use metrics::gauge;
use paymaster::Service;
use session_keys::rpc::Hub;
use tokio::task::JoinHandle;

use super::{Board, ObserveOptions, deposits};
use crate::{deployment::Deployment, sessions::Local};

/// Between two looks at what is in this process.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at what is elsewhere: budgets, deposits.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(2);
/// After this, deposits are read whatever the blocks say.
const DEPOSITS_LAST: Duration = Duration::from_secs(30);
/// Within which time an answer comes, or none does.
const PATIENCE: Duration = Duration::from_secs(3);

/// A block, and when something was read there.
type Known = (B256, Instant);

/// What is watched.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) bundler: Bundler,
    pub(crate) service: Arc<Service>,
    pub(crate) sessions: Option<Arc<Hub<Local>>>,
    pub(crate) node: NodeClient,
    pub(crate) deployment: Deployment,
}

pub(super) fn start(options: ObserveOptions, board: Arc<Board>, watched: Watched) -> Vec<JoinHandle<()>> {
    gauge!("fabstir_head_age_limit_seconds").set(count(options.max_head_age));
    gauge!("fabstir_node_silence_limit_seconds").set(options.patience().as_secs_f64());
    gauge!("fabstir_deposit_low_wei").set(f64::from(options.deposit_low));
    let (here, elsewhere, evm) = (watched.clone(), watched.clone(), watched);
    let (of_here, of_elsewhere, of_evm) = (Arc::clone(&board), Arc::clone(&board), board);
    let every = options.self_test_every;
    let mut tasks = vec![
        tokio::spawn(async move {
            loop {
                look(&here, &of_here, &options).await;
                tokio::time::sleep(LOOK).await;
            }
        }),
        tokio::spawn(async move {
            let deposits = deposits::of(&elsewhere.deployment);
            // The block up to which they are known, and when they were read.
            let mut known = (B256::ZERO, Instant::now());
            loop {
                look_elsewhere(&elsewhere, &of_elsewhere, &deposits, &mut known).await;
                tokio::time::sleep(LOOK_ELSEWHERE).await;
            }
        }),
    ];
    if every > 0 {
        tasks.push(tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(every)).await;
                compare(&evm.bundler, &of_evm).await;
            }
        }));
    }
    tasks
}

/// The engine, the head and the keys.
async fn look(watched: &Watched, board: &Board, options: &ObserveOptions) {
    let vitals = watched.bundler.vitals(PATIENCE).await;
    board.set("engine", vitals.as_ref().map(|_| ()).map_err(ToString::to_string));
    if let Ok(vitals) = &vitals {
        board.alive();
        judge(vitals, board);
        tell(vitals);
        gauge!("fabstir_intake_paused").set(if watched.bundler.is_intake_paused() { 1.0 } else { 0.0 });
        gauge!("fabstir_bundling_paused").set(if vitals.bundling_paused { 1.0 } else { 0.0 });
    }
    let (silence, patience) = (watched.bundler.node_silence(), options.patience());
    gauge!("fabstir_node_silence_seconds").set(silence.as_secs_f64());
    let silent = || format!("the node has not answered anything for {} s", silence.as_secs());
    board.set("node", if silence > patience { Err(silent()) } else { Ok(()) });

    let head = watched.bundler.head().block;
    let age = unix_now().saturating_sub(head.timestamp);
    gauge!("fabstir_head_age_seconds").set(count(age));
    gauge!("fabstir_head_number").set(count(head.number));
    let stale = options.max_head_age > 0 && age > options.max_head_age;
    board.set("head", if stale { Err(format!("block {} is {age} s old", head.number)) } else { Ok(()) });

    if let Some(sessions) = &watched.sessions {
        for (state, sessions) in sessions.counts() {
            gauge!("fabstir_sessions", "state" => state).set(count(sessions));
        }
    }
    gauge!("fabstir_ready").set(if board.problems().is_empty() { 1.0 } else { 0.0 });
}

fn judge(vitals: &Vitals, board: &Board) {
    let stopping = if vitals.stopping { Err("the node is stopping".into()) } else { Ok(()) };
    board.set("taking operations", stopping);
    // An rpc node among others has none.
    let usable = vitals.keys.is_empty() || vitals.keys.iter().any(|key| key.usable);
    board.set("keys", if usable { Ok(()) } else { Err("no bundler key can be used: too poor, or delegated".into()) });
    if vitals.journal_kept {
        let failure = vitals.journal_failure.clone();
        board.set("journal", failure.map_or(Ok(()), |why| Err(format!("it cannot be written: {why}"))));
        gauge!("fabstir_journal_failing").set(if vitals.journal_failure.is_some() { 1.0 } else { 0.0 });
    }
}

fn tell(vitals: &Vitals) {
    gauge!("fabstir_pool_operations").set(count(vitals.pool));
    gauge!("fabstir_pool_limit").set(count(vitals.pool_limit));
    gauge!("fabstir_key_low_wei").set(f64::from(vitals.key_low));
    for key in &vitals.keys {
        let of = key.address.to_string();
        if let Some(balance) = key.balance {
            gauge!("fabstir_key_balance_wei", "key" => of.clone()).set(f64::from(balance));
        }
        gauge!("fabstir_key_open_nonces", "key" => of.clone()).set(count(key.open_nonces));
        gauge!("fabstir_key_oldest_open_seconds", "key" => of.clone()).set(key.oldest_open.as_secs_f64());
        gauge!("fabstir_key_usable", "key" => of).set(if key.usable { 1.0 } else { 0.0 });
    }
    let ledger = &vitals.ledger;
    gauge!("fabstir_ledger_revenue_wei").set(wei(ledger.revenue));
    gauge!("fabstir_ledger_cost_wei").set(wei(ledger.cost));
    gauge!("fabstir_disagreements").set(count(ledger.disagreements));
    for (cause, (_, lost)) in &ledger.losses {
        gauge!("fabstir_ledger_loss_wei", "cause" => format!("{cause:?}").to_lowercase()).set(wei(*lost));
    }
}

/// The budgets, wherever they are kept, and the deposits.
async fn look_elsewhere(watched: &Watched, board: &Board, deposits: &[deposits::Deposit], known: &mut Known) {
    let service = &watched.service;
    gauge!("fabstir_sponsorship_paused").set(if service.is_paused() { 1.0 } else { 0.0 });
    let budgets = async {
        let limits = service.shared_limits().await.map_err(|error| error.to_string())?;
        let standing = service.ledger().standing().await.map_err(|error| error.to_string())?;
        Ok::<_, String>((limits, standing))
    };
    match tokio::time::timeout(PATIENCE, budgets).await.unwrap_or_else(|_| Err("they do not answer".into())) {
        Ok((limits, standing)) => {
            board.set("budgets", Ok(()));
            for limit in limits {
                let labels = [("bucket", limit.bucket), ("unit", limit.unit.to_owned())];
                gauge!("fabstir_sponsorship_limit", &labels).set(f64::from(limit.limit));
                gauge!("fabstir_sponsorship_left", &labels).set(f64::from(limit.remaining));
            }
            gauge!("fabstir_sponsorship_unreserved_wei").set(f64::from(standing.unreserved));
            gauge!("fabstir_sponsorship_deep_reorgs").set(count(standing.deep_reorgs));
        }
        Err(why) => board.set("budgets", Err(why)),
    }
    // A deposit does not change without an event of its EntryPoint.
    let (trail, entry_points) = (watched.bundler.trail(), deposits::entry_points(deposits));
    if known.1.elapsed() < DEPOSITS_LAST
        && let Some(tip) = trail.quiet_since(known.0, &entry_points)
    {
        known.0 = tip.hash;
        return;
    }
    let block = watched.bundler.head().block.hash;
    // That the node does not answer is told elsewhere.
    if let Ok(Ok(balances)) = tokio::time::timeout(PATIENCE, deposits::read(&watched.node, block, deposits)).await {
        *known = (block, Instant::now());
        for (deposit, balance) in deposits.iter().zip(balances) {
            let labels = [
                ("version", deposit.version.clone()),
                ("role", deposit.role.to_owned()),
                ("paymaster", deposit.paymaster.to_string()),
            ];
            gauge!("fabstir_deposit_wei", &labels).set(f64::from(balance));
        }
    }
}

/// Whether our EVM is still the chain's.
async fn compare(bundler: &Bundler, board: &Board) {
    use bundler::evm::SelfTestError;
    match bundler.self_test().await {
        Ok(()) => board.set("EVM", Ok(())),
        Err(SelfTestError::Node(error)) => tracing::warn!(%error, "our EVM could not be held against the node's"),
        Err(error) => board.set("EVM", Err(error.to_string())),
    }
}

fn wei(amount: u128) -> f64 {
    f64::from(U256::from(amount))
}

/// Any count as a gauge has it.
fn count(number: impl TryInto<u64>) -> f64 {
    f64::from(U256::from(number.try_into().unwrap_or(u64::MAX)))
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
