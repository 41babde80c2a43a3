//! Who wants to hear what becomes of an operation, and how far each is told.

use std::collections::{BTreeMap, HashMap};

use alloy::primitives::B256;
use tokio::sync::mpsc;

use crate::index::Event;

/// Updates that may wait for one subscriber; one that is slower is cut off. A life has about seven.
pub(crate) const WAITING: usize = 32;

/// Subscribers at a time, of all operations together.
const SUBSCRIBERS: usize = 20_000;

/// A step in an operation's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In the mempool, for the first time or, by `Pending`, again.
    Accepted,
    /// Being put into a bundle.
    Bundled,
    /// Its transaction was signed and is on its way.
    Submitted { transaction: B256 },
    /// In the block that is being built.
    Preconfirmed { transaction: B256 },
    /// In a block.
    Included(Event),
    /// In a block that no reorganisation will undo.
    Safe(Event),
    /// Back in the mempool: its transaction was given up, or its block is no more.
    Pending,
    /// Will not be included by us.
    Dropped { reason: String },
}

impl Stage {
    /// Whether nothing comes after it.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Self::Safe(_) | Self::Dropped { .. })
    }
}

#[derive(Debug)]
struct Watcher {
    sender: mpsc::Sender<Stage>,
    told: Stage,
}

/// All subscribers.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    by_hash: HashMap<B256, Vec<Watcher>>,
    count: usize,
    /// Watched operations that are included but not safe, by block.
    unsafe_since: BTreeMap<(u64, B256), Event>,
}

impl Watchers {
    /// Takes in a subscriber, who is told at once how it stands; whether there was room.
    pub(super) fn watch(&mut self, hash: B256, now: Option<Stage>, sender: mpsc::Sender<Stage>) -> bool {
        if self.count >= SUBSCRIBERS {
            self.sweep();
            if self.count >= SUBSCRIBERS {
                return false;
            }
        }
        if let Some(stage) = &now
            && (sender.try_send(stage.clone()).is_err() || stage.is_last())
        {
            return true;
        }
        if let Some(Stage::Included(event)) = &now {
            self.unsafe_since.insert((event.block, hash), *event);
        }
        // Of what nobody knows, anything is news.
        let told = now.unwrap_or(Stage::Pending);
        self.by_hash.entry(hash).or_default().push(Watcher { sender, told });
        self.count += 1;
        true
    }

    /// Tells all who watch this operation. Nobody is waited for: whose queue is full is cut off.
    pub(super) fn tell(&mut self, hash: B256, stage: &Stage) {
        let Some(watchers) = self.by_hash.get_mut(&hash) else { return };
        let before = watchers.len();
        watchers.retain_mut(|watcher| {
            if watcher.told == *stage {
                return !watcher.sender.is_closed();
            }
            watcher.told = stage.clone();
            watcher.sender.try_send(stage.clone()).is_ok() && !stage.is_last()
        });
        self.count -= before - watchers.len();
        if watchers.is_empty() {
            self.by_hash.remove(&hash);
        }
        match stage {
            Stage::Included(event) => {
                self.unsafe_since.retain(|(_, other), _| *other != hash);
                if self.by_hash.contains_key(&hash) {
                    self.unsafe_since.insert((event.block, hash), *event);
                }
            }
            _ => self.unsafe_since.retain(|(_, other), _| *other != hash),
        }
    }

    /// Forgets subscribers of this operation that have gone; whether another is left.
    pub(super) fn unwatch(&mut self, hash: B256) -> bool {
        let Some(watchers) = self.by_hash.get_mut(&hash) else { return false };
        let before = watchers.len();
        watchers.retain(|watcher| !watcher.sender.is_closed());
        let left = watchers.len();
        self.count -= before - left;
        if left == 0 {
            self.by_hash.remove(&hash);
            self.unsafe_since.retain(|(_, other), _| *other != hash);
        }
        left > 0
    }

    /// Tells those who wait for it that these blocks are safe.
    pub(super) fn safe(&mut self, block: u64) {
        while let Some(entry) = self.unsafe_since.first_entry().filter(|entry| entry.key().0 <= block) {
            let ((_, hash), event) = entry.remove_entry();
            self.tell(hash, &Stage::Safe(event));
        }
    }

    /// Whether anybody waits for a block to be safe.
    pub(super) fn wait_for_safety(&self) -> bool {
        !self.unsafe_since.is_empty()
    }

    fn sweep(&mut self) {
        self.by_hash.retain(|_, watchers| {
            watchers.retain(|watcher| !watcher.sender.is_closed());
            !watchers.is_empty()
        });
        self.count = self.by_hash.values().map(Vec::len).sum();
        self.unsafe_since.retain(|(_, hash), _| self.by_hash.contains_key(hash));
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;

    const HASH: B256 = B256::repeat_byte(1);

    fn event(block: u64) -> Event {
        Event {
            hash: HASH,
            entry_point: Address::ZERO,
            transaction: B256::repeat_byte(2),
            block,
            block_hash: B256::repeat_byte(3),
            log_index: 0,
            success: true,
        }
    }

    fn drain(receiver: &mut mpsc::Receiver<Stage>) -> Vec<Stage> {
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    #[test]
    fn a_subscriber_hears_how_it_stands_and_then_each_step_once() {
        let mut watchers = Watchers::default();
        let (sender, mut heard) = mpsc::channel(WAITING);
        assert!(watchers.watch(HASH, Some(Stage::Accepted), sender));
        let steps = [Stage::Bundled, Stage::Bundled, Stage::Submitted { transaction: HASH }, Stage::Included(event(5))];
        steps.iter().for_each(|stage| watchers.tell(HASH, stage));
        watchers.safe(4);
        assert!(watchers.wait_for_safety());
        watchers.safe(5);
        let [bundled, _, submitted, included] = steps;
        assert_eq!(drain(&mut heard), [Stage::Accepted, bundled, submitted, included, Stage::Safe(event(5))]);
        assert!(heard.is_closed() && !watchers.wait_for_safety() && watchers.count == 0);
    }

    #[test]
    fn one_whose_queue_is_full_is_cut_off_and_others_hear_all() {
        let mut watchers = Watchers::default();
        let (slow, mut slow_heard) = mpsc::channel(2);
        let (quick, mut heard) = mpsc::channel(WAITING);
        watchers.watch(HASH, Some(Stage::Accepted), slow);
        watchers.watch(HASH, Some(Stage::Accepted), quick);
        let steps = [Stage::Bundled, Stage::Submitted { transaction: HASH }, Stage::Dropped { reason: "x".into() }];
        steps.iter().for_each(|stage| watchers.tell(HASH, stage));
        assert_eq!(drain(&mut slow_heard), [Stage::Accepted, Stage::Bundled]);
        assert!(slow_heard.is_closed());
        assert_eq!(drain(&mut heard)[1..], steps);
        assert_eq!(watchers.count, 0);
    }

    #[test]
    fn one_that_has_gone_is_forgotten_at_once_and_no_other() {
        let mut watchers = Watchers::default();
        let (gone, gone_heard) = mpsc::channel(WAITING);
        let (stays, heard) = mpsc::channel(WAITING);
        watchers.watch(HASH, Some(Stage::Included(event(5))), gone);
        watchers.watch(HASH, Some(Stage::Included(event(5))), stays);
        assert!(watchers.unwatch(HASH) && watchers.count == 2, "both are there");
        drop(gone_heard);
        assert!(watchers.unwatch(HASH) && watchers.count == 1 && watchers.wait_for_safety());
        drop(heard);
        assert!(!watchers.unwatch(HASH) && watchers.count == 0 && !watchers.wait_for_safety());
        assert!(!watchers.unwatch(HASH));
    }

    #[test]
    fn a_block_that_is_no_more_does_not_become_safe() {
        let mut watchers = Watchers::default();
        let (sender, mut heard) = mpsc::channel(WAITING);
        watchers.watch(HASH, None, sender);
        watchers.tell(HASH, &Stage::Included(event(5)));
        watchers.tell(HASH, &Stage::Pending);
        watchers.safe(10);
        watchers.tell(HASH, &Stage::Included(event(12)));
        watchers.safe(12);
        let expected = [Stage::Included(event(5)), Stage::Pending, Stage::Included(event(12)), Stage::Safe(event(12))];
        assert_eq!(drain(&mut heard), expected);
    }
}
