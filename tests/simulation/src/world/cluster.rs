//! Several processes on one Redis: an rpc node, which goes with all others when the machine does, and two builders, each of
//! which dies by itself.

use std::{sync::Arc, time::Duration};

use bundler::{Builder, ClusterConfig, Config, Signer, node::NodeClient};
use futures::FutureExt;

use super::{Call, Called, Due, World, lock, signers};
use crate::{
    life::Life,
    network::Way,
    node::{self, Node},
    plan::{Clustered, Plan},
    redis::{Redis, RedisIlls, RedisWay},
};

/// Into how many senders are dealt out: as shipped.
const PARTITIONS: u16 = 2;
/// Builders.
pub(super) const BUILDERS: usize = 2;

/// What there is beside the rpc node.
pub(super) struct Cluster {
    pub(super) redis: Redis,
    pub(super) plan: Clustered,
    pub(super) lives: [Life; BUILDERS],
    pub(super) builders: [Option<Arc<Builder>>; BUILDERS],
}

impl Cluster {
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        let clustered = plan.cluster?;
        let redis = Redis::new(plan.seed, clustered.replicas > 0);
        Some(Self { redis, plan: clustered, lives: Default::default(), builders: Default::default() })
    }

    /// The machine goes: what the processes were.
    pub(super) fn end(&mut self) {
        self.builders = Default::default();
        self.lives.iter().for_each(Life::end);
    }

    /// It comes back.
    pub(super) fn renew(&self) {
        self.lives.iter().for_each(Life::renew);
    }
}

impl World {
    fn cluster_config(&self, life: &Life) -> Option<ClusterConfig> {
        let cluster = self.cluster.as_ref()?;
        let way = RedisWay::new(&cluster.redis, &self.clock, life);
        Some(ClusterConfig {
            url: String::new(),
            partitions: PARTITIONS,
            lease: Duration::from_millis(cluster.plan.lease),
            replicas: cluster.plan.replicas,
            simulated: Some(Arc::new(way)),
        })
    }

    /// The rpc node, and the builders beside it.
    pub(super) fn start_relay(&mut self) -> Option<Call> {
        let config = self.cluster_config(&self.life)?;
        let now = self.clock.now();
        for builder in 0..BUILDERS {
            self.at(now + 5 * builder as u64, Due::Build(builder));
        }
        let (preset, way, disk) = (self.preset.clone(), self.way(&self.life), self.disk.clone());
        Some(async move { Called::Started(Node::relay(preset, disk, way, config).await) }.boxed_local())
    }

    pub(super) fn build(&self, index: usize) -> Option<Call> {
        let life = &self.cluster.as_ref()?.lives[index];
        let (cluster, way) = (self.cluster_config(life)?, self.way(life));
        let mut config = Config::new(self.preset.clone());
        config.disk = Arc::new(self.disk.clone());
        let signers = signers(&self.plan).into_iter().map(Signer::Local).collect();
        let started = async move {
            let client = NodeClient::through(vec![Arc::new(way)], config.chain.block_time);
            let started = Builder::start(config, client, signers, None, cluster).await;
            Called::Built(index, started.map(Arc::new).map_err(|error| error.to_string()))
        };
        Some(started.boxed_local())
    }

    fn way(&self, life: &Life) -> Way {
        Way::new(&self.chain, &self.network, &self.oracle, self.kept(), &self.clock, life)
    }

    /// A builder dies, and comes back so many milliseconds later.
    pub(super) fn kill_builder(&mut self, index: usize, down: u64) {
        self.note(&format!("builder {index} died"));
        let now = self.clock.now();
        if let Some(cluster) = &mut self.cluster {
            cluster.lives[index].end();
            cluster.lives[index].renew();
            cluster.builders[index] = None;
        }
        self.due.retain(|_, due| !matches!(due, Due::Build(other) if *other == index));
        self.at(now + down, Due::Build(index));
        self.handover(down);
    }

    /// Until somebody else has taken over, and caught up.
    pub(super) fn handover(&self, down: u64) {
        if let Some(cluster) = &self.cluster {
            lock(&self.oracle).disturbed(self.clock.now() + down + 2 * cluster.plan.lease + 6_000);
        }
    }

    /// It is told to stop, and started again.
    pub(super) fn restart_builder(&mut self, index: usize, down: u64, calls: &mut Vec<Call>) {
        self.handover(down + 5_000);
        let builder = self.cluster.as_mut().and_then(|cluster| cluster.builders[index].take());
        if let Some(builder) = builder {
            let stopped = async move {
                builder.stop().await;
                Called::Unbuilt(index, down)
            };
            calls.push(stopped.boxed_local());
        }
    }

    /// What a disk's illness is where there is none.
    pub(super) fn redis_ills(&self, ills: crate::disk::DiskIlls) {
        let Some(cluster) = &self.cluster else { return };
        let (away, some) = (ills.full, ills.failing_syncs);
        let cut = cluster.plan.replicas > 0 && some % 2 == 1;
        let ills = RedisIlls { away, cut, broken: some / 3, unanswered: some / 3, slow: some };
        cluster.redis.set_ills(ills, self.clock.now());
    }

    pub(super) fn kept(&self) -> node::Kept {
        match &self.cluster {
            Some(cluster) => node::Kept::Redis(cluster.redis.clone(), self.clock.clone()),
            None => node::Kept::Disk(self.disk.clone()),
        }
    }
}
