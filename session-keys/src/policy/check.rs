//! What no session may allow, whoever signs it (`SessionPolicyLib.sol`).

use alloy::{primitives::Address, sol_types::SolCall};
use erc4337::abi::test_usdc::{approveCall, transferCall, transferFromCall};

use super::{CallRule, Condition, Policy, judge::Violation};

/// The first time that is out of range: EntryPoint v0.9 reads larger ones as block numbers.
pub const TIME_END: u64 = 1 << 47;

/// Rights over tokens that no argument rule and no count can bound.
const OPEN_APPROVALS: [&str; 10] = [
    "increaseAllowance(address,uint256)",
    "increaseApproval(address,uint256)",
    "setApprovalForAll(address,bool)",
    "approveAndCall(address,uint256)",
    "approveAndCall(address,uint256,bytes)",
    "authorizeOperator(address)",
    "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
    "permit(address,address,uint256,uint256,bytes)",
    "permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)",
    "approve(address,address,uint160,uint48)",
];

impl Policy {
    /// Whether the account would let an owner enable it.
    ///
    /// # Errors
    /// The account's own error.
    pub fn check(&self, account: Address, entry_point: Address) -> Result<(), Violation> {
        if !self.key.is_valid() {
            return Err(Violation::InvalidSessionKey(self.key));
        }
        if self.valid_until <= self.valid_after || self.valid_until >= TIME_END {
            return Err(Violation::InvalidSessionTimes);
        }
        for (index, rule) in self.calls.iter().enumerate() {
            if rule.target == account || rule.target == entry_point || is_forbidden(rule) {
                return Err(Violation::ForbiddenCallRule(index));
            }
            if !self.has_limits(rule) {
                return Err(Violation::InvalidSpendLimit(index));
            }
        }
        Ok(())
    }

    /// Limits must exist and be for what they count; moving or approving a token is always counted.
    fn has_limits(&self, rule: &CallRule) -> bool {
        let limit = |number: u8| self.limits.get(usize::from(number).wrapping_sub(1));
        if rule.value_limit != 0 && limit(rule.value_limit).is_none_or(|limit| !limit.token.is_zero()) {
            return false;
        }
        let moves = moves_tokens(rule);
        if rule.amount_limit == 0 {
            return !moves;
        }
        limit(rule.amount_limit)
            .is_some_and(|limit| if moves { limit.token == rule.target } else { !limit.token.is_zero() })
    }
}

/// Whether the rule is for one of ERC-20's functions that move or approve.
pub(super) fn moves_tokens(rule: &CallRule) -> bool {
    [transferCall::SELECTOR, approveCall::SELECTOR, transferFromCall::SELECTOR].contains(&rule.selector.0)
}

fn is_forbidden(rule: &CallRule) -> bool {
    let selector = rule.selector.0;
    if rule.selector.is_zero() {
        return rule.max_length != 0 || rule.amount_limit != 0;
    }
    if OPEN_APPROVALS.iter().any(|signature| alloy::primitives::keccak256(signature)[..4] == selector) {
        return true;
    }
    let shape = |length, word| rule.max_length != length || rule.amount_word != word;
    match selector {
        approveCall::SELECTOR => shape(68, 1) || !names_spender(rule),
        transferCall::SELECTOR => shape(68, 1),
        transferFromCall::SELECTOR => shape(100, 2),
        _ => false,
    }
}

fn names_spender(rule: &CallRule) -> bool {
    rule.arguments.iter().any(|argument| argument.word == 0 && matches!(argument.must_be, Condition::OneOf(_)))
}
