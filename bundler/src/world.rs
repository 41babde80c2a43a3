//! What is around the process: its clock, its threads, its disk, and nodes that are not reached by a URL.
//!
//! In the product each of them is the system's. A test that puts the whole bundler into a simulated world says so for
//! its thread with [`simulate`]: time is then tokio's (which a test may pause), work that would go to other threads is
//! done on this one, and takes as long as the world says. Disks and nodes are handed over in
//! [`Config::disk`](crate::Config::disk) and [`NodeClient::through`](crate::node::NodeClient::through).

use std::{
    cell::{Cell, RefCell},
    fs::{File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::BoxFuture;
use redb::{Builder, Database, DatabaseError, StorageError, backends::FileBackend};
use serde_json::{Value, value::RawValue};
use tokio::{
    runtime::Runtime,
    sync::{Semaphore, SemaphorePermit},
    task::JoinError,
    time::Instant,
};

/// Threads for work behind everything else: most wait for the node.
const BEHIND: usize = 64;
/// By how much the system puts them behind others.
const NICER: i32 = 5;

/// Where databases are.
pub trait Disk: std::fmt::Debug + Send + Sync {
    /// Opens or makes the database of this path.
    ///
    /// # Errors
    /// As redb has them.
    fn database(&self, builder: &Builder, path: &Path) -> Result<Database, DatabaseError>;

    /// A database without a name, which goes with whoever has it open.
    ///
    /// # Errors
    /// As redb has them.
    fn temporary(&self, builder: &Builder) -> Result<Database, DatabaseError>;

    /// Bytes that it takes; 0 if there is none.
    fn length(&self, path: &Path) -> u64;
}

/// The system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn database(&self, builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
        builder.create(path)
    }

    fn temporary(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        let file = nameless().map_err(StorageError::Io)?;
        builder.create_with_backend(FileBackend::new(file)?)
    }

    fn length(&self, path: &Path) -> u64 {
        std::fs::metadata(path).map_or(0, |file| file.len())
    }
}

/// A file that nobody else can open, without a name from the start.
fn nameless() -> io::Result<File> {
    let unique = RandomState::new().hash_one(std::process::id());
    let path = std::env::temp_dir().join(format!("fabstir-index-{}-{unique:016x}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// A question to a node: a method and its parameters.
pub type Question = (String, Option<Box<RawValue>>);

/// What a node answers to one of them: a result, or a code and a message.
pub type Reply = Result<Value, (i32, String)>;

/// A way to a node.
pub trait Wire: std::fmt::Debug + Send + Sync {
    /// Asks all of these in one request; as many answers, in their order.
    ///
    /// # Errors
    /// Why there is no answer. It may have been asked all the same.
    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<Reply>, String>>;
}

/// A Redis.
pub trait Redis: std::fmt::Debug + Send + Sync {
    /// Does these commands, each given by its arguments, one after the other in one request; as many answers.
    ///
    /// # Errors
    /// As Redis answers, or that it does not. It may have done them all the same.
    fn ask(&self, commands: Vec<Vec<Vec<u8>>>) -> BoxFuture<'_, Result<Vec<redis::Value>, redis::RedisError>>;
}

/// The world that a thread is in, if it is no real one.
struct Simulated {
    /// Since 1970.
    start: Duration,
    begun: Instant,
    /// How long the next piece of blocking work takes, from its being asked for to its beginning or end.
    pause: Box<dyn FnMut() -> Duration>,
    blocking: bool,
    /// Processes that there were so far.
    processes: u32,
}

thread_local! {
    static IS_BEHIND: Cell<bool> = const { Cell::new(false) };
    static SIMULATED: RefCell<Option<Simulated>> = const { RefCell::new(None) };
}

/// From now on this thread, and all of a bundler that runs on it, is in a simulated world: it is `start` since 1970
/// now, and time goes on as tokio's does. To be called on a tokio runtime of this thread alone.
pub fn simulate(start: Duration, pause: impl FnMut() -> Duration + 'static) {
    let world = Simulated { start, begun: Instant::now(), pause: Box::new(pause), blocking: false, processes: 0 };
    SIMULATED.set(Some(world));
}

/// Whether the work that is being done cannot wait: a [`Wire`] is to answer at once. Only in a simulated world.
pub fn is_blocking() -> bool {
    SIMULATED.with_borrow(|world| world.as_ref().is_some_and(|world| world.blocking))
}

/// What this process is called: no other that is alive has this number.
pub(crate) fn process() -> u32 {
    let simulated = SIMULATED.with_borrow_mut(|world| {
        world.as_mut().map(|world| {
            world.processes += 1;
            world.processes
        })
    });
    simulated.unwrap_or_else(std::process::id)
}

/// Time since 1970.
pub fn unix() -> Duration {
    let simulated = SIMULATED.with_borrow(|world| world.as_ref().map(|world| world.start + world.begun.elapsed()));
    simulated.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Has work done that computes for long or waits for the disk, where that keeps nothing else from going on.
///
/// # Errors
/// If it panicked, or the runtime is being shut down.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    let Some(pause) = pause() else { return tokio::task::spawn_blocking(work).await };
    tokio::time::sleep(pause).await;
    set_blocking(true);
    let done = work();
    set_blocking(false);
    if let Some(pause) = self::pause() {
        tokio::time::sleep(pause).await;
    }
    Ok(done)
}

/// The same behind everything else: on threads of their own, which the system lets others go before, and which compute by
/// [turns](turn). How long it takes is up to the load, so that nothing of it may be judged by time.
///
/// # Errors
/// As [`blocking`].
pub(crate) async fn behind<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    static THREADS: OnceLock<Option<Runtime>> = OnceLock::new();
    let threads = || {
        let mut threads = tokio::runtime::Builder::new_current_thread();
        threads.thread_name("behind").max_blocking_threads(BEHIND).on_thread_start(step_back).build().ok()
    };
    let simulated = SIMULATED.with_borrow(Option::is_some);
    match THREADS.get_or_init(threads) {
        Some(threads) if !simulated => threads.spawn_blocking(work).await,
        _ => blocking(work).await,
    }
}

/// The right to compute, for a thread that works [`behind`] others: as many have it at a time as there are cores but one.
/// Others need none. Not to be held while waiting for anything.
pub(crate) fn turn() -> Option<SemaphorePermit<'static>> {
    static TURNS: OnceLock<Semaphore> = OnceLock::new();
    if !IS_BEHIND.get() {
        return None;
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let turns = TURNS.get_or_init(|| Semaphore::new(cores().saturating_sub(1).max(1)));
    tokio::runtime::Handle::current().block_on(turns.acquire()).ok()
}

/// Makes this thread one of those behind.
fn step_back() {
    IS_BEHIND.set(true);
    #[cfg(target_os = "linux")]
    {
        use rustix::{process, thread};
        // On Linux a thread has a priority of its own, by its id.
        let own = Some(thread::gettid());
        let nicer = process::getpriority_process(own).and_then(|now| process::setpriority_process(own, now + NICER));
        if let Err(error) = nicer {
            tracing::debug!(%error, "estimates have the priority of everything else");
        }
    }
}

fn pause() -> Option<Duration> {
    SIMULATED.with_borrow_mut(|world| world.as_mut().map(|world| (world.pause)()))
}

fn set_blocking(blocking: bool) {
    SIMULATED.with_borrow_mut(|world| {
        if let Some(world) = world {
            world.blocking = blocking;
        }
    });
}
