//! What is between the bundler and its node: delays, requests and answers that are lost, refusals.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::{Bytes, keccak256};
use bundler::world::{Question, Reply, Wire, is_blocking};
use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;

use crate::{chain::Chain, clock::Clock, life::Life, node::Kept, oracle::Oracle, random::Random};

/// What goes wrong with it now; each for so many of 1,000 requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkIlls {
    /// Requests that nobody answers.
    pub silent: u64,
    /// Requests that break off before the node has them.
    pub broken: u64,
    /// Those that break off after.
    pub unanswered: u64,
    /// Refused, for no fault of theirs.
    pub refused: u64,
    /// Sent twice.
    pub doubled: u64,
    /// Longest way, in milliseconds.
    pub slow: u64,
    /// Blocks that the node is behind the chain.
    pub behind: u64,
    /// Whether each request comes to another node: so far behind, or less.
    pub mixed: bool,
}

/// What the network and the world have in common.
#[derive(Debug)]
pub struct Network {
    random: Random,
    /// From now on.
    pub ills: NetworkIlls,
    /// The node dies at the broadcast that comes after so many others, `after` it has arrived or before.
    pub deadly: Option<(u64, bool)>,
}

impl Network {
    /// In order.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed, "network"), ills: NetworkIlls::default(), deadly: None }
    }
}

/// The way of one life of the bundler's to the node.
pub struct Way {
    chain: Arc<Mutex<Chain>>,
    network: Arc<Mutex<Network>>,
    oracle: Arc<Mutex<Oracle>>,
    kept: Kept,
    clock: Clock,
    life: Life,
    number: u64,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Way")
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Good,
    Doubled,
    Silent,
    Broken,
    Unanswered,
    Refused,
}

impl Way {
    /// Of the life that is now.
    pub fn new(
        chain: &Arc<Mutex<Chain>>,
        network: &Arc<Mutex<Network>>,
        oracle: &Arc<Mutex<Oracle>>,
        kept: Kept,
        clock: &Clock,
        life: &Life,
    ) -> Self {
        Self {
            chain: Arc::clone(chain),
            network: Arc::clone(network),
            oracle: Arc::clone(oracle),
            kept,
            clock: clock.clone(),
            life: life.clone(),
            number: life.number(),
        }
    }

    fn fate(&self) -> (Fate, [Duration; 2], u64) {
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let ills = network.ills;
        let mut drawn = network.random.below(1_000);
        let mut falls = |share: u64| {
            let hit = drawn < share;
            drawn = if hit { u64::MAX } else { drawn.saturating_sub(share) };
            hit
        };
        let fates = [
            (ills.silent, Fate::Silent),
            (ills.broken, Fate::Broken),
            (ills.unanswered, Fate::Unanswered),
            (ills.refused, Fate::Refused),
            (ills.doubled, Fate::Doubled),
        ];
        let fate = fates.into_iter().find(|(share, _)| falls(*share)).map_or(Fate::Good, |(_, fate)| fate);
        let longest = ills.slow.max(3);
        let ways = [(); 2].map(|()| Duration::from_millis(network.random.between(1, longest)));
        let behind = if ills.mixed { network.random.between(0, ills.behind) } else { ills.behind };
        (fate, ways, behind)
    }

    fn is_dead(&self) -> bool {
        self.life.number() != self.number || self.life.is_over()
    }

    /// The node has it.
    fn arrive(&self, questions: &[Question], behind: u64) -> Vec<Reply> {
        let now = self.clock.now();
        let mut answers = Vec::new();
        for (method, params) in questions {
            let params: Vec<Value> =
                params.as_ref().and_then(|params| serde_json::from_str(params.get()).ok()).unwrap_or_default();
            let sends = method == "eth_sendRawTransaction";
            if sends && self.dies_at_broadcast(false) {
                break;
            }
            let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
            let before = chain.arrived.len();
            let answer = chain.answer(method, &params, behind, now);
            if sends {
                let raw: Bytes = serde_json::from_value(params[0].clone()).unwrap_or_default();
                let hash = keccak256(&raw).to_string();
                let durable = self.kept.has(hash.as_bytes());
                if let Some(arrived) = chain.arrived.get(before) {
                    let refusal = answer.as_ref().err().map(|(_, message)| message.as_str());
                    self.oracle
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .broadcast(arrived, durable, refusal, &chain.log);
                }
            }
            drop(chain);
            answers.push(answer);
            if sends && self.dies_at_broadcast(true) {
                break;
            }
        }
        answers
    }

    fn dies_at_broadcast(&self, after: bool) -> bool {
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((others, when)) = network.deadly.filter(|(_, when)| *when == after) else { return false };
        network.deadly = others.checked_sub(1).map(|others| (others, when));
        if network.deadly.is_none() {
            self.life.end();
        }
        network.deadly.is_none()
    }
}

impl Wire for Way {
    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<Reply>, String>> {
        async move {
            let (fate, [there, back], behind) = self.fate();
            if std::env::var_os("FABSTIR_WIRES").is_some() {
                let text: Vec<String> = questions
                    .iter()
                    .map(|(method, params)| {
                        format!(
                            "{method} {}",
                            params
                                .as_ref()
                                .map(|it| it.get().chars().take(150).collect::<String>())
                                .unwrap_or_default()
                        )
                    })
                    .collect();
                println!("WIRE {} {fate:?} {there:?} {back:?} {}", self.clock.now(), text.join(" | "));
            }
            // Where nobody can wait, nothing takes time.
            if is_blocking() {
                return match fate {
                    Fate::Good | Fate::Doubled => Ok(self.arrive(&questions, behind)),
                    _ => Err("connection reset".into()),
                };
            }
            tokio::time::sleep(there).await;
            self.life.thaw(&self.clock).await;
            if self.is_dead() || matches!(fate, Fate::Silent) {
                return pending().await;
            }
            let answers = match fate {
                Fate::Broken => Err("connection reset".into()),
                Fate::Refused => Ok(questions.iter().map(|_| Err((-32_005, "limit exceeded".into()))).collect()),
                Fate::Unanswered => {
                    self.arrive(&questions, behind);
                    Err("connection reset by peer".into())
                }
                Fate::Doubled => {
                    self.arrive(&questions, behind);
                    Ok(self.arrive(&questions, behind))
                }
                _ => Ok(self.arrive(&questions, behind)),
            };
            tokio::time::sleep(back).await;
            self.life.thaw(&self.clock).await;
            if self.is_dead() { pending().await } else { answers }
        }
        .boxed()
    }
}
