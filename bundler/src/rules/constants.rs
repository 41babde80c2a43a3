//! ERC-7562's constants: what the text says of each, and where it is set.

use std::time::Duration;

use super::context::MAX_CONTEXT_SIZE;
use crate::{Config, bounds::VALIDATION_GAS_SLACK};

/// Limits that neither the chain nor the mempool's book has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleConfig {
    /// Bytes of one ABI-encoded operation at most (`MAX_USEROP_SIZE`, LIM-010).
    pub max_user_op_size: usize,
    /// Bytes of a call of `handleOps` at most (`MAX_BUNDLE_SIZE`, LIM-040); what a node takes bounds it too.
    pub max_bundle_size: usize,
    /// Bytes of all contexts of a bundle at most (`MAX_BUNDLE_CONTEXT_SIZE`, LIM-050).
    pub max_bundle_context_size: usize,
    /// Gas that an operation pays beside its calldata (`PRE_VERIFICATION_OVERHEAD_GAS`, LIM-070); 0: what a bundle of it
    /// costs, which is always asked for, is enough.
    pub pre_verification_overhead: u128,
    /// What named entities may do.
    pub exceptions: Vec<super::Exception>,
}

impl Default for RuleConfig {
    fn default() -> Self {
        Self {
            // As many as a node takes of a whole transaction.
            max_user_op_size: crate::transaction::MAX_BYTES,
            max_bundle_size: 262_144,
            max_bundle_context_size: 65_536,
            pre_verification_overhead: 0,
            exceptions: Vec::new(),
        }
    }
}

/// One of the text's constants.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    /// As the text calls it.
    pub name: &'static str,
    /// Its value there, in the text's unit; none if each chain has its own.
    pub text: Option<u128>,
    /// What it is here.
    pub get: fn(&Config) -> u128,
    /// Makes it this here; none if it is nobody's to set.
    set: Option<fn(&mut Config, u128)>,
}

/// A constant cannot be set so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstantError {
    /// There is none of this name.
    #[error("{0}: ERC-7562 has no constant of this name")]
    Unknown(String),
    /// It is part of the program.
    #[error("{0}: is {1}, and cannot be set")]
    Fixed(&'static str, u128),
}

impl Constant {
    /// Sets it.
    ///
    /// # Errors
    /// If it is part of the program, and other than this.
    pub fn set(&self, config: &mut Config, value: u128) -> Result<(), ConstantError> {
        match self.set {
            Some(set) => set(config, value),
            None if (self.get)(config) == value => {}
            None => return Err(ConstantError::Fixed(self.name, (self.get)(config))),
        }
        Ok(())
    }

    /// The one of this name.
    ///
    /// # Errors
    /// If the text has none.
    pub fn named(name: &str) -> Result<&'static Self, ConstantError> {
        CONSTANTS.iter().find(|it| it.name == name).ok_or_else(|| ConstantError::Unknown(name.to_owned()))
    }
}

/// Sets every constant to the text's value, but for the stake, which is the chain's.
pub fn make_canonical(config: &mut Config) {
    for constant in constants() {
        if let (Some(set), Some(value)) = (constant.set, constant.text) {
            set(config, value);
        }
    }
}

fn narrow<T: TryFrom<u128> + Bounded>(value: u128) -> T {
    T::try_from(value).unwrap_or(T::MOST)
}

trait Bounded {
    const MOST: Self;
}

impl Bounded for usize {
    const MOST: Self = Self::MAX;
}

impl Bounded for u64 {
    const MOST: Self = Self::MAX;
}

impl Bounded for u32 {
    const MOST: Self = Self::MAX;
}

macro_rules! constants {
    ($($name:literal $text:expr, $($field:ident).+;)*) => {
        &[$(Constant {
            name: $name,
            text: $text,
            get: |config| config.$($field).+ as u128,
            set: Some(|config, value| config.$($field).+ = narrow(value)),
        }),*]
    };
}

/// Those that are kept as the text counts them.
const PLAIN: &[Constant] = constants! {
    "MIN_UNSTAKE_DELAY" Some(86_400), chain.min_unstake_delay;
    "SAME_SENDER_MEMPOOL_COUNT" Some(4), mempool.same_sender;
    "SAME_UNSTAKED_ENTITY_MEMPOOL_COUNT" Some(10), mempool.same_unstaked_entity;
    "THROTTLED_ENTITY_MEMPOOL_COUNT" Some(4), mempool.throttled;
    "THROTTLED_ENTITY_BUNDLE_COUNT" Some(4), mempool.throttled_in_bundle;
    "MIN_INCLUSION_RATE_DENOMINATOR" Some(10), mempool.inclusion_rate_denominator;
    "THROTTLING_SLACK" Some(10), mempool.throttling_slack;
    "BAN_SLACK" Some(50), mempool.ban_slack;
    "BAN_OPS_SEEN_PENALTY" Some(10_000), mempool.ban_penalty;
    "MAX_OPS_ALLOWED_UNSTAKED_ENTITY" Some(10_000), mempool.max_counted_inclusions;
    "MAX_USEROP_SIZE" Some(8_192), rules.max_user_op_size;
    "MAX_BUNDLE_SIZE" Some(262_144), rules.max_bundle_size;
    "MAX_BUNDLE_CONTEXT_SIZE" Some(65_536), rules.max_bundle_context_size;
};

/// All others.
const OTHERS: &[Constant] = &[
    Constant {
        name: "MIN_STAKE_VALUE",
        text: None,
        get: |config| config.chain.min_stake,
        set: Some(|config, value| config.chain.min_stake = value),
    },
    // In blocks there, in chain time here.
    Constant {
        name: "THROTTLED_ENTITY_LIVE_BLOCKS",
        text: Some(10),
        get: |config| config.mempool.throttled_live.as_millis() / config.chain.block_time.as_millis().max(1),
        set: Some(|config, blocks| {
            let blocks: u32 = narrow(blocks);
            config.mempool.throttled_live = config.chain.block_time.checked_mul(blocks).unwrap_or(Duration::MAX);
        }),
    },
    Constant {
        name: "PRE_VERIFICATION_OVERHEAD_GAS",
        text: Some(50_000),
        get: |config| config.rules.pre_verification_overhead,
        set: Some(|config, gas| config.rules.pre_verification_overhead = gas),
    },
    Constant {
        name: "MAX_VERIFICATION_GAS",
        text: Some(500_000),
        get: |config| config.max_verification_gas,
        set: Some(|config, gas| config.max_verification_gas = gas),
    },
    Constant { name: "MAX_CONTEXT_SIZE", text: Some(2_048), get: |_| MAX_CONTEXT_SIZE as u128, set: None },
    Constant { name: "VALIDATION_GAS_SLACK", text: Some(4_000), get: |_| VALIDATION_GAS_SLACK, set: None },
];

/// All of them.
static CONSTANTS: std::sync::LazyLock<Vec<Constant>> =
    std::sync::LazyLock::new(|| PLAIN.iter().chain(OTHERS).copied().collect());

/// Every constant of the text.
pub fn constants() -> &'static [Constant] {
    &CONSTANTS
}

#[cfg(test)]
mod tests {
    use erc4337::ChainPreset;

    use super::*;

    #[test]
    fn every_constant_of_the_text_is_here_with_its_value_and_canonical_is_the_texts() {
        let text = super::super::table::tests::listed("# Constants");
        let mut config = Config::new(ChainPreset::base());
        make_canonical(&mut config);
        let here: Vec<_> = constants()
            .iter()
            .map(|it| format!("{} {}", it.name, it.text.map_or("adjustable".into(), |value| value.to_string())))
            .collect();
        let (mut here_sorted, mut text_sorted) = (here, text);
        here_sorted.sort();
        text_sorted.sort();
        assert_eq!(here_sorted, text_sorted);
        for constant in constants() {
            let text = constant.text.unwrap_or(config.chain.min_stake);
            assert_eq!((constant.get)(&config), text, "{}", constant.name);
        }
    }

    #[test]
    fn a_constant_is_set_by_its_name_and_what_is_part_of_the_program_is_not() {
        let mut config = Config::new(ChainPreset::base());
        for constant in constants().iter().filter(|it| it.set.is_some()) {
            constant.set(&mut config, 77).unwrap();
            assert_eq!((constant.get)(&config), 77, "{}", constant.name);
        }
        let fixed = Constant::named("MAX_CONTEXT_SIZE").unwrap();
        assert_eq!(fixed.set(&mut config, 1), Err(ConstantError::Fixed("MAX_CONTEXT_SIZE", 2_048)));
        fixed.set(&mut config, 2_048).unwrap();
        assert!(Constant::named("MAX_CONTEXT").is_err());
    }
}
