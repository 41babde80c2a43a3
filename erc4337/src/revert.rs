//! What an EntryPoint says when it refuses a bundle, and what a contract says when it reverts.

use std::fmt;

use alloy::{
    primitives::Bytes,
    sol_types::{Panic, Revert, SolError, SolInterface},
};

use crate::abi::{entry_point_v08, entry_point_v09};

/// A revert of `handleOps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryPointRevert {
    /// One operation is to blame.
    FailedOp {
        /// Its position in the bundle.
        index: usize,
        /// The `AAxx` text.
        reason: String,
        /// What the entity itself reverted with, from v0.7 on.
        inner: Bytes,
    },
    /// Something else, in the EntryPoint's typed errors or not.
    Other(Bytes),
}

impl EntryPointRevert {
    /// Reads the revert data of `handleOps`.
    pub fn decode(data: &Bytes) -> Self {
        let failed = |index: alloy::primitives::U256, reason, inner| Self::FailedOp {
            index: index.try_into().unwrap_or(usize::MAX),
            reason,
            inner,
        };
        if let Ok(error) = entry_point_v08::FailedOp::abi_decode(data) {
            return failed(error.opIndex, error.reason, Bytes::new());
        }
        if let Ok(error) = entry_point_v08::FailedOpWithRevert::abi_decode(data) {
            return failed(error.opIndex, error.reason, error.inner);
        }
        Self::Other(data.clone())
    }
}

impl fmt::Display for EntryPointRevert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailedOp { reason, inner, .. } if inner.is_empty() => f.write_str(reason),
            Self::FailedOp { reason, inner, .. } => write!(f, "{reason}: {}", Reason(inner)),
            Self::Other(data) => write!(f, "{}", Reason(data)),
        }
    }
}

/// Revert data in words: `Error(string)`, `Panic`, an EntryPoint's typed error, or the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reason<'a>(pub &'a Bytes);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no reason given");
        }
        if let Ok(revert) = Revert::abi_decode(self.0) {
            return f.write_str(&revert.reason);
        }
        if let Ok(panic) = Panic::abi_decode(self.0) {
            return write!(f, "{panic}");
        }
        if let Ok(error) = entry_point_v09::EntryPointV09Errors::abi_decode(self.0) {
            return write!(f, "{error:?}");
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::U256;

    #[test]
    fn the_inner_revert_is_read_out() {
        let inner = Revert::from("not today").abi_encode().into();
        let error =
            entry_point_v08::FailedOpWithRevert { opIndex: U256::from(3), reason: "AA23 reverted".into(), inner };
        let decoded = EntryPointRevert::decode(&error.abi_encode().into());
        assert!(matches!(decoded, EntryPointRevert::FailedOp { index: 3, .. }));
        assert_eq!(decoded.to_string(), "AA23 reverted: not today");
    }

    #[test]
    fn bytes_that_mean_nothing_are_shown_as_they_are() {
        assert_eq!(EntryPointRevert::decode(&Bytes::from_static(&[1, 2])).to_string(), "0x0102");
    }
}
