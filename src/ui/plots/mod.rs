//! The plots of an answer: the need along an input, the instants of a step, ranks that differ. A part of the module of its own,
//! which the first answer does not wait for. Each plot is drawn by plotters in a large coordinate space, takes its colours from the
//! style sheet, can be read with pointer and keyboard and saved, and has a table twin.

mod curve;
mod heat;
mod instants;
mod overlay;
mod picture;
mod save;
mod scale;
mod schedule;

pub use overlay::Named;
pub use picture::{Picture, Stop, Table, Tick};
pub use scale::linear;

use leptos::prelude::*;

use super::part::part;
use super::state::Form;
use crate::api::{Answer, InstantRow, Task};
use crate::units::Bytes;

/// What the part holds.
#[derive(Clone, Copy)]
pub struct Plots {
    /// The need along an input of a kind of question; follows the question.
    pub curves: fn(Form, Task) -> AnyView,
    /// The instants against a capacity.
    pub instants: fn(&[InstantRow], Bytes) -> AnyView,
    /// Ranks that do not hold the same.
    pub ranks: fn(&Answer) -> AnyView,
    /// The schedule of a pipeline; follows the question.
    pub schedule: fn(Form) -> AnyView,
    /// Several questions of a kind along one input.
    pub overlaid: fn(Vec<Named>, Task) -> AnyView,
    /// A plot of another part in its frame, with its table twin and what is offered about the stop at the cursor.
    pub framed: fn(Picture, Table, Offer) -> AnyView,
    /// The buttons that save a plot of another part.
    pub save: fn(Picture) -> AnyView,
}

/// What is offered about a stop.
pub type Offer = Box<dyn Fn(usize) -> AnyView + Send + Sync>;

part!(plots holds Plots: Plots {
    curves: curve::curves,
    instants: instants::instants,
    ranks: heat::heat,
    schedule: schedule::schedule,
    overlaid: overlay::overlaid,
    framed: Picture::view,
    save: save::buttons,
});
