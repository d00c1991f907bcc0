//! The ledger: every tensor with its size, its lifetime and its source; the instants of a step; the three meters.
//!
//! An engine (`training`, later `inference`) fills a [`Ledger`]; totals, breakdowns, explanations and plots are views of
//! it. This room never imports training or inference.

pub mod allocator;
mod entry;
mod host;
mod instant;
mod interval;
mod ledger;
pub mod meters;

pub use entry::{Entry, Group, Symbol};
pub use host::{HostEntry, HostPhase, HostPlace, need as host_need};
pub use instant::{Instant, InstantId};
pub use interval::Interval;
pub use ledger::Ledger;
