//! Keys that act for an account within a policy, and never show themselves.
//!
//! ```text
//!  Policy ──encode──► Session on chain          operation ──judge(policy, counters)──► allowed, or the account's revert
//!                                                                  │
//!  SessionKey ◄──store (argon2id + XChaCha20-Poly1305, or KMS)     └──service: signs exactly what was judged
//! ```
//!
//! - [`policy`]: what a key may do, its encodings, its verdicts and its summary.
//! - [`key`], [`p256_key`], [`session_key`], [`public`]: secrets on two curves, and their public halves.
//! - [`store`]: keys at rest, bound to account, chain, policy and expiry.
//! - [`permission`]: ERC-7715 requests, made policies.
//! - [`service`]: signs an operation or a voucher only if the policy allows it, by counters of its own.
//! - [`vault`]: sessions, their keys and the audit log on disk.
//! - [`rpc`]: ERC-7715, EIP-5792 and vouchers over JSON-RPC.
//! - [`client`]: uses it from elsewhere.
//! - [`operation`]: what exactly is signed for each EntryPoint version.
//!
//! Invariants: no formatting trait, error or log of this crate holds a byte of a secret; the one way out is
//! [`SecretKey::expose_hex`], whose name is there to be found in review. The verdict on an
//! operation is the contract's.

pub mod client;
pub mod key;
pub mod operation;
pub mod p256_key;
pub mod permission;
pub mod policy;
pub mod public;
pub mod rpc;
mod secret;
pub mod service;
pub mod session_key;
pub mod store;
pub mod vault;

pub use key::{KeyError, SecretKey};
pub use p256_key::P256Key;
pub use policy::Policy;
pub use public::PublicKey;
pub use session_key::SessionKey;
