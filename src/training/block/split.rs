//! What tensor parallelism puts around the products of a layer: where tokens or columns are gathered, cut, and summed.

use super::{Layout, Setting};
use crate::parallel::{Plan, Way, chunk};
use crate::training::tape::{Axis, Name, Shape, Var};
use crate::training::{Projection, names};

/// Which part of a plan a product belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Attention,
    Dense,
    Shared,
}

impl Setting {
    /// Whether the residual stream is divided along the sequence.
    pub fn sequence_divided(&self) -> bool {
        self.tensor.is_some_and(|tensor| tensor.sequence)
    }

    /// Tokens of the residual stream on this rank.
    pub fn own_tokens(&self) -> u64 {
        match self.tensor {
            Some(tensor) if tensor.sequence => {
                let sequences = self.tokens / self.sequence.max(1);
                sequences.saturating_mul(tensor.division.part(self.sequence))
            }
            _ => self.tokens,
        }
    }

    /// What this rank holds of a width.
    pub fn part(&self, width: u64) -> u64 {
        self.tensor.map_or(width, |tensor| tensor.division.part(width))
    }

    /// Whether there is more than one sequence, so that pieces along the sequence are not contiguous.
    pub const fn several_sequences(&self) -> bool {
        self.tokens > self.sequence
    }

    /// Whether the head is divided by columns.
    pub fn head_divided(&self) -> bool {
        self.tensor
            .is_some_and(|tensor| tensor.division.plan.head == Way::Divided)
    }

    /// Whether the loss is computed on a part of the vocabulary.
    pub fn loss_divided(&self) -> bool {
        self.tensor.is_some_and(|tensor| tensor.loss)
    }

    fn way(&self, group: Group) -> Way {
        let of = |plan: Plan| match group {
            Group::Attention => plan.attention,
            Group::Dense => plan.dense,
            Group::Shared => plan.shared,
        };
        self.tensor.map_or(Way::Whole, |tensor| of(tensor.division.plan))
    }
}

impl Layout<'_> {
    /// The input of a branch: all tokens, gathered once for all its products.
    pub(super) fn branch(&mut self, input: Var) -> Var {
        if self.setting.sequence_divided() {
            self.recorder.gathered_rows(input)
        } else {
            input
        }
    }

    /// A product at the beginning of a group; what it makes has this width, which is this rank's where the group is
    /// divided.
    pub(super) fn first(
        &mut self,
        group: Group,
        input: Var,
        (axis, width): (&'static Axis, u64),
        name: &'static Name,
    ) -> Var {
        let way = self.setting.way(group);
        if way == Way::Whole {
            return self.project(input, axis, width, name);
        }
        let input = if self.setting.sequence_divided() {
            input
        } else {
            self.recorder.entering(input, &names::LINEAR_INPUT)
        };
        if way == Way::Divided {
            return self.project(input, axis, width, name);
        }
        let own = self.project(input, axis, self.setting.part(width), name);
        let shape = Shape { width, ..own.shape };
        self.recorder.gathered_columns(own, shape, name)
    }

    /// The product at the end of a group, back to this width.
    pub(super) fn last(&mut self, group: Group, input: Var, width: u64, projection: Projection) -> Var {
        let way = self.setting.way(group);
        let input = match (way, self.setting.tensor) {
            (Way::Gathered, Some(tensor)) => {
                let own = chunk(input.shape.width, tensor.division.ranks, tensor.division.rank);
                self.recorder.own_columns(input, own, &names::OWN_COLUMNS)
            }
            _ => input,
        };
        let shape = self.shape(&names::WIDTH, width);
        let output = self
            .recorder
            .linear(input, shape, &names::BLOCK_OUTPUT, projection);
        let attention = group == Group::Attention;
        if attention && self.setting.chosen.attention_output {
            self.recorder.tape.keep_chosen(output.storage);
        }
        // What a feed-forward ends with goes into a sum that is kept as the next layer's input, or into a collective.
        if !attention || way != Way::Whole {
            self.recorder.tape.unread(output.storage);
        }
        if way == Way::Whole {
            return output;
        }
        if self.setting.sequence_divided() {
            let (rows, several) = (self.setting.own_tokens(), self.setting.several_sequences());
            return self
                .recorder
                .scattered_rows(output, rows, several, &names::REDUCED);
        }
        self.recorder.summed(output, &names::REDUCED)
    }

    /// The compressed keys and values of latent attention, whose rotary part's gradient is summed over the ranks: both
    /// parts are concatenated anew (`mla_kv_a_proj`).
    pub(super) fn recombined(&mut self, input: Var) -> Var {
        if self.setting.way(Group::Attention) != Way::Divided {
            return input;
        }
        let whole = self.recorder.split(input, &names::LATENT);
        self.recorder.concatenate(&[whole], input.shape, &names::LATENT)
    }
}
