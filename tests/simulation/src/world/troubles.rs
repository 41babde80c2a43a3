//! Troubles come and go.

use alloy::primitives::U256;
use futures::FutureExt;
use serde_json::json;

use super::{Call, Called, Due, STRANGER, World, cluster::BUILDERS, deposits, events::ask, lock};
use crate::{
    chain::{BASE_FEE, Change, Habits, genesis},
    disk::DiskIlls,
    network::NetworkIlls,
    node::Node,
    plan::Trouble,
};

impl World {
    pub(super) fn trouble(&mut self, index: usize, calls: &mut Vec<Call>, node: &mut Option<Node>) -> Option<bool> {
        let now = self.clock.now();
        let trouble = self.plan.troubles[index];
        self.note(&format!("trouble {trouble:?}"));
        lock(&self.oracle).disturbed(now);
        match trouble {
            Trouble::Crash { down, .. } => {
                if let Some(builder) = self.some_builder() {
                    self.kill_builder(builder, down);
                    return None;
                }
                self.away(down);
                return Some(true);
            }
            Trouble::CrashAtSync { others, after, down, .. } => {
                match &self.cluster {
                    Some(cluster) => cluster.redis.set_deadly(Some((others, after))),
                    None => self.disk.set_deadly(others, after),
                }
                self.down = down;
            }
            Trouble::CrashAtBroadcast { others, after, down, .. } => {
                lock(&self.network).deadly = Some((others, after));
                self.down = down;
            }
            Trouble::Restart { down, .. } => {
                if let Some(builder) = self.some_builder() {
                    self.restart_builder(builder, down, calls);
                    return None;
                }
                self.down = down;
                if let Some(Node { rpc, bundler, .. }) = node.take() {
                    let stopped = async move {
                        bundler.drain().await;
                        Called::Drained(ask(&rpc, "debug_bundler_dumpReputation", json!([])).await)
                    };
                    calls.push(stopped.boxed_local());
                }
            }
            Trouble::Reorganise { depth, lost, .. } => {
                lock(&self.chain).reorganise(depth, lost, now, self.clock.unix());
                lock(&self.oracle).reorganised(now);
                self.note_block();
            }
            Trouble::Stranger { .. } | Trouble::Rival { .. } => {
                let (key, oracle) = (genesis::key(STRANGER), lock(&self.oracle));
                let call = match trouble {
                    Trouble::Stranger { .. } => self.users.on_its_way(&oracle, key.address()),
                    _ => self.users.rival(&oracle, key.address()),
                };
                if let Some((to, input)) = call {
                    lock(&self.chain).send_as(&key, to, input);
                }
            }
            Trouble::Broke { lasts, .. } => {
                lock(&self.chain).changes.extend(deposits(U256::ZERO));
                self.lasts(index, lasts);
            }
            Trouble::Failover { .. } => {
                if let Some(cluster) = &self.cluster {
                    cluster.redis.fail_over(now);
                }
                self.handover(0);
            }
            Trouble::Freeze { lasts, .. } => {
                let builder = self.random.below(BUILDERS as u64) as usize;
                if let Some(cluster) = &self.cluster {
                    cluster.lives[builder].freeze(now + lasts);
                }
                // What it says first when it goes on is what it knew before.
                lock(&self.oracle).deaf(now, now + lasts);
                self.handover(lasts);
            }
            Trouble::Network { lasts, ills, .. } => {
                lock(&self.network).ills = ills;
                lock(&self.oracle).deaf(now, now + lasts);
                self.lasts(index, lasts);
            }
            Trouble::Disk { lasts, ills, .. } => {
                self.disk.set_ills(ills);
                self.redis_ills(ills);
                self.handover(lasts);
                self.lasts(index, lasts);
            }
            Trouble::Dear { lasts, times, .. } => {
                lock(&self.chain).wanted_base_fee = BASE_FEE * self.plan.dear * times;
                self.lasts(index, lasts);
            }
            Trouble::Inclusion { lasts, delayed, forgotten, .. } => {
                lock(&self.chain).habits = Habits { delayed, forgotten };
                self.lasts(index, lasts);
            }
        }
        None
    }

    /// Which of the builders something befalls, where there are any; none if it befalls all there is.
    fn some_builder(&mut self) -> Option<usize> {
        let drawn = self.random.below(10);
        self.cluster.as_ref().filter(|_| drawn < 8).map(|_| drawn as usize % BUILDERS)
    }

    /// Whether what a process was to write at its end, by now, may have been refused by the disk: it is tried again after half a
    /// second.
    pub(super) fn disk_failed_lately(&self, now: u64) -> bool {
        const AGAIN: u64 = 1_000;
        let failed = |trouble: &Trouble| match trouble {
            Trouble::Disk { at, lasts, .. } => (*at..at + lasts + AGAIN).contains(&now),
            _ => false,
        };
        self.plan.troubles.iter().any(failed)
    }

    fn lasts(&mut self, index: usize, lasts: u64) {
        let until = self.clock.now() + lasts;
        lock(&self.oracle).disturbed(until);
        self.at(until, Due::Over(index));
    }

    pub(super) fn over(&mut self, index: usize) {
        let mut chain = lock(&self.chain);
        match self.plan.troubles[index] {
            Trouble::Network { .. } => lock(&self.network).ills = NetworkIlls::default(),
            Trouble::Disk { .. } => {
                self.disk.set_ills(DiskIlls::default());
                self.redis_ills(DiskIlls::default());
            }
            Trouble::Dear { .. } => chain.wanted_base_fee = BASE_FEE * self.plan.dear,
            Trouble::Inclusion { .. } => chain.habits = Habits::default(),
            Trouble::Broke { .. } => {
                chain.changes.extend(deposits(U256::from(self.plan.deposit) * U256::from(self.plan.dear)))
            }
            _ => {}
        }
    }

    /// From here on nothing is wrong, and everybody has money.
    pub(super) fn calm(&mut self) {
        let rich = U256::from(10).pow(U256::from(22));
        let keys = super::signers(&self.plan);
        let mut chain = lock(&self.chain);
        chain.changes.extend(keys.iter().map(|key| Change::Balance(key.address(), rich)));
        chain.changes.extend(deposits(rich));
        chain.habits = Habits::default();
        chain.wanted_base_fee = BASE_FEE * self.plan.dear;
        lock(&self.network).ills = NetworkIlls::default();
        self.disk.set_ills(DiskIlls::default());
        self.redis_ills(DiskIlls::default());
        if let Some(cluster) = &self.cluster {
            cluster.redis.set_deadly(None);
        }
        // Whatever was to be deadly is not any more.
        lock(&self.network).deadly = None;
        self.disk.set_deadly(u64::MAX / 2, false);
    }
}

impl Trouble {
    pub(super) fn at(&self) -> u64 {
        match *self {
            Self::Crash { at, .. }
            | Self::CrashAtSync { at, .. }
            | Self::CrashAtBroadcast { at, .. }
            | Self::Restart { at, .. }
            | Self::Reorganise { at, .. }
            | Self::Stranger { at }
            | Self::Rival { at }
            | Self::Broke { at, .. }
            | Self::Failover { at }
            | Self::Freeze { at, .. }
            | Self::Network { at, .. }
            | Self::Disk { at, .. }
            | Self::Dear { at, .. }
            | Self::Inclusion { at, .. } => at,
        }
    }
}
