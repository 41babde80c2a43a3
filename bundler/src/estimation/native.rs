//! The account's call where it leads to a contract that the chain's client executes itself: our EVM comes as far as
//! there, and the node says what the call needs, and whether it works.
//!
//! The node is given the state that validation leaves, and makes the EntryPoint's call to the account, by two standard
//! methods and never more than once for an estimate: `eth_estimateGas` if the limit is ours to find, else `eth_call`.
//! Apart from validation the call is dearer than within its bundle, where what validation touched is warm: what the
//! node finds is enough there.

use alloy::{
    primitives::{Address, Bytes},
    rpc::types::state::StateOverride,
};
use erc4337::{UserOperation, revert::Reason};

use super::{estimator::Estimator, measure::Limits};
use crate::{
    Rejection,
    evm::{Ending, Run},
    node::NodeError,
    rejection::FailedFrame,
    rules::{self, Parties, Party},
};

/// Gas of a transaction's base price.
const TRANSACTION: u64 = 21_000;
/// Gas of a calldata token: a zero byte is one, any other is four.
const PER_TOKEN: u64 = 4;
/// The floor price of a token (EIP-7623).
const FLOOR_PER_TOKEN: u64 = 10;

/// The EntryPoint's call to the account, which leads to native code.
#[derive(Debug)]
pub(super) struct NativeCall {
    input: Bytes,
    /// Gas between what our run of it used, and the least limit for that.
    slack: u128,
}

impl Estimator {
    /// Whether the run shows only what came before a call of native code, and its validation passed.
    pub(super) fn is_native(&self, run: &Run) -> bool {
        matches!(run.ending, Ending::Completed(_)) && !run.trace.native_operations(self.entry_point).is_empty()
    }

    /// The account's call, if it is for the node to run.
    ///
    /// # Errors
    /// If native code is called in validation or in postOp, of which the node cannot be asked.
    pub(super) fn native_call(&self, run: &Run, op: &UserOperation) -> Result<Option<NativeCall>, Rejection> {
        if let Some(first) = rules::native_calls(&run.trace, &self.parties(op)).into_iter().next() {
            return Err(Rejection::Rule(Box::new(first)));
        }
        if run.trace.native_operations(self.entry_point).is_empty() {
            return Ok(None);
        }
        let frames = self.frames(run, op);
        let in_post_op = frames.post_op.and_then(|(index, _)| run.trace.native_call_in(index));
        if let (Some(callee), Some(paymaster)) = (in_post_op, op.paymaster_address()) {
            let message = format!(
                "postOp calls {}, which the chain's client executes itself: what that takes of its gas cannot be told \
                 before; pay with a token that is a contract",
                callee.code
            );
            return Err(Rejection::Paymaster { paymaster, message });
        }
        let call = frames.call.ok_or(Rejection::Internal("the account's call was not seen"))?;
        let slack = u128::from(call.demand.saturating_sub(call.gas_used));
        Ok(Some(NativeCall { input: call.input.clone(), slack }))
    }

    /// The limits that were proven for what surrounds the call, with the node's for the call itself.
    pub(super) fn with_the_nodes_limit(
        &self,
        op: &mut UserOperation,
        found: Limits,
        call: &NativeCall,
    ) -> Result<Limits, Rejection> {
        self.open.apply(found, op);
        let mut limits = found;
        if self.open.call {
            limits.call = self.estimate_on_the_node(op, call)?;
        } else {
            self.run_on_the_node(op, call)?;
        }
        limits.verification += call.slack;
        // It was measured after a call that answered what we made up.
        if limits.post_op > 0 {
            limits.post_op += limits.post_op / 4 + 5_000;
        }
        Ok(limits)
    }

    /// The least gas limit of the call, by the node.
    fn estimate_on_the_node(&self, op: &UserOperation, call: &NativeCall) -> Result<u128, Rejection> {
        let state = self.state_of_the_call(op)?;
        let (intrinsic, _) = intrinsic(&call.input);
        let most = self.chain.max_transaction_gas;
        let (from, to, block) = (self.entry_point, op.sender, self.head.block.hash);
        let estimate = self
            .head
            .view
            .ask_blocking(async |node| node.estimate_call(from, to, call.input.clone(), most, block, &state).await);
        match estimate {
            Ok(gas) => Ok(u128::from(gas.saturating_sub(intrinsic))),
            Err(error) => Err(self.failed(op, error)),
        }
    }

    /// Has the node make the call with the operation's own limit.
    ///
    /// # Errors
    /// If it fails.
    pub(super) fn run_on_the_node(&self, op: &UserOperation, call: &NativeCall) -> Result<(), Rejection> {
        let state = self.state_of_the_call(op)?;
        let (intrinsic, floor) = intrinsic(&call.input);
        let gas = u64::try_from(op.call_gas_limit).unwrap_or(u64::MAX).saturating_add(intrinsic).max(floor);
        let gas = gas.min(self.chain.max_transaction_gas);
        let (from, to, block) = (self.entry_point, op.sender, self.head.block.hash);
        let done = self
            .head
            .view
            .ask_blocking(async |node| node.call_from(from, to, call.input.clone(), gas, block, &state).await);
        done.map(drop).map_err(|error| self.failed(op, error))
    }

    /// The state that the EntryPoint makes the call on, as nodes take it.
    fn state_of_the_call(&self, op: &UserOperation) -> Result<StateOverride, Rejection> {
        let mut state = self.after_validation(op)?;
        // A node takes one or the other: what the caller pretends to be all of an account's storage, and what validation
        // changed of it.
        for pretend in state.values_mut() {
            if let (Some(whole), Some(diff)) = (&mut pretend.state, &pretend.state_diff) {
                whole.extend(diff.iter().map(|(slot, value)| (*slot, *value)));
                pretend.state_diff = None;
            }
        }
        Ok(state)
    }

    fn failed(&self, op: &UserOperation, error: NodeError) -> Rejection {
        if !error.is_failed_call() {
            return error.into();
        }
        let NodeError::Refused { message, data, .. } = error else { return error.into() };
        let selector = op.call_data.first_chunk().copied();
        let out_of_gas = data.is_none() && message.to_ascii_lowercase().contains("gas");
        let reason = data.as_ref().map_or_else(|| message.clone(), |data| Reason(data).to_string());
        let frame = FailedFrame { contract: op.sender, selector, out_of_gas, path: vec![self.entry_point, op.sender] };
        Rejection::ExecutionReverted { reason, data: data.unwrap_or_default(), frame: Box::new(frame) }
    }

    fn parties(&self, op: &UserOperation) -> Parties {
        let party = |address: Address| Party { address, ..Party::default() };
        Parties {
            entry_point: self.entry_point,
            account: party(op.sender),
            factory: op.factory().map(party),
            paymaster: op.paymaster_address().map(party),
            ..Parties::default()
        }
    }
}

/// Gas that a transaction with this calldata costs before it executes, and the least that it may be given.
fn intrinsic(input: &[u8]) -> (u64, u64) {
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let tokens = 4 * (input.len() as u64 - zeros) + zeros;
    (TRANSACTION + PER_TOKEN * tokens, TRANSACTION + FLOOR_PER_TOKEN * tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calldata_is_priced_by_its_tokens_with_a_floor() {
        assert_eq!(intrinsic(&[]), (21_000, 21_000));
        assert_eq!(intrinsic(&[0, 1]), (21_000 + 20, 21_000 + 50));
    }
}
