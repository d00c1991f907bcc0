//! GPUs, links and nodes: how much memory a program really gets, how fast it is reached, and what joins the cards.
//!
//! The tables are `assets/hardware/*.json`, one row per product with its sources, read once on first use. A card has
//! three capacities (on the box, in `nvidia-smi`, in torch); [`Gpu::capacity`] turns them, ECC, a typed limit and what is
//! already in use into the interval that a verdict judges. What a process needs outside its allocator (context,
//! libraries, NCCL) is not decided here but in `memory`.

mod capacity;
mod gpu;
mod link;
mod node;
mod table;
mod unified;

pub use capacity::{Basis, Capacity, MemorySetup};
pub use gpu::{Ecc, Gpu, Slice, Span};
pub use link::{Link, LinkKind};
pub use node::{NodeShape, OF_A_SERVER, find_node, nodes, usual_machine};
pub use table::{find, find_link, gpus, links, nearest};
