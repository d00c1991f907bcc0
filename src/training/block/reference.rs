//! What is particular to the reference class of a family (transformers 5.23, models/*/modeling_*.py) beyond what the
//! configuration says.

/// How a family's class differs from Llama's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Rotated queries and keys are concatenated anew even where all of the head is rotated.
    pub concatenates_rotary: bool,
    /// Queries, keys and values are slices of their projection, not chunks of it.
    pub slices_projection: bool,
    /// Plain attention computes its softmax in the type of the scores.
    pub narrow_softmax: bool,
    /// The weights of the chosen experts stay in fp32, so weighting the outputs happens in fp32.
    pub wide_choice: bool,
    /// Rotation of interleaved pairs as complex numbers in fp32.
    pub complex_rotary: bool,
    /// Norms stand after mixer and feed-forward, before the residual addition, and not before them.
    pub norms_after: bool,
    /// Norms widen their input to fp32 and narrow their output.
    pub wide_norms: bool,
    /// Norms run outside autocast, in its 16-bit type.
    pub narrow_norms: bool,
    /// Norms are LayerNorms without bias, written out.
    pub centred_norms: bool,
    /// Norms on queries and keys have no weight.
    pub bare_head_norms: bool,
    /// Queries and keys are normalised after their rotation.
    pub norms_rotated: bool,
    /// Each layer makes tables of the rotation of its own, in fp32.
    pub tables_per_layer: bool,
    /// A router in fp32 stays so under autocast.
    pub router_outside_autocast: bool,
    /// Experts clamp gate and up, interleaved slices of one projection, and write the gated activation out.
    pub clamped_experts: bool,
    /// Keys and values are indexed out of the projection, and repeated for the query heads before they are rotated.
    pub indexed_keys: bool,
    /// Products multiply by a transposed view of the weight, which autocast casts anew every time: it keeps only the
    /// copies of leaves (torch 2.15, aten/src/ATen/autocast_mode.cpp).
    pub casts_anew: bool,
    /// Fused attention with rotation always gets a dense mask.
    pub dense_mask: bool,
    /// Every expert computes every token, scaled by a score that is zero for those not chosen.
    pub every_expert: bool,
}

impl Reference {
    /// Whether the class repeated keys and values before the flash-attn package, which needs no such thing, saw them
    /// (transformers 4.45, models/*/modeling_*.py, `*FlashAttention2`; 4.48 has one function for all classes).
    pub fn repeats_keys(model_type: &str) -> bool {
        matches!(
            model_type,
            "mistral" | "mixtral" | "qwen2" | "qwen2_moe" | "phi3" | "starcoder2"
        )
    }

    /// Whether the class goes on filling its cache while layers are recomputed: each layer's keys and values are views of
    /// its whole projection, which the outputs refer to until they are dropped (transformers 4.45 to 4.52,
    /// models/gpt_bigcode/modeling_gpt_bigcode.py, `presents`; other decoders set `use_cache` to false, and this one does
    /// from 4.53 on).
    pub fn keeps_cache(model_type: &str) -> bool {
        model_type == "gpt_bigcode"
    }

    /// Of this `model_type`.
    pub fn of(model_type: &str) -> Self {
        let is = |names: &[&str]| names.contains(&model_type);
        Self {
            concatenates_rotary: is(&[
                "phi3",
                "gpt_neox",
                "phi",
                "stablelm",
                "glm",
                "glm4",
                "nemotron",
                "persimmon",
            ]),
            slices_projection: is(&["phi3", "phimoe"]),
            narrow_softmax: is(&["gpt2", "gpt_oss", "falcon", "llama4", "llama4_text"]),
            wide_choice: is(&[
                "mixtral",
                "deepseek_v2",
                "deepseek_v3",
                "deepseek_v32",
                "glm4_moe",
                "kimi_k2",
                "kimi_k25",
                "dots1",
            ]),
            complex_rotary: is(&["deepseek_v2", "llama4", "llama4_text"]),
            norms_after: is(&["olmo2", "olmo3", "exaone4", "flex_olmo"]),
            wide_norms: is(&["olmo"]),
            narrow_norms: is(&["nemotron"]),
            centred_norms: is(&["cohere", "cohere2"]),
            bare_head_norms: is(&["llama4", "llama4_text"]),
            norms_rotated: is(&["hunyuan_v1_moe", "hunyuan_v1_dense"]),
            tables_per_layer: is(&["ernie4_5", "ernie4_5_moe"]),
            router_outside_autocast: is(&["ernie4_5_moe"]),
            clamped_experts: is(&["gpt_oss"]),
            indexed_keys: is(&["falcon"]),
            casts_anew: is(&["falcon"]),
            dense_mask: is(&["falcon"]),
            every_expert: is(&["llama4", "llama4_text"]),
        }
    }
}
