//! The planner: which way of dividing a job among its GPUs is the fastest that fits.
//!
//! `space` lists the values of every dimension and what a combination of them is, `rules` says why a combination is none,
//! `search` walks through the space as a tree and leaves out branches that a rule or a bound excludes, `rank` keeps the best and
//! the Pareto front of time against memory, and `decide` says why the best beats the next one. What a combination needs and how
//! long it takes is asked from a [`Judge`]; nothing here knows requests or engines. `serving` is the same for ways of serving.

mod decide;
mod rank;
mod rules;
mod search;
mod serving;
mod space;

pub use decide::{Part, decisive};
pub use rank::{Found, Order, Ranking};
pub use rules::{Counts, Rule};
pub use search::{Judge, Search, branches};
pub use serving::{
    Deployment, Load, Served, ServingBranch, ServingFound, ServingJudge, ServingOrder, ServingSearch,
    ServingSpace, ServingWay, serving_branches,
};
pub use space::{Branch, Deal, Plan, Shape, Space, divisors};
