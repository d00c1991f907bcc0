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

#[cfg(test)]
mod tests {
    use super::super::saved::Part;
    use super::*;

    /// NVFP4 (NVIDIA/TransformerEngine pytorch/tensor/nvfp4_tensor.py): two values in a byte, one E4M3 scale per 16 of them, in
    /// rows and again, from the same 16 bits, in columns. A matrix of 4096 by 4096 takes 8 MiB and 1 MiB of scales twice; the
    /// blocks of 16 by 16 of a weight have their scale once for each of their rows. The two largest values are fp32 numbers.
    #[test]
    fn nvfp4_stores_weights_twice() {
        let elements = 4096 * 4096;
        let once = elements / 2 + elements / 16;
        assert_eq!(once, 9 << 20);
        for compute_capability in [100, 120] {
            let each = Recipe::Nvfp4.weight_32nds(compute_capability);
            assert_eq!(elements * each / 32, 2 * once);
        }
    }

    /// An input of 8,192 rows of 4,096 is saved in columns alone: 16 MiB of values and 2 MiB of scales, where bf16 has 64 MiB.
    #[test]
    fn nvfp4_saves_inputs_once() {
        let input = Saved {
            id: "norm.output",
            label: "output of a norm",
            bytes: 2,
            width: 4096,
            meaning: "hidden size",
            rows: 8192,
            row: "tokens",
            part: Part::Norm,
        };
        let narrow = in_format(input, Recipe::Nvfp4);
        let sizes: Vec<u64> = narrow.iter().map(|one| one.size().get()).collect();
        assert_eq!(sizes, [16 << 20, 2 << 20]);
        assert_eq!(input.size().get(), 64 << 20);
    }
}
