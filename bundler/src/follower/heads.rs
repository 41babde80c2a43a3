//! When to look for a new head. Where the node announces them, then, and with no question at all: an announcement is the
//! header. Elsewhere often while it matters, and seldom while nothing of ours is on its way and nobody asks for anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use jsonrpsee::core::client::Subscription;
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{chain_time::TimedHeader, engine::Interest, node::NodeClient};

/// Between two questions while a transaction of ours may be mined: a quarter of the time between blocks, within these.
const HURRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));
/// Longest pause while somebody asks or something is pending.
const BUSY: Duration = Duration::from_millis(250);
/// Shortest pause while nobody does and nothing is: a block and a half, or this.
const IDLE: Duration = Duration::from_secs(1);
/// Chain time over which the time between blocks is looked at, and the most that is believed if the preset says less.
const OBSERVED: Duration = Duration::from_secs(2);
/// How long after the last question of a client there is somebody who asks.
const LINGER: Duration = Duration::from_secs(10);
/// Between two attempts to subscribe.
const RESUBSCRIBE: Duration = Duration::from_secs(1);
/// Pauses after which a silent subscription is doubted.
const DOUBT: u32 = 4;
/// Headers that are asked for beside the newest, in the same request, if so many blocks must have come.
const MOST_EXPECTED: u64 = 16;

/// When a client last asked for something that rests on the head.
#[derive(Debug)]
pub(crate) struct Activity {
    begun: Instant,
    /// Milliseconds after that, and one more; 0: never.
    last: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Activity {
    /// Somebody asks; whether nobody had for a while.
    pub(crate) fn touch(&self) -> bool {
        let asleep = !self.is_recent();
        self.last.store(crate::chain_time::millis(self.begun.elapsed()).saturating_add(1), Ordering::Relaxed);
        asleep
    }

    /// Whether somebody has asked of late.
    pub(crate) fn is_recent(&self) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last > 0 && self.begun.elapsed() < Duration::from_millis(last) + LINGER
    }
}

/// How to find the new head.
#[derive(Debug)]
pub(super) enum Look {
    /// Ask for it, and for so many blocks after the last one that must have come since.
    Ask(u64),
    /// These were announced, in this order.
    Announced(Vec<TimedHeader>),
}

/// Says when to look.
pub(super) struct HeadTimer {
    node: NodeClient,
    /// The pause, if it is always the same.
    fixed: Option<Duration>,
    /// As the preset has it, and as it was of late, if that is more.
    block_time: Duration,
    slower: Option<Duration>,
    /// A head by its height and chain time in milliseconds, since which blocks are counted.
    since: Option<(u64, u64)>,
    announced: Option<Subscription<Value>>,
    resubscribe_at: Instant,
    /// When it was looked last.
    looked_at: Instant,
    /// Somebody knows that there is a new head.
    wake: Arc<Notify>,
    interest: watch::Receiver<Interest>,
    activity: Arc<Activity>,
}

impl HeadTimer {
    pub(super) fn new(
        node: NodeClient,
        fixed: Option<Duration>,
        block_time: Duration,
        wake: Arc<Notify>,
        interest: watch::Receiver<Interest>,
        activity: Arc<Activity>,
    ) -> Self {
        let now = Instant::now();
        Self {
            node,
            fixed,
            block_time,
            slower: None,
            since: None,
            announced: None,
            resubscribe_at: now,
            looked_at: now,
            wake,
            interest,
            activity,
        }
    }

    /// There is a head of this height, made at this chain time, in milliseconds.
    pub(super) fn saw(&mut self, number: u64, time: u64) {
        let Some((first, begun)) = self.since.filter(|since| since.0 < number && since.1 <= time) else {
            self.since = Some((number, time));
            return;
        };
        let passed = Duration::from_millis(time - begun);
        if passed >= OBSERVED {
            let each = passed.div_f64((number - first) as f64).min(OBSERVED);
            self.slower = Some(each).filter(|each| *each > self.block_time);
            self.since = Some((number, time));
        }
    }

    fn block_time(&self) -> Duration {
        self.slower.unwrap_or(self.block_time)
    }

    /// Whether anything rests on the head just now.
    pub(super) fn is_busy(&self) -> bool {
        let Interest { pending, pool, .. } = *self.interest.borrow();
        pending || pool || self.activity.is_recent()
    }

    fn pause(&self) -> Duration {
        if let Some(fixed) = self.fixed {
            fixed
        } else if self.interest.borrow().pending {
            (self.block_time / 4).clamp(HURRY.0, HURRY.1)
        } else if self.is_busy() {
            self.block_time.min(BUSY)
        } else {
            (self.block_time() * 3 / 2).max(IDLE)
        }
    }

    /// Returns when it is time to look.
    pub(super) async fn next(&mut self) -> Look {
        let look = self.wait().await;
        self.looked_at = Instant::now();
        look
    }

    async fn wait(&mut self) -> Look {
        if self.announced.is_none() && Instant::now() >= self.resubscribe_at {
            self.resubscribe_at = Instant::now() + RESUBSCRIBE;
            self.announced = self.node.new_heads().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "no subscription to new heads; asking for them");
                None
            });
        }
        let pause = self.pause();
        let doubtful = self.fixed.unwrap_or(pause.max(self.block_time())) * DOUBT;
        let Some(announced) = &mut self.announced else {
            let rest = tokio::time::sleep(pause);
            tokio::pin!(rest);
            loop {
                tokio::select! {
                    biased;
                    () = &mut rest => break,
                    () = self.wake.notified() => break,
                    // What was nothing to hurry for may be by now.
                    changed = self.interest.changed() => {
                        let sooner = Instant::now() + self.pause();
                        if changed.is_err() {
                            break;
                        }
                        if sooner < rest.deadline() {
                            rest.as_mut().reset(sooner);
                        }
                    }
                }
            }
            return Look::Ask(self.expected());
        };
        // Looked for all the same now and then: an announcement may be lost with a connection that seems to live.
        let first = tokio::select! {
            biased;
            head = announced.next() => head,
            () = tokio::time::sleep(doubtful) => return Look::Ask(self.expected()),
            () = self.wake.notified() => return Look::Ask(0),
        };
        let Some(first) = first else {
            self.announced = None;
            return Look::Ask(self.expected());
        };
        let mut heads = vec![first];
        while let Some(Some(head)) = announced.next().now_or_never() {
            heads.push(head);
        }
        let heads: Option<Vec<_>> = heads.into_iter().map(|head| serde_json::from_value(head.ok()?).ok()).collect();
        // One that cannot be read is asked for.
        heads.map_or(Look::Ask(0), Look::Announced)
    }

    /// Blocks that must have come since the last look, the newest left out.
    fn expected(&self) -> u64 {
        let blocks =
            crate::chain_time::millis(self.looked_at.elapsed()) / crate::chain_time::millis(self.block_time()).max(1);
        blocks.min(MOST_EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(before: Duration) -> Activity {
        let activity = Activity { begun: Instant::now().checked_sub(before * 2).unwrap(), last: AtomicU64::new(0) };
        activity.last.store(crate::chain_time::millis(before), Ordering::Relaxed);
        activity
    }

    #[test]
    fn somebody_asks_until_a_while_after_the_last_question() {
        let activity = Activity::default();
        assert!(!activity.is_recent());
        assert!(activity.touch(), "the first wakes");
        assert!(activity.is_recent() && !activity.touch());
        assert!(asked(LINGER / 2).is_recent());
        let long_ago = asked(LINGER * 2);
        assert!(!long_ago.is_recent() && long_ago.touch() && long_ago.is_recent());
    }

    fn timer(block_time: u64) -> (HeadTimer, watch::Sender<Interest>, Arc<Activity>) {
        let (interest, interested) = watch::channel(Interest::default());
        let (node, activity) = (NodeClient::new("http://127.0.0.1:1").unwrap(), Arc::<Activity>::default());
        let block_time = Duration::from_millis(block_time);
        let timer = HeadTimer::new(node, None, block_time, Arc::default(), interested, Arc::clone(&activity));
        (timer, interest, activity)
    }

    #[test]
    fn the_less_rests_on_the_head_the_seldomer_it_is_asked_for() {
        for (block_time, pauses) in [(200, [1_000, 200, 50]), (2_000, [3_000, 250, 100]), (12_000, [18_000, 250, 100])]
        {
            let (timer, interest, activity) = timer(block_time);
            let mut seen = vec![timer.pause()];
            activity.touch();
            seen.push(timer.pause());
            interest.send_replace(Interest { pending: true, pool: true, ..Interest::default() });
            seen.push(timer.pause());
            assert_eq!(seen, pauses.map(Duration::from_millis), "{block_time} ms");
        }
    }

    #[test]
    fn blocks_that_must_have_come_are_asked_for_with_the_newest() {
        for (block_time, expected) in [(200, MOST_EXPECTED), (2_000, 5), (12_000, 0)] {
            let (mut timer, _interest, _) = timer(block_time);
            timer.looked_at = Instant::now().checked_sub(Duration::from_millis(10_500)).unwrap();
            assert_eq!(timer.expected(), expected, "{block_time} ms");
        }
    }

    #[test]
    fn where_blocks_are_slower_than_the_preset_says_it_is_asked_as_seldom_as_they_come() {
        // Whole seconds, as headers have them.
        for (preset, every, idle) in [
            (200, 2_000, 3_000),
            (200, 1_000, 1_500),
            (200, 200, 1_000),
            (200, 60_000, 3_000),
            (2_000, 200, 3_000),
            (12_000, 2_000, 18_000),
        ] {
            let (mut timer, _interest, _) = timer(preset);
            for block in 0..60_u64 {
                timer.saw(block, block * every / 1_000 * 1_000);
            }
            assert_eq!(timer.pause(), Duration::from_millis(idle), "{every} ms under a preset of {preset}");
            // A reorganisation, and a node that has fallen back.
            timer.saw(7, 0);
            timer.saw(7, 5_000_000);
            assert_eq!(timer.pause(), Duration::from_millis(idle));
        }
    }
}
