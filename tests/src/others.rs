//! Other people's transactions: what a chain that is not ours alone has in its blocks.

use alloy::primitives::{Address, U256, address};
use anyhow::{Context, Result};
use jsonrpsee::{
    core::{
        client::{ClientT, Subscription, SubscriptionClientT},
        params::BatchRequestBuilder,
    },
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{Anvil, programs::asm::op};

/// Whose transactions head each block of the OP stack.
const DEPOSITOR: Address = address!("0xDeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001");
/// What they call: attributes of L1, and since Denim the time in milliseconds.
const HEADED: [Address; 2] =
    [address!("0x4200000000000000000000000000000000000015"), address!("0x4200000000000000000000000000000000000030")];
/// Sends the others.
const SOMEBODY: Address = Address::repeat_byte(0x0e);
/// Takes all gas that it is given, and no time: `INVALID`.
const FURNACE: Address = Address::repeat_byte(0xf1);
/// Transactions that share half of a block.
const EACH: u64 = 2;
/// Wei per gas: above what an operation of the tests pays, and below what heads a block.
const TIP: u64 = 2_000_000_000;
const FIRST: u64 = 100_000_000_000;
/// Wei per gas; the base fee does not come to it.
const MOST: u64 = 1_000_000_000_000;

/// As long as this is held, each block begins with two transactions as deposits head Base's, and others take half of it,
/// whose tips are higher than ours.
#[derive(Debug)]
pub struct Others(JoinHandle<()>);

impl Others {
    /// On this chain, from its next head on.
    pub async fn start(anvil: &Anvil) -> Result<Self> {
        anvil.ask("anvil_setCode", vec![json!(FURNACE), json!(format!("0x{:02x}", op::INVALID))]).await?;
        for sender in [DEPOSITOR, SOMEBODY] {
            anvil.ask("anvil_impersonateAccount", vec![json!(sender)]).await?;
            anvil.ask("anvil_setBalance", vec![json!(sender), json!(U256::from(u128::MAX))]).await?;
        }
        let client = WsClientBuilder::default().build(anvil.url.replace("http", "ws")).await?;
        let heads: Subscription<Value> =
            client.subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe").await?;
        Ok(Self(tokio::spawn(fill(client, heads))))
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends what the next block is to have, with each head, until the chain ends.
async fn fill(client: WsClient, mut heads: Subscription<Value>) {
    while let Some(Ok(head)) = heads.next().await {
        // What is still in the pool from the head before, or from before a reorganisation, is refused as known: fine.
        let _ = send(&client, &head).await;
    }
}

async fn send(client: &WsClient, head: &Value) -> Result<()> {
    let limit: U256 = serde_json::from_value(head["gasLimit"].clone())?;
    let first = (DEPOSITOR, FIRST, HEADED.map(|to| (to, U256::from(100_000))).to_vec());
    let rest = (SOMEBODY, TIP, vec![(FURNACE, limit / U256::from(2 * EACH)); EACH as usize]);
    let mut batch = BatchRequestBuilder::new();
    for (from, tip, calls) in [first, rest] {
        let nonce: U256 = client.request("eth_getTransactionCount", rpc_params![from, "latest"]).await?;
        for (index, (to, gas)) in calls.into_iter().enumerate() {
            let transaction = json!({
                "from": from, "to": to, "gas": gas, "nonce": nonce + U256::from(index),
                "maxFeePerGas": U256::from(MOST), "maxPriorityFeePerGas": U256::from(tip),
            });
            batch.insert("eth_sendTransaction", rpc_params![transaction])?;
        }
    }
    client.batch_request::<Value>(batch).await.context("nothing was sent")?;
    Ok(())
}
