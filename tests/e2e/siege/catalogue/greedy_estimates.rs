//! Estimates that search, call without end, look at strangers, and read where each slot leads.

use alloy::primitives::B256;
use erc4337::EntryPointVersion::V0_8;
use futures::{FutureExt, future::BoxFuture};
use jsonrpsee::{core::client::ClientT, rpc_params};
use tests::greedy::Greed;

use super::super::{Attacker, field::Field};

pub(super) struct GreedyEstimates;

impl Attacker for GreedyEstimates {
    fn name(&self) -> &'static str {
        "greedy_estimates"
    }

    fn claim(&self) -> &'static str {
        "estimates go behind sends, and each is bounded in what it computes and reads"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            for greed in Greed::ALL {
                field.place(V0_8, greed.address(), &greed.code()).await;
                for _ in 0..3 {
                    let (node, entry_point) = (field.stack.node.rpc.clone(), field.entry_point(V0_8));
                    field.beside(async move {
                        let params = rpc_params![greed.operation(), entry_point];
                        // Whatever is answered.
                        drop(node.request::<serde_json::Value, _>("eth_estimateUserOperationGas", params).await);
                    });
                }
            }
            Vec::new()
        }
        .boxed()
    }
}
