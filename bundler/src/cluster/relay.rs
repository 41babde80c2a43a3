//! What stands where the engine would, in an rpc node: it passes on what it is asked, and keeps nothing but what its
//! subscribers have been told.

use std::{collections::HashMap, sync::Arc, time::Duration};

use alloy::primitives::B256;
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};

use super::{
    Asks,
    wire::{Ask, Handover, Seen, Written},
};
use crate::{
    Config, Rejection,
    admission::Admitted,
    engine::{Command, Interest, Record, Records, Screened, Status, Vitals},
    flow::Ledger,
    lives::Lives,
};

/// Between two looks at an operation that somebody watches.
const LOOKS: Duration = Duration::from_millis(200);
/// Operations that are watched at a time before each is looked at less often: all together cost no more then.
const WATCHED: usize = 50;
/// Looks at one; then its subscriber hears of its inclusion alone.
const MOST_LOOKS: usize = 3_000;

/// What is known of an operation that somebody watches.
type News = (B256, Option<Record>);

/// See the module.
#[derive(Debug)]
pub(crate) struct Relay {
    config: Arc<Config>,
    asks: Arc<Asks>,
    inbox: mpsc::Receiver<Command>,
    records: Records,
    /// What is looked at because somebody watches it.
    watched: HashMap<B256, AbortHandle>,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
}

impl Relay {
    pub(crate) fn new(
        config: Arc<Config>,
        asks: Asks,
        inbox: mpsc::Receiver<Command>,
        interest: watch::Sender<Interest>,
        lives: Arc<Lives>,
    ) -> Self {
        let (asks, records) = (Arc::new(asks), Records::new(interest, lives));
        Self { config, asks, inbox, records, watched: HashMap::new(), news: mpsc::channel(64) }
    }

    /// Runs until every handle to it is gone.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                command = self.inbox.recv() => match command {
                    Some(command) => self.handle(command),
                    None => return,
                },
                Some((hash, record)) = self.news.1.recv() => self.heard(hash, record),
            }
            // Nothing here has to be remembered.
            self.records.take_noted();
        }
    }

    fn handle(&mut self, command: Command) {
        let asks = Arc::clone(&self.asks);
        match command {
            Command::Add(admitted, answer) => drop(tokio::spawn(async move {
                let partition = asks.connection().partition_of(admitted.op.sender);
                let ask = Ask::Add(Box::new(Handover::new(&admitted)));
                let _ = answer.send(asks.ask(partition, ask).await);
            })),
            Command::Screen(screening, answer) => {
                let Some(version) = self.config.entry_points.get(&screening.entry_point).copied() else { return };
                tokio::spawn(async move {
                    let partition = asks.connection().partition_of(screening.op.sender);
                    let operation = Written::new(&screening.op, version);
                    let (hash, entry_point) = (screening.hash, screening.entry_point);
                    let screened = asks.ask(partition, Ask::Screen { operation, hash, entry_point }).await;
                    let _ = answer.send(screened.and_then(screened_as));
                });
            }
            Command::Lane { entry_point, sender, nonce, answer } => drop(tokio::spawn(async move {
                let partition = asks.connection().partition_of(sender);
                let lane = asks.ask(partition, Ask::Lane { entry_point, sender, nonce }).await;
                let _ = answer.send(lane.and_then(operations));
            })),
            Command::Look(hash, answer) => drop(tokio::spawn(async move {
                let _ = answer.send(look(&asks, hash).await);
            })),
            Command::Dump(answer) => drop(tokio::spawn(async move {
                let _ = answer.send(dump(&asks).await);
            })),
            Command::Watch(hash, known, sender, answer) => {
                let ended = known.is_some();
                let _ = answer.send(self.records.watch(hash, known, sender));
                if !ended && !self.watched.contains_key(&hash) {
                    let pause = LOOKS * u32::try_from(self.watched.len() / WATCHED + 1).unwrap_or(u32::MAX);
                    let looking = tokio::spawn(keep_looking(asks, hash, pause, self.news.0.clone()));
                    self.watched.insert(hash, looking.abort_handle());
                }
            }
            Command::Unwatch(hash) => {
                if !self.records.unwatch(hash)
                    && let Some(looking) = self.watched.remove(&hash)
                {
                    looking.abort();
                }
            }
            Command::Order(_, answer) => {
                let elsewhere = "this process keeps no mempool and sends nothing: builders do";
                let _ = answer.send(Err(Rejection::Order(elsewhere.into())));
            }
            Command::Head(head, brought) => {
                brought.inclusions.iter().for_each(|inclusion| self.records.include(inclusion.event()));
                self.records.confirm(head.block.number);
            }
            Command::Preconfirmed { block, transactions } => self.records.preconfirm(block, &transactions),
            Command::Safe(block) => self.records.safe(block),
            Command::Vitals(answer) => {
                let config = Arc::clone(&self.config);
                tokio::spawn(async move {
                    let failure = asks.connection().vacancy().await.err();
                    let _ = answer.send(Vitals {
                        pool: 0,
                        pool_limit: config.mempool.max_operations,
                        keys: Vec::new(),
                        key_low: config.keeping.low,
                        journal_kept: true,
                        journal_failure: failure,
                        bundling_paused: false,
                        stopping: false,
                        ledger: Ledger::default(),
                    });
                });
            }
            Command::Ledger(answer) => drop(answer.send(Ledger::default())),
            Command::Drain(answer) => drop(answer.send(())),
            Command::Abandon(answer) => drop(answer.send(Vec::new())),
            Command::DumpReputation(answer) => drop(answer.send(Vec::new())),
            Command::BundleNow(answer) => drop(answer.send(None)),
            // Debug methods are not served by rpc nodes.
            Command::Clear { done, .. } | Command::SetReputation(_, done) => drop(done),
            Command::SetMode(_) | Command::Internal(_) => {}
        }
    }

    /// What a builder says of an operation that somebody watches.
    fn heard(&mut self, hash: B256, record: Option<Record>) {
        let Some(record) = record else {
            self.watched.remove(&hash);
            return;
        };
        let before = self.records.get(hash).map(|before| (before.status.name(), before.status.transaction()));
        if before == Some((record.status.name(), record.status.transaction())) {
            return;
        }
        match (before, &record.status) {
            (None, _) => self.records.insert(hash, record),
            (Some(_), Status::Pending) => self.records.unsubmit(hash),
            (Some(_), _) => self.records.set(hash, record.status),
        }
    }
}

fn unreadable(_: String) -> Rejection {
    Rejection::Internal("an answer of a builder's that is not ours")
}

fn operations(written: Vec<Written>) -> Result<Vec<Arc<erc4337::UserOperation>>, Rejection> {
    written.iter().map(|it| it.read().map(|(op, _)| Arc::new(op)).map_err(unreadable)).collect()
}

/// Nothing, if it is known.
fn screened_as(lane: Option<Vec<Written>>) -> Result<Screened, Rejection> {
    lane.map_or(Ok(Screened::Known), |lane| operations(lane).map(Screened::Validate))
}

fn partitions(asks: &Asks) -> std::ops::Range<u16> {
    0..asks.connection().config().partitions
}

/// Whoever has it knows, and nobody else is waited for then. The others know what they have seen mined of it: that counts
/// only where nobody has it.
async fn look(asks: &Asks, hash: B256) -> Result<Option<Record>, Rejection> {
    let mut answers: FuturesUnordered<_> =
        partitions(asks).map(|it| asks.ask::<Option<Seen>>(it, Ask::Look(hash))).collect();
    let (mut mined, mut failure) = (None, None);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(Some(seen)) if !seen.is_only_seen_mined() => return seen.record().map(Some).map_err(unreadable),
            Ok(seen) => mined = mined.or(seen),
            Err(error) => failure = Some(error),
        }
    }
    match (mined, failure) {
        (Some(seen), None) => seen.record().map(Some).map_err(unreadable),
        (None, None) => Ok(None),
        (_, Some(error)) => Err(error),
    }
}

async fn dump(asks: &Asks) -> Result<Vec<Admitted>, Rejection> {
    let answers = join_all(partitions(asks).map(|it| asks.ask::<Vec<Handover>>(it, Ask::Dump))).await;
    let mut all = Vec::new();
    for answer in answers {
        for handover in answer? {
            all.push(handover.admitted().map_err(unreadable)?);
        }
    }
    Ok(all)
}

async fn keep_looking(asks: Arc<Asks>, hash: B256, pause: Duration, news: mpsc::Sender<News>) {
    for _ in 0..MOST_LOOKS {
        if let Ok(Some(record)) = look(&asks, hash).await {
            let last = matches!(record.status, Status::Included(_) | Status::Dropped { .. });
            if news.send((hash, Some(record))).await.is_err() || last {
                break;
            }
        }
        tokio::time::sleep(pause).await;
    }
    let _ = news.send((hash, None)).await;
}
