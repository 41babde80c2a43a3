//! Sponsorship over ERC-7677: who is paid for is decided here, and nowhere else.
//!
//! ```text
//!  pm_getPaymasterStubData ─┐                      ┌─ refused ──► -32050, with the reason
//!                           ├─► rpc ─► policy ─────┤
//!  pm_getPaymasterData ─────┘                      └─ granted ──► sign ─► paymasterData
//! ```
//!
//! - [`rpc`]: the methods; parameters in, JSON out.
//! - [`policy`]: a pure decision over the decoded calls of an operation.
//! - [`sign`]: the EIP-712 signature that the VerifyingPaymaster contract checks.
//!
//! Invariants: deny by default, at the stub already; what is signed is every field of the operation; the same
//! operation asked for twice within a minute gets the same answer.

pub mod policy;
pub mod rpc;
pub mod sign;

use std::collections::BTreeMap;

use alloy::primitives::Address;
use erc4337::EntryPointVersion;

pub use policy::{Denial, Policy};
pub use sign::Sponsor;

/// Settings of the paymaster service.
#[derive(Clone, Debug)]
pub struct Config {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Paymaster contracts by the EntryPoint they are deposited with.
    pub paymasters: BTreeMap<Address, Deployed>,
    /// What is sponsored.
    pub policy: Policy,
}

/// A paymaster contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Of the EntryPoint.
    pub version: EntryPointVersion,
    /// Of the paymaster.
    pub paymaster: Address,
}
