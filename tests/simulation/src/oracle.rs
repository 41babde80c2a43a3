//! Judges what users see: answers, and the chain. It knows nothing of how the bundler works.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, U256},
    sol,
    sol_types::SolEvent,
};
use serde_json::Value;

use crate::chain::{Arrived, Chain};

sol! {
    event UserOperationEvent(
        bytes32 indexed userOpHash, address indexed sender, address indexed paymaster,
        uint256 nonce, bool success, uint256 actualGasCost, uint256 actualGasUsed
    );
}

/// What is known of one operation.
#[derive(Clone, Debug, Default)]
struct Told {
    /// When it was acknowledged.
    acknowledged: Option<u64>,
    /// The last status, and when it was told.
    status: Option<(u64, String)>,
    /// When it was first said to be dropped, and why.
    dropped: Option<(u64, String)>,
    /// The last receipt.
    receipt: Option<(u64, Value)>,
}

/// Where an operation was executed.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: B256,
    /// Its block's number.
    pub number: u64,
    /// Whether its call did not revert.
    pub success: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Oracle {
    told: BTreeMap<B256, Told>,
    /// Nonces that each operation was sent under, with when.
    places: BTreeMap<B256, Vec<(Address, u64)>>,
    sent: BTreeSet<B256>,
    /// Times in milliseconds at which blocks left the chain.
    reorganised: Vec<u64>,
    /// What was found wrong.
    pub violations: Vec<String>,
    /// What happened, line by line.
    pub history: Vec<String>,
}

impl Oracle {
    /// A line of the history.
    pub fn note(&mut self, at: u64, line: &str) {
        self.history.push(format!("{at} {line}"));
    }

    fn wrong(&mut self, at: u64, what: String) {
        self.note(at, &format!("VIOLATION {what}"));
        self.violations.push(format!("{at} ms: {what}"));
    }

    fn reorganised_since(&self, at: u64) -> bool {
        self.reorganised.iter().any(|when| *when >= at)
    }

    /// Blocks left the chain.
    pub fn reorganised(&mut self, at: u64) {
        self.reorganised.push(at);
    }

    /// A transaction came to a node. What is sent was durable before; no operation is live under two nonces.
    pub fn broadcast(&mut self, tx: &Arrived, durable: bool, refusal: Option<&str>) {
        let Arrived { at, hash, from, nonce, .. } = *tx;
        let operations = tx.operations.len();
        self.note(at, &format!("broadcast {hash} {from} {nonce} of {operations}: {}", refusal.unwrap_or("taken")));
        if self.sent.insert(hash) && !durable {
            self.wrong(at, format!("transaction {hash} was sent before it was durable"));
        }
        for operation in &tx.operations {
            let places = self.places.entry(*operation).or_default();
            let live = |(other, used): &&(Address, u64)| {
                (*other, *used) != (from, nonce) && tx.taken.get(other).is_none_or(|next| next <= used)
            };
            let other = places.iter().find(live).copied();
            if !places.contains(&(from, nonce)) {
                places.push((from, nonce));
            }
            if let Some((key, used)) = other {
                self.wrong(
                    at,
                    format!("{operation} is live under nonce {used} of {key} and sent under {nonce} of {from}"),
                );
            }
        }
    }

    /// The bundler said that it has taken the operation; `durable` is whether a power cut would have left it.
    pub fn acknowledged(&mut self, at: u64, hash: B256, durable: bool) {
        self.note(at, &format!("acknowledged {hash}"));
        if !durable {
            self.wrong(at, format!("{hash} was acknowledged before it was durable"));
        }
        self.told.entry(hash).or_default().acknowledged.get_or_insert(at);
    }

    /// The answer of `fabstir_getUserOperationStatus`.
    pub fn status(&mut self, at: u64, hash: B256, answer: &Value) {
        let word = answer["status"].as_str().unwrap_or("unknown").to_owned();
        self.note(at, &format!("status {hash} {word} {}", answer["reason"].as_str().unwrap_or_default()));
        let Some(told) = self.told.get_mut(&hash).filter(|told| told.acknowledged.is_some()) else { return };
        let before = told.status.replace((at, word.clone()));
        if word == "dropped" && told.dropped.is_none() {
            told.dropped = Some((at, answer["reason"].as_str().unwrap_or_default().to_owned()));
        }
        let reasonless = word == "dropped" && answer["reason"].as_str().is_none_or(str::is_empty);
        if reasonless {
            self.wrong(at, format!("{hash} was dropped without a reason"));
        }
        if word == "unknown" {
            self.wrong(at, format!("{hash} was acknowledged and is not known"));
        }
        if let Some((when, old)) = before
            && (old == "included" || old == "dropped")
            && old != word
            && !self.reorganised_since(when.saturating_sub(GRACE))
        {
            self.wrong(at, format!("{hash} was {old} at {when} ms and is {word}, with no reorganisation between"));
        }
    }

    /// The answer of `eth_getUserOperationReceipt`.
    pub fn receipt(&mut self, at: u64, hash: B256, answer: &Value) {
        let shown = answer["receipt"]["transactionHash"].as_str().unwrap_or("none").to_owned();
        self.note(at, &format!("receipt {hash} {shown}"));
        let told = self.told.entry(hash).or_default();
        let before = told.receipt.replace((at, answer.clone()));
        if let Some((when, old)) = before
            && !old.is_null()
            && old != *answer
            && !self.reorganised_since(when.saturating_sub(GRACE))
        {
            self.wrong(at, format!("the receipt of {hash} is another one than at {when} ms"));
        }
    }

    /// Whether the last that was told of it is an end.
    pub fn has_ended(&self, hash: B256) -> bool {
        let status = self.told.get(&hash).and_then(|told| told.status.as_ref());
        status.is_some_and(|(_, status)| status == "included" || status == "dropped")
    }

    /// Whether it was said to be dropped.
    pub fn is_dropped(&self, hash: B256) -> bool {
        let status = self.told.get(&hash).and_then(|told| told.status.as_ref());
        status.is_some_and(|(_, status)| status == "dropped")
    }

    /// Everything that was acknowledged.
    pub fn taken(&self) -> Vec<B256> {
        self.told.iter().filter(|(_, told)| told.acknowledged.is_some()).map(|(hash, _)| *hash).collect()
    }

    /// How often each reason was given.
    pub fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for told in self.told.values() {
            if let Some((_, reason)) = &told.dropped {
                let words = reason.split(' ').filter(|word| !word.starts_with("0x")).collect::<Vec<_>>().join(" ");
                *reasons.entry(words).or_default() += 1;
            }
        }
        reasons
    }

    /// Long after the last trouble: everything has ended, and what was told is what the chain says.
    pub fn finish(&mut self, at: u64, chain: &Chain) {
        let executed = executed(chain);
        let doubled: Vec<_> = executed.iter().filter(|(_, all)| all.len() > 1).map(|(hash, _)| *hash).collect();
        for hash in doubled {
            self.wrong(at, format!("{hash} was executed twice"));
        }
        for (hash, told) in self.told.clone() {
            if told.acknowledged.is_none() {
                continue;
            }
            let on_chain = executed.get(&hash).and_then(|all| all.first());
            let status = told.status.as_ref().map_or("none", |(_, status)| status.as_str());
            match (status, on_chain) {
                ("included", Some(place)) => {
                    self.check_receipt(at, hash, place, told.receipt.as_ref().map(|(_, it)| it))
                }
                ("included", None) => self.wrong(at, format!("{hash} is told to be included and is not on the chain")),
                ("dropped", Some(_)) => {
                    let reason = told.dropped.map(|(_, reason)| reason).unwrap_or_default();
                    self.wrong(at, format!("{hash} is told to be dropped ({reason}) and was executed"));
                }
                ("dropped", None) => {}
                (other, Some(_)) => self.wrong(at, format!("{hash} is {other} at the end, and was executed")),
                (other, None) => self.wrong(at, format!("{hash} is {other} at the end: it has come to none")),
            }
            if let (Some((when, reason)), Some(_)) = (&self.told[&hash].dropped.clone(), on_chain)
                && !self.reorganised_since(when.saturating_sub(GRACE))
            {
                self.wrong(at, format!("{hash} was dropped at {when} ms ({reason}) and executed after all"));
            }
        }
    }

    fn check_receipt(&mut self, at: u64, hash: B256, place: &Executed, receipt: Option<&Value>) {
        let Some(receipt) = receipt.filter(|receipt| !receipt.is_null()) else {
            return self.wrong(at, format!("{hash} is included and has no receipt"));
        };
        let of = |name: &str| receipt["receipt"][name].as_str().and_then(|text| text.parse::<B256>().ok());
        let number = receipt["receipt"]["blockNumber"].as_str().and_then(|text| text.parse::<U256>().ok());
        let same = of("transactionHash") == Some(place.transaction)
            && of("blockHash") == Some(place.block)
            && number == Some(U256::from(place.number))
            && receipt["success"].as_bool() == Some(place.success);
        if !same {
            self.wrong(at, format!("the receipt of {hash} is not the chain's: {}, {place:?}", receipt["receipt"]));
        }
    }
}

/// An answer may be so many milliseconds older than the time at which it was heard.
const GRACE: u64 = 5_000;

/// What the canonical chain executed, by operation.
pub fn executed(chain: &Chain) -> BTreeMap<B256, Vec<Executed>> {
    let mut executed: BTreeMap<B256, Vec<Executed>> = BTreeMap::new();
    for block in chain.blocks() {
        for log in block.transactions.iter().flat_map(|mined| mined.receipt.inner.logs()) {
            let Ok(event) = UserOperationEvent::decode_log(&log.inner) else { continue };
            executed.entry(event.userOpHash).or_default().push(Executed {
                transaction: log.transaction_hash.unwrap_or_default(),
                block: block.header.hash,
                number: block.header.number,
                success: event.success,
            });
        }
    }
    executed
}
