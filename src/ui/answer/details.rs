//! What stands below the first answer to a training question: the breakdown as a table, the whole job, every tensor. A part of the
//! module of its own.

use std::sync::Arc;

use leptos::prelude::*;

use super::super::part::part;
use super::breakdown::{self, Opened};
use super::{ledger, verdict};
use crate::api::Answer;

/// What the part holds.
#[derive(Clone, Copy)]
pub struct Details {
    /// The breakdown as a table; follows the answer.
    pub breakdown: fn(Memo<Option<Arc<Answer>>>, Opened) -> AnyView,
    /// The whole job.
    pub whole: fn(&Answer) -> AnyView,
    /// Every tensor; follows the answer.
    pub ledger: fn(Memo<Option<Arc<Answer>>>) -> AnyView,
}

part!(details holds Details: Details { breakdown: breakdown::breakdown, whole: verdict::whole, ledger: ledger::ledger });
