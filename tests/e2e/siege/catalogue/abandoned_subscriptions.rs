//! Subscriptions to operations that nobody has ever sent, given up without a word.

use alloy::primitives::{B256, keccak256};
use futures::{FutureExt, future::BoxFuture};
use jsonrpsee::{core::client::SubscriptionClientT, rpc_params, ws_client::WsClientBuilder};

use super::super::{Attacker, field::Field};

pub(super) struct AbandonedSubscriptions;

impl Attacker for AbandonedSubscriptions {
    fn name(&self) -> &'static str {
        "abandoned_subscriptions"
    }

    fn claim(&self) -> &'static str {
        "a subscription ends with its connection, and asks nothing of anybody after that"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let url = field.stack.node.url.replace("http", "ws");
            for _ in 0..10 {
                let Ok(client) = WsClientBuilder::default().build(&url).await else { return Vec::new() };
                for _ in 0..10 {
                    let hash = keccak256(field.salt().to_be_bytes());
                    let (subscribe, unsubscribe) =
                        ("fabstir_subscribeUserOperation", "fabstir_unsubscribeUserOperation");
                    let subscribed =
                        client.subscribe::<serde_json::Value, _>(subscribe, rpc_params![hash], unsubscribe).await;
                    // No word of its end is sent.
                    subscribed.into_iter().for_each(std::mem::forget);
                }
                drop(client);
            }
            Vec::new()
        }
        .boxed()
    }
}
