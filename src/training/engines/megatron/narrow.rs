//! What linear layers save for backward where their products are narrow: their inputs in the format of the product, with its
//! scales, in place of 16 bits.
//!
//! Read in NVIDIA/TransformerEngine pytorch/module/linear.py, layernorm_linear.py and grouped_linear.py: the quantised input is
//! saved with column-wise usage alone. Fused attention saves its own output, so that of the projection after it is one more
//! tensor; unfused attention saves none.

use super::saved::{Saved, Setting};
use super::settings::Recipe;
use crate::training::AttentionKernel;

/// Ids of tensors that are the input of a linear layer and of nothing else that saves it.
const INPUTS: [&str; 6] = [
    "norm.output",
    "mlp.activated",
    "experts.input",
    "experts.activated",
    "attention.latent_input",
    "further.side_by_side",
];

impl Setting {
    /// What is saved, with the inputs of linear layers narrowed.
    pub fn narrowed(&self, saved: Vec<Saved>) -> Vec<Saved> {
        let Some(narrow) = self.settings.narrow else {
            return saved;
        };
        let eager = self.attention == AttentionKernel::Eager;
        let mut found = Vec::with_capacity(saved.len().saturating_mul(2));
        for one in saved {
            let output = one.id == "attention.output";
            if INPUTS.contains(&one.id) || output {
                if output && !eager {
                    found.push(one);
                }
                found.extend(in_format(one, narrow.recipe));
            } else {
                found.push(one);
            }
        }
        found
    }
}

/// Values and scales.
fn in_format(one: Saved, recipe: Recipe) -> Vec<Saved> {
    let values = Saved {
        bytes: 1,
        width: one.width.saturating_mul(recipe.bits()).div_ceil(8),
        meaning: "bytes per row of an input in the narrow format",
        ..one
    };
    let scales = recipe.scale().map(|(bytes, group)| Saved {
        bytes,
        width: one.width.div_ceil(group),
        meaning: "scales per row",
        ..one
    });
    std::iter::once(values).chain(scales).collect()
}
