//! The EVM in our process: real EntryPoint bytecode over state of one pinned block.
//!
//! ```text
//!  BlockPin ──► StateView (what is known) ──► Speculation ──► revm ──► Recorder ──► Trace
//!                   ▲      ▲ Forecast             │             ▲
//!                   └──────┴──── one batch ◄── unknown?   handleOps([op, …]) of the EntryPoint itself
//! ```
//!
//! No simulation contract and no tracer of the node: the EntryPoint's own verdict is the verdict, and the
//! [`Trace`] tells which frame did what. A state that cannot be read is an error, never a verdict.

mod block;
mod forecast;
mod handle_ops;
mod next_block;
mod recorder;
mod rules_of_chain;
pub(crate) mod self_test;
mod speculation;
mod state;
mod trace;

pub use block::BlockPin;
pub use forecast::Forecast;
pub(crate) use handle_ops::overlay;
pub use handle_ops::{Budget, Ending, HandleOps, Run, SimulationError, StopAt, Unfinished};
pub use next_block::{Moment, NextBlock};
pub use recorder::Signatures;
pub use self_test::{EvmDiffers, SelfTestError};
pub use state::{ReadCounters, Shared, StateView, Wanted};
pub use trace::{Act, Deed, Frame, FrameKind, GasReading, Trace};
