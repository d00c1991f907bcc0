//! The door: a request is validated, calculated and answered here. The shells (page, command line, JavaScript module)
//! call nothing else.

mod given;
mod nearest;
mod read;
mod schema;
pub mod share;

pub use crate::request::*;
pub use read::read_count as parse_parameter_count;
pub use schema::{SCHEMAS, schema};
