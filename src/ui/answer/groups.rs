//! The five groups of the breakdown with their names and their places in the style.

use crate::api::GroupBytes;
use crate::units::Bytes;

/// One group as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct ShownGroup {
    /// Its key in JSON and in the style sheet.
    pub key: &'static str,
    /// Its name for a person.
    pub label: &'static str,
    bytes: fn(&GroupBytes) -> Bytes,
}

impl ShownGroup {
    /// Its bytes among those of the five groups.
    pub fn of(&self, groups: &GroupBytes) -> Bytes {
        (self.bytes)(groups)
    }
}

/// The groups in the order in which they are stacked.
pub const ALL: [ShownGroup; 5] = [
    ShownGroup {
        key: "model_params",
        label: "Weights",
        bytes: |groups| groups.model_params,
    },
    ShownGroup {
        key: "gradients",
        label: "Gradients",
        bytes: |groups| groups.gradients,
    },
    ShownGroup {
        key: "optimizer_states",
        label: "Optimizer states",
        bytes: |groups| groups.optimizer_states,
    },
    ShownGroup {
        key: "activations",
        label: "Activations",
        bytes: |groups| groups.activations,
    },
    ShownGroup {
        key: "overhead",
        label: "Overhead",
        bytes: |groups| groups.overhead,
    },
];
