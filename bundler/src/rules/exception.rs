//! What named entities may do though a rule forbids it: what other bundlers have in their mempools' configuration.

use alloy::primitives::{Address, U256};
use serde::Deserialize;

use super::Violation;

/// One entity, one rule, and of storage rules one slot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The account, factory or paymaster in whose phase it is done.
    pub entity: Address,
    /// The rule's id.
    pub rule: String,
    /// The slot that may be used; any, if it is left out.
    #[serde(default)]
    pub slot: Option<U256>,
}

impl Exception {
    /// Whether it is about this. What only the chain's client can run cannot be allowed: we do not know what it does.
    pub fn covers(&self, violation: &Violation) -> bool {
        !violation.is_of_native_code()
            && self.entity == violation.address
            && self.rule == violation.rule.id()
            && (self.slot.is_none() || self.slot == violation.slot)
    }
}
