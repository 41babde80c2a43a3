//! What is due, and what comes of calls.

use std::sync::Arc;

use alloy::primitives::B256;
use bundler::Signer;
use futures::FutureExt;
use jsonrpsee::RpcModule;
use serde_json::{Value, json};

use super::{ATTEMPTS, Call, Called, Due, LOOKS, SLOWER, World, lock, signers};
use crate::{
    network::Way,
    node::{self, Node, Setup},
    plan::Payer,
    users::Signed,
};

/// Ended operations that are asked for again at each look.
const ASKED_AGAIN: u64 = 4;

/// Of so many senders one subscribes to what becomes of its operation.
const WATCHED: usize = 4;

impl World {
    pub(super) fn do_due(&mut self, due: Due, calls: &mut Vec<Call>, node: &mut Option<Node>) -> Option<bool> {
        let now = self.clock.now();
        match due {
            Due::Block => {
                lock(&self.chain).mine(now, self.clock.unix());
                self.note_block();
                let slower = if now > self.quiet() { SLOWER } else { 1 };
                self.at(now + self.plan.block_time * slower, Due::Block);
            }
            Due::Start => {
                let relay = self.start_relay();
                calls.push(relay.unwrap_or_else(|| self.start()));
            }
            Due::Build(builder) => calls.extend(self.build(builder)),
            Due::Send { intent, attempt } => {
                let draft = {
                    let (chain, oracle) = (lock(&self.chain), lock(&self.oracle));
                    self.users.draft(&self.plan.intents[intent], &chain, &oracle)
                };
                let draft = draft?;
                let Some(node) = node else {
                    self.retry(intent, attempt);
                    return None;
                };
                if self.plan.intents[intent].payer == Payer::Sponsor {
                    let (call, asked) =
                        (ask(&node.rpc, "pm_getPaymasterData", draft.to_be_sponsored()), self.clock.unix());
                    let draft = Box::new(draft);
                    calls.push(
                        call.map(move |answer| Called::Sponsored { intent, attempt, draft, asked, answer })
                            .boxed_local(),
                    );
                } else {
                    self.send(intent, attempt, draft.sign()?, node, calls);
                }
            }
            Due::Ask(hash) => match node {
                Some(node) => calls.push(status(node, hash, now)),
                None => self.at(now + 500, Due::Ask(hash)),
            },
            Due::Look => {
                if let Some(node) = node {
                    let taken = lock(&self.oracle).taken();
                    for _ in 0..ASKED_AGAIN.min(taken.len() as u64) {
                        let hash = taken[self.random.below(taken.len() as u64) as usize];
                        calls.push(status(node, hash, now));
                    }
                    calls.push(counts(node, false));
                }
                if now < self.quiet() {
                    self.at(now + LOOKS, Due::Look);
                }
            }
            Due::Attack(index, step) => self.attack(index, step, node.as_ref(), calls),
            Due::Trouble(index) => return self.trouble(index, calls, node),
            Due::Over(index) => self.over(index),
            Due::Calm => self.calm(),
            Due::End if self.finishing => return Some(false),
            Due::End => {
                // Each is asked for once more; the answers come at once.
                self.finishing = true;
                let taken = lock(&self.oracle).taken();
                for hash in taken {
                    self.at(now, Due::Ask(hash));
                }
                if let Some(ledger) = node.as_ref().and_then(|node| node.ledger.clone()) {
                    let unix = self.clock.unix();
                    calls.push(async move { Called::Settled(node::standing(&ledger, unix).await) }.boxed_local());
                }
                self.at(now + 2_000, Due::End);
            }
        }
        None
    }

    fn send(&mut self, intent: usize, attempt: u32, signed: Signed, node: &Node, calls: &mut Vec<Call>) {
        self.note(&format!("send {} attempt {attempt}: {}", signed.hash, signed.place()));
        // Some are sent twice at once.
        let times = if self.plan.intents[intent].repeated { 2 } else { 1 };
        for time in 0..times {
            lock(&self.oracle).may_be_seen(signed.hash, signed.paymaster);
            let call = ask(&node.rpc, "eth_sendUserOperation", json!([signed.json, signed.entry_point]));
            let (signed, again) = (Box::new(signed.clone()), time > 0);
            calls.push(call.map(move |answer| Called::Sent { intent, attempt, again, signed, answer }).boxed_local());
        }
    }

    pub(super) fn do_called(&mut self, called: Called, calls: &mut Vec<Call>, node: &mut Option<Node>) -> Option<bool> {
        let now = self.clock.now();
        match called {
            Called::Started(Ok(started)) => {
                self.note("the node is ready");
                lock(&self.oracle).disturbed(now);
                calls.push(counts(&started, true));
                // What it said before it went away still holds.
                for hash in lock(&self.oracle).taken() {
                    calls.push(status(&started, hash, now));
                }
                *node = Some(started);
            }
            Called::Started(Err(why)) => {
                // What was begun is dropped with its runtime, as the process's end would.
                self.note(&format!("the node did not start: {why}"));
                self.away(1_000);
                return Some(true);
            }
            Called::Sponsored { intent, attempt, draft, asked, answer } => {
                let grown = answer.get("result").and_then(|result| draft.clone().sponsored(result));
                let Some(draft) = grown else {
                    self.refused(&answer);
                    self.retry(intent, attempt);
                    return None;
                };
                if let Some(grant) = draft.grant((asked, self.clock.unix())) {
                    self.sponsored += 1;
                    lock(&self.oracle).granted(now, grant, &lock(&self.chain));
                }
                if let (Some(node), Some(signed)) = (&node, draft.sign()) {
                    self.send(intent, attempt, signed, node, calls);
                }
            }
            Called::Sent { intent, attempt, again, signed, answer } => {
                self.sent(intent, attempt, again, &signed, &answer);
                if intent % WATCHED == 0
                    && !again
                    && answer["result"].is_string()
                    && let Some(node) = node
                {
                    calls.push(watch(node, signed.hash));
                }
            }
            Called::Heard(hash, last) => {
                if last["status"] == "dropped" {
                    lock(&self.oracle).status((now, now), hash, &last, &lock(&self.chain).log);
                }
            }
            Called::Attacked(sent, answer) => self.attacked(*sent, &answer, node.as_ref(), calls),
            Called::Status(hash, asked, answer) => {
                if answer.get("error").is_some() {
                    self.at(now + self.plan.block_time, Due::Ask(hash));
                    return None;
                }
                let status = &answer["result"];
                lock(&self.oracle).status((asked, now), hash, status, &lock(&self.chain).log);
                let included = status["status"] == "included";
                if included && let Some(node) = node {
                    let call = ask(&node.rpc, "eth_getUserOperationReceipt", json!([hash]));
                    calls.push(call.map(move |answer| Called::Receipt(hash, answer)).boxed_local());
                }
                if !self.finishing && !lock(&self.oracle).has_ended(hash) {
                    self.at(now + 3 * self.plan.block_time, Due::Ask(hash));
                }
            }
            Called::Receipt(hash, answer) => {
                if let Some(receipt) = answer.get("result") {
                    lock(&self.oracle).receipt(now, hash, receipt, &lock(&self.chain).log);
                }
            }
            // Whom attackers name is known to nobody here.
            Called::Counts(..) if !self.plan.attacks.is_empty() => {}
            Called::Counts(answer, started) => {
                lock(&self.oracle).counts(now, &answer, started, &lock(&self.chain).log);
            }
            Called::Settled(Ok(standing)) => {
                lock(&self.oracle).settled(now, &standing, &lock(&self.chain));
            }
            Called::Settled(Err(why)) => lock(&self.oracle).wrong(now, format!("the ledger does not tell: {why}")),
            Called::Built(builder, Ok(built)) => {
                self.note(&format!("builder {builder} is ready"));
                if let Some(cluster) = &mut self.cluster {
                    cluster.builders[builder] = Some(built);
                }
            }
            Called::Built(builder, Err(why)) => {
                self.note(&format!("builder {builder} did not start: {why}"));
                self.at(now + 1_000, Due::Build(builder));
            }
            Called::Unbuilt(builder, down) => self.kill_builder(builder, down),
            Called::Drained(answer) => {
                self.note("stopped");
                self.away(self.down);
                // What a disk did not take at the end is lost with the process.
                if !self.disk_failed_lately(now) {
                    lock(&self.oracle).stopped_with(now, &answer);
                }
                return Some(true);
            }
        }
        None
    }

    fn sent(&mut self, intent: usize, attempt: u32, again: bool, signed: &Signed, answer: &Value) {
        let now = self.clock.now();
        if let Some(hash) = answer["result"].as_str() {
            let hash: B256 = hash.parse().unwrap_or_default();
            if hash != signed.hash {
                lock(&self.oracle).wrong(now, format!("{} was named {hash}", signed.hash));
            }
            let durable = self.kept().has(hash.as_slice());
            lock(&self.oracle).acknowledged(now, hash, durable);
            if !again {
                self.users.taken(&self.plan.intents[intent], signed);
                self.at(now + self.plan.block_time, Due::Ask(hash));
            }
            return;
        }
        let message = self.refused(answer);
        // It may have been counted before it could not be written.
        if !message.contains("stored") && message != "no answer" {
            lock(&self.oracle).is_not_seen(signed.hash, signed.paymaster);
        }
        if !again {
            self.retry(intent, attempt);
        }
    }

    fn refused(&mut self, answer: &Value) -> String {
        let message = answer["error"]["message"].as_str().unwrap_or("no answer").to_owned();
        self.note(&format!("refused {message}"));
        self.users.refused(&message);
        let words: Vec<&str> = message.split(' ').filter(|word| !word.chars().any(|c| c.is_ascii_digit())).collect();
        *self.refusals.entry(words.join(" ")).or_default() += 1;
        message
    }

    fn retry(&mut self, intent: usize, attempt: u32) {
        let at = self.clock.now() + 300 * u64::from(attempt + 1);
        if attempt < ATTEMPTS && at < self.plan.calm {
            self.at(at, Due::Send { intent, attempt: attempt + 1 });
        }
    }

    fn start(&self) -> Call {
        let way = Way::new(&self.chain, &self.network, &self.oracle, self.kept(), &self.clock, &self.life);
        let setup = Setup {
            preset: self.preset.clone(),
            disk: self.disk.clone(),
            way,
            signers: signers(&self.plan).into_iter().map(Signer::Local).collect(),
            budgets: lock(&self.oracle).budgets.clone(),
        };
        async move { Called::Started(Node::start(setup).await) }.boxed_local()
    }

    pub(super) fn note_block(&self) {
        let line = {
            let chain = lock(&self.chain);
            let head = chain.head();
            let count: usize = head.transactions.len();
            format!("block {} {} of {count}", head.header.number, head.header.hash)
        };
        self.note(&line);
    }
}

fn status(node: &Node, hash: B256, now: u64) -> Call {
    let call = ask(&node.rpc, "fabstir_getUserOperationStatus", json!([hash]));
    call.map(move |answer| Called::Status(hash, now, answer)).boxed_local()
}

/// Until it has come to an end, or nothing more is told.
fn watch(node: &Node, hash: B256) -> Call {
    let rpc = Arc::clone(&node.rpc);
    async move {
        let request =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "fabstir_subscribeUserOperation", "params": [hash] });
        let mut last = Value::Null;
        if let Ok((_, mut told)) = rpc.raw_json_request(&request.to_string(), 16).await {
            drop(rpc);
            while last["status"] != "included" && last["status"] != "dropped" {
                let Some(message) = told.recv().await else { break };
                last = serde_json::from_str::<Value>(message.get()).unwrap_or_default()["params"]["result"].take();
            }
        }
        Called::Heard(hash, last)
    }
    .boxed_local()
}

fn counts(node: &Node, started: bool) -> Call {
    let call = ask(&node.rpc, "debug_bundler_dumpReputation", json!([]));
    call.map(move |answer| Called::Counts(answer, started)).boxed_local()
}

/// A call as a client makes it: JSON in, JSON out.
pub(super) fn ask(
    rpc: &Arc<RpcModule<()>>,
    method: &'static str,
    params: Value,
) -> impl Future<Output = Value> + use<> {
    let rpc = Arc::clone(rpc);
    async move {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let answer = rpc.raw_json_request(&request, 1).await;
        answer.ok().and_then(|(answer, _)| serde_json::from_str(answer.get()).ok()).unwrap_or_default()
    }
}
