//! Inputs of section `model`: attention and mixture of experts.

use super::{FormGroup, Input, InputId, InputKind, Section, model::MAX_WIDTH};

const fn attention(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(
        id,
        (Section::Model, FormGroup::Attention),
        key,
        flag,
        url,
        label,
        kind,
    )
}

const fn expert(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(
        id,
        (Section::Model, FormGroup::Experts),
        key,
        flag,
        url,
        label,
        kind,
    )
}

const fn up_to(max: u64) -> InputKind {
    InputKind::Integer { min: 1, max }
}

pub(super) const NUM_ATTENTION_HEADS: Input = attention(
    InputId::NumAttentionHeads,
    "model.num_attention_heads",
    "--num-attention-heads",
    "a",
    "Attention heads",
    up_to(65_536),
)
.aliases(&["model.n_head"])
.help("Query heads. With eager attention the probabilities take memory in proportion to heads and to the square of the sequence length.");

pub(super) const NUM_KEY_VALUE_HEADS: Input = attention(
    InputId::NumKeyValueHeads,
    "model.num_key_value_heads",
    "--num-key-value-heads",
    "kv",
    "Key/value heads",
    up_to(65_536),
)
.derived("the number of attention heads")
.help("Heads of keys and values (grouped-query attention). Fewer of them mean smaller projections and smaller saved keys and values. Must divide the attention heads.");

pub(super) const HEAD_DIM: Input = attention(
    InputId::HeadDim,
    "model.head_dim",
    "--head-dim",
    "d",
    "Head size",
    up_to(4096),
)
.derived("hidden size divided by attention heads, where that is whole")
.help("Width of one head. Needed where hidden size divided by heads is not whole, and where the model differs from that rule.");

pub(super) const ATTENTION_BIAS: Input = attention(
    InputId::AttentionBias,
    "model.attention_bias",
    "--attention-bias",
    "ab",
    "Bias in the attention projections",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Whether the attention projections have a bias. A few thousand parameters per layer.");

pub(super) const SLIDING_WINDOW: Input = attention(
    InputId::SlidingWindow,
    "model.sliding_window",
    "--sliding-window",
    "sw",
    "Sliding window",
    up_to(1 << 30),
)
.unit("tokens")
.advanced()
.help("Tokens that a sliding-window layer looks back at. Where it is not longer than the sequence, the fused kernel needs a dense mask; plain attention computes all scores anyway.");

pub(super) const LAYER_TYPES: Input = attention(
    InputId::LayerTypes,
    "model.layer_types",
    "--layer-types",
    "lt",
    "Kind of each layer",
    InputKind::List { max_len: 10_000 },
)
.derived("full attention in every layer")
.advanced()
.help("One word per layer, as in config.json: full_attention, sliding_attention, chunked_attention or linear_attention. Absent means full attention in every layer.");

pub(super) const Q_LORA_RANK: Input = attention(
    InputId::QLoraRank,
    "model.q_lora_rank",
    "--q-lora-rank",
    "qr",
    "Query latent rank",
    up_to(MAX_WIDTH),
)
.advanced()
.help("Multi-head latent attention (DeepSeek): rank of the compressed queries. Absent means that queries are projected directly.");

pub(super) const KV_LORA_RANK: Input = attention(
    InputId::KvLoraRank,
    "model.kv_lora_rank",
    "--kv-lora-rank",
    "kr",
    "Key/value latent rank",
    up_to(MAX_WIDTH),
)
.advanced()
.help("Multi-head latent attention (DeepSeek): rank of the compressed keys and values. Giving it makes every attention layer a latent one.");

pub(super) const QK_NOPE_HEAD_DIM: Input = attention(
    InputId::QkNopeHeadDim,
    "model.qk_nope_head_dim",
    "--qk-nope-head-dim",
    "qn",
    "Head size without rotary part",
    up_to(4096),
)
.advanced()
.help("Latent attention: channels of a query or key head that carry no position.");

pub(super) const QK_ROPE_HEAD_DIM: Input = attention(
    InputId::QkRopeHeadDim,
    "model.qk_rope_head_dim",
    "--qk-rope-head-dim",
    "qp",
    "Rotary head size",
    up_to(4096),
)
.advanced()
.help("Latent attention: channels of a query or key head that carry the position.");

pub(super) const V_HEAD_DIM: Input = attention(
    InputId::VHeadDim,
    "model.v_head_dim",
    "--v-head-dim",
    "vd",
    "Value head size",
    up_to(4096),
)
.advanced()
.help("Latent attention: width of one value head.");

pub(super) const MOE_ENABLED: Input = expert(
    InputId::MoeEnabled,
    "model.moe_enabled",
    "--moe",
    "moe",
    "Mixture of experts",
    InputKind::Toggle,
)
.fixed("false")
.help("Whether the feed-forward blocks are routed to experts. Every expert is stored and trained; a token passes through only some of them. Off makes a sparse model dense.");

pub(super) const NUM_EXPERTS: Input = expert(
    InputId::NumExperts,
    "model.num_experts",
    "--num-experts",
    "e",
    "Experts per layer",
    InputKind::Integer {
        min: 2,
        max: 65_536,
    },
)
.fixed("8")
.help("Routed experts of a layer. Weights, gradients and optimizer states grow in proportion; activations hardly do.");

pub(super) const TOP_K: Input = expert(
    InputId::TopK,
    "model.top_k",
    "--top-k",
    "tk",
    "Experts per token",
    up_to(65_536),
)
.aliases(&["model.num_experts_per_tok"])
.fixed("2")
.help("Routed experts that each token passes through. The saved activations of a layer grow in proportion. At most the number of experts.");

pub(super) const EXPERT_INTERMEDIATE_SIZE: Input = expert(
    InputId::ExpertIntermediateSize,
    "model.expert_intermediate_size",
    "--expert-intermediate-size",
    "ef",
    "Width of one expert",
    up_to(MAX_WIDTH),
)
.aliases(&["model.moe_intermediate_size"])
.derived("from the parameter count where one is given, else 4 times the hidden size")
.help("Feed-forward width of one routed expert. It is the main part of the weights of a sparse model.");

pub(super) const NUM_SHARED_EXPERTS: Input = expert(
    InputId::NumSharedExperts,
    "model.num_shared_experts",
    "--num-shared-experts",
    "se",
    "Shared experts",
    InputKind::Integer { min: 0, max: 65_536 },
)
.aliases(&["model.n_shared_experts"])
.fixed("0")
.advanced()
.help("Experts that every token passes through besides the routed ones. Their width is that of a routed expert unless the width of all shared experts together is given.");

pub(super) const SHARED_EXPERT_INTERMEDIATE_SIZE: Input = expert(
    InputId::SharedExpertIntermediateSize,
    "model.shared_expert_intermediate_size",
    "--shared-expert-intermediate-size",
    "sf",
    "Width of all shared experts",
    up_to(MAX_WIDTH),
)
.advanced()
.help("Width of all shared experts of a layer together.");

pub(super) const FIRST_K_DENSE_REPLACE: Input = expert(
    InputId::FirstKDenseReplace,
    "model.first_k_dense_replace",
    "--first-k-dense-replace",
    "fd",
    "Dense layers at the start",
    InputKind::Integer { min: 0, max: 10_000 },
)
.fixed("0")
.advanced()
.help("Layers at the start that are dense although the model has experts; they use the feed-forward width of dense layers.");

pub(super) const MOE_LAYER_FREQ: Input = expert(
    InputId::MoeLayerFreq,
    "model.moe_layer_freq",
    "--moe-layer-freq",
    "mf",
    "Every n-th layer has experts",
    up_to(10_000),
)
.aliases(&["model.decoder_sparse_step"])
.fixed("1")
.advanced()
.help("1 means that every layer (after the dense ones at the start) has experts, 2 every second one.");
