//! Settings of processes that share a Redis, and the process that only builds.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bundler::{Builder, ClusterConfig, Config, SeatState, node::NodeClient};
use jsonrpsee::{RpcModule, server::ServerHandle};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    admin,
    bundling::Signers,
    observe::{self, Board},
    serve,
};

/// What a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything, with its journal in the folder of --data-dir.
    #[default]
    Alone,
    /// Serves wallets, and hands what it has validated to builders. Keeps nothing, and has no bundler key.
    Rpc,
    /// Bundles and sends what rpc nodes hand over.
    Builder,
    /// Both of these.
    Both,
}

/// How processes share the work.
#[derive(Clone, Debug, clap::Args)]
pub struct ClusterOptions {
    /// What this process does; all but `alone` work together by --redis, where accepted operations are kept then.
    #[arg(long, env = "FABSTIR_ROLE", value_enum, default_value_t)]
    pub role: Role,
    /// Into how many the senders are dealt out among builders; each needs a bundler key. The same for all processes.
    #[arg(long, env = "FABSTIR_PARTITIONS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub partitions: u16,
    /// Milliseconds after which others take over what a builder held that is not heard of.
    #[arg(long, env = "FABSTIR_LEASE_MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub lease_ms: u64,
    /// Replicas of Redis that must have an operation before it is acknowledged.
    #[arg(long, env = "FABSTIR_REDIS_REPLICAS", default_value_t = 0)]
    pub redis_replicas: u32,
}

impl ClusterOptions {
    /// What to work together by; nothing for a process that is alone.
    ///
    /// # Errors
    /// If there is no Redis to do it on.
    pub fn config(&self, redis: Option<&str>) -> Result<Option<(Role, ClusterConfig)>> {
        if self.role == Role::Alone {
            return Ok(None);
        }
        let url = redis.context("--role: processes work together by --redis, which is not given")?.to_owned();
        let lease = Duration::from_millis(self.lease_ms);
        let (partitions, replicas) = (self.partitions, self.redis_replicas);
        let config = ClusterConfig { url, partitions, lease, replicas, simulated: None };
        Ok(Some((self.role, config)))
    }
}

/// How partitions stand with this process, for `fabstir_partitions`.
pub fn states(builder: &Builder) -> Value {
    let state = |state: SeatState| match state {
        SeatState::Waiting => json!({ "state": "waiting" }),
        SeatState::Held(token) => json!({ "state": "held", "token": token }),
        SeatState::Failed(reason) => json!({ "state": "failed", "reason": reason }),
    };
    builder.states().into_iter().map(state).collect()
}

/// A running `fabstir node --role builder`.
pub struct BuilderNode {
    /// Where it serves `fabstir_partitions`.
    pub address: SocketAddr,
    builder: Arc<Builder>,
    server: ServerHandle,
    watching: JoinHandle<()>,
    /// Its admin API, if it has one.
    pub admin: Option<admin::Running>,
}

impl BuilderNode {
    /// Begins to take partitions.
    ///
    /// # Errors
    /// If Redis, the keys or the address to serve on cannot be used.
    pub(crate) async fn start(
        config: Config,
        node: NodeClient,
        signers: Signers,
        cluster: ClusterConfig,
        settings: serve::Settings,
        (board, admin): (Arc<Board>, Option<admin::Opened>),
    ) -> Result<Self> {
        let builder = Builder::start(config, node, signers.bundlers, signers.funder, cluster).await?;
        let builder = Arc::new(builder);
        let mut module = RpcModule::new(Arc::clone(&builder));
        module.register_method("fabstir_partitions", |_, builder, _| states(builder))?;
        let (address, server) = serve::start(settings, module, observe::pages(&board)).await?;
        board.started();
        let admin = admin.map(|admin| admin.serve_builder(Arc::clone(&builder))).transpose()?;
        let watching = tokio::spawn(watch(Arc::clone(&builder), board));
        Ok(Self { address, builder, server, watching, admin })
    }

    /// Takes nothing more, sends what there is, and says what is left.
    pub async fn stop(self) {
        report(&self.builder.stop().await);
        let _ = self.server.stop();
        self.watching.abort();
        if let Some(admin) = self.admin {
            admin.task.abort();
        }
    }
}

/// Between two looks at a builder.
const LOOKS: Duration = Duration::from_secs(1);

async fn watch(builder: Arc<Builder>, board: Arc<Board>) {
    loop {
        board.set("partitions", builder.problem().await);
        board.alive();
        tokio::time::sleep(LOOKS).await;
    }
}

/// Says what becomes of accepted operations that were not seen mined.
pub fn report(left: &[bundler::Left]) {
    for bundler::Left { user_op_hash, transaction, kept } in left {
        match transaction {
            None if *kept => println!("kept: {user_op_hash} is sent after the next start"),
            Some(transaction) => println!("sent: {user_op_hash} in {transaction}, not mined before shutdown"),
            None => println!("dropped: {user_op_hash} was not sent before shutdown"),
        }
    }
    println!("stopped: {} accepted operations not mined", left.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_works_with_others_needs_a_redis_and_who_is_alone_takes_none() {
        let of = |role| ClusterOptions { role, partitions: 7, lease_ms: 1_234, redis_replicas: 3 };
        assert!(of(Role::Alone).config(Some("redis://a")).unwrap().is_none());
        assert!(of(Role::Alone).config(None).unwrap().is_none());
        for role in [Role::Rpc, Role::Builder, Role::Both] {
            assert!(of(role).config(None).unwrap_err().to_string().contains("--redis"));
            let (told, config) = of(role).config(Some("redis://a")).unwrap().unwrap();
            assert_eq!((told, config.url.as_str(), config.partitions), (role, "redis://a", 7));
            assert_eq!((config.lease, config.replicas), (Duration::from_millis(1_234), 3));
        }
    }
}
