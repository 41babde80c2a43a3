//! End to end on real parts: anvil, the canonical EntryPoints, the `fabstir` binary, viem.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod accounts;
mod accuracy;
mod admin;
mod adversary;
mod alerts;
mod attacks;
mod base_load;
mod budgets;
mod chaos;
mod clients;
mod clocks;
mod conditional;
mod console;
mod controls;
mod crash;
mod demo;
mod deploy;
mod docs;
mod doctor;
mod entry_points;
#[path = "../../session-keys/tests/contract/escalations.rs"]
#[allow(unreachable_pub, reason = "shared with the contract's own test")]
mod escalations;
mod estimation;
mod explain;
mod explorer;
mod governance;
mod idle;
mod inclusion;
mod index;
mod keys;
mod l1_fee;
mod limits;
mod load;
mod machine;
mod make;
mod mempool_debug;
mod mempool_limits;
mod mempool_queue;
mod mempool_upkeep;
mod migrate;
mod monitor;
mod native;
mod nodes;
mod openrpc;
mod oracle;
mod policies;
mod profit;
mod proofs;
mod push;
mod reference;
mod refusals;
mod rules;
mod scale;
#[path = "../../session-keys/tests/memory/scan.rs"]
mod scan;
mod sdk;
mod session_keys;
mod session_policies;
mod session_vouchers;
mod shutdown;
mod siege;
mod signers;
mod sockets;
mod sponsored;
mod state;
mod stolen;
mod token_gas;
mod traces;
mod traps;
mod traps_post_op;
mod verify;
mod windows;
mod words;
