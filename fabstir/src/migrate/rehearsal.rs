//! A migration on a chain that plays along: forward, looked at, back, looked at again.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use anyhow::{Context, Result, bail, ensure};
use erc4337::abi::node_registry;
use jsonrpsee::{
    core::client::ClientT,
    http_client::{HttpClient, HttpClientBuilder},
    rpc_params,
};
use serde_json::{Value, json};

use super::{Change, transaction, upgrade};
use crate::{
    deploy::CREATE2_DEPLOYER,
    doctor::Verdict,
    monitor::{View, books::Books, solvency},
};

/// Nodes in a page, the registry's highest.
const PAGE: u64 = 100;

/// What everybody owns.
#[derive(Debug, PartialEq, Eq)]
struct Owned {
    books: Books,
    /// By host: stake and what of it is on its way out.
    stakes: Vec<(Address, U256, U256)>,
}

impl Owned {
    async fn read(view: &View<'_>) -> Result<Self> {
        let mut findings = Vec::new();
        solvency::examine(view, &mut findings).await?;
        if let Some(wrong) = findings.iter().find(|finding| finding.verdict != Verdict::Ok) {
            bail!("{}: {}", wrong.check, wrong.seen);
        }
        let (mut stakes, mut cursor) = (Vec::new(), U256::ZERO);
        loop {
            let call = node_registry::nodesCall { cursor, limit: U256::from(PAGE) };
            let page = view.read(view.deployment.node_registry, call).await?;
            stakes.extend(page.page.iter().map(|node| (node.host, U256::from(node.stake), U256::from(node.unbonding))));
            cursor = page.next;
            if cursor.is_zero() {
                return Ok(Self { books: Books::of(view).await?, stakes });
            }
        }
    }
}

pub(super) async fn run(url: &str, view: &View<'_>, changes: &[Change]) -> Result<()> {
    let anvil = HttpClientBuilder::default().build(url)?;
    let version: String = anvil.request("web3_clientVersion", rpc_params![]).await?;
    ensure!(version.starts_with("anvil"), "a rehearsal wants an anvil with a saved state, not {version}");
    let timelock = view.deployment.governance.timelock;
    anvil.request::<Value, _>("anvil_impersonateAccount", rpc_params![timelock]).await?;
    let had: U256 = anvil.request("eth_getBalance", rpc_params![timelock, "latest"]).await?;
    anvil.request::<Value, _>("anvil_setBalance", rpc_params![timelock, U256::from(10).pow(U256::from(20))]).await?;

    let before = Owned::read(view).await.context("before")?;
    for change in changes {
        let address = CREATE2_DEPLOYER.create2(B256::ZERO, keccak256(&change.code));
        if view.node.code(address).await?.is_empty() {
            let input = [B256::ZERO.as_slice(), &change.code].concat().into();
            send(&anvil, timelock, CREATE2_DEPLOYER, &input).await.context("deploying")?;
        }
    }
    for change in changes {
        send(&anvil, timelock, change.proxy, &upgrade(change.to)).await.with_context(|| change.name.clone())?;
    }
    let after = Owned::read(view).await.context("after the migration")?;
    ensure!(after == before, "the migration changed what somebody owns: {before:?} has become {after:?}");
    for change in changes.iter().rev() {
        send(&anvil, timelock, change.proxy, &upgrade(change.from)).await.with_context(|| change.name.clone())?;
    }
    let again = Owned::read(view).await.context("after going back")?;
    ensure!(again == before, "going back changed what somebody owns: {before:?} has become {again:?}");
    anvil.request::<Value, _>("anvil_setBalance", rpc_params![timelock, had]).await?;
    anvil.request::<Value, _>("anvil_stopImpersonatingAccount", rpc_params![timelock]).await?;
    let Owned { books, stakes } = before;
    println!(
        "rehearsed forward and back: {} credits, {} locks and {} stakes stay as they are",
        books.credits.len(),
        books.locks.len(),
        stakes.len()
    );
    Ok(())
}

async fn send(anvil: &HttpClient, from: Address, to: Address, data: &Bytes) -> Result<()> {
    let hash: B256 = anvil.request("eth_sendTransaction", rpc_params![transaction(from, to, data)]).await?;
    for _ in 0..500 {
        let receipt: Value = anvil.request("eth_getTransactionReceipt", rpc_params![hash]).await?;
        if !receipt.is_null() {
            ensure!(receipt["status"] == json!("0x1"), "transaction {hash} to {to} reverted");
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    bail!("transaction {hash} to {to} was not mined")
}
