//! The vocabulary that the bundler, the paymaster and the session keys share.
//!
//! ```text
//!  JSON params ──wire──► UserOperationRequest ──complete──► UserOperation
//!                                                            │    │
//!                                             pack ◄─────────┘    └───────► hash
//!                                              │                             │
//!                             calldata for handleOps              what the account signs
//! ```
//!
//! - [`version`]: the four EntryPoints and what tells them apart, as data.
//! - [`wire`]: ERC-7769 JSON, lenient where clients are, with errors that name the field.
//! - [`operation`]: one [`UserOperation`] for all versions.
//! - [`pack`]: to the structs of the contracts, [`unpack`]: back from a bundle; [`hash`]: the `userOpHash` of each version.
//! - [`calls`]: what an operation's `callData` asks its account to do.
//! - [`entities`]: which selector means which question of the EntryPoint.
//! - [`validation_data`]: the validity window and verdict that accounts and paymasters return.
//! - [`revert`]: why an EntryPoint or a contract said no, in words.
//! - [`sponsorship`]: the paymaster's signed data and its EIP-712 digest.
//! - [`storage`]: where EntryPoints keep nonces and deposits.
//! - [`abi`]: contract bindings, all from Foundry's or the packages' artifacts.
//! - [`chain`]: presets of the chains we know; [`native`]: contracts that a chain's client executes itself.
//! - [`error_code`]: the JSON-RPC codes of ERC-7769 and ERC-7677.
//!
//! Invariants: nothing here does I/O; an operation that parsed can be packed for its version.
//! Gas limits and fees are held as `u128` because every EntryPoint reverts with AA94 above `uint120`.

pub mod abi;
pub mod calls;
pub mod chain;
pub mod entities;
pub mod error_code;
pub mod hash;
pub mod native;
pub mod operation;
pub mod pack;
pub mod revert;
pub mod sponsorship;
pub mod storage;
pub mod token_payment;
pub mod unpack;
pub mod validation_data;
pub mod version;
pub mod wire;

pub use chain::{ChainPreset, ConditionalSend, Hardfork};
pub use hash::{Eip7702DelegateUnknown, HashContext};
pub use native::NativeContracts;
pub use operation::{Initializer, Paymaster, UserOperation};
pub use validation_data::ValidationData;
pub use version::EntryPointVersion;
pub use wire::{FieldError, UserOperationRequest};
