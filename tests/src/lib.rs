//! The harness: real processes on free ports, gone when the test is.
//!
//! ```text
//!  viem / Client ──► fabstir node ──► Proxy (writes methods down) ──► anvil
//! ```
//!
//! - [`anvil`]: a chain of the test's own. - [`proxy`]: what the node was asked. - [`stack`]: everything together.
//! - [`hard`]: what a hard chain does not take. - [`chain`]: which kind of chain that is, and `on_base!`. - [`others`]: who else is on it.
//! - [`redis`]: a Redis of the test's own.
//! - [`prometheus`]: a Prometheus of the test's own, under the product's alert rules.
//! - [`accounts`]: SimpleAccounts of every EntryPoint version, from the published packages.
//! - [`accuracy`]: how exact estimates are.
//! - [`greedy`]: accounts that make a bundler simulate as much as it lets them.
//! - [`load`]: honest clients beside hostile ones.
//! - [`bench`]: a stack that bundles only when asked, and programs on it.
//! - [`patience`]: no wait without an end.
//! - [`process`]: what a process has used.
//! - [`op_stack`]: what a chain like Base charges beside gas.
//! - [`oracle`]: what ERC-7562 says of an operation, from a trace of anvil.
//! - [`programs`]: entities written opcode by opcode, to break the rules of ERC-7562 one at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a harness fails its test by panicking")]

pub mod accounts;
pub mod accuracy;
pub mod anvil;
pub mod bench;
pub mod chain;
pub mod greedy;
pub mod hard;
pub mod load;
pub mod op_stack;
pub mod oracle;
pub mod others;
pub mod patience;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod proxy;
pub mod redis;
pub mod stack;
pub mod ws_proxy;

pub use anvil::Anvil;
pub use bench::Bench;
pub use others::Others;
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use redis::Redis;
pub use stack::Stack;
pub use ws_proxy::WsProxy;
