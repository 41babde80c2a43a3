//! Wiring: what the `fabstir` binary does, as a library so that the end-to-end tests can do it too.
//!
//! ```text
//!  fabstir dev   = anvil ─► deploy ─► node ─► host register ─► ready (─► --run COMMAND)
//!  fabstir node  = bundler + paymaster + session keys on one endpoint, against a given node
//! ```
//!
//! - [`deploy`]: every contract by CREATE2, idempotent; writes a [`deployment`] file, the one source of addresses.
//! - [`node`]: starts, serves and drains; [`chain`]: its settings towards the chain; [`serve`]: the endpoint and its limits.
//! - [`sponsor_keys`]: what sponsorships are signed with.
//! - [`sponsored`]: bundler and paymaster in one round trip.
//! - [`token_gas`]: the price of gas that is paid in a token.
//! - [`sessions`]: the signing service of session keys, on the same endpoint.
//! - `sponsorship`: the paymaster's policies, and the chain as it sees it.
//! - [`cluster`]: processes that share the work.
//! - [`ledger`]: where the paymaster's budgets are kept, and how they hear of the chain.
//! - [`client`]: an account that acts without gas; [`host`] uses it.
//! - [`prove`]: runs a small model on a job's input, proves the result with EZKL and submits it.
//! - [`dev`]: all of it on a chain of one's own.
//! - [`doctor`]: what an operator asks when something does not work.
//! - [`observe`]: health, figures and traces of a running node.
//! - `explorer`: the same for everybody, as a page.
//! - [`trace`]: what became of one operation, step by step.
//! - [`reference`]: what each command can be told.
//! - [`monitor`]: whether the money is there, who may do what, what is about to change.
//! - [`migrate`]: new code behind the proxies, by vote, there and back.
//! - [`openrpc`]: the endpoint described by itself.
//! - [`admin`]: the operator's side; [`operate`]: one call of it, from the command line.
//! - [`keys`]: where secret keys come from; [`arenas`]: less memory.

pub mod admin;
pub mod arenas;
pub mod bundling;
pub mod chain;
pub mod client;
pub mod cluster;
pub mod deploy;
pub mod deployment;
pub mod dev;
pub mod doctor;
mod duration;
mod explorer;
pub mod forward;
pub mod host;
pub mod keys;
pub mod ledger;
pub mod migrate;
pub mod monitor;
pub mod node;
pub mod observe;
pub mod openrpc;
pub mod operate;
pub mod prove;
pub mod reference;
pub mod rules;
pub mod serve;
pub mod sessions;
pub mod sponsor_keys;
pub mod sponsored;
pub mod sponsorship;
pub mod token_gas;
pub mod trace;

pub use client::Client;
pub use deployment::Deployment;
