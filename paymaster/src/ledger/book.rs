//! The one task that owns the records: takes requests as they come, runs all that wait through the core, commits them
//! together and only then answers.

use std::{fmt, sync::Arc};

use alloy::primitives::{Address, B256, U256};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    Block, Blocks, Denied, Reservation, Rules, Standing, Store, StoreError, Usage, core,
    overlay::{Draft, Overlay, Stop},
    records::{self, CHAIN, Chain},
    store::Committed,
};

/// Requests that wait at most; more are told to come back.
const INBOX: usize = 4_096;
/// Requests in one commit.
const BATCH: usize = 256;
/// Records kept in memory between commits.
const KNOWN: usize = 50_000;
/// Commits that other processes may come before.
const ATTEMPTS: usize = 64;

type Work = Box<dyn FnMut(&mut Draft<'_>) -> Result<(), Stop> + Send>;

/// A request, and how it is answered once it is committed.
struct Request {
    work: Work,
    done: oneshot::Sender<Result<(), Denied>>,
}

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    inbox: mpsc::Sender<Request>,
    rules: Rules,
    task: Arc<Task>,
}

/// Ends with the last handle.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("rules", &self.rules).field("ended", &self.task.0.is_finished()).finish()
    }
}

impl Ledger {
    /// A ledger on this store. Must be called within a tokio runtime.
    pub fn start(store: Store, rules: Rules) -> Self {
        let (inbox, requests) = mpsc::channel(INBOX);
        let book = Book { store, overlay: Overlay::default(), version: None };
        Self { inbox, rules, task: Arc::new(Task(tokio::spawn(book.run(requests)))) }
    }

    /// Whether this could be reserved now; nothing is.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self, reservation: Reservation) -> Result<(), Denied> {
        let rules = self.rules;
        self.read(move |draft| core::reserve(draft, &reservation, &rules)).await
    }

    /// Sets this aside; durable when it returns. The same again changes nothing.
    ///
    /// # Errors
    /// Why nothing was set aside. Then nothing may be signed.
    pub async fn reserve(&self, reservation: Reservation) -> Result<(), Denied> {
        let rules = self.rules;
        self.write(move |draft| core::reserve(draft, &reservation, &rules)).await
    }

    /// Takes blocks in. The same again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Gap`] if they do not follow on [`Self::marks`].
    pub async fn follow(&self, blocks: Blocks) -> Result<(), Denied> {
        let rules = self.rules;
        self.write(move |draft| core::follow(draft, &blocks, &rules)).await
    }

    /// Takes back all blocks above this height, which are no longer in the chain.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn rewind(&self, number: u64) -> Result<(), Denied> {
        let rules = self.rules;
        self.write(move |draft| core::rewind(draft, number, &rules)).await
    }

    /// Holds the deposit (wei) of our paymaster in this EntryPoint, as of block `at`, against what was spent.
    ///
    /// # Errors
    /// [`StoreError::Gap`] if the ledger has gone on since that block.
    pub async fn reconcile(&self, entry_point: Address, at: B256, deposit: U256) -> Result<(), Denied> {
        self.write(move |draft| core::reconcile(draft, entry_point, at, deposit)).await
    }

    /// What these buckets stand at: name, seconds of its period, seconds since 1970.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn usage(&self, buckets: &[(&str, u64, u64)]) -> Result<Vec<Usage>, Denied> {
        let keys: Vec<String> = buckets
            .iter()
            .map(|(name, period, now)| records::bucket(name, now.checked_div(*period).unwrap_or(0)))
            .collect();
        self.ask(move |draft| core::usage(draft, &keys)).await
    }

    /// Where the ledger stands against the chain.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn standing(&self) -> Result<Standing, Denied> {
        self.ask(core::standing).await
    }

    /// Ends of the ranges taken in, oldest first: the last is where to go on, the others where a reorganisation may
    /// have left the chain.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn marks(&self) -> Result<Vec<Block>, Denied> {
        self.ask(|draft| {
            draft.want([CHAIN.to_owned()])?;
            Ok(draft.get_or_default::<Chain>(CHAIN)?.marks)
        })
        .await
    }

    async fn ask<T: Send + 'static>(
        &self,
        mut question: impl FnMut(&Draft<'_>) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, Denied> {
        let (answer, answered) = std::sync::mpsc::channel();
        self.read(move |draft| {
            let _ = answer.send(question(draft)?);
            Ok(())
        })
        .await?;
        answered.try_iter().last().ok_or_else(stopped)
    }

    /// Runs it and forgets what it changed.
    async fn read(
        &self,
        mut work: impl FnMut(&mut Draft<'_>) -> Result<(), Stop> + Send + 'static,
    ) -> Result<(), Denied> {
        self.write(move |draft| {
            let done = work(draft);
            draft.changed.clear();
            done
        })
        .await
    }

    async fn write(&self, work: impl FnMut(&mut Draft<'_>) -> Result<(), Stop> + Send + 'static) -> Result<(), Denied> {
        let (done, answer) = oneshot::channel();
        let request = Request { work: Box::new(work), done };
        self.inbox.try_send(request).map_err(|_| StoreError::Unavailable("too many requests wait".into()))?;
        answer.await.map_err(|_| stopped())?
    }
}

fn stopped() -> Denied {
    StoreError::Unavailable("the ledger has stopped".into()).into()
}

struct Book {
    store: Store,
    overlay: Overlay,
    /// Of which the overlay's records are.
    version: Option<u64>,
}

impl Book {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut requests = Vec::with_capacity(BATCH);
        while inbox.recv_many(&mut requests, BATCH).await > 0 {
            let results = self.batch(&mut requests).await;
            for (index, request) in requests.drain(..).enumerate() {
                let answer = match &results {
                    Ok(answers) => answers.get(index).cloned().unwrap_or_else(|| Err(stopped())),
                    Err(error) => Err(error.clone().into()),
                };
                let _ = request.done.send(answer);
            }
        }
    }

    /// What each request came to, once that is durable.
    async fn batch(&mut self, requests: &mut [Request]) -> Result<Vec<Result<(), Denied>>, StoreError> {
        for _ in 0..ATTEMPTS {
            if self.overlay.known.len() > KNOWN {
                self.forget();
            }
            let Some(answers) = self.run_all(requests).await.inspect_err(|_| self.forget())? else { continue };
            let changed = std::mem::take(&mut self.overlay.changed);
            if changed.is_empty() {
                // Nothing is answered from memory alone: another process may have gone on.
                match self.store.read(Vec::new()).await {
                    Ok((version, _)) if Some(version) == self.version || self.version.is_none() => return Ok(answers),
                    Ok(_) => self.forget(),
                    Err(error) => {
                        self.forget();
                        return Err(error);
                    }
                }
                continue;
            }
            match self.store.commit(self.version.unwrap_or_default(), changed).await {
                Ok(Committed::Yes(version)) => {
                    self.version = Some(version);
                    return Ok(answers);
                }
                Ok(Committed::Outdated) => self.forget(),
                Err(error) => {
                    // Whether it was written is not known.
                    self.forget();
                    return Err(error);
                }
            }
        }
        Err(StoreError::Unavailable("other processes were always faster".into()))
    }

    fn forget(&mut self) {
        self.overlay = Overlay::default();
        self.version = None;
    }

    /// Runs every request on top of those before it; nothing if the records turned out to be of two versions.
    async fn run_all(&mut self, requests: &mut [Request]) -> Result<Option<Vec<Result<(), Denied>>>, StoreError> {
        let mut answers: Vec<Option<Result<(), Denied>>> = Vec::new();
        answers.resize_with(requests.len(), || None);
        // What all of them need first, in one read.
        let mut unread = Vec::new();
        for request in requests.iter_mut() {
            let mut draft = self.overlay.draft();
            if let Err(Stop::Unread(keys)) = (request.work)(&mut draft) {
                unread.extend(keys);
            }
        }
        if !self.load(unread).await? {
            return Ok(None);
        }
        for (request, answer) in requests.iter_mut().zip(&mut answers) {
            while answer.is_none() {
                let mut draft = self.overlay.draft();
                match (request.work)(&mut draft) {
                    Ok(()) => {
                        let changed = draft.changed;
                        self.overlay.accept(changed);
                        *answer = Some(Ok(()));
                    }
                    Err(Stop::Denied(denied)) => *answer = Some(Err(denied)),
                    Err(Stop::Unread(keys)) => {
                        if !self.load(keys).await? {
                            return Ok(None);
                        }
                    }
                }
            }
        }
        Ok(Some(answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(stopped()))).collect()))
    }

    /// Reads records; false if another process has written since the first were read, and all is to be begun anew.
    async fn load(&mut self, mut keys: Vec<String>) -> Result<bool, StoreError> {
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Ok(true);
        }
        let (version, values) = self.store.read(keys.clone()).await?;
        if self.version.is_some_and(|known| known != version) {
            self.forget();
            return Ok(false);
        }
        self.version = Some(version);
        self.overlay.known.extend(keys.into_iter().zip(values));
        Ok(true)
    }
}
