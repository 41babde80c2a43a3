//! One time for the whole world, whichever runtime is alive.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// See the module. Milliseconds since the world began.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Seconds since 1970 at which it began.
    pub start: u64,
    standing: Arc<Mutex<Standing>>,
}

#[derive(Debug, Default)]
struct Standing {
    before: u64,
    begun: Option<Instant>,
}

impl Clock {
    /// Of a world that begins at this second since 1970.
    pub fn new(start: u64) -> Self {
        Self { start, standing: Arc::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Standing) -> T) -> T {
        work(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new runtime goes on where the last one ended. To be called on it.
    pub fn begin(&self) {
        self.with(|it| it.begun = Some(Instant::now()));
    }

    /// The runtime is about to end.
    pub fn end(&self) {
        let now = self.now();
        self.with(|it| *it = Standing { before: now, begun: None });
    }

    /// Milliseconds since the world began.
    pub fn now(&self) -> u64 {
        self.with(|it| it.before + it.begun.map_or(0, |begun| begun.elapsed().as_millis() as u64))
    }

    /// Seconds since 1970.
    pub fn unix(&self) -> u64 {
        self.start + self.now() / 1_000
    }
}
