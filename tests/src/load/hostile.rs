//! Clients that want others not to be served.

use alloy::{
    primitives::{Address, Bytes, U256, address, bytes, utils::parse_ether},
    sol_types::SolCall,
};
use anyhow::Result;
use erc4337::{EntryPointVersion, abi::entry_point_v08};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

use crate::stack::Stack;

/// A way to be a nuisance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nuisance {
    /// Validation that looks at the clock.
    Violation,
    /// Validation that loops until the largest allowed limit is burnt.
    Burn,
    /// One sender, one nonce, always another call.
    OneSender,
    /// Many senders, one unstaked paymaster with a small deposit.
    OnePaymaster,
    /// Requests that are no JSON, or no operation.
    Malformed,
}

impl Nuisance {
    pub(super) const ALL: [Self; 5] =
        [Self::Violation, Self::Burn, Self::OneSender, Self::OnePaymaster, Self::Malformed];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Violation => "violate a rule",
            Self::Burn => "burn to the gas cap",
            Self::OneSender => "flood one sender",
            Self::OnePaymaster => "flood one paymaster",
            Self::Malformed => "malformed",
        }
    }
}

/// An account that looks at the clock and agrees.
const CLOCK: (Address, Bytes) = (address!("0xc10c00000000000000000000000000000000c10c"), bytes!("42505f5f5260205ff3"));
/// An account that never ends.
const LOOP: (Address, Bytes) = (address!("0x100b000000000000000000000000000000000000"), bytes!("5b5f56"));
/// An account that agrees.
const SENDER: (Address, Bytes) = (address!("0xacc0000000000000000000000000000000000000"), bytes!("5f5f5260205ff3"));
/// A paymaster that agrees, without a context.
const PAYMASTER: (Address, Bytes) =
    (address!("0xfa1e000000000000000000000000000000000000"), bytes!("60405f5260605ff3"));
/// Senders that use it.
const SPONSORED: u64 = 64;
/// The most gas that a validation is let have.
const GAS_CAP: u64 = 4_999_999;

/// The contracts of all of them, and a connection.
#[derive(Debug)]
pub(super) struct Hostile {
    entry_point: Address,
    url: String,
    http: Client<HttpConnector, Full<hyper::body::Bytes>>,
}

impl Hostile {
    pub(super) async fn new(stack: &Stack) -> Result<Self> {
        let entry_point = stack.deployment.entry_points[&EntryPointVersion::V0_8.to_string()];
        for (account, code) in [CLOCK, LOOP, SENDER, PAYMASTER] {
            stack.anvil.ask("anvil_setCode", vec![json!(account), json!(code)]).await?;
        }
        for number in 0..SPONSORED {
            stack.anvil.ask("anvil_setCode", vec![json!(sponsored(number)), json!(SENDER.1)]).await?;
        }
        for (account, wei) in [(CLOCK.0, "10"), (LOOP.0, "10"), (SENDER.0, "10"), (PAYMASTER.0, "0.01")] {
            let deposit = entry_point_v08::depositToCall { account };
            stack.anvil.transact(Some(entry_point), deposit.abi_encode(), parse_ether(wei)?).await?;
        }
        let http = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { entry_point, url: stack.node.url.clone(), http })
    }

    /// Sends one; `accepted`, or the code it was refused with.
    pub(super) async fn send(&self, nuisance: Nuisance, number: u64, salt: u64) -> Result<String> {
        let body = match nuisance {
            Nuisance::Malformed => self.malformed(salt),
            _ => self.request(&operation(nuisance, number, salt)),
        };
        let request = Request::post(&self.url)
            .header("content-type", "application/json")
            .body(Full::new(hyper::body::Bytes::from(body)))?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let Ok(answer) = serde_json::from_slice::<Value>(&body) else { return Ok(format!("HTTP {}", status.as_u16())) };
        Ok(match answer["error"]["code"].as_i64() {
            Some(code) => code.to_string(),
            None => "accepted".into(),
        })
    }

    fn request(&self, op: &Value) -> Vec<u8> {
        let params = json!([op, self.entry_point]);
        json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_sendUserOperation", "params": params })
            .to_string()
            .into_bytes()
    }

    fn malformed(&self, salt: u64) -> Vec<u8> {
        let mut op = operation(Nuisance::OneSender, 0, salt);
        match salt % 4 {
            0 => op["nonce"] = json!(salt),
            1 => op["signature"] = json!("0xnothex"),
            2 => op = json!([op]),
            _ => {
                let mut text = self.request(&op);
                text.truncate(text.len() / 2);
                return text;
            }
        }
        self.request(&op)
    }
}

fn sponsored(number: u64) -> Address {
    let mut address = SENDER.0;
    address.0[12..].copy_from_slice(&(number % SPONSORED + 1).to_be_bytes());
    address
}

fn operation(nuisance: Nuisance, number: u64, salt: u64) -> Value {
    let (sender, key) = match nuisance {
        Nuisance::Violation => (CLOCK.0, number),
        Nuisance::Burn => (LOOP.0, number),
        Nuisance::OneSender | Nuisance::Malformed => (SENDER.0, 0),
        Nuisance::OnePaymaster => (sponsored(number), number),
    };
    let verification_gas = if nuisance == Nuisance::Burn { GAS_CAP } else { 100_000 };
    let mut op = json!({
        "sender": sender,
        "nonce": U256::from(key) << 64,
        "callData": Bytes::from(salt.to_be_bytes().to_vec()),
        "callGasLimit": "0x2710",
        "verificationGasLimit": U256::from(verification_gas),
        "preVerificationGas": "0x186a0",
        "maxFeePerGas": U256::from(3_000_000_000_u64),
        "maxPriorityFeePerGas": U256::from(1_000_000_000_u64),
        "signature": "0x",
    });
    if nuisance == Nuisance::OnePaymaster {
        op["paymaster"] = json!(PAYMASTER.0);
        op["paymasterVerificationGasLimit"] = json!("0x186a0");
        op["paymasterPostOpGasLimit"] = json!("0x2710");
        op["paymasterData"] = json!("0x");
    }
    op
}
