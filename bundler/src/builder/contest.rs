//! The node's word against a bundle that our EVM has passed: a safety net, and an alarm.

use alloy::{
    primitives::{Address, Bytes, U64, U256},
    rpc::types::state::StateOverride,
};
use erc4337::{pack, revert::EntryPointRevert};

use super::Bundle;
use crate::{
    Head, admission,
    evm::{BlockPin, Moment},
    node::{NodeClient, NodeError, PaidCall},
};

/// What the node says against a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// On the block that it was proven on it works there too: what came since speaks against it.
    Overtaken(String),
    /// On the very block that it was proven on: one of the two EVMs is wrong.
    Disagrees(String),
}

/// What the node says against a bundle on its newest block, as the transaction that it will be in the block to come, after
/// what is in flight; it was `proven` on this block, in that one to come. Nothing if it cannot be asked, or can only tell how
/// things are at the head's own second.
pub(crate) async fn contest(
    node: &NodeClient,
    bundle: &Bundle,
    mut in_flight: StateOverride,
    bundler: Address,
    (proven_on, proven_in): (&BlockPin, Moment),
    newest: &Head,
    at: Moment,
) -> Option<Objection> {
    // Of what only the node can execute it has said already what there is to say.
    if bundle.operations.is_empty() || bundle.native {
        return None;
    }
    pretend_authorizations(bundle, &mut in_flight);
    let (to, gas) = (bundle.entry_point, bundle.gas_limit());
    let input = pack::handle_ops(bundle.version, bundle.operations.iter().map(|admitted| &*admitted.op), bundler);
    let bid = bundle.bid(newest.fees);
    let call = PaidCall {
        from: bundler,
        to,
        data: input.clone(),
        gas: U64::from(gas),
        max_fee_per_gas: U256::from(bid.max_fee),
        max_priority_fee_per_gas: U256::from(bid.priority_fee),
    };
    let on_the_proofs_block = async |pretended: &StateOverride| {
        let block = (proven_on.hash, proven_in);
        node.call_from_at(bundler, to, input.clone(), gas, block, pretended).await
    };
    let mut answer = node.call_newest(&call, &newest.block, at, &in_flight).await;
    if is_not_understood(&answer) {
        answer = on_the_proofs_block(&in_flight).await;
    }
    if is_not_understood(&answer) {
        // It may not know of the block to come, and say more without.
        answer = node.call_from(bundler, to, input.clone(), gas, newest.block.hash, &in_flight).await;
    }
    match answer {
        Err(NodeError::Refused { data: Some(data), .. }) if is_of_its_own_time(&data, bundle, &newest.block) => {
            tracing::debug!("the node looked at the bundle at the head's time, at which it is not valid yet");
            None
        }
        Err(error) if is_revert(&error) => {
            let same = on_the_proofs_block(&in_flight).await;
            let disagrees = same.is_err_and(|error| is_revert(&error));
            Some(if disagrees { Objection::Disagrees(words(error)) } else { Objection::Overtaken(words(error)) })
        }
        Err(error) => {
            tracing::warn!(%error, "the node did not say what it makes of the bundle");
            None
        }
        Ok(_) => None,
    }
}

/// Whether the node refused the question, and not the bundle.
fn is_not_understood(answer: &Result<Bytes, NodeError>) -> bool {
    answer.as_ref().is_err_and(|error| matches!(error, NodeError::Refused { .. }) && !is_revert(error))
}

fn is_revert(error: &NodeError) -> bool {
    matches!(error, NodeError::Refused { message, .. } if message.contains("revert"))
}

fn words(error: NodeError) -> String {
    match error {
        NodeError::Refused { message, data: Some(data), .. } if !data.is_empty() => {
            format!("{message} ({})", EntryPointRevert::decode(&data))
        }
        NodeError::Refused { message, .. } => message,
        other => other.to_string(),
    }
}

/// Whether this revert says no more than that an operation is out of its time at the head, which it is: the bundle is not
/// for the head but for what comes after it.
fn is_of_its_own_time(data: &Bytes, bundle: &Bundle, head: &BlockPin) -> bool {
    let EntryPointRevert::FailedOp { index, reason, .. } = EntryPointRevert::decode(data) else { return false };
    let its_own = Moment { number: head.number, timestamp: head.timestamp };
    admission::is_about_time(&reason)
        && bundle.operations.get(index).is_some_and(|it| !it.validated.is_valid_at(its_own, it.version))
}

/// A call carries no authorizations: what they will have done is pretended (EIP-7702's designation).
pub(super) fn pretend_authorizations(bundle: &Bundle, state: &mut StateOverride) {
    for (op, auth) in bundle.operations.iter().filter_map(|it| Some((&it.op, it.op.eip7702_auth.as_ref()?))) {
        let pretend = state.entry(op.sender).or_default();
        pretend.code = Some(Bytes::from([&[0xef, 0x01, 0x00], auth.address.as_slice()].concat()));
        pretend.nonce = Some(auth.nonce.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use alloy::sol_types::SolError;
    use erc4337::{EntryPointVersion, ValidationData, abi::entry_point_v08::FailedOp};
    use futures::future::BoxFuture;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        evm::{Shared, StateView},
        fees::FeeSuggestion,
        mempool::tests::{block, operation},
        world::{Question, Reply, Wire},
    };

    /// A node that says this of a call on its newest block, and this of one on the block of the proof; and what it was asked.
    #[derive(Debug)]
    struct Node {
        newest: Reply,
        proofs: Reply,
        asked: Mutex<Vec<Vec<Value>>>,
    }

    impl Wire for Node {
        fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<Reply>, String>> {
            let answers = questions.into_iter().map(|(_, params)| {
                let params: Vec<Value> = serde_json::from_str(params.unwrap().get()).unwrap();
                let answer = if params[1] == "latest" { self.newest.clone() } else { self.proofs.clone() };
                self.asked.lock().unwrap().push(params);
                answer
            });
            let answers = answers.collect();
            Box::pin(async { Ok(answers) })
        }
    }

    async fn says(newest: Reply, proofs: Reply) -> (Option<Objection>, Vec<Vec<Value>>) {
        let wire = Arc::new(Node { newest, proofs, asked: Mutex::default() });
        let node = NodeClient::through(vec![Arc::clone(&wire) as Arc<dyn Wire>], Duration::from_secs(1));
        let bundle = Bundle::new(Address::repeat_byte(4), EntryPointVersion::V0_8, vec![operation(1, 0, 5_000, 1)]);
        let view = Arc::new(StateView::new(node.clone(), block(7).hash, 0, Arc::<Shared>::default()));
        let newest = crate::evm::BlockPin { next_base_fee: 700, beneficiary: Address::repeat_byte(9), ..block(7) };
        let head = Head { block: newest, time: 0, view, fees: FeeSuggestion::flat(700, 3), l1: None };
        let moment = |number| Moment { number, timestamp: 1_000 + number };
        let proof = (&block(6), moment(7));
        let said = contest(&node, &bundle, StateOverride::default(), Address::ZERO, proof, &head, moment(8)).await;
        let asked = wire.asked.lock().unwrap().clone();
        (said, asked)
    }

    fn reverted() -> Reply {
        Err((3, "execution reverted: AA25 invalid account nonce".into()))
    }

    #[tokio::test]
    async fn the_node_is_asked_of_its_newest_block_for_the_block_to_come_at_the_price_that_is_bid() {
        let (said, asked) = says(Ok(json!("0x")), reverted()).await;
        assert_eq!((said, asked.len()), (None, 1));
        let [call, on, _, block] = asked[0].as_slice() else { panic!("{asked:?}") };
        assert_eq!(
            (on, &call["maxFeePerGas"], &call["maxPriorityFeePerGas"]),
            (&json!("latest"), &json!("0x57b"), &json!("0x3"))
        );
        assert_eq!(
            (&block["number"], &block["time"], &block["baseFeePerGas"]),
            (&json!("0x8"), &json!("0x3f0"), &json!("0x2bc"))
        );
        assert_eq!(block["feeRecipient"], json!(Address::repeat_byte(9)));
    }

    #[tokio::test]
    async fn what_fails_on_the_newest_block_alone_was_overtaken_and_is_no_disagreement() {
        let (said, asked) = says(reverted(), Ok(json!("0x"))).await;
        assert!(matches!(&said, Some(Objection::Overtaken(why)) if why.contains("AA25")), "{said:?}");
        assert_eq!(asked[1][1]["blockHash"], json!(block(6).hash));
        let (said, _) = says(reverted(), reverted()).await;
        assert!(matches!(said, Some(Objection::Disagrees(_))), "{said:?}");
    }

    #[tokio::test]
    async fn a_node_that_does_not_understand_is_asked_less_and_one_that_never_does_objects_to_nothing() {
        let odd = || Err((-32_602, "too many arguments".into()));
        assert_eq!(says(odd(), Ok(json!("0x"))).await.0, None);
        assert!(matches!(says(odd(), reverted()).await.0, Some(Objection::Disagrees(_))));
        let (said, asked) = says(odd(), odd()).await;
        assert_eq!((said, asked.len()), (None, 3));
    }

    #[test]
    fn that_it_is_not_valid_yet_at_the_head_counts_only_for_an_operation_that_is_not() {
        let head = block(1);
        let mut early = operation(2, 0, 100, 2);
        early.validated.account = ValidationData { valid_after: head.timestamp, ..ValidationData::VALID };
        let operations = vec![operation(1, 0, 100, 1), early];
        let bundle = Bundle::new(Address::ZERO, EntryPointVersion::V0_8, operations);
        let says = |index: u64, reason: &str| {
            let revert = FailedOp { opIndex: U256::from(index), reason: reason.into() }.abi_encode();
            is_of_its_own_time(&revert.into(), &bundle, &head)
        };
        assert!(says(1, "AA22 expired or not due"));
        assert!(!says(0, "AA22 expired or not due"), "it is valid at the head");
        assert!(!says(1, "AA24 signature error") && !says(2, "AA22 expired or not due"));
    }
}
