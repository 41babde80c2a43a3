//! Several endpoints for one chain: which is asked, which stands in, and who is given transactions.
//!
//! The choice is sticky: it changes when the chosen one fails or falls behind, and not back when it recovers. Answers
//! of two nodes are never mixed in a verdict, because state is read by block hash: a node that does not have the block
//! refuses. Heads do not go back by a change of nodes: see [`Nodes::ahead`].

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::primitives::{B256, Bytes, U64, keccak256};
use erc4337::ConditionalSend;
use jsonrpsee::{core::params::ArrayParams, rpc_params};
use tokio::{sync::mpsc, time::Instant};

use super::{
    NodeError,
    condition::{Condition, Method, Refusal, knows_the_method},
    endpoint::Endpoint,
};
use crate::chain_time::blocks_in;

/// Between two looks at all endpoints.
const LOOK: Duration = Duration::from_secs(1);
/// How far, in chain time, the chosen one may be behind another.
const LAG: Duration = Duration::from_secs(2);
/// Blocks that it may be behind all the same: what two backends of one load balancer are apart, however fast blocks come.
const LEAST_LAG: u64 = 3;
/// How long a node that stands in is waited for to come as far as the one before; after that it is believed.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Endpoints of one chain.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Never empty.
    endpoints: Vec<Arc<Endpoint>>,
    /// Given transactions instead of all the others, if there are any.
    private: Vec<Arc<Endpoint>>,
    conditional: ConditionalSend,
    /// How each of those that are given transactions takes them under a condition, in their order.
    methods: Mutex<Vec<Option<Method>>>,
    /// Between two blocks.
    block_time: Duration,
    chosen: AtomicUsize,
    /// Highest head that was told, and when.
    highest: Mutex<(u64, Instant)>,
    /// When one last answered anything.
    answered: Mutex<Instant>,
}

impl Nodes {
    pub(super) fn new(
        endpoints: Vec<Arc<Endpoint>>,
        private: Vec<Arc<Endpoint>>,
        conditional: ConditionalSend,
        block_time: Duration,
    ) -> Self {
        let untried = (conditional == ConditionalSend::Always).then_some(Method::Conditional);
        let targets = if private.is_empty() { endpoints.len() } else { private.len() };
        let methods = Mutex::new(vec![untried; targets]);
        let (chosen, highest) = (AtomicUsize::new(0), Mutex::new((0, Instant::now())));
        let answered = Mutex::new(Instant::now());
        Self { endpoints, private, conditional, methods, block_time, chosen, highest, answered }
    }

    /// Takes note of how long a question took, and whether it was answered: a refusal is an answer.
    pub(super) fn took<T>(&self, method: &'static str, begun: Instant, answer: &Result<T, NodeError>) {
        if answer.as_ref().is_err_and(NodeError::is_the_endpoints) {
            metrics::counter!("fabstir_node_failures_total", "method" => method).increment(1);
            return;
        }
        metrics::histogram!("fabstir_node_request_seconds", "method" => method).record(begun.elapsed());
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago one last answered anything.
    pub(super) fn silence(&self) -> Duration {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) fn are_several(&self) -> bool {
        self.endpoints.len() > 1
    }

    /// The chosen endpoint.
    pub(super) fn chosen(&self) -> &Arc<Endpoint> {
        &self.endpoints[self.chosen.load(Ordering::Relaxed) % self.endpoints.len()]
    }

    /// In the order in which they are to be asked: the chosen one, those that do well, those that do not.
    pub(super) fn route(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let chosen = self.chosen();
        let others = |failing: bool| {
            self.endpoints.iter().filter(move |other| !Arc::ptr_eq(other, chosen) && other.is_failing() == failing)
        };
        std::iter::once(chosen).chain(others(false)).chain(others(true))
    }

    /// Takes note of an answer; whether another endpoint is to be asked instead.
    pub(super) fn judge<T>(&self, endpoint: &Arc<Endpoint>, answer: &Result<T, NodeError>) -> bool {
        let failed = answer.as_ref().is_err_and(NodeError::is_the_endpoints);
        if failed && self.are_several() && endpoint.set_failing(true) {
            tracing::warn!(endpoint = endpoint.label(), error = ?answer.as_ref().err(), "a node fails; others stand in");
        }
        if !failed && !Arc::ptr_eq(endpoint, self.chosen()) {
            self.choose(endpoint);
        }
        failed && self.are_several()
    }

    fn choose(&self, endpoint: &Arc<Endpoint>) {
        if let Some(position) = self.endpoints.iter().position(|other| Arc::ptr_eq(other, endpoint)) {
            self.chosen.store(position, Ordering::Relaxed);
            tracing::warn!(endpoint = endpoint.label(), "this node is asked from now on");
        }
    }

    /// Whether this head may be followed: of several nodes, one that has not come as far as another would undo blocks
    /// that stand. A chain that has really become shorter is believed after a while.
    pub(super) fn ahead(&self, height: u64) -> bool {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if self.are_several() && height < highest.0 && highest.1.elapsed() < CATCH_UP {
            return false;
        }
        if height != highest.0 {
            *highest = (height, Instant::now());
        }
        true
    }

    /// Those that are given transactions.
    fn targets(&self) -> &[Arc<Endpoint>] {
        if self.private.is_empty() { &self.endpoints } else { &self.private }
    }

    fn methods(&self) -> std::sync::MutexGuard<'_, Vec<Option<Method>>> {
        self.methods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries which of those that are given transactions take them under a condition. None is sent for it.
    pub(super) async fn try_conditions(&self) {
        if self.conditional != ConditionalSend::Auto {
            return;
        }
        let tried = self.targets().iter().map(async |target| {
            for method in Method::ALL {
                let answer = target.request::<B256>(method.name(), method.probe()).await;
                // One that takes anything, or says nothing, cannot be relied upon.
                let served = |error: NodeError| !error.is_the_endpoints() && knows_the_method(&error);
                if answer.is_err_and(served) {
                    tracing::info!(endpoint = target.label(), method = method.name(), "bundles are sent conditionally");
                    return Some(method);
                }
            }
            None
        });
        let tried = futures::future::join_all(tried).await;
        *self.methods() = tried;
    }

    /// Hands a bundle's signed transaction to every endpoint that takes it under its condition, or to all of them where
    /// none does, or none of those that do answers.
    ///
    /// # Errors
    /// As [`Self::send`]; `Overtaken` if its condition does not hold and nobody took it.
    pub(super) async fn send_if(&self, raw: &Bytes, condition: &Condition) -> Result<B256, NodeError> {
        let methods = self.methods().clone();
        let takers = self.targets().iter().zip(methods).enumerate();
        let takers: Vec<_> = takers.filter_map(|(at, (target, method))| Some((at, target, method?))).collect();
        let calls =
            takers.iter().map(|(_, target, method)| (Arc::clone(target), method.name(), method.params(raw, condition)));
        let calls: Vec<_> = calls.collect();
        if calls.is_empty() {
            return self.send(raw).await;
        }
        let error = match hand_out(raw, calls).await {
            Ok(hash) => return Ok(hash),
            Err(error) => error,
        };
        match Refusal::of(&error) {
            Some(Refusal::Overtaken) => Err(NodeError::Overtaken { message: error.to_string() }),
            Some(Refusal::Other) => Err(error),
            // Whoever wants nothing else gets nothing else.
            _ if self.conditional == ConditionalSend::Always => Err(error),
            Some(Refusal::Unserved) => {
                tracing::warn!(%error, "bundles are sent without a condition from now on");
                takers.iter().for_each(|(at, ..)| self.methods()[*at] = None);
                self.send(raw).await
            }
            None => self.send(raw).await,
        }
    }

    /// Hands a signed transaction to every endpoint that is to have it; good as soon as one has taken it.
    pub(super) async fn send(&self, raw: &Bytes) -> Result<B256, NodeError> {
        let call = |target: &Arc<Endpoint>| (Arc::clone(target), "eth_sendRawTransaction", rpc_params![raw]);
        hand_out(raw, self.targets().iter().map(call).collect()).await
    }

    /// Looks after all endpoints until the client is gone.
    pub(super) async fn look_after(nodes: Weak<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(nodes) = nodes.upgrade() else { return };
            let looks = nodes.endpoints.iter().map(async |endpoint| {
                match endpoint.request::<U64>("eth_blockNumber", rpc_params![]).await {
                    Ok(height) => {
                        endpoint.reached(height.to());
                        if endpoint.set_failing(false) {
                            tracing::info!(endpoint = endpoint.label(), "a node answers again");
                        }
                    }
                    Err(error) => {
                        if endpoint.set_failing(true) {
                            tracing::warn!(endpoint = endpoint.label(), %error, "a node fails");
                        }
                    }
                }
            });
            futures::future::join_all(looks).await;
            let chosen = nodes.chosen();
            let lag = blocks_in(LAG, nodes.block_time).max(LEAST_LAG);
            let best = nodes.endpoints.iter().filter(|it| !it.is_failing()).max_by_key(|it| it.height());
            if let Some(best) = best
                && (chosen.is_failing() || best.height() > chosen.height() + lag)
            {
                nodes.choose(best);
            }
        }
    }
}

/// Makes these calls, all with this transaction; good as soon as one endpoint has taken it.
async fn hand_out(raw: &Bytes, calls: Vec<(Arc<Endpoint>, &'static str, ArrayParams)>) -> Result<B256, NodeError> {
    let method = calls.first().map_or("eth_sendRawTransaction", |(_, method, _)| *method);
    let (sender, mut answers) = mpsc::channel(calls.len().max(1));
    for (target, method, params) in calls {
        let sender = sender.clone();
        // In tasks: those that are slower are still to get it when one has taken it.
        tokio::spawn(async move {
            let _ = sender.send(target.request::<B256>(method, params).await).await;
        });
    }
    drop(sender);
    let mut failure = None;
    while let Some(answer) = answers.recv().await {
        match answer {
            Ok(_) => return Ok(keccak256(raw)),
            Err(NodeError::Refused { message, .. }) if is_known(&message) => return Ok(keccak256(raw)),
            // Refused by one but perhaps taken by another that did not answer: it may be mined.
            Err(error) if failure.is_none() || !matches!(error, NodeError::Refused { .. }) => failure = Some(error),
            Err(_) => {}
        }
    }
    Err(failure.unwrap_or(NodeError::Transport { method, reason: "no endpoint".into() }))
}

/// Nodes have no common code for a transaction that they have already.
fn is_known(message: &str) -> bool {
    let message = message.to_ascii_lowercase().replace(' ', "");
    // Not an "unknown transaction type".
    let known = message.starts_with("knowntransaction") || message.contains(":knowntransaction");
    known || ["alreadyknown", "alreadyimported", "existingtxwithsamehash"].iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_a_node_has_is_told_from_one_that_it_does_not_want() {
        for has in [
            "already known",
            "AlreadyKnown",
            "existing tx with same hash",
            "transaction already imported",
            "known transaction: 0x12",
        ] {
            assert!(is_known(has), "{has}");
        }
        for not in ["unknown transaction type", "transaction type not supported", "nonce too low", ""] {
            assert!(!is_known(not), "{not}");
        }
    }
}
