//! Budgets that cannot be overspent: every signature's worst case is set aside, durably, before it is given.
//!
//! ```text
//!  reserve(worst case) ─► committed ─► sign ─► settle (UserOperationEvent) ─► final: only what it cost stays charged
//!                                        └──► never used: released once a final block is past `validUntil`
//! ```
//!
//! - `types`: a [`Reservation`] charges any number of buckets, each with a limit of its own; a limit per
//!   operation, user, key, policy, job or of all is the same thing under another bucket name.
//! - [`blocks`](Blocks): what the chain did, in order, without gaps; taken back when it is reorganised.
//! - `core`: pure functions from records to records. `overlay`: what they read and write. `records`: the format.
//! - `book`: the one task that runs them, many requests a commit. `store`: redb or Redis.
//!
//! Invariant: in each bucket and window `settled + reserved ≤ limit`, whatever order requests, events, crashes and
//! reorganisations that reach no further back than [`Rules::finality`] come in. Room comes back only with a final block.

mod blocks;
mod book;
mod core;
mod overlay;
mod records;
mod store;
mod types;

pub use blocks::{Block, Blocks, Inclusion};
pub use book::Ledger;
pub use store::{Embedded, Shared, Store, StoreError};
pub use types::{Charge, Denied, OverLimit, Place, Reservation, Rules, Standing, Unit, Usage};
