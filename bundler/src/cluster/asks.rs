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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::tests::Server;

    type Fields = Vec<(String, Vec<u8>)>;

    /// The requests that wait for this partition's builder.
    async fn requests(connection: &Connection, partition: u16) -> Vec<Request> {
        let mut read = redis::cmd("XRANGE");
        read.arg(connection.key(partition, "requests")).arg("-").arg("+");
        let found: Vec<(String, Fields)> = read.query_async(&mut connection.redis()).await.unwrap();
        found.iter().map(|(_, fields)| serde_json::from_slice(&fields[0].1).unwrap()).collect()
    }

    async fn answer(connection: &Connection, to: &Request, result: Result<Value, Refusal>) {
        let mut push = redis::cmd("RPUSH");
        push.arg(&to.answers).arg(serde_json::to_vec(&Answer { id: to.id, result }).unwrap());
        push.query_async::<()>(&mut connection.redis()).await.unwrap();
    }

    async fn waiting(connection: &Connection, partition: u16, count: usize) -> Vec<Request> {
        for _ in 0..1_000 {
            let found = requests(connection, partition).await;
            if found.len() == count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{count} requests do not come");
    }

    #[tokio::test]
    async fn each_is_answered_with_its_own_answer_and_forgotten() {
        let server = Server::start().await;
        let (rpc, builder) = (server.process().await, server.process().await);
        let asks = Arc::new(Asks::start(rpc).await.unwrap());
        let ask = |partition| {
            let asks = Arc::clone(&asks);
            tokio::spawn(async move { asks.ask::<u64>(partition, Ask::Dump).await })
        };
        let (first, second) = (ask(0), ask(1));
        let (zero, one) = (waiting(&builder, 0, 1).await, waiting(&builder, 1, 1).await);
        assert_ne!(zero[0].id, one[0].id);
        answer(&builder, &one[0], Ok(json!(11))).await;
        answer(&builder, &zero[0], Err(Refusal::from(&Rejection::Unwritable))).await;
        assert_eq!(second.await.unwrap().unwrap(), 11);
        let refused = first.await.unwrap().unwrap_err();
        assert_eq!(
            (refused.code(), refused.to_string()),
            (Rejection::Unwritable.code(), Rejection::Unwritable.to_string())
        );
        assert!(asks.pending.lock().unwrap().is_empty());
        // To one that nobody waits for any more.
        answer(&builder, &one[0], Ok(json!(12))).await;
        let third = ask(1);
        let again = waiting(&builder, 1, 2).await;
        answer(&builder, &again[1], Ok(json!(13))).await;
        assert_eq!(third.await.unwrap().unwrap(), 13);
    }

    #[tokio::test]
    async fn a_full_stream_takes_no_more() {
        let server = Server::start().await;
        let connection = server.process().await;
        let fill = "for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', 'request', 'x') end";
        let key = connection.key(0, "requests");
        let script = Script::new(fill);
        script.key(&key).arg(WAITING - 1).invoke_async::<()>(&mut connection.redis()).await.unwrap();
        let asks = Arc::new(Asks::start(connection.clone()).await.unwrap());
        let last = Arc::clone(&asks);
        let last = tokio::spawn(async move { last.ask::<u64>(0, Ask::Dump).await });
        for _ in 0..1_000 {
            let length: usize = redis::cmd("XLEN").arg(&key).query_async(&mut connection.redis()).await.unwrap();
            if length == WAITING {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let refused = asks.ask::<u64>(0, Ask::Dump).await.unwrap_err();
        assert!(matches!(refused, Rejection::Busy("too many operations wait for the builder")), "{refused}");
        last.abort();
    }
}
