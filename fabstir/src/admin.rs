//! Settings of the admin API: the paymaster's routes, and the bundler's controls.

mod builder;
mod controls;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use bundler::{Builder, Bundler};
use paymaster::{
    Service,
    admin::{Admin, Audit, Keys},
    policies::Source,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Whether there is an admin API, and for whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AdminOptions {
    /// Where to serve the admin API, with the bundler's controls at /rpc, and the web console, at /console/; without it
    /// there is none of them. Not for the open internet: no TLS.
    #[arg(long, env = "FABSTIR_ADMIN_LISTEN", requires = "admin_keys")]
    admin_listen: Option<SocketAddr>,
    /// File of the hashes and roles of its keys (docs/policies.md).
    #[arg(long, env = "FABSTIR_ADMIN_KEYS")]
    admin_keys: Option<PathBuf>,
    /// Its audit log; else audit.jsonl in the data folder, or in the working folder.
    #[arg(long, env = "FABSTIR_ADMIN_AUDIT")]
    admin_audit: Option<PathBuf>,
}

/// A running admin API.
#[derive(Debug)]
pub struct Running {
    /// Where it serves.
    pub address: SocketAddr,
    pub(crate) task: JoinHandle<()>,
}

impl AdminOptions {
    /// At this address, for the keys of this file, with this audit log.
    pub fn at(listen: SocketAddr, keys: PathBuf, audit: PathBuf) -> Self {
        Self { admin_listen: Some(listen), admin_keys: Some(keys), admin_audit: Some(audit) }
    }

    /// Reads the keys and the log, and takes the address, if it is asked for.
    ///
    /// # Errors
    /// If the keys, the log or the address cannot be used.
    pub(crate) async fn open(&self, data_dir: Option<PathBuf>) -> Result<Option<Opened>> {
        let (Some(listen), Some(keys)) = (self.admin_listen, &self.admin_keys) else { return Ok(None) };
        let text = std::fs::read_to_string(keys).with_context(|| format!("admin keys {}", keys.display()))?;
        let keys = Keys::parse(&text).with_context(|| format!("admin keys {}", keys.display()))?;
        let log = self.admin_audit.clone().unwrap_or_else(|| data_dir.unwrap_or_default().join("audit.jsonl"));
        let audit = Audit::open(&log).with_context(|| log.display().to_string())?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        Ok(Some(Opened { keys, audit, listener }))
    }
}

/// An admin API that is not served yet.
#[derive(Debug)]
pub(crate) struct Opened {
    keys: Keys,
    audit: Audit,
    listener: TcpListener,
}

impl Opened {
    /// What the operator had paused stays so.
    pub(crate) fn apply(&self, config: &mut bundler::Config) {
        (config.intake_paused, config.bundling_paused) = controls::paused(&self.audit);
        if config.intake_paused || config.bundling_paused {
            let (intake, bundling) = (config.intake_paused, config.bundling_paused);
            tracing::warn!(intake, bundling, "paused by the operator before this start, and still");
        }
    }

    /// Serves a builder's controls, and nothing else.
    ///
    /// # Errors
    /// If the address is not to be had any more.
    pub(crate) fn serve_builder(self, builder: Arc<Builder>) -> Result<Running> {
        let Self { keys, audit, listener } = self;
        let address = listener.local_addr()?;
        let controls = Arc::new(builder::BuilderControls(builder));
        Ok(Running { address, task: paymaster::admin::serve_controls(keys, audit, controls, listener) })
    }

    /// Serves it, and its web console.
    ///
    /// # Errors
    /// If the address is not to be had any more.
    pub(crate) fn serve(self, service: Arc<Service>, source: Option<Source>, bundler: Bundler) -> Result<Running> {
        let Self { keys, audit, listener } = self;
        let address = listener.local_addr()?;
        let admin =
            Admin::new(service, source, keys, audit).with_controls(Arc::new(controls::BundlerControls(bundler)));
        Ok(Running { address, task: admin.serve(listener) })
    }
}
