//! The node as `fabstir node` puts it together, on the world's chain and disk.

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::U256;
use bundler::{Bundler, ClusterConfig, Config, Signer, node::NodeClient, world::Disk as _};
use erc4337::ChainPreset;
use fabstir::{ledger as budgets, sponsored::InProcess, sponsorship::View};
use jsonrpsee::RpcModule;
use paymaster::{
    Deployed, Ledger, Limits, Policies, PolicySet, Service, Sponsor,
    ledger::{Embedded, Store},
    policy::compile,
};

use crate::{
    BUDGETS,
    chain::genesis::{self, SPONSOR, genesis},
    clock::Clock,
    disk::Disk,
    network::Way,
    oracle::{Budgets, Standing},
    redis::Redis,
};

/// Sponsors whatever there is room for.
const POLICY: &str = r#"
default = true

[account]
existing = "any"
factories = [FACTORIES]

[[call]]
name = "anything"
plain = true

[[limit]]
per = "operation"
amount = "1000 ether"
"#;

/// Seconds of a budget's period.
const DAY: u64 = 86_400;

/// Where what must not be lost is.
#[derive(Clone, Debug)]
pub enum Kept {
    /// In a file.
    Disk(Disk),
    /// In journals on Redis.
    Redis(Redis, Clock),
}

impl Kept {
    /// Whether a power cut, or the loss of a server, would leave these bytes.
    pub fn has(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Disk(disk) => disk.is_durable(crate::JOURNAL, bytes),
            Self::Redis(redis, clock) => redis.is_durable(bytes, clock.now()),
        }
    }
}

/// A running node.
pub struct Node {
    /// What it serves.
    pub rpc: Arc<RpcModule<()>>,
    /// To stop it.
    pub bundler: Bundler,
    /// What the paymaster promised.
    pub ledger: Option<Ledger>,
}

/// What it is started with.
pub struct Setup {
    pub preset: ChainPreset,
    pub disk: Disk,
    pub way: Way,
    pub signers: Vec<Signer>,
    pub budgets: Option<Budgets>,
}

impl Node {
    /// Starts one that hands over what it has admitted.
    ///
    /// # Errors
    /// Why it does not start.
    pub async fn relay(preset: ChainPreset, disk: Disk, way: Way, cluster: ClusterConfig) -> Result<Self, String> {
        let mut config = Config::new(preset);
        config.data_dir = Some(crate::FOLDER.into());
        config.disk = Arc::new(disk);
        let client = NodeClient::through(vec![Arc::new(way)], config.chain.block_time);
        let (bundler, _) = Bundler::relay(config, client, cluster).await.map_err(text)?;
        let mut rpc = RpcModule::new(());
        rpc.merge(bundler::rpc::module(bundler.clone()).map_err(text)?).map_err(text)?;
        Ok(Self { rpc: Arc::new(rpc), bundler, ledger: None })
    }

    /// Starts one that is alone.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn start(setup: Setup) -> Result<Self, String> {
        let Setup { preset, disk, way, signers, budgets } = setup;
        let mut config = Config::new(preset);
        config.data_dir = Some(crate::FOLDER.into());
        config.disk = Arc::new(disk.clone());
        // Where reputations are told.
        config.debug_rpc = true;
        let (chain_id, block_time) = (config.chain.chain_id, config.chain.block_time);
        let client = NodeClient::through(vec![Arc::new(way)], block_time);
        let (bundler, _) = Bundler::start(config, client.clone(), signers, None).await.map_err(text)?;
        let mut rpc = RpcModule::new(());
        rpc.merge(bundler::rpc::module(bundler.clone()).map_err(text)?).map_err(text)?;
        let mut ledger = None;
        if let Some(budgets) = budgets {
            let service = sponsoring(&budgets, chain_id, disk, client, &bundler).await?;
            ledger = Some(service.ledger().clone());
            rpc.merge(paymaster::rpc::module(Arc::new(service)).map_err(text)?).map_err(text)?;
        }
        Ok(Self { rpc: Arc::new(rpc), bundler, ledger })
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn sponsoring(
    limits: &Budgets,
    chain_id: u64,
    disk: Disk,
    client: NodeClient,
    bundler: &Bundler,
) -> Result<Service, String> {
    let deployed = |(version, paymaster): (&erc4337::EntryPointVersion, &alloy::primitives::Address)| {
        (version.canonical_address(), Deployed { version: *version, paymaster: *paymaster })
    };
    let paymasters: BTreeMap<_, _> = genesis().paymasters.iter().map(deployed).collect();
    let limits = Limits { total: limits.total, per_sender: limits.per_sender };
    let config = paymaster::Config { chain_id, paymasters, limits };
    let factories = genesis().accounts.values().flatten().map(|owned| format!("\"{}\"", owned.factory.0));
    let factories: std::collections::BTreeSet<_> = factories.collect();
    let policy = POLICY.replace("FACTORIES", &factories.into_iter().collect::<Vec<_>>().join(", "));
    let policy = compile(&policy, "all", &BTreeMap::new()).map_err(text)?;
    let policies = Policies::new(PolicySet::new([policy]).map_err(text)?);
    let sponsor = Sponsor::of(genesis::key(SPONSOR)).map_err(text)?;
    let store = Embedded::simulated(move |builder| disk.database(builder, BUDGETS.as_ref())).map_err(text)?;
    let heads = budgets::Heads::of(bundler);
    let started = budgets::start_on(Store::Embedded(store), &config, client.clone(), heads).await;
    let (ledger, _) = started.map_err(|error| format!("{error:#}"))?;
    let chain = Arc::new(View::new(client, bundler.clone()));
    let service = Service::new(config, policies, sponsor, ledger, chain);
    Ok(service.with_rehearsal(Arc::new(InProcess(bundler.clone()))))
}

/// The ledger's public figures, on the day of this second and the one before it.
///
/// # Errors
/// If it does not tell.
pub async fn standing(ledger: &Ledger, now: u64) -> Result<Standing, String> {
    let days = [("all", DAY, now), ("all", DAY, now - DAY)];
    let usage = ledger.usage(&days).await.map_err(text)?;
    let standing = ledger.standing().await.map_err(text)?;
    let sum = |wei: fn(&paymaster::ledger::Usage) -> U256| usage.iter().map(wei).sum();
    Ok(Standing {
        spent: standing.spent,
        reserved: sum(|usage| usage.reserved),
        settled: sum(|usage| usage.settled),
        alarms: standing.unreserved + standing.drift + U256::from(standing.deep_reorgs),
    })
}
