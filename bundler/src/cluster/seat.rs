//! A builder: it takes partitions that nobody holds, and does their work until somebody else does.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Script, streams::StreamReadReply};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    Asks, ClusterConfig, ClusterError, Connection, Lease, SharedStore,
    wire::{Answer, Ask, Handover, Refusal, Request, Seen, Written},
};
use crate::{
    Config, Left, Rejection, Signer,
    engine::{Command, Screened, Screening},
    journal::Journal,
    node::NodeClient,
    service::{Bundler, StartError},
    signal::Signal,
};

/// Requests that are read at once.
const AT_ONCE: usize = 256;
/// Milliseconds to wait for one.
const BLOCK: u64 = 500;
/// After something failed.
const REST: Duration = Duration::from_millis(500);
/// Milliseconds after which an answer that nobody fetched is forgotten.
const FORGOTTEN: u64 = 60_000;

/// KEYS: stream, holder. ARGV: holder, first number that stays. Only the holder takes requests off.
const TAKEN: &str = r"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])
";

/// KEYS: answers, holder, requests. ARGV: holder, answer, milliseconds, request. Only the holder answers, and it is so in
/// the same moment: whoever stood still for longer than its lease may know less than what the next holder has told. What
/// it was asked is asked of that one.
const ANSWER: &str = r"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  redis.call('XADD', KEYS[3], '*', 'request', ARGV[4])
  return 0
end
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
";

/// What becomes of one partition here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeatState {
    /// Another builder holds it, or Redis does not answer.
    Waiting,
    /// Held, by this token.
    Held(u64),
    /// Taken, and it could not be taken up: why.
    Failed(String),
}

/// What all seats of a builder share.
struct Shared {
    config: Config,
    node: NodeClient,
    signers: Vec<Signer>,
    funder: Option<Signer>,
    connection: Connection,
    states: Mutex<Vec<SeatState>>,
    /// Of the partitions that are held.
    held: Mutex<BTreeMap<u16, Bundler>>,
    /// The operator wants no new bundles, of whichever partition.
    bundling_paused: AtomicBool,
    left: Mutex<Vec<Left>>,
    stopping: (AtomicBool, Signal),
}

/// A running builder.
pub struct Builder {
    shared: Arc<Shared>,
    seats: Mutex<Vec<JoinHandle<()>>>,
}

impl Builder {
    /// Connects, and begins to take partitions. Of the keys, partition *p* has those whose number is *p* modulo the
    /// partitions: every builder is to be given all of them in the same order.
    ///
    /// # Errors
    /// If Redis does not answer, others are configured otherwise, or there are fewer keys than partitions.
    pub async fn start(
        config: Config,
        node: NodeClient,
        signers: Vec<Signer>,
        funder: Option<Signer>,
        cluster: ClusterConfig,
    ) -> Result<Self, ClusterError> {
        let partitions = cluster.partitions;
        if signers.len() < usize::from(partitions) {
            return Err(ClusterError::Keys { partitions, keys: signers.len() });
        }
        let connection = Connection::open(cluster, config.chain.chain_id).await?;
        // What outlives the process is on Redis; the index of a builder is for what it has sent itself.
        let config = Config { data_dir: None, reputation_file: None, ..config };
        let states = Mutex::new(vec![SeatState::Waiting; partitions.into()]);
        let (left, stopping) = (Mutex::default(), Default::default());
        let (held, bundling_paused) = (Mutex::default(), AtomicBool::new(config.bundling_paused));
        let shared =
            Shared { config, node, signers, funder, connection, states, held, bundling_paused, left, stopping };
        let shared = Arc::new(shared);
        let seats = (0..partitions).map(|it| tokio::spawn(Arc::clone(&shared).keep(it))).collect();
        Ok(Self { shared, seats: Mutex::new(seats) })
    }

    /// What becomes of each partition here.
    pub fn states(&self) -> Vec<SeatState> {
        self.shared.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bundlers of the partitions that it holds, by partition.
    pub fn held(&self) -> BTreeMap<u16, Bundler> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes no new bundle of any partition, those with it that it comes to hold yet; or makes them again.
    ///
    /// # Errors
    /// If a partition's bundler has stopped.
    pub async fn pause_bundling(&self, paused: bool) -> Result<(), Rejection> {
        self.shared.bundling_paused.store(paused, Ordering::Relaxed);
        for bundler in self.held().into_values() {
            bundler.pause_bundling(paused).await?;
        }
        Ok(())
    }

    /// Says what is in the way of its work: Redis, or a partition that it could not take up.
    ///
    /// # Errors
    /// With that.
    pub async fn problem(&self) -> Result<(), String> {
        self.shared.connection.now().await.map_err(|error| error.to_string())?;
        let failed = |(partition, state)| match state {
            SeatState::Failed(reason) => Some(format!("partition {partition}: {reason}")),
            SeatState::Waiting | SeatState::Held(_) => None,
        };
        self.states().into_iter().enumerate().find_map(failed).map_or(Ok(()), Err)
    }

    /// Takes nothing more, sends what there is, gives the partitions back; what was not seen mined.
    pub async fn stop(&self) -> Vec<Left> {
        let (stopping, signal) = &self.shared.stopping;
        stopping.store(true, Ordering::Relaxed);
        signal.give();
        let seats = std::mem::take(&mut *self.seats.lock().unwrap_or_else(PoisonError::into_inner));
        for seat in seats {
            let _ = seat.await;
        }
        std::mem::take(&mut self.shared.left.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    async fn keep(self: Arc<Self>, partition: u16) {
        while !self.stopping.0.load(Ordering::Relaxed) {
            tokio::select! {
                biased;
                () = self.stopped() => return,
                () = tokio::time::sleep(self.patience()) => {}
            }
            match Lease::take(&self.connection, partition).await {
                Ok(Some(lease)) => {
                    tracing::info!(partition, token = lease.token(), "partition taken");
                    let renewing = tokio::spawn(lease.clone().keep());
                    if let Err(error) = self.serve(&lease).await {
                        tracing::error!(%error, partition, "the partition could not be taken up");
                        self.set(partition, SeatState::Failed(error.to_string()));
                        tokio::time::sleep(REST).await;
                    } else {
                        self.set(partition, SeatState::Waiting);
                    }
                    renewing.abort();
                    lease.release().await;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, partition, "redis does not answer"),
            }
        }
    }

    /// Between two looks at a partition that another holds: whoever has more leaves the next to the others.
    fn patience(&self) -> Duration {
        let held = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.iter().filter(|state| matches!(state, SeatState::Held(_))).count();
        let lease = self.connection.config().lease;
        lease / 8 + lease / 2 * u32::try_from(held).unwrap_or(u32::MAX)
    }

    fn set(&self, partition: u16, state: SeatState) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = states.get_mut(usize::from(partition)) {
            *slot = state;
        }
    }

    /// Does the partition's work until it is lost, or all is to stop.
    async fn serve(&self, lease: &Lease) -> Result<(), StartError> {
        let partition = lease.partition();
        let store = SharedStore::new(lease.clone(), self.config.chain.chain_id);
        let place = store.place();
        let (journal, replay) = Journal::open(Arc::new(store), &place).await?;
        let ours = |(index, _): &(usize, &Signer)| index % self.states_len() == usize::from(partition);
        let signers = self.signers.iter().enumerate().filter(ours).map(|(_, signer)| signer.clone()).collect();
        let (node, funder) = (self.node.clone(), self.funder.clone());
        let config = Config { bundling_paused: self.bundling_paused.load(Ordering::Relaxed), ..self.config.clone() };
        let (bundler, engine) = Bundler::start_on(config, node, signers, funder, (journal, replay)).await?;
        self.hold(partition, Some(bundler.clone()));
        // Said while it was being taken up.
        let _ = bundler.pause_bundling(self.bundling_paused.load(Ordering::Relaxed)).await;
        self.set(partition, SeatState::Held(lease.token()));
        let mut failed = None;
        tokio::select! {
            biased;
            () = lease.lost() => {}
            () = self.stopped() => {
                let left = bundler.drain().await;
                self.left.lock().unwrap_or_else(PoisonError::into_inner).extend(left);
            }
            result = self.answer_all(lease, &bundler) => failed = result.err(),
        }
        self.hold(partition, None);
        drop(bundler);
        engine.abort();
        failed.map_or(Ok(()), Err)
    }

    fn hold(&self, partition: u16, bundler: Option<Bundler>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match bundler {
            Some(bundler) => held.insert(partition, bundler),
            None => held.remove(&partition),
        };
    }

    /// Returns when all is to stop.
    async fn stopped(&self) {
        let (stopping, signal) = &self.stopping;
        signal.until(|| stopping.load(Ordering::Relaxed).then_some(())).await;
    }

    fn states_len(&self) -> usize {
        usize::from(self.connection.config().partitions.max(1))
    }

    async fn answer_all(&self, lease: &Lease, bundler: &Bundler) -> Result<(), StartError> {
        let mut redis = self.connection.waiting().await?;
        let stream = lease.key("requests");
        let mut last = "0".to_owned();
        loop {
            let mut read = redis::cmd("XREAD");
            read.arg("COUNT").arg(AT_ONCE).arg("BLOCK").arg(BLOCK).arg("STREAMS").arg(&stream).arg(&last);
            let batch: StreamReadReply = match read.query_async::<Option<StreamReadReply>>(&mut redis).await {
                Ok(batch) => batch.unwrap_or_default(),
                Err(error) => {
                    tracing::warn!(error = error.category(), "redis gives no requests");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            let requests: Vec<_> = batch.keys.into_iter().flat_map(|key| key.ids).collect();
            let Some(newest) = requests.last() else { continue };
            last.clone_from(&newest.id);
            // Whoever asked before that has given up.
            let patience = u64::try_from(Asks::patience(&self.connection).as_millis()).unwrap_or(u64::MAX);
            let oldest = self.connection.now().await.unwrap_or_default().saturating_sub(patience);
            for request in requests {
                let written = request.id.split('-').next().and_then(|millis| millis.parse().ok()).unwrap_or(0_u64);
                let body: Vec<u8> = request.get("request").unwrap_or_default();
                let Ok(mut request) = serde_json::from_slice::<Request>(&body) else {
                    tracing::error!(id = request.id, "a request that is none");
                    continue;
                };
                let asked = *request.asked.get_or_insert(written);
                if asked < oldest {
                    continue;
                }
                tokio::spawn(answer(request, bundler.clone(), lease.clone()));
            }
            self.taken(lease, &last).await;
        }
    }

    /// Takes off the stream what was read.
    async fn taken(&self, lease: &Lease, last: &str) {
        let Some((millis, number)) = last.split_once('-') else { return };
        let next = format!("{millis}-{}", number.parse::<u64>().unwrap_or(0).saturating_add(1));
        let script = Script::new(TAKEN);
        let mut call = script.prepare_invoke();
        call.key(lease.key("requests")).key(lease.key("holder")).arg(lease.holder()).arg(next);
        // Those that stay are read again by whoever comes next, and are too old then.
        if let Err(error) = call.invoke_async::<i64>(&mut self.connection.redis()).await {
            tracing::warn!(error = error.category(), "requests stay in the stream");
        }
    }
}

async fn answer(request: Request, bundler: Bundler, lease: Lease) {
    let Ok(again) = serde_json::to_vec(&request) else { return };
    let Request { id, answers, ask, .. } = request;
    let result = act(ask, &bundler).await.map_err(|rejection| Refusal::from(&rejection));
    let Ok(answer) = serde_json::to_vec(&Answer { id, result }) else { return };
    let script = Script::new(ANSWER);
    let mut call = script.prepare_invoke();
    call.key(answers).key(lease.key("holder")).key(lease.key("requests"));
    call.arg(lease.holder()).arg(answer).arg(FORGOTTEN).arg(again);
    match call.invoke_async::<u8>(&mut lease.connection().redis()).await {
        Ok(0) => lease.lose(),
        Ok(_) => {}
        Err(error) => tracing::warn!(error = error.category(), "redis takes no answers"),
    }
}

async fn act(ask: Ask, bundler: &Bundler) -> Result<Value, Rejection> {
    let unreadable = |_| Rejection::Internal("a request of an rpc node's that is not ours");
    match ask {
        Ask::Add(handover) => {
            let admitted = Box::new(handover.admitted().map_err(unreadable)?);
            // On an older head than it was found good on it may be no good yet.
            bundler.reach(admitted.evidence.height).await?;
            Ok(json!(bundler.ask(|answer| Command::Add(admitted, answer)).await??))
        }
        Ask::Screen { operation, hash, entry_point } => {
            let (op, version) = operation.read().map_err(unreadable)?;
            let screening = Screening { op: Arc::new(op), hash, entry_point };
            let lane = match bundler.ask(|answer| Command::Screen(screening, answer)).await?? {
                Screened::Known => None,
                Screened::Validate(lane) => Some(lane.iter().map(|op| Written::new(op, version)).collect::<Vec<_>>()),
            };
            Ok(json!(lane))
        }
        Ask::Lane { entry_point, sender, nonce } => {
            let version = crate::admission::entry_point_version(&bundler.config, entry_point)?;
            let lane = bundler.ask(|answer| Command::Lane { entry_point, sender, nonce, answer }).await??;
            Ok(json!(lane.iter().map(|op| Written::new(op, version)).collect::<Vec<_>>()))
        }
        Ask::Look(hash) => Ok(json!(bundler.record(hash).await?.map(Seen::from))),
        Ask::Dump => {
            let all = bundler.mempool().await?;
            Ok(json!(all.iter().map(|admitted| Handover::new(&admitted.summary())).collect::<Vec<_>>()))
        }
    }
}
