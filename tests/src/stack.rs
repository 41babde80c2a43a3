//! Chain, contracts and `fabstir node` as a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use anyhow::{Context, Result, bail};
use bundler::node::NodeClient;
use erc4337::abi::test_usdc;
use fabstir::{Client, Deployment};
use jsonrpsee::{
    core::client::ClientT,
    http_client::{HttpClient, HttpClientBuilder},
};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    Others,
    anvil::{Anvil, KEYS},
    chain::Kind,
    patience::{said, within},
};

/// The binary under test, built beside the tests.
pub fn fabstir() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("fabstir")
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A deployed chain with a node in front of it.
#[derive(Debug)]
pub struct Stack {
    /// The chain.
    pub anvil: Anvil,
    /// Where everything is.
    pub deployment: Deployment,
    /// The file that says so.
    pub deployment_file: PathBuf,
    /// The node.
    pub node: NodeProcess,
    /// Who else is on the chain, where there is somebody.
    _others: Option<Others>,
}

/// A `fabstir node` process.
#[derive(Debug)]
pub struct NodeProcess {
    /// Its JSON-RPC endpoint.
    pub url: String,
    /// To ask it.
    pub rpc: HttpClient,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Stack {
    /// On a chain of the kind that is set for this thread.
    pub async fn start(arguments: &[&str]) -> Result<Self> {
        let anvil = Anvil::start().await?;
        let node_url = anvil.url.clone();
        Self::on(anvil, &node_url, arguments).await
    }

    /// On this chain, which the node reaches through `node_url`; with more arguments for the node.
    pub async fn on(anvil: Anvil, node_url: &str, arguments: &[&str]) -> Result<Self> {
        let (deployment, deployment_file, others) = Self::deploy(&anvil).await?;
        let node = NodeProcess::start(node_url, &deployment_file, arguments).await?;
        Ok(Self { anvil, deployment, deployment_file, node, _others: others })
    }

    /// The same, with everything that the node has to say written to this file.
    pub async fn logged(anvil: Anvil, node_url: &str, arguments: &[&str], log: &Path) -> Result<Self> {
        let (deployment, deployment_file, others) = Self::deploy(&anvil).await?;
        let node = NodeProcess::logged(node_url, &deployment_file, arguments, log).await?;
        Ok(Self { anvil, deployment, deployment_file, node, _others: others })
    }

    async fn deploy(anvil: &Anvil) -> Result<(Deployment, PathBuf, Option<Others>)> {
        let deployment_file = std::env::temp_dir().join(format!(
            "fabstir-test-{}-{}.json",
            std::process::id(),
            anvil.url.rsplit(':').next().unwrap_or_default()
        ));
        let signer = SecretKey::from_hex(KEYS[2])?.address();
        let deployed = Command::new(fabstir())
            .args(["deploy", "--node-url", &anvil.url, "--chain", "local", "--broadcast"])
            .args(["--paymaster-signer", &signer.to_string(), "--deployment"])
            .arg(&deployment_file)
            .env("FABSTIR_DEPLOYER_KEY", KEYS[0])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .status();
        let done = within("the deployment", deployed).await?;
        if !done.success() {
            bail!("fabstir deploy failed");
        }
        anvil.begin().await?;
        let others = if anvil.kind == Kind::Base { Some(Others::start(anvil).await?) } else { None };
        Ok((Deployment::read(&deployment_file)?, deployment_file, others))
    }

    /// An account with this key, which holds `tokens` (base units) of the test token.
    pub async fn client(&self, key: SecretKey, tokens: u64) -> Result<Client> {
        let node = NodeClient::new(&self.anvil.url)?;
        let client = Client::new(&self.node.url, node, self.deployment.clone(), key).await?;
        let mint = test_usdc::mintCall { to: client.account, amount: U256::from(tokens) };
        self.anvil.transact(Some(self.deployment.token), mint.abi_encode(), U256::ZERO).await?;
        Ok(client)
    }

    /// What `fabstir dev` writes for clients, for this stack and a host of this key.
    pub fn session(&self, host: Address, key: &SecretKey) -> Value {
        json!({
            "rpcUrl": self.node.url,
            "nodeUrl": self.anvil.url,
            "deployment": self.deployment,
            "host": { "account": host, "key": &*key.expose_hex(), "model": fabstir::deploy::DEMO_MODEL },
            "faucetKey": KEYS[3],
            "paymasterKey": KEYS[2],
        })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.deployment_file);
    }
}

impl NodeProcess {
    /// Starts it and waits until it is ready.
    pub async fn start(node_url: &str, deployment: &Path, arguments: &[&str]) -> Result<Self> {
        let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "error".into());
        Self::spawn(node_url, deployment, arguments, &level, Stdio::inherit(), Command::new(fabstir())).await
    }

    /// The same with these variables in its environment.
    pub async fn with(
        node_url: &str,
        deployment: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut program = Command::new(fabstir());
        program.envs(environment.iter().copied());
        let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "off".into());
        Self::spawn(node_url, deployment, arguments, &level, Stdio::inherit(), program).await
    }

    /// The same for one that is not ended by a signal when it writes past the largest file it may, but told.
    pub async fn unwarned(node_url: &str, deployment: &Path, arguments: &[&str]) -> Result<Self> {
        let mut program = Command::new("sh");
        program.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(fabstir());
        Self::spawn(node_url, deployment, arguments, "off", Stdio::inherit(), program).await
    }

    /// One that may have no more than so many files open; with its warnings and errors written to this file.
    pub async fn with_few_files(node_url: &str, deployment: &Path, files: u32, log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log)?;
        let mut program = Command::new("sh");
        program.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(fabstir());
        Self::spawn(node_url, deployment, &[], "warn", file.into(), program).await
    }

    /// The same, with everything that it has to say written to this file.
    pub async fn logged(node_url: &str, deployment: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log)?;
        Self::spawn(node_url, deployment, arguments, "debug", file.into(), Command::new(fabstir())).await
    }

    async fn spawn(
        node_url: &str,
        deployment: &Path,
        arguments: &[&str],
        level: &str,
        log: Stdio,
        mut program: Command,
    ) -> Result<Self> {
        // Unless it is to have another one.
        if program.as_std().get_envs().all(|(name, _)| name != "FABSTIR_BUNDLER_KEY") {
            program.env("FABSTIR_BUNDLER_KEY", KEYS[1]);
        }
        let mut child = program
            .args(["node", "--listen", "127.0.0.1:0", "--node-url", node_url, "--deployment"])
            .arg(deployment)
            .args(if arguments.contains(&"--poll-ms") { &[][..] } else { &["--poll-ms", "20"] })
            .args(arguments)
            .env("FABSTIR_PAYMASTER_KEY", KEYS[2])
            .env("RUST_LOG", level)
            .stdin(Stdio::null())
            .stderr(log)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let url = said(&mut lines, "ready: ").await.context("fabstir node")?;
        let rpc = HttpClientBuilder::default().build(&url)?;
        Ok(Self { url, rpc, child, lines })
    }

    /// Any method, with these parameters.
    pub async fn ask(&self, method: &str, params: Vec<Value>) -> Result<Value, jsonrpsee::core::ClientError> {
        let mut array = jsonrpsee::core::params::ArrayParams::new();
        for param in params {
            array.insert(param).unwrap();
        }
        self.rpc.request(method, array).await
    }

    /// Its process, if it has not ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("it has ended already")
    }

    /// Asks it to stop.
    pub async fn terminate(&self) -> Result<()> {
        self.signal("TERM").await
    }

    /// Sends it this signal.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid()?.to_string()]).status().await?;
        if sent.success() { Ok(()) } else { bail!("kill failed") }
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self) -> Result<()> {
        self.terminate().await?;
        within("the end of a node", self.child.wait()).await?;
        Ok(())
    }

    /// Whether it ends by itself within this time.
    pub async fn has_ended(&mut self, patience: Duration) -> Result<bool> {
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => status.map(|_| true).map_err(Into::into),
            Err(_) => Ok(false),
        }
    }

    /// Ends it as a power cut would; whether it had ended by itself before.
    pub async fn kill(&mut self) -> Result<bool> {
        let ended = self.child.try_wait()?.is_some();
        if !ended {
            self.child.kill().await?;
        }
        Ok(ended)
    }

    /// Waits for its end, at most this long; what it printed since it was ready, and whether it ended well.
    pub async fn end(mut self, patience: Duration) -> Result<(Vec<String>, bool)> {
        let lines = async {
            let mut lines = Vec::new();
            while let Some(line) = self.lines.next_line().await? {
                lines.push(line);
            }
            anyhow::Ok((lines, self.child.wait().await?.success()))
        };
        tokio::time::timeout(patience, lines).await.context("it did not end in time")?
    }
}
