//! Settings of the paymaster's admin API.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use paymaster::{
    Service,
    admin::{Admin, Audit, Keys},
    policies::Source,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Whether there is an admin API, and for whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AdminOptions {
    /// Where to serve the paymaster's admin API and its web console, at /console/; without it there is neither. Not for
    /// the open internet: no TLS.
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

    /// Serves it, and its web console, if it is asked for.
    ///
    /// # Errors
    /// If the keys, the log or the address cannot be used.
    pub(crate) async fn start(
        &self,
        service: Arc<Service>,
        source: Option<Source>,
        data_dir: Option<PathBuf>,
    ) -> Result<Option<Running>> {
        let (Some(listen), Some(keys)) = (self.admin_listen, &self.admin_keys) else { return Ok(None) };
        let text = std::fs::read_to_string(keys).with_context(|| format!("admin keys {}", keys.display()))?;
        let keys = Keys::parse(&text).with_context(|| format!("admin keys {}", keys.display()))?;
        let log = self.admin_audit.clone().unwrap_or_else(|| data_dir.unwrap_or_default().join("audit.jsonl"));
        let audit = Audit::open(&log).with_context(|| log.display().to_string())?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        let address = listener.local_addr()?;
        Ok(Some(Running { address, task: Admin::new(service, source, keys, audit).serve(listener) }))
    }
}
