//! What is sponsored: a pure decision over an operation's own fields and the calls it makes.

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use erc4337::{
    EntryPointVersion, Initializer, UserOperation,
    abi::test_usdc::approveCall,
    calls::{self, Call},
};

use crate::ledger::{Denied, OverLimit};

/// One policy: calls to the marketplace, and the token approvals that they need.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Named in denials.
    pub id: String,
    /// Contracts that may be called, with any function.
    pub targets: BTreeSet<Address>,
    /// Tokens on which `approve` may be called, for [`Policy::spender`] only.
    pub tokens: BTreeSet<Address>,
    /// The escrow: whom approvals may name.
    pub spender: Address,
    /// Factories that may create the account on our gas.
    pub factories: BTreeSet<Address>,
    /// Code that an EOA may delegate to on our gas (EIP-7702). Our signature does not cover the authorization; as with
    /// every account that exists already, what runs in the end is not checked, but what it costs is.
    pub delegates: BTreeSet<Address>,
    /// Most `preVerificationGas` of one operation.
    pub max_pre_verification_gas: u128,
    /// Most that one operation may cost, in wei, at its own fee and gas limits.
    pub max_cost: U256,
}

/// Why an operation is not sponsored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The account would do something we cannot read.
    #[error(transparent)]
    Unreadable(#[from] calls::UnreadableCalls),
    /// A call goes elsewhere.
    #[error("call {index} goes to {target}, which is not sponsored")]
    Target {
        /// Position in the batch.
        index: usize,
        /// Where it goes.
        target: Address,
    },
    /// A call sends native currency.
    #[error("call {index} sends {value} wei; sponsored calls send none")]
    Value {
        /// Position in the batch.
        index: usize,
        /// How much.
        value: U256,
    },
    /// A call to a token is not the one kind that is allowed.
    #[error("call {index} to token {token} is not an approval of the escrow")]
    NotTheApproval {
        /// Position in the batch.
        index: usize,
        /// The token.
        token: Address,
    },
    /// A call names no function.
    #[error("call {index} to {target} names no function")]
    NoFunction {
        /// Position in the batch.
        index: usize,
        /// Where it goes.
        target: Address,
    },
    /// The account comes from somewhere else.
    #[error("accounts of factory {0} are not sponsored")]
    Factory(Address),
    /// The account would run code that is not ours, so that its calls tell nothing.
    #[error("EIP-7702 accounts are sponsored only if they delegate to ours")]
    Delegate,
    /// Paid to whoever bundles, used or not: the way to turn a deposit into cash.
    #[error("preVerificationGas {given} is over the {limit} that is sponsored")]
    PreVerificationGas {
        /// Of the operation.
        given: u128,
        /// Of the policy.
        limit: u128,
    },
    /// It could cost more than one operation may.
    #[error("the operation may cost {cost} wei; at most {limit} wei are sponsored")]
    TooExpensive {
        /// At its own fee and limits.
        cost: U256,
        /// Of the policy.
        limit: U256,
    },
    /// Too much has been promised today.
    #[error("what {who} may be sponsored in a day is spent: {remaining} of {limit} wei are left")]
    OverBudget {
        /// Whose budget it is.
        who: &'static str,
        /// Wei a day.
        limit: U256,
        /// Wei that are left of it.
        remaining: U256,
        /// Seconds since 1970 at which it is whole again.
        resets_at: u64,
    },
    /// The ledger has another reason.
    #[error(transparent)]
    Ledger(Denied),
}

impl From<Denied> for Denial {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::OverLimit(over) => {
                let OverLimit { bucket, limit, remaining, resets_at, .. } = *over;
                let who = if bucket == "all" { "all" } else { "this account" };
                Self::OverBudget { who, limit, remaining, resets_at: resets_at.unwrap_or(u64::MAX) }
            }
            other => Self::Ledger(other),
        }
    }
}

impl Policy {
    /// Whether the operation is sponsored.
    ///
    /// # Errors
    /// The first thing about it that is not.
    pub fn decide(&self, op: &UserOperation, version: EntryPointVersion) -> Result<(), Denial> {
        match &op.initializer {
            Some(Initializer::Factory { address, .. }) if !self.factories.contains(address) => {
                return Err(Denial::Factory(*address));
            }
            // What is initialized is known only if it comes along.
            Some(Initializer::Eip7702 { .. }) if op.eip7702_auth.is_none() => return Err(Denial::Delegate),
            _ => {}
        }
        if op.eip7702_auth.as_ref().is_some_and(|auth| !self.delegates.contains(&auth.address)) {
            return Err(Denial::Delegate);
        }
        if op.pre_verification_gas > self.max_pre_verification_gas {
            let (given, limit) = (op.pre_verification_gas, self.max_pre_verification_gas);
            return Err(Denial::PreVerificationGas { given, limit });
        }
        let cost = op.required_prefund(version);
        if cost > self.max_cost {
            return Err(Denial::TooExpensive { cost, limit: self.max_cost });
        }
        calls::decode(&op.call_data)?.iter().enumerate().try_for_each(|(index, call)| self.decide_call(index, call))
    }

    fn decide_call(&self, index: usize, call: &Call) -> Result<(), Denial> {
        let target = call.target;
        if !call.value.is_zero() {
            return Err(Denial::Value { index, value: call.value });
        }
        if self.tokens.contains(&target) {
            let approves_escrow = approveCall::abi_decode_validate(&call.data)
                .is_ok_and(|approval| approval.spender == self.spender && approval.abi_encode() == call.data[..]);
            return if approves_escrow { Ok(()) } else { Err(Denial::NotTheApproval { index, token: target }) };
        }
        if !self.targets.contains(&target) {
            return Err(Denial::Target { index, target });
        }
        call.selector().map(|_| ()).ok_or(Denial::NoFunction { index, target })
    }
}

#[cfg(test)]
mod tests {
    use alloy::{
        eips::eip7702::{Authorization, SignedAuthorization},
        primitives::Bytes,
    };

    use super::*;

    const MARKET: Address = Address::repeat_byte(1);
    const ESCROW: Address = Address::repeat_byte(2);
    const TOKEN: Address = Address::repeat_byte(3);
    const FACTORY: Address = Address::repeat_byte(4);
    const DELEGATE: Address = Address::repeat_byte(5);
    const STRANGER: Address = Address::repeat_byte(9);

    fn policy() -> Policy {
        Policy {
            id: "marketplace".into(),
            targets: BTreeSet::from([MARKET, ESCROW]),
            tokens: BTreeSet::from([TOKEN]),
            spender: ESCROW,
            factories: BTreeSet::from([FACTORY]),
            delegates: BTreeSet::from([DELEGATE]),
            max_pre_verification_gas: 100,
            max_cost: U256::from(1_000),
        }
    }

    fn operation(calls: &[Call]) -> UserOperation {
        UserOperation {
            sender: Address::repeat_byte(7),
            call_data: calls::encode(calls),
            call_gas_limit: 10,
            verification_gas_limit: 10,
            pre_verification_gas: 10,
            max_fee_per_gas: 1,
            max_priority_fee_per_gas: 1,
            ..UserOperation::default()
        }
    }

    fn call(target: Address, data: impl Into<Bytes>) -> Call {
        Call { target, value: U256::ZERO, data: data.into() }
    }

    fn approval(spender: Address) -> Vec<u8> {
        approveCall { spender, value: U256::from(5) }.abi_encode()
    }

    fn decide(op: &UserOperation) -> Result<(), Denial> {
        policy().decide(op, EntryPointVersion::V0_8)
    }

    #[test]
    fn a_marketplace_call_is_sponsored_alone_and_after_its_approval() {
        assert_eq!(decide(&operation(&[call(MARKET, [1, 2, 3, 4])])), Ok(()));
        assert_eq!(decide(&operation(&[call(TOKEN, approval(ESCROW)), call(MARKET, [1, 2, 3, 4])])), Ok(()));
    }

    #[test]
    fn one_bad_call_anywhere_in_a_batch_denies_the_whole() {
        let good = call(MARKET, [1, 2, 3, 4]);
        let refused = decide(&operation(&[good.clone(), good, call(STRANGER, [1, 2, 3, 4])]));
        assert_eq!(refused, Err(Denial::Target { index: 2, target: STRANGER }));
    }

    #[test]
    fn approvals_of_others_and_other_token_calls_are_denied() {
        let not_the_approval = Err(Denial::NotTheApproval { index: 0, token: TOKEN });
        assert_eq!(decide(&operation(&[call(TOKEN, approval(STRANGER))])), not_the_approval);
        assert_eq!(decide(&operation(&[call(TOKEN, [0xa9, 0x05, 0x9c, 0xbb])])), not_the_approval);
        let trailing = [approval(ESCROW), vec![0]].concat();
        assert_eq!(decide(&operation(&[call(TOKEN, trailing)])), not_the_approval);
    }

    #[test]
    fn native_value_and_calls_of_no_function_are_denied() {
        let mut paying = call(MARKET, [1, 2, 3, 4]);
        paying.value = U256::from(1);
        assert_eq!(decide(&operation(&[paying])), Err(Denial::Value { index: 0, value: U256::from(1) }));
        let refused = decide(&operation(&[call(MARKET, [1, 2])]));
        assert_eq!(refused, Err(Denial::NoFunction { index: 0, target: MARKET }));
    }

    #[test]
    fn what_cannot_be_read_is_denied() {
        let mut op = operation(&[call(MARKET, [1, 2, 3, 4])]);
        op.call_data = [op.call_data.as_ref(), &[0; 32]].concat().into();
        assert!(matches!(decide(&op), Err(Denial::Unreadable(_))));
        op.call_data = Bytes::new();
        assert!(matches!(decide(&op), Err(Denial::Unreadable(_))));
        assert!(matches!(decide(&operation(&[])), Err(Denial::Unreadable(calls::UnreadableCalls::EmptyBatch))));
    }

    #[test]
    fn accounts_of_other_factories_are_denied() {
        let mut op = operation(&[call(MARKET, [1, 2, 3, 4])]);
        op.initializer = Some(Initializer::Factory { address: FACTORY, data: Bytes::new() });
        assert_eq!(decide(&op), Ok(()));
        op.initializer = Some(Initializer::Factory { address: STRANGER, data: Bytes::new() });
        assert_eq!(decide(&op), Err(Denial::Factory(STRANGER)));
    }

    #[test]
    fn gas_that_is_paid_out_unmetered_is_bounded_and_delegated_accounts_are_denied() {
        let mut op = operation(&[call(MARKET, [1, 2, 3, 4])]);
        op.pre_verification_gas = 101;
        assert_eq!(decide(&op), Err(Denial::PreVerificationGas { given: 101, limit: 100 }));
        op.pre_verification_gas = 100;
        assert_eq!(decide(&op), Ok(()));
    }

    #[test]
    fn an_eoa_is_sponsored_only_with_a_delegation_to_our_account() {
        let mut op = operation(&[call(MARKET, [1, 2, 3, 4])]);
        op.initializer = Some(Initializer::Eip7702 { data: Bytes::new() });
        assert_eq!(decide(&op), Err(Denial::Delegate));
        for initializer in [op.initializer.clone(), None] {
            op.initializer = initializer;
            op.eip7702_auth = Some(authorization(DELEGATE));
            assert_eq!(decide(&op), Ok(()));
            op.eip7702_auth = Some(authorization(STRANGER));
            assert_eq!(decide(&op), Err(Denial::Delegate));
        }
    }

    fn authorization(address: Address) -> SignedAuthorization {
        let authorization = Authorization { chain_id: U256::from(1), address, nonce: 0 };
        SignedAuthorization::new_unchecked(authorization, 0, U256::from(1), U256::from(1))
    }

    #[test]
    fn an_operation_that_could_cost_too_much_is_denied() {
        let mut op = operation(&[call(MARKET, [1, 2, 3, 4])]);
        op.max_fee_per_gas = 1_000;
        assert!(matches!(decide(&op), Err(Denial::TooExpensive { .. })));
    }
}
