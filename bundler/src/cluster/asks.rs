//! An rpc node's questions to builders, and the answers to them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::Script;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    ClusterError, Connection, Redis,
    wire::{Answer, Ask, Refusal, Request},
};
use crate::Rejection;

/// Requests that may wait in a partition's stream; more are refused.
const WAITING: usize = 10_000;
/// For a builder that is there.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answers that are taken at once.
const AT_ONCE: usize = 256;
/// After Redis did not answer.
const REST: Duration = Duration::from_millis(100);

/// KEYS: stream. ARGV: most, request. Nil if it is full.
const SUBMIT: &str = r"
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end
return redis.call('XADD', KEYS[1], '*', 'request', ARGV[2])
";

type Pending = Mutex<HashMap<u64, oneshot::Sender<Result<Value, Refusal>>>>;

/// A question that somebody waits for the answer to, or did.
struct Asked<'a> {
    pending: &'a Pending,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// See [`Asks::start`].
#[derive(Debug)]
pub(crate) struct Asks {
    connection: Connection,
    submit: Script,
    next: AtomicU64,
    pending: Arc<Pending>,
    /// One for each partition: what two lists have in common need not be on one server.
    readers: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Asks {
    fn drop(&mut self) {
        self.readers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Asks {
    /// Listens for answers.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(crate) async fn start(connection: Connection) -> Result<Self, ClusterError> {
        let pending = Arc::<Pending>::default();
        let mut readers = Vec::new();
        for partition in 0..connection.config().partitions {
            let (redis, list) = (connection.waiting().await?, connection.answers(partition));
            readers.push(tokio::spawn(listen(redis, list, Arc::clone(&pending))));
        }
        Ok(Self { connection, submit: Script::new(SUBMIT), next: AtomicU64::new(0), pending, readers })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// How long an answer may take: whoever takes over a partition answers what waits.
    pub(super) fn patience(connection: &Connection) -> Duration {
        PATIENCE + connection.config().lease
    }

    /// Asks the builder of a partition.
    ///
    /// # Errors
    /// What it says, or that there is no answer: whether it did what it was asked is not known then.
    pub(super) async fn ask<T: DeserializeOwned>(&self, partition: u16, ask: Ask) -> Result<T, Rejection> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let request = Request { id, answers: self.connection.answers(partition), asked: None, ask };
        let request = serde_json::to_vec(&request).map_err(|_| Rejection::Internal("a request that is no JSON"))?;
        let (sender, answered) = oneshot::channel();
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let _asked = Asked { pending: &self.pending, id };
        let answer = self.submit(partition, request, answered).await;
        serde_json::from_value(answer?).map_err(|_| Rejection::Internal("an answer of a builder's that is not ours"))
    }

    async fn submit(
        &self,
        partition: u16,
        request: Vec<u8>,
        answered: oneshot::Receiver<Result<Value, Refusal>>,
    ) -> Result<Value, Rejection> {
        let submitted: Option<String> = self
            .submit
            .key(self.connection.key(partition, "requests"))
            .arg(WAITING)
            .arg(request)
            .invoke_async(&mut self.connection.redis())
            .await
            .map_err(|error| {
                tracing::warn!(error = error.category(), "redis does not take requests");
                Rejection::Unwritable
            })?;
        if submitted.is_none() {
            return Err(Rejection::Busy("too many operations wait for the builder"));
        }
        match tokio::time::timeout(Self::patience(&self.connection), answered).await {
            Ok(Ok(result)) => result.map_err(|refusal| Rejection::Elsewhere(Box::new(refusal))),
            _ => Err(Rejection::Busy("no builder answers for this sender")),
        }
    }
}

/// Which list, and what was at its head; nothing if nothing came.
type Popped = Option<(String, Vec<Vec<u8>>)>;

async fn listen(mut redis: Redis, list: String, pending: Arc<Pending>) {
    loop {
        let mut pop = redis::cmd("BLMPOP");
        pop.arg(1).arg(1).arg(&list).arg("LEFT").arg("COUNT").arg(AT_ONCE);
        let answers = match pop.query_async::<Popped>(&mut redis).await {
            Ok(popped) => popped.map(|(_, answers)| answers).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(error = error.category(), "redis gives no answers");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
        for answer in answers {
            // One that nobody waits for any more is no error.
            let Ok(Answer { id, result }) = serde_json::from_slice(&answer) else { continue };
            if let Some(waiting) = pending.remove(&id) {
                let _ = waiting.send(result);
            }
        }
    }
}
