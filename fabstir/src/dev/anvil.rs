//! The chain of `fabstir dev`: where its program is, and how it is started.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use jsonrpsee::{core::client::ClientT, http_client::HttpClientBuilder, rpc_params};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::Mutex,
    task::JoinHandle,
    time::MissedTickBehavior,
};

/// States of this many blocks are kept, in memory: without a limit anvil writes megabytes a block to disk, and leaves
/// them there.
pub const KEPT_STATES: &str = "300";

/// As many as a node of Base's keeps; each holds the hashes of all blocks before it, and the chain goes on for hours.
const KEPT_FOR_LONG: &str = "128";

/// Gas in a block of Base's.
pub const GAS_LIMIT: &str = "40000000";

/// Between two blocks of Base's.
const BLOCK_TIME: Duration = Duration::from_millis(200);

/// Where npm puts it, from the repository's root.
const PACKAGES: &str = "contracts/node_modules/@foundry-rs";

/// The anvil program: `given`, unless that is empty; else the one that `make` has installed in the repository that
/// `from` lies in; else the one on the `PATH`.
///
/// # Errors
/// If it is nowhere: what to do about it.
pub fn program(given: Option<&Path>, from: &Path) -> Result<PathBuf> {
    if let Some(given) = given.filter(|path| !path.as_os_str().is_empty()) {
        return match which(given) {
            Some(path) => Ok(path),
            None => bail!("no anvil at {}, which --anvil or FABSTIR_ANVIL names", given.display()),
        };
    }
    from.ancestors()
        .find_map(installed)
        .or_else(|| which(Path::new("anvil")))
        .context("anvil is not installed: run `make contracts`, or name the program with --anvil or FABSTIR_ANVIL")
}

/// The one that npm has installed in the repository at `root`.
fn installed(root: &Path) -> Option<PathBuf> {
    let packages = std::fs::read_dir(root.join(PACKAGES)).ok()?;
    packages
        .filter_map(|package| Some(package.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("anvil-")))
        .map(|path| path.join("bin/anvil"))
        .find(|path| path.is_file())
}

/// A program by its path, or by its name on the `PATH`.
fn which(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Starts a chain that mines each transaction at once, and no other blocks until [`Blocks`] begin.
///
/// # Errors
/// If the program is nowhere, or ends before it listens.
pub(super) async fn start(given: Option<&Path>, port: u16) -> Result<(Child, String)> {
    let program = program(given, &std::env::current_dir()?)?;
    let mut anvil = Command::new(&program)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--hardfork", "osaka", "--prune-history", KEPT_FOR_LONG])
        .args(["--gas-limit", GAS_LIMIT])
        // Else what it puts on disk after all is left in a folder of the user's own.
        .arg("--cache-path")
        .arg(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        // A signal from the terminal is for us: the chain must outlive the bundler's last bundle.
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    let stdout = anvil.stdout.take().context("anvil has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix("Listening on ") {
            let url = format!("http://{address}");
            // Keep reading, or anvil stalls on a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((anvil, url));
        }
    }
    bail!("anvil ended before it listened")
}

/// As long as this is held, a chain that mined each transaction at once makes blocks as Base does since Denim: one every
/// 200 ms, with a whole second for its timestamp, which about five share.
///
/// Not by anvil's own `--block-time`: with that at two seconds or less it keeps 1,500 states, whatever `--prune-history`
/// says, and the hashes of all blocks in each: a gigabyte after a quarter of an hour of empty blocks. Nor could it be told
/// to begin only when everything is deployed, which takes 83 transactions, each resting on the one before.
#[derive(Debug)]
pub struct Blocks {
    task: JoinHandle<()>,
    turn: Arc<Mutex<()>>,
}

impl Blocks {
    /// From now on, on the anvil at this URL.
    ///
    /// # Errors
    /// If it does not do as it is told.
    pub async fn begin(url: &str) -> Result<Self> {
        let anvil = HttpClientBuilder::default().build(url)?;
        let _: Value = anvil.request("evm_setAutomine", rpc_params![false]).await?;
        let mut due = tokio::time::interval(BLOCK_TIME);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let turn = Arc::<Mutex<()>>::default();
        let ours = Arc::clone(&turn);
        let task = tokio::spawn(async move {
            loop {
                due.tick().await;
                let _turn = ours.lock().await;
                // A chain that does not answer is noticed by those who wait for it.
                let _ = anvil.request::<Value, _>("evm_mine", rpc_params![]).await;
            }
        });
        Ok(Self { task, turn })
    }

    /// As long as this is locked, no block comes by the clock. To be held by whoever makes blocks, or takes them back:
    /// anvil does not stand two at a time.
    pub fn turn(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.turn)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_from_any_folder_of_the_repository_and_not_before_it_is_installed() {
        let root = std::env::temp_dir().join(format!("fabstir-anvil-{}", std::process::id()));
        let (package, below) = (root.join(PACKAGES).join("anvil-linux-amd64/bin"), root.join("a/b"));
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(installed(&root), None);
        std::fs::create_dir_all(&package).unwrap();
        std::fs::write(package.join("anvil"), "").unwrap();
        assert_eq!(program(None, &below).unwrap(), package.join("anvil"));
        assert_eq!(program(Some(Path::new("")), &below).unwrap(), package.join("anvil"), "empty is unset");
        let wrong = program(Some(Path::new("/nowhere/anvil")), &below).unwrap_err().to_string();
        assert!(wrong.contains("/nowhere/anvil") && wrong.contains("FABSTIR_ANVIL"), "{wrong}");
        std::fs::remove_dir_all(root).unwrap();
    }
}
