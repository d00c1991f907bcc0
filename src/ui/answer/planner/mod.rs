//! The planner on the page: options, a button that starts the search, how far it is, the best plans, and the front of time
//! against memory as a drawing and as a table. The search runs in a worker, so the page never waits; both the view and the
//! search are parts of the module of their own.

mod cheapest;
mod drawing;
mod found;
mod hunt;
mod panel;
mod served;
mod worker;

pub use panel::{Planner, load};
