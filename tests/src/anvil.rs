//! A real anvil on a free port.

use std::{process::Stdio, sync::Mutex, time::Instant};

use alloy::primitives::{Address, B256, Bytes, U256};
use anyhow::{Context, Result, bail, ensure};
use fabstir::dev::anvil::{Blocks, KEPT_STATES};
use jsonrpsee::{
    core::{
        client::ClientT,
        params::{ArrayParams, BatchRequestBuilder},
    },
    http_client::{HttpClient, HttpClientBuilder},
    rpc_params,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    chain::Kind,
    patience::{PATIENCE, said},
};

/// Keys of anvil's first accounts, publicly known.
pub const KEYS: [&str; 4] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];

/// Methods that make blocks, or take them back.
const MAKES_BLOCKS: [&str; 3] = ["evm_mine", "anvil_mine", "anvil_reorg"];

/// Gas of a transaction that fits into what others leave of a block, and under the cap of Osaka.
const ROOM: u64 = 16_000_000;

/// A running chain; it ends with this value.
#[derive(Debug)]
pub struct Anvil {
    /// Its HTTP endpoint.
    pub url: String,
    /// What it is like.
    pub kind: Kind,
    blocks: Mutex<Option<Blocks>>,
    rpc: HttpClient,
    process: Child,
}

impl Anvil {
    /// Of the kind that is set for this thread.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// With more arguments, such as `--no-mining`, or another hardfork than Base's.
    pub async fn start_with(arguments: &[&str]) -> Result<Self> {
        let (program, kind) = (program()?, Kind::here());
        let hardfork: &[&str] = if arguments.contains(&"--hardfork") { &[] } else { &["--hardfork", "osaka"] };
        let mut process = Command::new(program)
            .args(["--port", "0"])
            .args(hardfork)
            .args(["--prune-history", KEPT_STATES])
            // Else it leaves a folder in the user's own, each time.
            .arg("--cache-path")
            .arg(std::env::temp_dir())
            .args(kind.arguments())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        let address = said(&mut lines, "Listening on ").await.context("anvil")?;
        let url = format!("http://{address}");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let rpc = HttpClientBuilder::default().build(&url)?;
        Ok(Self { url, kind, blocks: Mutex::new(None), rpc, process })
    }

    /// Has it stand still, or go on.
    pub async fn freeze(&self, frozen: bool) -> Result<()> {
        crate::redis::signal(self.process.id(), if frozen { "STOP" } else { "CONT" }).await
    }

    /// Blocks come from now on as they do on a chain of its kind, if that is not with each transaction.
    pub async fn begin(&self) -> Result<()> {
        if self.kind == Kind::Base {
            let blocks = Blocks::begin(&self.url).await?;
            *self.blocks.lock().expect("nobody panics with it") = Some(blocks);
        }
        Ok(())
    }

    /// No block comes any more but those that are asked for.
    pub async fn hold(&self) -> Result<()> {
        *self.blocks.lock().expect("nobody panics with it") = None;
        self.ask("evm_setAutomine", vec![json!(false)]).await?;
        Ok(())
    }

    /// Has other blocks, empty ones, take the place of block `first` and of all after it.
    pub async fn reorganise(&self, first: u64) -> Result<()> {
        let hash = async || -> Result<Value> {
            Ok(self.ask("eth_getBlockByNumber", vec![json!(U256::from(first)), json!(false)]).await?["hash"].clone())
        };
        let before = hash().await?;
        let begun = Instant::now();
        while hash().await? == before {
            ensure!(begun.elapsed() < PATIENCE, "block {first} does not go");
            // Again, if another block came meanwhile and one too few went.
            let tip: U256 = serde_json::from_value(self.ask("eth_blockNumber", vec![]).await?)?;
            let depth = tip.saturating_to::<u64>() + 1 - first;
            self.ask("anvil_reorg", vec![json!(depth), json!([])]).await?;
        }
        Ok(())
    }

    /// Any method, standard or anvil's own: the test's business, not the product's.
    pub async fn ask(&self, method: &str, params: Vec<Value>) -> Result<Value> {
        let mut array = ArrayParams::new();
        for param in params {
            array.insert(param)?;
        }
        // anvil does not stand two that make blocks at a time, or one that makes them while another takes them back.
        let turn = self.blocks.lock().expect("nobody panics with it").as_ref().map(Blocks::turn);
        let _turn = match turn.filter(|_| MAKES_BLOCKS.contains(&method)) {
            Some(turn) => Some(turn.lock_owned().await),
            None => None,
        };
        Ok(self.rpc.request(method, array).await?)
    }

    /// Many at once, in one request; their answers are not wanted, but that they are no errors.
    pub async fn ask_all(&self, calls: &[(&str, Vec<Value>)]) -> Result<()> {
        let mut batch = BatchRequestBuilder::new();
        for (method, params) in calls {
            let mut array = ArrayParams::new();
            for param in params {
                array.insert(param)?;
            }
            batch.insert(method, array)?;
        }
        let answers = self.rpc.batch_request::<Value>(batch).await?;
        match answers.into_iter().find_map(Result::err) {
            Some(error) => bail!("{error:?}"),
            None => Ok(()),
        }
    }

    /// A transaction from anvil's first account, waited for; its receipt.
    pub async fn transact(&self, to: Option<Address>, data: impl Into<Bytes>, value: U256) -> Result<Value> {
        let from = session_keys::SecretKey::from_hex(KEYS[0])?.address();
        self.send(from, to, data.into(), value).await
    }

    /// A transaction from whomever it is said to be from, waited for; its receipt.
    pub async fn transact_as(&self, from: Address, to: Address, data: impl Into<Bytes>) -> Result<Value> {
        self.ask("anvil_impersonateAccount", vec![json!(from)]).await?;
        self.ask("anvil_setBalance", vec![json!(from), json!(U256::from(10).pow(U256::from(18)))]).await?;
        self.send(from, Some(to), data.into(), U256::ZERO).await
    }

    /// A transaction from an account that anvil signs for, waited for; its receipt.
    pub async fn send(&self, from: Address, to: Option<Address>, data: Bytes, value: U256) -> Result<Value> {
        let mut tx = json!({ "from": from, "to": to, "data": data, "value": value });
        if self.kind != Kind::AtOnce {
            // Where no estimate succeeds, anvil takes the limit of a block, for which there is no room beside others.
            tx["gas"] = json!(U256::from(ROOM));
        }
        let hash: B256 = self.rpc.request("eth_sendTransaction", rpc_params![tx]).await?;
        // What a test does by itself need not wait.
        if self.kind != Kind::AtOnce {
            self.ask("evm_mine", vec![]).await?;
        }
        for _ in 0..500 {
            let receipt = self.ask("eth_getTransactionReceipt", vec![json!(hash)]).await?;
            if !receipt.is_null() {
                return if receipt["status"] == "0x1" { Ok(receipt) } else { bail!("reverted: {receipt}") };
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let (transaction, head, pool) = tokio::try_join!(
            self.ask("eth_getTransactionByHash", vec![json!(hash)]),
            self.ask("eth_getBlockByNumber", vec![json!("latest"), json!(false)]),
            self.ask("txpool_inspect", vec![]),
        )?;
        bail!("was not mined: {transaction}\nat {head}\nin the pool: {pool}")
    }

    /// Wei at the latest block.
    pub async fn balance(&self, account: Address) -> Result<U256> {
        Ok(serde_json::from_value(self.ask("eth_getBalance", vec![json!(account), json!("latest")]).await?)?)
    }
}

/// `FABSTIR_ANVIL`, or the program that `make` installed.
///
/// # Errors
/// If it is nowhere.
pub fn program() -> Result<std::path::PathBuf> {
    let given = std::env::var_os("FABSTIR_ANVIL").map(std::path::PathBuf::from);
    fabstir::dev::anvil::program(given.as_deref(), &crate::stack::root())
}
