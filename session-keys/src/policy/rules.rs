//! Whether a call is what a rule allows (`RuleLib.sol`).

use alloy::primitives::{Address, B256, U256};

use super::{ArgumentRule, CallRule, Condition};

/// The selector that calldata begins with, short data being read as if zeros followed.
pub(super) fn selector(data: &[u8]) -> [u8; 4] {
    let mut selector = [0; 4];
    let length = data.len().min(4);
    selector[..length].copy_from_slice(&data[..length]);
    selector
}

/// The word of an argument, if the calldata holds all of it.
pub fn word_at(data: &[u8], word: u8) -> Option<B256> {
    let start = 4 + usize::from(word) * 32;
    data.get(start..start + 32).map(B256::from_slice)
}

impl CallRule {
    /// Whether the rule allows the call, its limits apart.
    pub fn allows(&self, account: Address, target: Address, value: U256, data: &[u8]) -> bool {
        if self.target != target || self.selector != selector(data) {
            return false;
        }
        // Native currency that no limit counts cannot be sent.
        if !value.is_zero() && self.value_limit == 0 {
            return false;
        }
        if data.len() > self.max_length as usize || (data.len() < 4 && !data.is_empty()) {
            return false;
        }
        if data.is_empty() {
            return self.selector.is_zero();
        }
        if self.amount_limit != 0 && word_at(data, self.amount_word).is_none() {
            return false;
        }
        self.arguments.iter().all(|argument| argument.holds(account, data))
    }
}

impl ArgumentRule {
    fn holds(&self, account: Address, data: &[u8]) -> bool {
        let Some(argument) = word_at(data, self.word) else { return false };
        match &self.must_be {
            Condition::OneOf(values) => values.contains(&argument),
            Condition::AtMost(most) => argument <= *most,
            Condition::AtLeast(least) => argument >= *least,
            Condition::Account => argument == account.into_word(),
        }
    }
}
