//! Which values the rules are held with: operators' own, the text's, or those of a file.
//!
//! ```toml
//! base = "canonical"            # or "operator", if it is left out
//!
//! [constants]
//! MAX_VERIFICATION_GAS = 5000000
//!
//! [[exception]]
//! entity = "0x…"
//! rule = "STO-031"
//! slot = "0x0"
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Constant, ConstantError, Exception, Rule, make_canonical};
use crate::Config;

/// Where the values begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// What operators use where the text's values would refuse honest users.
    #[default]
    Operator,
    /// The text's.
    Canonical,
}

/// Values of all constants, and exceptions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What is not said otherwise.
    #[serde(default)]
    base: Base,
    /// By the text's names, in the text's units.
    #[serde(default)]
    constants: BTreeMap<String, u64>,
    #[serde(default, rename = "exception")]
    exceptions: Vec<Exception>,
}

/// A file of rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is no such file.
    #[error(transparent)]
    Malformed(#[from] toml::de::Error),
    /// A constant cannot be set so.
    #[error(transparent)]
    Constant(#[from] ConstantError),
    /// An exception is from a rule that no validation can break by itself.
    #[error("{0}: no rule of this id is judged in validation, from which there could be an exception")]
    Rule(String),
}

impl From<Base> for Profile {
    fn from(base: Base) -> Self {
        Self { base, ..Self::default() }
    }
}

impl Profile {
    /// Reads a file.
    ///
    /// # Errors
    /// If a field is unknown or of the wrong type, a constant not the text's, or a rule not one of those.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text)?;
        for exception in &profile.exceptions {
            if !Rule::ALL.iter().any(|rule| rule.id() == exception.rule) {
                return Err(ProfileError::Rule(exception.rule.clone()));
            }
        }
        Ok(profile)
    }

    /// Puts the values into the configuration.
    ///
    /// # Errors
    /// If a constant is unknown, or part of the program and other than that.
    pub fn apply(&self, config: &mut Config) -> Result<(), ProfileError> {
        if self.base == Base::Canonical {
            make_canonical(config);
        }
        for (name, value) in &self.constants {
            Constant::named(name)?.set(config, u128::from(*value))?;
        }
        config.rules.exceptions.clone_from(&self.exceptions);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;
    use erc4337::ChainPreset;

    use super::*;

    fn applied(text: &str) -> Result<Config, ProfileError> {
        let mut config = Config::new(ChainPreset::base());
        Profile::parse(text)?.apply(&mut config)?;
        Ok(config)
    }

    #[test]
    fn a_file_sets_constants_on_the_texts_or_on_operators_values() {
        let canonical = applied("base = \"canonical\"\n[constants]\nMAX_USEROP_SIZE = 9000").unwrap();
        assert_eq!((canonical.max_verification_gas, canonical.rules.max_user_op_size), (500_000, 9_000));
        let operator = applied("[constants]\nMIN_UNSTAKE_DELAY = 60").unwrap();
        assert_eq!((operator.max_verification_gas, operator.chain.min_unstake_delay), (5_000_000, 60));
        assert!(operator.rules.exceptions.is_empty());
    }

    #[test]
    fn what_the_text_does_not_have_is_refused_by_name() {
        let error = |text: &str| applied(text).unwrap_err().to_string();
        assert!(error("[constants]\nMAX_GAS = 1").contains("MAX_GAS"));
        assert!(error("[constants]\nVALIDATION_GAS_SLACK = 1").contains("VALIDATION_GAS_SLACK"));
        let of = |rule: &str| format!("[[exception]]\nentity = \"{}\"\nrule = \"{rule}\"", Address::ZERO);
        assert!(error(&of("GREP-010")).contains("GREP-010"));
        assert_eq!(applied(&of("STO-031")).unwrap().rules.exceptions.len(), 1);
    }
}
