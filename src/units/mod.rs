//! Quantities: bytes, counts of elements and element types, with their parsing and printing.
//!
//! This is the leaf of the house: it imports nothing from the other rooms. Raw numbers do not cross a module border;
//! only `format` decides between GiB and GB, and it always prints which.

mod bytes;
mod count;
mod decimal;
mod dtype;
mod order;
mod parse;
mod rates;

pub use bytes::Bytes;
pub use count::Count;
pub use decimal::{Decimal, Whole};
pub use dtype::DType;
pub use order::sort_by_key;
pub use parse::{CountError, ParsedCount, parse_count, parse_count_number};
pub use rates::{BytesPerSecond, Flops, FlopsPerSecond, Seconds};
