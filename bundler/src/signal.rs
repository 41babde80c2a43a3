//! Waking whoever waits in the order in which they began to: a `watch` channel wakes them in an order of chance, so that
//! two runs of the same simulated world would not be one.

use std::sync::Arc;

use tokio::sync::Notify;

/// See the module. Cheap to clone: the same signal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signal(Arc<Notify>);

impl Signal {
    /// Has all who wait look again.
    pub(crate) fn give(&self) {
        self.0.notify_waiters();
    }

    /// What this finds: looked for now, and again after each signal, until it is something.
    pub(crate) async fn until<T>(&self, mut find: impl FnMut() -> Option<T>) -> T {
        loop {
            let given = self.0.notified();
            tokio::pin!(given);
            // One that is given while it is looked for counts.
            given.as_mut().enable();
            if let Some(found) = find() {
                return found;
            }
            given.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, atomic::AtomicU32, atomic::Ordering::SeqCst};

    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken_in_order_and_only_when_there_is_something() {
        let (signal, value, woken) = (Signal::default(), Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
        let waiting: Vec<_> = (0..20)
            .map(|number| {
                let (signal, value, woken) = (signal.clone(), Arc::clone(&value), Arc::clone(&woken));
                tokio::spawn(async move {
                    let found = signal.until(|| Some(value.load(SeqCst)).filter(|value| *value > 1)).await;
                    woken.lock().unwrap().push((number, found));
                })
            })
            .collect();
        for next in [1, 2] {
            tokio::task::yield_now().await;
            assert!(woken.lock().unwrap().is_empty());
            value.store(next, SeqCst);
            signal.give();
        }
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*woken.lock().unwrap(), (0..20).map(|number| (number, 2)).collect::<Vec<_>>());
    }
}
