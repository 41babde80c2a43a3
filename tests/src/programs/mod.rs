//! Validation programs: accounts, factories and paymasters written opcode by opcode, to see which rule of ERC-7562
//! the bundler says they break.
//!
//! ```text
//!  snippet ─┐                                                      ┌──► the product's verdict
//!           ├─► Scenario (pieces of each entity) ──► World (anvil) ─┤
//!  random  ─┘                                                      └──► the expectation, or the oracle's verdict
//! ```
//!
//! - [`asm`]: an assembler. - [`piece`]: what programs are made of. - [`helpers`]: contracts they call.
//! - [`snippet`], [`calls`], [`storage`]: one rule each, broken and kept. - [`matrix`]: all of them, everywhere.
//! - [`random`]: whatever the [`dice`] say. - [`campaign`]: many of them. - [`shrink`]: the least that shows the same.
//! - [`disagreement`]: kept on disk.
//! - [`scenario`]: from programs to an operation. - [`world`]: onto the chain. - [`verdict`]: what is said of it.

pub mod asm;
pub mod calls;
pub mod campaign;
pub mod dice;
pub mod disagreement;
pub mod helpers;
pub mod matrix;
pub mod piece;
pub mod random;
pub mod scenario;
pub mod shrink;
pub mod snippet;
pub mod storage;
pub mod verdict;
pub mod world;

pub use campaign::Campaign;
pub use dice::Dice;
pub use matrix::{Case, matrix};
pub use scenario::{Entity, Scenario, Stake};
pub use verdict::Verdict;
pub use world::World;
