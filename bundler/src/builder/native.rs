//! Bundles of operations that call contracts which the chain's client executes itself, such as B20 tokens.
//!
//! ```text
//!  proof in process: its execution calls native code ──► set apart from the others ──► a bundle of such ones
//!                                                                                          │
//!                  validation in process, as of every bundle ──► the whole of it on the node ──► sent, by itself
//! ```
//!
//! Validation calls no native code, so our EVM proves it; of execution only the node can tell. What execution leaves
//! behind nobody tells, so that nothing is built upon such a bundle: while one is in flight no other is placed.

use alloy::{
    primitives::{Address, B256, U64, U256},
    rpc::types::state::StateOverride,
};
use erc4337::{EntryPointVersion, pack};

use super::{Bundle, Proven, contest::pretend_authorizations, prove::culprit};
use crate::{
    admission::Admitted,
    bounds::Metered,
    evm::{Moment, Trace},
    fees::FeeSuggestion,
    node::{NodeClient, NodeError, PaidCall},
    rules,
};

/// Operations in one such bundle, and so calls of the node for it, at most.
const MOST: usize = 8;

/// How many may go together: in v0.6 one alone, as there what it executes may revert the whole bundle.
pub(super) fn most(version: EntryPointVersion) -> usize {
    if version == EntryPointVersion::V0_6 { 1 } else { MOST }
}

/// Per cent of the base fee that it must be able to pay: what we suggest as `slow`.
const ROOM: u128 = 110;

/// Whether it offers as much as is bid now, and does yet when the base fee has risen: all others wait for such a bundle to
/// be mined, which one that fees leave behind is not before it is cancelled.
pub(super) fn is_prompt(admitted: &Admitted, fees: FeeSuggestion) -> bool {
    let risen = fees.base_fee.saturating_mul(ROOM).div_ceil(100);
    let offered = admitted.op.effective_gas_price(risen).saturating_sub(risen);
    offered >= fees.priority_fee
}

/// In v0.6, why execution could revert the bundle whatever the node says of it now, and nobody would pay for that: an
/// operation that costs more than its limits (AA51), or a paymaster whose postOp reverts twice (AA50).
pub(super) fn uncontained(trace: &Trace, bundle: &Bundle) -> Option<String> {
    let version = EntryPointVersion::V0_6;
    bundle.operations.first().filter(|it| it.version == version)?;
    if let Some((_, why)) = short_of_room(trace, bundle) {
        return Some(why);
    }
    // Without a context there is no postOp.
    rules::context_size(trace).is_some_and(|size| size > 0).then(|| {
        "paymaster: with EntryPoint v0.6 one that wants a postOp cannot pay for a call that the chain's client executes"
            .into()
    })
}

/// In v0.6, the first operation of a bundle whose limits do not leave what its execution may take beside them, and why that
/// is too little: it may come to cost more than it has paid for, and revert the bundle (AA51).
pub(super) fn short_of_room(trace: &Trace, bundle: &Bundle) -> Option<(usize, String)> {
    if bundle.version != EntryPointVersion::V0_6 {
        return None;
    }
    let operations = || bundle.operations.iter();
    let metered = Metered::of(trace, operations().map(|it| &*it.op), bundle.version)?;
    operations().zip(metered).enumerate().find_map(|(index, (admitted, metered))| {
        let op = &admitted.op;
        let missing = metered.missing_v06(op, admitted.evidence.context);
        let enough = op.verification_gas_limit.saturating_add(missing);
        (missing > 0).then(|| {
            let why =
                format!("verificationGasLimit: whatever its call does, {enough} would be enough beside the others");
            (index, why)
        })
    })
}

/// Has the node execute a proven bundle of native calls, as the transaction that it will be in the block to come, and puts
/// out what makes it
/// revert, one operation after the other.
///
/// # Errors
/// If the node does not say: nothing is known of any of them then.
pub(crate) async fn decide(
    node: &NodeClient,
    proven: &mut Proven,
    in_flight: &StateOverride,
    bundler: Address,
    (block, at): (B256, Moment),
    fees: FeeSuggestion,
) -> Result<(), NodeError> {
    while proven.bundle.native && !proven.bundle.operations.is_empty() {
        let bundle = &proven.bundle;
        let mut state = in_flight.clone();
        pretend_authorizations(bundle, &mut state);
        let bid = bundle.bid(fees);
        let call = PaidCall {
            from: bundler,
            to: bundle.entry_point,
            data: pack::handle_ops(bundle.version, bundle.operations.iter().map(|it| &*it.op), bundler),
            gas: U64::from(bundle.gas_limit()),
            max_fee_per_gas: U256::from(bid.max_fee),
            max_priority_fee_per_gas: U256::from(bid.priority_fee),
        };
        let mut answer = node.call_paying(&call, block, &state, Some(at)).await;
        if answer.as_ref().is_err_and(|error| matches!(error, NodeError::Refused { .. }) && !error.is_failed_call()) {
            // It may not know of the block to come, and say more without.
            answer = node.call_paying(&call, block, &state, None).await;
        }
        let Err(error) = answer else { return Ok(()) };
        if !error.is_failed_call() {
            return Err(error);
        }
        let failure = match &error {
            NodeError::Refused { data: Some(data), .. } => culprit(data, bundle),
            other => (None, other.to_string(), None),
        };
        proven.put_out(failure, in_flight.is_empty());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bounds, evm::GasReading, mempool::tests::operation};

    fn trace(used: u64) -> Trace {
        let reading = |remaining| GasReading { remaining, frames: 1 };
        let readings = [0, 0, 0, used, used].map(|used| reading(1_000_000 - used));
        Trace { gas_readings: readings.to_vec(), validation_frames: Some(1), ..Trace::default() }
    }

    fn bundle(version: EntryPointVersion, verification_gas_limit: u128) -> Bundle {
        let mut admitted = operation(1, 0, 30, 1);
        admitted.version = version;
        std::sync::Arc::make_mut(&mut admitted.op).verification_gas_limit = verification_gas_limit;
        Bundle::new(admitted.entry_point, version, vec![admitted])
    }

    #[test]
    fn in_v0_6_an_operation_must_not_come_to_cost_more_than_its_limits() {
        let room = bounds::beside(&bundle(EntryPointVersion::V0_6, 0).operations[0].op, EntryPointVersion::V0_6, 0);
        let (tight, wide) = (100_000 + room - 1, 100_000 + room);
        let why = |version, limit| uncontained(&trace(100_000), &bundle(version, limit));
        assert!(why(EntryPointVersion::V0_6, tight).unwrap().starts_with("verificationGasLimit"));
        assert_eq!(why(EntryPointVersion::V0_6, wide), None);
        assert_eq!(why(EntryPointVersion::V0_7, tight), None);
    }

    #[test]
    fn others_wait_only_for_what_a_rising_base_fee_does_not_leave_behind() {
        let prompt = |max_fee: u128| {
            let mut admitted = operation(1, 0, 30, 1);
            let op = std::sync::Arc::make_mut(&mut admitted.op);
            (op.max_fee_per_gas, op.max_priority_fee_per_gas) = (max_fee, 2_000_000);
            is_prompt(&admitted, FeeSuggestion::flat(5_000_000, 1_000_000))
        };
        assert!(!prompt(6_000_000), "what is bid now, and nothing more");
        assert!(!prompt(6_499_999) && prompt(6_500_000), "the least that we suggest");
    }

    #[test]
    fn one_goes_alone_in_v0_6_and_eight_together_elsewhere() {
        assert_eq!(EntryPointVersion::ALL.map(most), [1, MOST, MOST, MOST]);
    }
}
