//! The architecture fields that a person can type or change, independent of the key a family uses for them.

use std::ops::RangeInclusive;

use serde::Serialize;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $range:expr;)*) => {
        /// A field of the architecture.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum Field {
            $($(#[$doc])* $name,)*
        }

        impl Field {
            /// All fields, in the order of the form.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in a request.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)*
                }
            }

            /// The values that make sense (0 and 1 for a switch).
            pub const fn range(self) -> RangeInclusive<u64> {
                match self {
                    $(Self::$name => $range,)*
                }
            }
        }
    };
}

fields! {
    /// Decoder layers.
    NumLayers = "num_layers", 1..=10_000;
    /// Width of the residual stream.
    HiddenSize = "hidden_size", 1..=1_048_576;
    /// Query heads.
    NumAttentionHeads = "num_attention_heads", 1..=65_536;
    /// Key and value heads.
    NumKeyValueHeads = "num_key_value_heads", 1..=65_536;
    /// Width of a head.
    HeadDim = "head_dim", 1..=65_536;
    /// Width of the dense feed-forward.
    IntermediateSize = "intermediate_size", 1..=16_777_216;
    /// Rows of the embedding.
    VocabSize = "vocab_size", 1..=16_777_216;
    /// Longest context.
    MaxSeqLen = "max_seq_len", 1..=1_000_000_000;
    /// Whether the head is the embedding.
    TieWordEmbeddings = "tie_word_embeddings", 0..=1;
    /// Whether the feed-forward has a gate.
    MlpGated = "mlp_gated", 0..=1;
    /// Whether there are routed experts.
    MoeEnabled = "moe_enabled", 0..=1;
    /// Routed experts per layer.
    NumExperts = "num_experts", 1..=65_536;
    /// Experts per token.
    TopK = "top_k", 1..=65_536;
    /// Width of one expert.
    ExpertIntermediateSize = "expert_intermediate_size", 1..=16_777_216;
    /// Width of the shared experts together.
    SharedExpertIntermediateSize = "shared_expert_intermediate_size", 0..=16_777_216;
    /// Shared experts.
    NumSharedExperts = "num_shared_experts", 0..=65_536;
    /// Leading layers with a dense feed-forward.
    FirstKDenseReplace = "first_k_dense_replace", 0..=10_000;
    /// Sliding window; 0 for none.
    SlidingWindow = "sliding_window", 0..=1_000_000_000;
    /// Rank of the key and value latent.
    KvLoraRank = "kv_lora_rank", 1..=1_048_576;
    /// Rank of the query compression; 0 for none.
    QLoraRank = "q_lora_rank", 0..=1_048_576;
    /// Rotated width per head (latent attention).
    QkRopeHeadDim = "qk_rope_head_dim", 1..=65_536;
    /// Unrotated width per head (latent attention).
    QkNopeHeadDim = "qk_nope_head_dim", 1..=65_536;
    /// Width of a value head (latent attention).
    VHeadDim = "v_head_dim", 1..=65_536;
    /// Biases on queries, keys and values.
    AttentionBias = "attention_bias", 0..=1;
    /// Next-token-prediction layers.
    NumNextnPredictLayers = "num_nextn_predict_layers", 0..=10_000;
    /// How often a layer is sparse.
    MoeLayerFreq = "moe_layer_freq", 1..=10_000;
}

impl Field {
    /// The field of this name.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.id() == id)
    }

    /// Whether it is a switch.
    pub const fn is_switch(self) -> bool {
        matches!(
            self,
            Self::TieWordEmbeddings | Self::MlpGated | Self::MoeEnabled | Self::AttentionBias
        )
    }
}
