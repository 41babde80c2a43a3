//! Policies against the account's real bytecode, executed in revm.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod chain;
#[path = "../../../tests/src/programs/dice.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the end-to-end tests")]
mod dice;
mod differential;
#[allow(unreachable_pub, reason = "shared with the end-to-end tests")]
mod escalations;
mod random;
mod service;
mod stolen;
mod time;
