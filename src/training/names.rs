//! What tensors and axes are called in the ledger. Names only; sizes and lifetimes come from the tapes.

use super::tape::{Axis, Name};
use crate::memory::Group;

macro_rules! names {
    ($($name:ident: $group:ident, $id:literal, $label:literal;)*) => {$(
        pub static $name: Name = Name {
            id: $id,
            label: $label,
            gradient_id: concat!("gradient.", $id),
            gradient_label: concat!("gradient of: ", $label),
            group: Group::$group,
        };
    )*};
}

macro_rules! axes {
    ($($name:ident: $symbol:literal, $meaning:literal;)*) => {$(
        pub static $name: Axis = Axis {
            symbol: $symbol,
            meaning: $meaning,
            per_token: concat!("β·", $symbol, "·T"),
            per_routed: concat!("β·", $symbol, "·R"),
            per_patch: concat!("β·", $symbol, "·P"),
            alone: concat!("β·", $symbol),
        };
    )*};
}

names! {
    HIDDEN_STATE: Activations, "hidden_state", "hidden state between layers";
    NORM_INPUT: Activations, "norm.fp32_input", "fp32 copy of a norm's input";
    NORM_SQUARE: Activations, "norm.square", "square of a norm's input";
    NORM_SCALE: Activations, "norm.scale", "reciprocal root or mean of a norm, one per row";
    NORM_NORMALISED: Activations, "norm.normalised", "normalised input before the norm's weight";
    NORM_OUTPUT: Activations, "norm.output", "output of a norm";
    GATHERED: Activations, "tensor_parallel.gathered", "hidden states of all tokens, gathered from the ranks";
    OWN_COLUMNS: Activations, "tensor_parallel.own", "this rank's columns of a gathered tensor";
    REDUCED: Activations, "tensor_parallel.reduced", "hidden states summed over the ranks";
    LOG_SOFTMAX_PART: Activations, "log_softmax.part", "intermediate of the log-softmax over a part of the vocabulary";
    EMBEDDING_SUMS: Overhead, "embedding.partial_sums", "partial sums of the embedding's gradient";
    LINEAR_INPUT: Activations, "linear.cast_input", "16-bit copy of a linear layer's input";
    WEIGHT: ModelParams, "weight", "weight matrices of the layer";
    ADAPTER: ModelParams, "adapter", "adapters of the layer";
    ADAPTER_INPUT: Activations, "adapter.input", "input of an adapter in its type";
    ADAPTER_OUTPUT: Activations, "adapter.output", "output of an adapter";
    EXPANDED_WEIGHT: Overhead, "weight.expanded", "a quantised matrix expanded for its product";
    DECOMPOSED_WEIGHT: ModelParams, "weight.decomposed", "copy of a frozen matrix that its decomposed adapter multiplies with";
    DIRECTIONS: Overhead, "adapter.directions", "product of an adapter's matrices, its sum with the frozen matrix, and the identity behind it";
    PRODUCT_WORKSPACE: Overhead, "cublas.passing_workspace", "workspace of a matrix product";
    KEPT_INPUT: Activations, "linear.kept_input", "input of an 8-bit product, held beside autograd's saved tensors";
    WEIGHT_CAST: ModelParams, "weight_cast", "16-bit copies of fp32 weights (autocast)";
    QUERY: Activations, "attention.query", "queries";
    KEY: Activations, "attention.key", "keys";
    VALUE: Activations, "attention.value", "values";
    QUERY_KEY_VALUE: Activations, "attention.qkv", "queries, keys and values of one projection";
    ROTATED: Activations, "attention.rotated", "queries or keys after rotation";
    ROTARY: Activations, "attention.rotary", "intermediate of the rotation";
    EXPANDED: Activations, "attention.expanded", "keys or values repeated for every query head";
    ATTENTION_CAST: Activations, "attention.cast", "16-bit copy of an attention operand";
    ATTENTION_OUTPUT: Activations, "attention.output", "attention output";
    ATTENTION_COPY: Activations, "attention.output_copy", "attention output in token order";
    LOG_SUM_EXP: Activations, "attention.log_sum_exp", "log-sum-exp of attention";
    ATTENTION_ACCUMULATOR: Overhead, "attention.accumulator", "fp32 accumulator of the query gradient";
    RING_GATHERED: Overhead, "attention.ring", "keys and values of all context ranks";
    RING_SUMS: Overhead, "attention.ring_sums", "fp32 sums of the gradients that go round the context ranks";
    ATTENTION_BIAS: Activations, "attention.bias", "attention mask as a bias, one per layer";
    SCORES: Activations, "attention.scores", "attention scores";
    PROBABILITIES: Activations, "attention.probabilities", "attention probabilities";
    DROPOUT_MASK: Activations, "dropout.mask", "dropout mask";
    DROPOUT_OUTPUT: Activations, "dropout.output", "output of dropout";
    LATENT: Activations, "attention.latent", "compressed queries, keys or values";
    OUTPUT_GATE: Activations, "attention.output_gate", "gate on the attention output";
    GATED_OUTPUT: Activations, "attention.gated_output", "gated attention output";
    GATE: Activations, "mlp.gate", "gate projection's output";
    UP: Activations, "mlp.up", "up projection's output";
    GATE_UP: Activations, "mlp.gate_up", "gate and up projections' output";
    ACTIVATED: Activations, "mlp.activated", "activation's output";
    ACTIVATION_PART: Activations, "mlp.activation_part", "intermediate of the activation";
    PRODUCT: Activations, "mlp.product", "product of activated gate and up";
    BLOCK_OUTPUT: Activations, "residual.branch", "output of a branch before the residual addition";
    RESIDUAL: Activations, "residual.stream", "residual stream inside a layer";
    ROUTER_INPUT: Activations, "router.input", "fp32 copy of the router's input";
    ROUTER_LOGITS: Activations, "router.logits", "router logits";
    ROUTER_SCORES: Activations, "router.scores", "router probabilities";
    ROUTER_CHOICE: Activations, "router.choice", "weights of the chosen experts";
    ROUTER_INDEX: Activations, "router.index", "indices of the chosen experts and their order";
    ROUTED_INPUT: Activations, "experts.input", "tokens sorted by expert";
    ROUTED_GATE_UP: Activations, "experts.gate_up", "experts' gate and up outputs";
    ROUTED_CLAMPED: Activations, "experts.clamped", "experts' clamped gate and up";
    ROUTED_ACTIVATED: Activations, "experts.activated", "experts' activated gate";
    ROUTED_PRODUCT: Activations, "experts.product", "experts' inner product";
    ROUTED_OUTPUT: Activations, "experts.output", "experts' outputs before weighting";
    ROUTED_WEIGHTED: Activations, "experts.weighted", "experts' weighted outputs";
    STATE_PROJECTION: Activations, "state_space.projection", "input projection of a linear-time mixer";
    STATE_MIXED: Activations, "state_space.mixed", "convolution, gates and states of a linear-time mixer";
    STATE_OUTPUT: Activations, "state_space.output", "output of a linear-time mixer before its last projection";
    CHECKPOINT: Activations, "checkpoint", "layer input kept for recomputation";
    LOGITS: Activations, "logits", "logits";
    LOGITS_CAPPED: Activations, "logits.capped", "soft-capped logits";
    LOGITS_FP32: Activations, "logits.fp32", "fp32 copy of the logits";
    LOGITS_SHIFTED: Activations, "logits.shifted", "shifted copy of the fp32 logits";
    LOG_PROBABILITIES: Activations, "log_probabilities", "log-probabilities";
    LOGITS_GATHERED: Activations, "logits.gathered", "gradient of the log-probabilities before they are gathered";
    LOGITS_CHUNK: Activations, "logits.chunk", "logits of one chunk, with their fp32 copies";
    HIDDEN_CHUNKS: Activations, "hidden.chunks", "gradient of the hidden states, collected over the chunks";
    PIXELS: Activations, "images.pixels", "images of the batch";
    PIXELS_CAST: Activations, "images.cast", "images in the type of the tower";
    PATCHES: Activations, "tower.patches", "patches before the blocks";
    POSITIONS: Activations, "tower.positions", "rows of the table of positions, weighed for each patch";
    POOLED: Activations, "projector.pooled", "patches in squares, and their mean";
    IMAGE_TOKENS: Activations, "projector.tokens", "tokens that images become";
    PLACES: Overhead, "images.places", "places of the images' tokens in the text";
    TOKEN_IDS: Activations, "token_ids", "token ids and labels";
    SHARED_MASK: Activations, "attention.mask", "attention mask, shared by all layers";
    ROTARY_TABLE: Activations, "rotary.table", "cosines and sines of the rotation, shared by all layers";
}

axes! {
    WIDTH: "h", "hidden size";
    INNER: "f", "feed-forward width";
    INNER_PAIR: "2f", "twice the feed-forward width";
    EXPERT: "f_e", "width of an expert";
    EXPERT_PAIR: "2f_e", "twice the width of an expert";
    SHARED: "f_s", "width of the shared experts together";
    QUERIES: "q", "query heads times head size";
    KEYS: "k", "key heads times head size";
    VALUES: "v", "value heads times their size";
    QUERIES_KEYS_VALUES: "(q+k+v)", "queries, keys and values together";
    ROTATED_PART: "d_r·heads", "rotated elements of all heads";
    HEADS: "a", "query heads";
    SCORE_ROW: "a·s", "query heads times sequence length";
    MASK_ROW: "s", "sequence length";
    QUERY_RANK: "r_q", "rank of the query latent";
    KEY_RANK: "r_kv", "rank of the key and value latent";
    LATENT_ROW: "(r_kv+d_r)", "key and value latent with the shared rotary key";
    KEYS_VALUES: "a·(d_n+d_v)", "keys without rotation and values of all heads";
    WEIGHTS: "n", "weights";
    WORKSPACE_BYTES: "w", "elements of the workspace";
    VOCABULARY: "V", "vocabulary";
    EXPERTS: "E", "experts";
    CHOICES: "top_k", "experts per token";
    RANK: "ρ", "rank of the adapter";
    ONE: "1", "one per row";
    IDS: "ids", "integers per token";
    TOWER_WIDTH: "h_v", "width of the vision tower";
    TOWER_INNER: "f_v", "feed-forward width of the vision tower";
    PATCH_VALUES: "c", "values of a patch";
    MERGED: "m²·h_v", "patches that become a token, side by side";
    TEXT_WIDTH: "h", "hidden size of the text";
    STATE_ROW: "d_s", "elements per token that the linear-time mixer keeps";
}
