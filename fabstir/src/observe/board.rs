//! What must be right for the node to be ready, and what is wrong with it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The engine that does not answer for this long will not: only a restart helps.
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// Whether each thing is right. Not one of them is before the node has started.
#[derive(Debug)]
pub struct Board {
    checks: Mutex<BTreeMap<&'static str, Option<String>>>,
    /// When the engine last answered.
    alive: Mutex<Instant>,
}

impl Default for Board {
    fn default() -> Self {
        let checks = Mutex::new(BTreeMap::from([(STARTED, Some("it is starting".to_owned()))]));
        Self { checks, alive: Mutex::new(Instant::now()) }
    }
}

/// Whether everything is up.
const STARTED: &str = "start";

impl Board {
    /// Everything is up.
    pub(crate) fn started(&self) {
        self.set(STARTED, Ok(()));
    }

    /// It is, or it is not, and why.
    pub(crate) fn set(&self, check: &'static str, result: Result<(), String>) {
        let problem = result.err();
        metrics::gauge!("fabstir_check_ok", "check" => check).set(if problem.is_none() { 1.0 } else { 0.0 });
        let before = self.checks().insert(check, problem.clone());
        match (before.flatten().is_some(), problem) {
            (false, Some(problem)) => tracing::warn!(check, problem, "not ready"),
            (true, None) => tracing::info!(check, "right again"),
            _ => {}
        }
    }

    /// The engine answers.
    pub(crate) fn alive(&self) {
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether it is worth while to wait, and not to start it anew.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < DEAD_AFTER
    }

    /// Each thing that is wrong, with the reason.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        self.checks().iter().filter_map(|(check, problem)| Some((*check, problem.clone()?))).collect()
    }

    /// Each thing that is looked at.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.checks().keys().copied().collect()
    }

    fn checks(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Option<String>>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_once_it_has_started_and_nothing_is_wrong() {
        let board = Board::default();
        assert_eq!(board.problems(), [("start", "it is starting".to_owned())]);
        board.started();
        assert!(board.problems().is_empty());
        board.set("head", Err("70 s old".into()));
        board.set("keys", Ok(()));
        assert_eq!(board.problems(), [("head", "70 s old".to_owned())]);
        board.set("head", Ok(()));
        assert!(board.problems().is_empty());
        assert_eq!(board.names(), ["head", "keys", "start"]);
    }
}
