//! Keys that sign for an account, and never show themselves.
//!
//! ```text
//!  generate / from_hex ──► SecretKey ──sign_operation(userOpHash, EntryPoint version)──► 65 bytes r ‖ s ‖ v
//!                             │
//!                             └── Debug, Display, errors: the address, never the key
//! ```
//!
//! - [`key`]: a secp256k1 key; its memory is wiped when it is dropped.
//! - [`operation`]: what exactly is signed for each EntryPoint version.
//!
//! Invariant: no formatting trait, error or log of this crate holds a byte of a secret. The one way out is
//! [`SecretKey::expose_hex`], whose name is there to be found in review.

pub mod key;
pub mod operation;

pub use key::{KeyError, SecretKey};
