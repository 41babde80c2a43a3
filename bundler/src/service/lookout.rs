//! Following the chain, and admitting by what is seen of it: the same for a bundler and for an rpc node without one.

use std::sync::{Arc, atomic::AtomicBool};

use alloy::primitives::Address;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::{Bundler, StartError};
use crate::{
    Config, Head, Trail,
    engine::{Command, Interest},
    evm::self_test,
    follower::{Activity, Follower, Inclusion, finality},
    index::{self, Index, Logs, Wanted},
    lives::Lives,
    node::NodeClient,
    signal::Signal,
};

/// What follows the chain, before anybody listens.
pub(super) struct Lookout {
    pub(super) heads: watch::Sender<Head>,
    follower: Follower,
    index: Arc<Index>,
    logs: Arc<Logs>,
    trail: Arc<Trail>,
    pub(super) lives: Arc<Lives>,
}

impl Lookout {
    /// The first head, and what was executed from `since` on up to it; transactions of `keys` are ours.
    pub(super) async fn start(
        config: &Arc<Config>,
        node: &NodeClient,
        keys: Vec<Address>,
        since: Option<u64>,
    ) -> Result<(Self, Vec<Inclusion>), StartError> {
        let file = config.data_dir.as_deref().map(|folder| folder.join("index.redb"));
        let wanted = Wanted::of(config);
        let index = Arc::new(Index::open(Arc::clone(&config.disk), file.as_deref(), config.chain.chain_id, wanted)?);
        index.resume(node, config.reorg_blocks()).await?;
        let logs = Arc::new(Logs::new(node.clone(), config.entry_points.keys().copied().collect()));
        let own = keys.into_iter().collect();
        let (trail, of) = (Arc::<Trail>::default(), Arc::clone(config));
        let mut follower =
            Follower::new(node.clone(), of, Arc::clone(&index), Arc::clone(&logs), Arc::clone(&trail), own);
        let (first, inclusions) = follower.first(since).await?;
        self_test::run(&config.chain, node, &first.block).await?;
        Ok((Self { heads: watch::Sender::new(first), follower, index, logs, trail, lives: Arc::default() }, inclusions))
    }

    /// Begins to tell `engine` of the chain; the handle to all of it.
    pub(super) fn watch(
        self,
        config: Arc<Config>,
        node: NodeClient,
        engine: mpsc::Sender<Command>,
        interested: watch::Receiver<Interest>,
        address: Address,
    ) -> Bundler {
        let Self { heads: heads_sender, follower, index, logs, trail, lives } = self;
        let (heads, wake) = (heads_sender.subscribe(), Arc::<Notify>::default());
        if let Some(every) = config.preconfirmation_interval {
            tokio::spawn(finality::preconfirm(node.clone(), every, interested.clone(), engine.downgrade()));
        }
        let (of, weak) = (Arc::clone(&config), engine.downgrade());
        tokio::spawn(finality::safety(node.clone(), of, heads.clone(), interested.clone(), weak));
        tokio::spawn(index::backfill(Arc::downgrade(&index), Arc::clone(&logs)));
        // The follower holds the engine weakly, so that it is the handles that keep both alive.
        let activity = Arc::<Activity>::default();
        let (woken, asked) = (Arc::clone(&wake), Arc::clone(&activity));
        tokio::spawn(follower.run(heads_sender, engine.downgrade(), woken, interested, asked));
        let moved = Signal::default();
        let (mut newer, signal) = (heads.clone(), moved.clone());
        tokio::spawn(async move {
            while newer.changed().await.is_ok() {
                signal.give();
            }
            // Nothing more comes.
            signal.give();
        });
        let lanes = Arc::new(Semaphore::new(config.max_concurrent_validations));
        let studies = Arc::new(Semaphore::new(config.max_concurrent_estimates));
        let intake_paused = Arc::new(AtomicBool::new(config.intake_paused));
        Bundler {
            config,
            node,
            heads,
            moved,
            engine,
            address,
            lanes,
            studies,
            intake_paused,
            index,
            logs,
            trail,
            wake,
            activity,
            lives,
        }
    }
}
