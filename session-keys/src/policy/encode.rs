//! To the account's `Session` struct and back; ids, digests, signatures.

use alloy::{
    primitives::{
        Address, B256, Bytes, U256,
        aliases::{U48, U104},
    },
    sol_types::{Eip712Domain, SolStruct, SolValue, eip712_domain},
};
use erc4337::abi::smart_account as abi;

use super::{ArgumentRule, CallRule, Condition, Policy, SpendLimit, VoucherRight};
use crate::public::PublicKey;

/// First byte of an operation's signature by a session key.
pub const SESSION_SIGNATURE: u8 = 0x02;
/// First byte of an ERC-1271 signature by a session key.
pub const VOUCHER_SIGNATURE: u8 = 0x03;

/// A policy that the contract cannot hold, or a session that is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// A number is too large for the contract's field.
    #[error("{field}: larger than {bits} bits")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// What it holds.
        bits: u32,
    },
    /// The key is neither form.
    #[error(transparent)]
    Key(#[from] crate::public::NotAPublicKey),
    /// The condition has another number of values than it compares with.
    #[error("calls[{rule}].arguments: condition {condition} with {values} values")]
    Condition {
        /// Position of the rule.
        rule: usize,
        /// As the contract numbers it.
        condition: u8,
        /// How many.
        values: usize,
    },
}

impl Policy {
    /// The struct that the account takes.
    ///
    /// # Errors
    /// If a number does not fit its field.
    pub fn to_session(&self) -> Result<abi::Session, EncodingError> {
        let time = |field, value: u64| narrow(field, 48, U256::from(value)).map(|value| value.to::<U48>());
        let limits = self.limits.iter().map(|limit| {
            let amount = |field, value: u128| narrow(field, 104, U256::from(value)).map(|value| value.to::<U104>());
            Ok(abi::SpendLimit {
                token: limit.token,
                perPeriod: amount("limits.perPeriod", limit.per_period)?,
                total: amount("limits.total", limit.total)?,
            })
        });
        Ok(abi::Session {
            key: self.key.to_contract_bytes(),
            validAfter: time("validAfter", self.valid_after)?,
            validUntil: time("validUntil", self.valid_until)?,
            period: time("period", self.period)?,
            maxUses: self.max_uses.unwrap_or(u32::MAX),
            epoch: self.epoch,
            salt: self.salt,
            paymaster: self.paymaster.unwrap_or_default(),
            gasBudget: self.gas_budget,
            limits: limits.collect::<Result<_, EncodingError>>()?,
            calls: self.calls.iter().map(call_rule).collect(),
            vouchers: self.vouchers.iter().map(voucher_right).collect(),
        })
    }

    /// Reads the struct that the account takes.
    ///
    /// # Errors
    /// If the key or a condition is one that no account would ever find fulfilled.
    pub fn from_session(session: &abi::Session) -> Result<Self, EncodingError> {
        Ok(Self {
            key: PublicKey::from_contract_bytes(&session.key)?,
            valid_after: session.validAfter.to(),
            valid_until: session.validUntil.to(),
            period: session.period.to(),
            max_uses: (session.maxUses != u32::MAX).then_some(session.maxUses),
            epoch: session.epoch,
            salt: session.salt,
            paymaster: (!session.paymaster.is_zero()).then_some(session.paymaster),
            gas_budget: session.gasBudget,
            limits: session
                .limits
                .iter()
                .map(|limit| SpendLimit {
                    token: limit.token,
                    per_period: limit.perPeriod.to(),
                    total: limit.total.to(),
                })
                .collect(),
            calls: session.calls.iter().enumerate().map(read_rule).collect::<Result<_, _>>()?,
            vouchers: session
                .vouchers
                .iter()
                .map(|right| VoucherRight {
                    domain_separator: right.domainSeparator,
                    type_hash: right.typeHash,
                    amount_field: right.amountField,
                    max_amount: right.maxAmount,
                })
                .collect(),
        })
    }

    /// The session's id: its EIP-712 struct hash.
    ///
    /// # Errors
    /// If a number does not fit its field.
    pub fn id(&self) -> Result<B256, EncodingError> {
        Ok(self.to_session()?.eip712_hash_struct())
    }

    /// What an owner signs to enable the session.
    ///
    /// # Errors
    /// If a number does not fit its field.
    pub fn digest(&self, chain_id: u64, account: Address) -> Result<B256, EncodingError> {
        Ok(self.to_session()?.eip712_signing_hash(&account_domain(chain_id, account)))
    }

    /// The operation's whole signature.
    ///
    /// # Errors
    /// If a number does not fit its field.
    pub fn operation_signature(&self, owner: &[u8], key: &[u8]) -> Result<Bytes, EncodingError> {
        Ok(envelope(SESSION_SIGNATURE, self.to_session()?, owner, key))
    }

    /// The whole ERC-1271 signature of a message whose fields are these words.
    ///
    /// # Errors
    /// If a number does not fit its field.
    pub fn voucher_signature(&self, fields: &[u8], key: &[u8]) -> Result<Bytes, EncodingError> {
        Ok(envelope(VOUCHER_SIGNATURE, self.to_session()?, fields, key))
    }
}

/// The EIP-712 domain of an account of ours.
pub fn account_domain(chain_id: u64, account: Address) -> Eip712Domain {
    eip712_domain! { name: "Fabstir SmartAccount", version: "1", chain_id: chain_id, verifying_contract: account, }
}

fn envelope(kind: u8, session: abi::Session, first: &[u8], second: &[u8]) -> Bytes {
    let body = (session, Bytes::copy_from_slice(first), Bytes::copy_from_slice(second)).abi_encode_params();
    [&[kind], body.as_slice()].concat().into()
}

fn narrow(field: &'static str, bits: u32, value: U256) -> Result<U256, EncodingError> {
    if value >> bits as usize == U256::ZERO { Ok(value) } else { Err(EncodingError::TooLarge { field, bits }) }
}

fn call_rule(rule: &CallRule) -> abi::CallRule {
    let arguments = rule.arguments.iter().map(|argument| {
        let (condition, values) = match &argument.must_be {
            Condition::OneOf(values) => (0, values.clone()),
            Condition::AtMost(most) => (1, vec![*most]),
            Condition::AtLeast(least) => (2, vec![*least]),
            Condition::Account => (3, vec![]),
        };
        abi::ArgumentRule { word: argument.word, condition, values }
    });
    abi::CallRule {
        target: rule.target,
        selector: rule.selector,
        maxLength: rule.max_length,
        valueLimit: rule.value_limit,
        amountLimit: rule.amount_limit,
        amountWord: rule.amount_word,
        arguments: arguments.collect(),
    }
}

fn read_rule((index, rule): (usize, &abi::CallRule)) -> Result<CallRule, EncodingError> {
    let arguments = rule.arguments.iter().map(|argument| {
        let must_be = match (argument.condition, argument.values.as_slice()) {
            (0, values) => Condition::OneOf(values.to_vec()),
            (1, [most]) => Condition::AtMost(*most),
            (2, [least]) => Condition::AtLeast(*least),
            (3, []) => Condition::Account,
            (condition, values) => {
                return Err(EncodingError::Condition { rule: index, condition, values: values.len() });
            }
        };
        Ok(ArgumentRule { word: argument.word, must_be })
    });
    Ok(CallRule {
        target: rule.target,
        selector: rule.selector,
        max_length: rule.maxLength,
        value_limit: rule.valueLimit,
        amount_limit: rule.amountLimit,
        amount_word: rule.amountWord,
        arguments: arguments.collect::<Result<_, _>>()?,
    })
}

fn voucher_right(right: &VoucherRight) -> abi::VoucherRight {
    abi::VoucherRight {
        domainSeparator: right.domain_separator,
        typeHash: right.type_hash,
        amountField: right.amount_field,
        maxAmount: right.max_amount,
    }
}
