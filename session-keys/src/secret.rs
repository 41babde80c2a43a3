//! Where secrets lie in memory: in one place on the heap, wiped when dropped; copies on the stack are wiped after use.

use std::hint::black_box;

use zeroize::{Zeroize, Zeroizing};

/// Bytes of stack that one use of a key may have written to.
const STACK: usize = 48 * 1024;

/// Thirty-two secret bytes that never move.
#[derive(Clone)]
pub(crate) struct SecretBytes(Box<Zeroizing<[u8; 32]>>);

/// The operating system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

impl SecretBytes {
    /// Zeros, to be filled in place.
    pub(crate) fn zeroed() -> Self {
        Self(Box::new(Zeroizing::new([0; 32])))
    }

    /// From hex, with or without `0x`, straight into their place.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut bytes = Self::zeroed();
        alloy::hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), bytes.as_mut()).ok()?;
        Some(bytes)
    }

    /// From the operating system, straight into their place.
    pub(crate) fn random() -> Result<Self, NoRandomness> {
        let mut bytes = Self::zeroed();
        getrandom::fill(bytes.as_mut()).map_err(|_| NoRandomness)?;
        Ok(bytes)
    }
}

impl AsRef<[u8; 32]> for SecretBytes {
    fn as_ref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl AsMut<[u8]> for SecretBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_slice()
    }
}

/// Does something with a secret, and wipes the part of the stack on which it did.
pub(crate) fn wiped<T>(work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    wipe_stack();
    result
}

#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

#[inline(never)]
fn wipe_stack() {
    let mut stack = [0_u8; STACK];
    black_box(&mut stack).zeroize();
}
