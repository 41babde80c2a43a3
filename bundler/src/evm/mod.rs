//! The EVM in our process: real EntryPoint bytecode over state of one pinned block.
//!
//! ```text
//!  BlockPin ──► StateView (cache, batched eth_* reads) ──► revm ──► Recorder ──► Trace
//!                                                            ▲
//!                                         handleOps([op, …]) of the EntryPoint itself
//! ```
//!
//! No simulation contract and no tracer of the node: the EntryPoint's own verdict is the verdict, and the
//! [`Trace`] tells which frame did what. A state that cannot be read is an error, never a verdict.

mod block;
mod handle_ops;
mod recorder;
mod state;

pub use block::BlockPin;
pub use handle_ops::{Ending, HandleOps, Run, SimulationError, StopAt};
pub use recorder::{Frame, FrameKind, GasReading, Trace};
pub use state::{ReadCounters, StateError, StateView, Wanted};
