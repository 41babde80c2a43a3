//! Judges what users see: answers, and the chain. It knows nothing of how the bundler works.

mod budget;
mod figures;

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, U256};
use serde_json::Value;

pub use self::{
    budget::{Budgets, Grant, Standing},
    figures::Counts,
};
use crate::chain::{Arrived, Chain, Executed, ExecutionLog};

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

/// See the module.
#[derive(Debug, Default)]
pub struct Oracle {
    told: BTreeMap<B256, Told>,
    /// Nonces that each operation was sent under, with when.
    places: BTreeMap<B256, Vec<(Address, u64)>>,
    sent: BTreeSet<B256>,
    /// Times in milliseconds at which blocks left the chain.
    reorganised: Vec<u64>,
    /// Since when, in milliseconds, nothing has been wrong with anything.
    quiet_since: u64,
    /// From when until when, in milliseconds, the node's questions to the chain were slow or came to nothing, or it stood still.
    deaf: Vec<(u64, u64)>,
    /// Milliseconds within which the bundler hears of what happens, if nothing is wrong.
    hears_within: u64,
    /// What the paymaster may promise, and has.
    pub budgets: Option<Budgets>,
    counts: figures::Figures,
    /// What was found wrong.
    pub violations: Vec<String>,
    /// What happened, line by line.
    pub history: Vec<String>,
}

impl Oracle {
    /// On a chain that makes a block in so many milliseconds.
    pub fn new(block_time: u64) -> Self {
        Self { hears_within: 4_000 + 8 * block_time, ..Self::default() }
    }

    /// A line of the history.
    pub fn note(&mut self, at: u64, line: &str) {
        self.history.push(format!("{at} {line}"));
    }

    /// Something that must not be.
    pub fn wrong(&mut self, at: u64, what: String) {
        self.note(at, &format!("VIOLATION {what}"));
        self.violations.push(format!("{at} ms: {what}"));
    }

    /// Something is wrong with the world until then.
    pub fn disturbed(&mut self, until: u64) {
        self.quiet_since = self.quiet_since.max(until);
    }

    /// The node's questions come to nothing or are slow, or it stands still, from now until then.
    pub fn deaf(&mut self, from: u64, until: u64) {
        self.deaf.push((from, until));
    }

    /// Since when, at the latest, the node may not have heard of what happened when it told something at this time: a
    /// while before that, or before its questions began to come to nothing.
    fn may_not_have_heard_since(&self, when: u64) -> u64 {
        let mut since = when.saturating_sub(GRACE);
        let mut deaf = self.deaf.clone();
        deaf.sort_unstable();
        for (from, until) in deaf.into_iter().rev().filter(|(from, _)| *from <= when) {
            if until + self.hears_within > since {
                since = since.min(from.saturating_sub(GRACE));
            }
        }
        since
    }

    fn reorganised_since(&self, at: u64) -> bool {
        self.reorganised.iter().any(|when| *when >= at)
    }

    /// Blocks left the chain.
    pub fn reorganised(&mut self, at: u64) {
        self.reorganised.push(at);
        self.disturbed(at);
    }

    /// A transaction came to a node. What is sent was durable before; no operation is live under two nonces.
    pub fn broadcast(&mut self, tx: &Arrived, durable: bool, refusal: Option<&str>, log: &ExecutionLog) {
        let Arrived { at, hash, from, nonce, .. } = *tx;
        let operations = tx.operations.len();
        self.note(at, &format!("broadcast {hash} {from} {nonce} of {operations}: {}", refusal.unwrap_or("taken")));
        let new = self.sent.insert(hash);
        if new && !durable {
            self.wrong(at, format!("transaction {hash} was sent before it was durable"));
        }
        for operation in &tx.operations {
            let places = self.places.entry(*operation).or_default();
            let live = |(other, used): &&(Address, u64)| {
                (*other, *used) != (from, nonce) && tx.taken.get(other).is_none_or(|next| next <= used)
            };
            let mut other = places.iter().find(live).copied();
            // What the node refuses is out nowhere; what it has already is.
            let is_out = refusal.is_none_or(|why| why.contains("already known"));
            if is_out && !places.contains(&(from, nonce)) {
                places.push((from, nonce));
            }
            // Its transaction has left the chain, and may come back as long as nothing else has the nonce. What was sent
            // before that is out, and may be sent again.
            let freed = |place: &&(Address, u64)| {
                new && **place != (from, nonce) && log.freed.get(place).is_some_and(|all| all.contains(operation))
            };
            other = other.or(places.iter().find(freed).copied());
            if let Some((key, used)) = other.filter(|_| is_out) {
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

    /// The answer of `fabstir_getUserOperationStatus`, to what was asked then. Of two questions that were on their way at
    /// the same time either may be answered as of before the other.
    pub fn status(&mut self, (asked, at): (u64, u64), hash: B256, answer: &Value, log: &ExecutionLog) {
        let word = answer["status"].as_str().unwrap_or("unknown").to_owned();
        self.note(at, &format!("status {hash} {word} {}", answer["reason"].as_str().unwrap_or_default()));
        let Some(told) = self.told.get_mut(&hash).filter(|told| told.acknowledged.is_some()) else { return };
        let ended = |status: &str| status == "included" || status == "dropped";
        let overtaken = told.status.as_ref().is_some_and(|(when, old)| *when > asked && ended(old) && *old != word);
        let before = if overtaken { None } else { told.status.replace((at, word.clone())) };
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
            && ended(&old)
            && old != word
        {
            let since = self.may_not_have_heard_since(when);
            let excused = if old == "included" { log.gone_since(hash, since) } else { self.reorganised_since(since) };
            if !excused {
                self.wrong(at, format!("{hash} was {old} at {when} ms and is {word}, with no reorganisation between"));
            }
        }
        self.in_quiet_times(at, hash, &word, log);
    }

    /// While nothing is wrong with anything, what is told is what is.
    fn in_quiet_times(&mut self, at: u64, hash: B256, word: &str, log: &ExecutionLog) {
        let heard = self.hears_within;
        if at < self.quiet_since + heard {
            return;
        }
        match log.of(hash) {
            None if word == "included" => self.wrong(at, format!("{hash} is included, says the node, and is nowhere")),
            Some(place) if place.since + heard < at && word != "included" => {
                let since = place.since;
                self.wrong(at, format!("{hash} has been on the chain since {since} ms and is {word}"));
            }
            _ => {}
        }
    }

    /// The answer of `eth_getUserOperationReceipt`.
    pub fn receipt(&mut self, at: u64, hash: B256, answer: &Value, log: &ExecutionLog) {
        let shown = answer["receipt"]["transactionHash"].as_str().unwrap_or("none").to_owned();
        self.note(at, &format!("receipt {hash} {shown}"));
        let told = self.told.entry(hash).or_default();
        let before = told.receipt.replace((at, answer.clone()));
        if let Some((when, old)) = before
            && !old.is_null()
            && old != *answer
            && !log.gone_since(hash, self.may_not_have_heard_since(when))
        {
            self.wrong(at, format!("the receipt of {hash} is another one than at {when} ms"));
        }
        if at >= self.quiet_since + self.hears_within
            && let Some(place) = log.of(hash).filter(|place| place.since + self.hears_within < at).cloned()
        {
            self.check_receipt(at, hash, &place, Some(answer));
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
        let executed = &chain.log.executed;
        for hash in executed.iter().filter(|(_, all)| all.len() > 1).map(|(hash, _)| *hash) {
            self.wrong(at, format!("{hash} was executed twice"));
        }
        for (hash, told) in self.told.clone() {
            if told.acknowledged.is_none() {
                continue;
            }
            let on_chain = chain.log.of(hash);
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
                && !self.reorganised_since(self.may_not_have_heard_since(*when))
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
        let cost = receipt["actualGasCost"].as_str().and_then(|text| text.parse::<U256>().ok());
        let same = of("transactionHash") == Some(place.transaction)
            && of("blockHash") == Some(place.block)
            && number == Some(U256::from(place.number))
            && cost == Some(place.cost)
            && receipt["success"].as_bool() == Some(place.success);
        if !same {
            self.wrong(at, format!("the receipt of {hash} is not the chain's: {}, {place:?}", receipt["receipt"]));
        }
    }
}

/// An answer may be so many milliseconds older than the time at which it was heard.
const GRACE: u64 = 5_000;
