//! The life of each operation, step by step with its times: for traces, for metrics, and for those who ask how it went.
//!
//! Beside the engine's records and not among them: what a restart forgets here is history, never state.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::primitives::{Address, B256};
use tokio::sync::broadcast;

use crate::{Rejection, Validated, admission::Admitted, rules::Parties, world::unix as now};

/// Lives that are remembered when they are over; the oldest are forgotten first. A life takes about 2 KB.
const KEPT: usize = 1_000;

/// Lives at all, those that are not over among them: more than a mempool holds by default.
const MOST: usize = 25_000;

/// Steps of one life that are remembered: one that comes and goes with reorganisations has many.
const STEPS: usize = 64;

/// Ended lives that may wait for one who listens.
const WAITING: usize = 4_096;

/// A step in an operation's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Milestone {
    /// It came in over JSON-RPC.
    Received,
    /// It was taken up again after a restart.
    Resumed,
    /// The EVM and ERC-7562 have nothing against it.
    Validated,
    /// It will not be taken.
    Refused,
    /// In the mempool.
    Pooled,
    /// It is durable, and its sender was told that it is accepted.
    Accepted,
    /// Chosen for a bundle.
    Bundled,
    /// That bundle was executed whole, in process and on the node.
    Proven,
    /// The bundle's transaction is signed, for the first time or at another fee.
    Signed,
    /// The node took the transaction.
    Broadcast,
    /// In a block.
    Mined,
    /// Its bundle's nonce is used and its books are closed.
    Settled,
    /// Back in the mempool.
    Returned,
    /// It will not be included by us.
    Dropped,
}

impl Milestone {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Resumed => "resumed",
            Self::Validated => "validated",
            Self::Refused => "refused",
            Self::Pooled => "pooled",
            Self::Accepted => "accepted",
            Self::Bundled => "bundled",
            Self::Proven => "proven",
            Self::Signed => "signed",
            Self::Broadcast => "broadcast",
            Self::Mined => "mined",
            Self::Settled => "settled",
            Self::Returned => "returned",
            Self::Dropped => "dropped",
        }
    }

    /// What was done in the time up to it.
    pub fn work(self) -> &'static str {
        match self {
            Self::Received => "receive",
            Self::Resumed => "resume",
            Self::Validated | Self::Refused => "validate",
            Self::Pooled => "pool",
            Self::Accepted => "store",
            Self::Bundled => "wait for a bundle",
            Self::Proven => "prove the bundle",
            Self::Signed => "sign",
            Self::Broadcast => "submit",
            Self::Mined => "wait for inclusion",
            Self::Settled => "settle",
            Self::Returned => "return",
            Self::Dropped => "drop",
        }
    }

    /// What it waits for: its own time begins when the last of these is there. Some things are done side by side, as a
    /// bundle is proven while its operations are being written down.
    fn causes(self) -> &'static [Self] {
        match self {
            Self::Received | Self::Resumed | Self::Returned | Self::Dropped => &[],
            Self::Validated | Self::Refused => &[Self::Received],
            Self::Pooled => &[Self::Validated, Self::Resumed, Self::Returned],
            Self::Accepted => &[Self::Pooled],
            Self::Bundled => &[Self::Pooled, Self::Returned],
            Self::Proven => &[Self::Bundled],
            Self::Signed => &[Self::Proven, Self::Signed],
            Self::Broadcast => &[Self::Signed, Self::Accepted],
            Self::Mined => &[Self::Broadcast, Self::Accepted],
            Self::Settled => &[Self::Mined],
        }
    }

    fn ends(self) -> bool {
        matches!(self, Self::Refused | Self::Settled | Self::Dropped)
    }
}

/// One step, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub milestone: Milestone,
    /// Since 1970, by this machine's clock.
    pub at: Duration,
    /// The head then.
    pub block: u64,
    /// The transaction that it is in, where that is the news.
    pub transaction: Option<B256>,
    /// Why, of one that is refused or dropped.
    pub reason: Option<Arc<str>>,
}

/// An operation's life so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its `userOpHash`.
    pub hash: B256,
    /// Its account.
    pub sender: Address,
    /// Where it runs.
    pub entry_point: Address,
    /// In order.
    pub steps: Vec<Step>,
    /// How it was validated when it came, if there was nothing against it.
    pub checked: Option<Arc<Checked>>,
}

/// What a validation found, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What account and paymaster said.
    pub validated: Validated,
    /// The block that it was run on.
    pub block: B256,
    /// Storage slots that it read, the EntryPoint's own left out.
    pub slots: usize,
    /// Accounts that it read.
    pub accounts: usize,
    /// Code that it depends on.
    pub code_hashes: Vec<(Address, B256)>,
    /// Who is who, and how well staked.
    pub parties: Parties,
}

impl Checked {
    fn of(admitted: &Admitted) -> Self {
        let evidence = &admitted.evidence;
        Self {
            validated: admitted.validated,
            block: evidence.block,
            slots: evidence.reads.slots.len(),
            accounts: evidence.reads.accounts.len(),
            code_hashes: evidence.code_hashes.clone(),
            parties: evidence.parties,
        }
    }
}

impl Life {
    /// The step of this kind that came last.
    pub fn last(&self, milestone: Milestone) -> Option<&Step> {
        self.steps.iter().rev().find(|step| step.milestone == milestone)
    }

    /// When the work began that ended with this step: with the last step that it waited for.
    pub fn began(&self, number: usize) -> Duration {
        let Some(step) = self.steps.get(number) else { return Duration::ZERO };
        let earlier = &self.steps[..number];
        let cause = earlier.iter().rev().find(|it| step.milestone.causes().contains(&it.milestone));
        cause.or(earlier.last()).map_or(step.at, |cause| cause.at)
    }

    fn is_over(&self) -> bool {
        // Mined in a bundle of somebody else's: nothing of ours is to be settled.
        let elsewhere = |step: &Step| step.milestone == Milestone::Mined && self.last(Milestone::Signed).is_none();
        self.steps.last().is_some_and(|step| step.milestone.ends() || elsewhere(step))
    }
}

/// All lives, bounded.
#[derive(Debug)]
pub struct Lives {
    inner: Mutex<Inner>,
    head: AtomicU64,
    ended: broadcast::Sender<Arc<Life>>,
}

#[derive(Debug, Default)]
struct Inner {
    by_hash: HashMap<B256, Life>,
    /// As they began; those that are forgotten may be in it still.
    order: VecDeque<B256>,
    /// As they ended.
    over: VecDeque<B256>,
}

impl Inner {
    /// One has ended.
    fn end(&mut self, hash: B256) {
        self.over.push_back(hash);
        if self.over.len() > KEPT
            && let Some(oldest) = self.over.pop_front()
            // It may have begun anew, or have ended again since.
            && self.by_hash.get(&oldest).is_some_and(Life::is_over)
            && !self.over.contains(&oldest)
        {
            self.by_hash.remove(&oldest);
        }
    }

    /// Makes room for one more.
    fn make_room(&mut self) {
        while self.by_hash.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_hash.remove(&oldest);
        }
        if self.order.len() > 2 * self.by_hash.len() + KEPT {
            let by_hash = &self.by_hash;
            self.order.retain(|hash| by_hash.contains_key(hash));
        }
    }
}

impl Default for Lives {
    fn default() -> Self {
        Self { inner: Mutex::default(), head: AtomicU64::new(0), ended: broadcast::channel(WAITING).0 }
    }
}

impl Lives {
    /// The life of this operation, if it is remembered.
    pub fn get(&self, hash: B256) -> Option<Life> {
        self.inner().by_hash.get(&hash).cloned()
    }

    /// Of this sender, newest first, at most so many.
    pub fn of_sender(&self, sender: Address, most: usize) -> Vec<Life> {
        let inner = self.inner();
        let lives = inner.order.iter().rev().filter_map(|hash| inner.by_hash.get(hash));
        lives.filter(|life| life.sender == sender).take(most).cloned().collect()
    }

    /// The newest, newest first.
    pub fn newest(&self, most: usize) -> Vec<Life> {
        let inner = self.inner();
        inner.order.iter().rev().filter_map(|hash| inner.by_hash.get(hash)).take(most).cloned().collect()
    }

    /// Lives as they end, from now on. One that a reorganisation takes up again ends again.
    pub fn ended(&self) -> broadcast::Receiver<Arc<Life>> {
        self.ended.subscribe()
    }

    /// The head is this block from now on.
    pub(crate) fn advance(&self, head: u64) {
        self.head.store(head, Ordering::Relaxed);
    }

    /// Begins a life with this step, unless there is one that is not over.
    fn begin(&self, hash: B256, sender: Address, entry_point: Address, milestone: Milestone, at: Duration) {
        let step = Step { milestone, at, block: self.head.load(Ordering::Relaxed), transaction: None, reason: None };
        let life = Life { hash, sender, entry_point, steps: vec![step], checked: None };
        let mut inner = self.inner();
        if inner.by_hash.get(&hash).is_some_and(|known| known.last(Milestone::Mined).is_some() || !known.is_over()) {
            return;
        }
        if inner.by_hash.insert(hash, life).is_none() {
            inner.order.push_back(hash);
            inner.make_room();
        }
    }

    /// It is taken up again after a restart.
    pub(crate) fn resume(&self, hash: B256, sender: Address, entry_point: Address) {
        self.begin(hash, sender, entry_point, Milestone::Resumed, now());
    }

    /// These have come so far.
    pub(crate) fn note_all(&self, hashes: &[B256], milestone: Milestone) {
        hashes.iter().for_each(|hash| self.note(*hash, milestone, None, None));
    }

    /// An operation has come so far.
    pub(crate) fn note(&self, hash: B256, milestone: Milestone, transaction: Option<B256>, reason: Option<&str>) {
        let (at, block) = (now(), self.head.load(Ordering::Relaxed));
        let mut inner = self.inner();
        let Some(life) = inner.by_hash.get_mut(&hash) else { return };
        // Said again, it is no news: a sender that asks twice is told twice.
        let repeated = milestone == Milestone::Accepted && life.last(milestone).is_some();
        if repeated || life.steps.len() >= STEPS {
            return;
        }
        life.steps.push(Step { milestone, at, block, transaction, reason: reason.map(Into::into) });
        measure(life, milestone);
        if life.is_over() {
            life.steps.shrink_to_fit();
            // Nobody may be listening.
            let _ = self.ended.send(Arc::new(life.clone()));
            inner.end(hash);
        }
    }

    fn checked(&self, hash: B256, checked: Checked) {
        if let Some(life) = self.inner().by_hash.get_mut(&hash) {
            life.checked = Some(Arc::new(checked));
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the last step says in figures.
fn measure(life: &Life, milestone: Milestone) {
    let Some(step) = life.steps.last() else { return };
    let since = |earlier: &Step| step.at.saturating_sub(earlier.at).as_secs_f64();
    match milestone {
        Milestone::Accepted => metrics::counter!("fabstir_operations_accepted_total").increment(1),
        Milestone::Dropped => metrics::counter!("fabstir_operations_dropped_total").increment(1),
        Milestone::Mined => {
            metrics::counter!("fabstir_operations_included_total").increment(1);
            if let Some(accepted) = life.last(Milestone::Accepted) {
                metrics::histogram!("fabstir_inclusion_seconds").record(since(accepted));
            }
        }
        _ => {}
    }
}

/// An operation between its coming in and the verdict on it.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    lives: &'a Lives,
    at: Duration,
    /// Its hash, once it is known, if it is new.
    hash: Mutex<Option<B256>>,
}

impl<'a> Arrival<'a> {
    pub(crate) fn new(lives: &'a Lives) -> Self {
        metrics::counter!("fabstir_operations_received_total").increment(1);
        Self { lives, at: now(), hash: Mutex::default() }
    }

    /// It is this one.
    pub(crate) fn is(&self, hash: B256, sender: Address, entry_point: Address) {
        self.lives.begin(hash, sender, entry_point, Milestone::Received, self.at);
        *self.hash.lock().unwrap_or_else(PoisonError::into_inner) = Some(hash);
    }

    /// There is nothing against it.
    pub(crate) fn validated(&self, admitted: &Admitted) {
        self.lives.checked(admitted.hash, Checked::of(admitted));
        self.passed();
    }

    fn passed(&self) {
        metrics::histogram!("fabstir_validation_seconds").record(now().saturating_sub(self.at).as_secs_f64());
        if let Some(hash) = self.hash() {
            self.lives.note(hash, Milestone::Validated, None, None);
        }
    }

    /// What came of it.
    pub(crate) fn end(self, result: Result<B256, Rejection>) -> Result<B256, Rejection> {
        if let Err(rejection) = &result {
            let code = rejection.code().to_string();
            metrics::counter!("fabstir_operations_refused_total", "code" => code).increment(1);
            // Of one that is pending already, only this request was refused.
            let fresh = |hash: &B256| {
                let life = self.lives.get(*hash);
                life.is_some_and(|life| life.last(Milestone::Pooled).is_none())
            };
            if let Some(hash) = self.hash().filter(fresh) {
                self.lives.note(hash, Milestone::Refused, None, Some(&rejection.to_string()));
            }
        }
        result
    }

    fn hash(&self) -> Option<B256> {
        *self.hash.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: B256 = B256::repeat_byte(1);

    fn begun(lives: &Lives) {
        let arrival = Arrival::new(lives);
        arrival.is(HASH, Address::ZERO, Address::ZERO);
        arrival.passed();
        arrival.end(Ok(HASH)).unwrap();
    }

    fn names(lives: &Lives) -> Vec<&'static str> {
        lives.get(HASH).unwrap().steps.iter().map(|step| step.milestone.name()).collect()
    }

    #[test]
    fn a_life_is_told_when_it_ends_with_every_step_in_order() {
        let lives = Lives::default();
        let mut ended = lives.ended();
        begun(&lives);
        use Milestone::{Accepted, Broadcast, Bundled, Mined, Pooled, Proven, Settled, Signed};
        for milestone in [Pooled, Accepted, Accepted, Bundled, Proven, Signed, Broadcast, Mined] {
            lives.note(HASH, milestone, None, None);
        }
        assert!(ended.try_recv().is_err());
        lives.note(HASH, Settled, None, None);
        let life = ended.try_recv().unwrap();
        assert!(life.steps.is_sorted_by_key(|step| step.at));
        let expected = [
            "received",
            "validated",
            "pooled",
            "accepted",
            "bundled",
            "proven",
            "signed",
            "broadcast",
            "mined",
            "settled",
        ];
        assert_eq!(names(&lives), expected);
        begun(&lives);
        assert_eq!(names(&lives)[..10], expected, "one that comes again begins no new life");
    }

    #[test]
    fn one_that_another_bundler_includes_ends_there_and_a_refused_one_may_begin_anew() {
        let lives = Lives::default();
        let mut ended = lives.ended();
        let arrival = Arrival::new(&lives);
        arrival.is(HASH, Address::ZERO, Address::ZERO);
        arrival.end(Err(Rejection::ShuttingDown)).unwrap_err();
        assert_eq!(ended.try_recv().unwrap().steps.last().unwrap().milestone, Milestone::Refused);
        begun(&lives);
        assert_eq!(names(&lives), ["received", "validated"]);
        lives.note(HASH, Milestone::Pooled, None, None);
        lives.note(HASH, Milestone::Mined, None, None);
        assert_eq!(ended.try_recv().unwrap().steps.len(), 4);
    }

    #[test]
    fn the_time_of_a_step_is_counted_from_what_it_waited_for() {
        use Milestone::{Accepted, Broadcast, Bundled, Pooled, Proven, Signed};
        let lives = Lives::default();
        begun(&lives);
        for milestone in [Pooled, Bundled, Proven, Accepted, Signed, Broadcast] {
            lives.note(HASH, milestone, None, None);
        }
        let mut life = lives.get(HASH).unwrap();
        for (number, step) in life.steps.iter_mut().enumerate() {
            step.at = Duration::from_secs(number as u64);
        }
        let began: Vec<_> = (0..life.steps.len()).map(|number| life.began(number).as_secs()).collect();
        // received, validated, pooled, bundled, proven, accepted, signed, broadcast
        assert_eq!(began, [0, 0, 1, 2, 3, 2, 4, 6]);
    }

    #[test]
    fn only_so_many_are_remembered_and_those_that_are_not_over_the_longest() {
        let lives = Lives::default();
        let hash = |number: usize| B256::from(alloy::primitives::U256::from(number));
        let count = 3 * KEPT + 2;
        for number in 0..count {
            lives.resume(hash(number), Address::ZERO, Address::ZERO);
            if number > 0 {
                lives.note(hash(number), Milestone::Dropped, None, None);
            }
        }
        assert_eq!(lives.newest(usize::MAX).len(), KEPT + 1);
        assert!(lives.get(hash(0)).is_some(), "it is not over");
        assert!(lives.get(hash(1)).is_none() && lives.get(hash(count - 1)).is_some());
        for number in 0..MOST {
            lives.resume(hash(count + number), Address::ZERO, Address::ZERO);
        }
        let inner = lives.inner();
        assert!(inner.by_hash.len() < MOST && inner.order.len() <= 2 * MOST + KEPT && inner.over.len() <= KEPT);
    }
}
