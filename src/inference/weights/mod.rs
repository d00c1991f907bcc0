//! Bytes of every weight tensor on a rank: what a format stores for one matrix (`format`), which tensors it covers
//! (`quantisation`), and the list of one rank (`rank`).

pub mod format;
pub mod quantisation;
pub mod rank;

pub use format::{Piece, WeightFormat};
pub use quantisation::Quantisation;
pub use rank::{Place, Shard, Stored, weights_on_rank};
