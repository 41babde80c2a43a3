//! End to end on real parts: anvil, the canonical EntryPoints, the `fabstir` binary, viem.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod demo;
mod entry_points;
mod load;
mod oracle;
mod refusals;
mod rules;
mod shutdown;
