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
    /// Every expert computes every token, scaled by a score that is zero for those not chosen.
    pub every_expert: bool,
}

impl Reference {
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
            narrow_softmax: is(&["gpt2", "opt", "gpt_oss", "gpt_bigcode", "codegen"]),
            wide_choice: is(&[
                "mixtral",
                "deepseek_v2",
                "deepseek_v3",
                "deepseek_v32",
                "glm4_moe",
                "kimi_k2",
                "dots1",
            ]),
            complex_rotary: is(&["deepseek_v2", "llama4", "llama4_text"]),
            norms_after: is(&["olmo2", "olmo3", "exaone4"]),
            every_expert: is(&["llama4", "llama4_text"]),
        }
    }
}
