//! Where secrets lie in memory: in one place on the heap, wiped when dropped; copies on the stack and in registers are
//! wiped after use.

use std::hint::black_box;

use chacha20poly1305::{
    ChaCha20Poly1305,
    aead::{AeadInPlace, KeyInit},
};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of stack that one use of a key may have written to.
const STACK: usize = 48 * 1024;

/// Thirty-two secret bytes that never move.
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

    /// Where they lie, to be filled.
    pub(crate) fn place(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }

    /// A copy, made in its own place: a copy that is moved there leaves itself behind on the stack.
    pub(crate) fn copy_of(secret: &[u8; 32]) -> Self {
        let mut bytes = Self::zeroed();
        wiped(|| bytes.as_mut().copy_from_slice(secret));
        bytes
    }

    /// From hex, with or without `0x`, straight into their place.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut bytes = Self::zeroed();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        wiped(|| alloy::hex::decode_to_slice(digits, bytes.as_mut())).ok()?;
        Some(bytes)
    }

    /// From the operating system, straight into their place.
    pub(crate) fn random() -> Result<Self, NoRandomness> {
        let mut bytes = Self::zeroed();
        getrandom::fill(bytes.as_mut()).map_err(|_| NoRandomness)?;
        Ok(bytes)
    }
}

impl Clone for SecretBytes {
    fn clone(&self) -> Self {
        Self::copy_of(self.as_ref())
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
    wipe_registers();
    wipe_stack();
    result
}

#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// Puts other things through the vector registers: what a copy leaves there, the dynamic linker or a signal would write to
/// the stack later. A cipher uses all that the older instruction sets have, the C library's copies those of AVX-512.
#[inline(never)]
fn wipe_registers() {
    let mut other = [0x5a_u8; 1024];
    let cipher = ChaCha20Poly1305::new(&[0x5a; 32].into());
    let _ = black_box(cipher.encrypt_in_place_detached(&[0; 12].into(), &[], &mut other));
    let from = black_box([0x5a_u8; 1024]);
    for length in [16, 32, 64, 128, 256, 512, 1024] {
        let length = black_box(length);
        black_box(&mut other)[..length].copy_from_slice(&from[..length]);
    }
}

#[inline(never)]
fn wipe_stack() {
    let mut stack = [0_u8; STACK];
    black_box(&mut stack).zeroize();
}
