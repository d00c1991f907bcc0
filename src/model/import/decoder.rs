//! The frame of a decoder: its dimensions, its layers folded into kinds, its two ends, and the network made of them.

use crate::model::import::config::Config;
use crate::model::import::field::Field;
use crate::model::import::softmax::{Softmax, plain};
use crate::model::import::weights::{Cut, Weights};
use crate::model::{
    Attention, FeedForward, Head, Layer, Mixer, Network, Norm, NormKind, Residual, Role, Span, Split, Tensor,
};
use crate::units::Count;

/// What the class of a family assumes where its configuration is silent.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Key and value heads; `None` for as many as query heads.
    pub kv_heads: Option<u64>,
    /// Head width; `None` for hidden size over heads.
    pub head_dim: Option<u64>,
    /// Vocabulary.
    pub vocabulary: u64,
    /// Whether embedding and head are one.
    pub tied: bool,
}

impl Defaults {
    /// As many key and value heads as query heads, and two matrices at the ends.
    pub const fn new(vocabulary: u64) -> Self {
        Self {
            kv_heads: None,
            head_dim: None,
            vocabulary,
            tied: false,
        }
    }
}

/// The dimensions that every decoder has.
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub kv_heads: u64,
    /// Width of a head.
    pub head_dim: u64,
    /// Rows of the embedding.
    pub vocabulary: u64,
    /// Longest context.
    pub positions: Option<u64>,
    /// Whether embedding and head are one.
    pub tied: bool,
}

/// Keys of the number of layers.
pub const LAYERS: &[&str] = &["num_hidden_layers", "n_layer", "n_layers", "num_layers"];
/// Keys of the width of the residual stream.
pub const HIDDEN: &[&str] = &["hidden_size", "n_embd", "d_model"];
/// Keys of the number of query heads.
pub const HEADS: &[&str] = &["num_attention_heads", "n_head", "n_heads"];
/// Keys of the number of key and value heads.
pub const KV_HEADS: &[&str] = &["num_key_value_heads", "num_kv_heads"];
/// Keys of the head width.
pub const HEAD_DIM: &[&str] = &["head_dim", "attention_head_dim", "kv_channels"];
/// Keys of the feed-forward width.
pub const FFN: &[&str] = &["intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner"];
/// Keys of the vocabulary.
pub const VOCABULARY: &[&str] = &["vocab_size", "padded_vocab_size"];
/// Keys of the longest context.
pub const POSITIONS: &[&str] = &[
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "model_max_length",
    "seq_length",
];
/// Keys of the number of experts.
pub const EXPERTS: &[&str] = &[
    "num_local_experts",
    "num_experts",
    "n_routed_experts",
    "moe_num_experts",
];
/// Keys of the experts per token.
pub const TOP_K: &[&str] = &[
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "moe_k",
    "moe_topk",
    "moe_top_k",
    "top_k_experts",
];

impl Dims {
    /// Reads all of them under the usual keys.
    pub fn read(c: &Config, defaults: Defaults) -> Self {
        let mut dims = Self::without_heads(c, defaults);
        dims.heads = c.require(Field::NumAttentionHeads, HEADS);
        dims.kv_heads = match defaults.kv_heads {
            Some(default) if !KV_HEADS.iter().any(|key| c.has(key)) => {
                c.or_default(Field::NumKeyValueHeads, KV_HEADS, default)
            }
            _ => c.field(Field::NumKeyValueHeads, KV_HEADS).unwrap_or(dims.heads),
        };
        dims.head_dim = match (c.field(Field::HeadDim, HEAD_DIM), defaults.head_dim) {
            (Some(width), _) => width,
            (None, Some(default)) if c.get(HEAD_DIM).is_none() => default,
            (None, _) => dims.head_width_from_hidden(c),
        };
        dims.check_groups(c);
        dims
    }

    /// Reads what does not concern attention; heads are one of width one.
    pub fn without_heads(c: &Config, defaults: Defaults) -> Self {
        Self {
            layers: c.require(Field::NumLayers, LAYERS),
            hidden: c.require(Field::HiddenSize, HIDDEN),
            heads: 1,
            kv_heads: 1,
            head_dim: 1,
            vocabulary: c.or_default(Field::VocabSize, VOCABULARY, defaults.vocabulary),
            positions: c.field(Field::MaxSeqLen, POSITIONS),
            tied: tied(c, defaults.tied),
        }
    }

    /// Hidden size over heads, with an error where that is not whole.
    pub fn head_width_from_hidden(&self, c: &Config) -> u64 {
        if !self.hidden.is_multiple_of(self.heads) {
            let key = c.get(HIDDEN).map_or("hidden_size", |found| found.0);
            c.error(
                "not_divisible",
                key,
                &format!(
                    "must be divisible by the number of attention heads ({}), or head_dim must be given",
                    self.heads
                ),
            );
        }
        (self.hidden / self.heads.max(1)).max(1)
    }

    /// Queries are shared evenly among the key and value heads.
    pub fn check_groups(&self, c: &Config) {
        if !self.heads.is_multiple_of(self.kv_heads) {
            let key = c.get(HEADS).map_or("num_attention_heads", |found| found.0);
            c.error(
                "not_divisible",
                key,
                &format!(
                    "must be divisible by the number of key and value heads ({})",
                    self.kv_heads
                ),
            );
        }
    }

    /// The width of the feed-forward, or the default of the family.
    pub fn ffn(&self, c: &Config, default: u64) -> u64 {
        c.or_default(Field::IntermediateSize, FFN, default)
    }

    /// The width of the feed-forward, by family four times the hidden size where it is not stated.
    pub fn ffn_or_four(&self, c: &Config) -> u64 {
        c.field(Field::IntermediateSize, FFN).unwrap_or(4 * self.hidden)
    }

    /// Full rotary attention with these heads and the dropout of the configuration.
    pub fn attention(&self, c: &Config) -> Attention {
        Attention {
            dropout: c.dropout(&["attention_dropout"], 0.0),
            ..plain(self.heads, self.kv_heads, self.head_dim)
        }
    }

    /// The same as Llama's module.
    pub fn softmax(&self, c: &Config) -> Softmax {
        Softmax::new(self.attention(c))
    }
}

/// Whether embedding and head are one, at the text stack or beside it.
pub fn tied(c: &Config, default: bool) -> bool {
    const KEY: &[&str] = &["tie_word_embeddings"];
    let outer = c.outer();
    if c.is_nested() && c.get(KEY).is_none() && outer.get(KEY).is_some() {
        return outer.flag_field(Field::TieWordEmbeddings, KEY, default);
    }
    c.flag_field(Field::TieWordEmbeddings, KEY, default)
}

/// The name of the activation.
pub fn activation(c: &Config, default: &str) -> String {
    c.word(
        &[
            "hidden_act",
            "hidden_activation",
            "activation_function",
            "mlp_hidden_act",
        ],
        default,
    )
}

/// Distinct layers and their order.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    /// The distinct layers.
    pub kinds: Vec<Layer>,
    /// For each depth the index of its layer.
    pub order: Vec<usize>,
}

impl Stack {
    /// All layers equal.
    pub fn uniform(layers: u64, layer: Layer) -> Self {
        Self {
            kinds: vec![layer],
            order: (0..layers).map(|_| 0).collect(),
        }
    }

    /// Layers that differ by a key: each key is built once.
    pub fn by_key<K: PartialEq>(
        layers: u64,
        key: impl Fn(u64) -> K,
        mut build: impl FnMut(&K) -> Layer,
    ) -> Self {
        let mut keys: Vec<K> = Vec::new();
        let mut stack = Self::default();
        for depth in 0..layers {
            let wanted = key(depth);
            let kind = keys.iter().position(|known| *known == wanted).unwrap_or_else(|| {
                stack.kinds.push(build(&wanted));
                keys.push(wanted);
                keys.len() - 1
            });
            stack.order.push(kind);
        }
        stack
    }
}

/// A norm of this kind at this width.
pub const fn norm(kind: NormKind, width: u64) -> Norm {
    Norm { kind, width }
}

/// A layer from its parts; `buffers` and dropout are zero.
pub fn layer(mixer: Mixer, feed_forward: FeedForward, norms: Vec<Norm>, weights: Weights) -> Layer {
    Layer {
        mixer,
        feed_forward,
        norms,
        residual: Residual::Sequential,
        residual_dropout: 0.0,
        tensors: weights.into_tensors(),
        buffers: Count::ZERO,
        cross: None,
    }
}

/// The two ends of a network.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Tensors before the layers.
    pub input: Weights,
    /// Tensors after the layers, without the head.
    pub output: Weights,
    /// The final norm.
    pub final_norm: Option<Norm>,
    /// Name of the head.
    pub head: &'static str,
    /// A bias on the head.
    pub head_bias: bool,
    /// Soft-capping of the logits.
    pub softcap: bool,
    /// Dropout on the embedding output.
    pub dropout: f64,
}

impl Ends {
    /// Llama's: `model.embed_tokens`, `model.norm`, `lm_head`.
    pub fn new(dims: &Dims, kind: NormKind) -> Self {
        Self::named(dims, "model.embed_tokens", Some(("model.norm", kind)))
    }

    /// An embedding and a final norm of these names; a LayerNorm has a bias.
    pub fn named(dims: &Dims, embedding: &str, final_norm: Option<(&str, NormKind)>) -> Self {
        let mut input = Weights::new();
        input.tensor(
            format!("{embedding}.weight"),
            &[dims.vocabulary, dims.hidden],
            Role::Embedding,
            Split::Axis(0),
        );
        let mut output = Weights::new();
        if let Some((name, kind)) = final_norm {
            output.norm(name, dims.hidden, kind == NormKind::Layer);
        }
        Self {
            input,
            output,
            final_norm: final_norm.map(|(_, kind)| norm(kind, dims.hidden)),
            head: "lm_head",
            head_bias: false,
            softcap: false,
            dropout: 0.0,
        }
    }
}

/// Puts the network together.
pub fn network(c: &Config, dims: &Dims, stack: Stack, ends: Ends) -> Network {
    let mut output = ends.output;
    if dims.tied {
        if ends.head_bias {
            output.tensor(
                format!("{}.bias", ends.head),
                &[dims.vocabulary],
                Role::Bias,
                Split::Axis(0),
            );
        }
    } else {
        output.linear(
            ends.head,
            (dims.vocabulary, dims.hidden),
            ends.head_bias,
            Role::Head,
            Cut::Column,
        );
    }
    Network {
        model_type: c.word(&["model_type"], ""),
        hidden_size: dims.hidden,
        vocabulary: dims.vocabulary,
        max_positions: dims.positions,
        kinds: stack.kinds,
        order: stack.order,
        input_tensors: ends.input.into_tensors(),
        output_tensors: output.into_tensors(),
        final_norm: ends.final_norm,
        head: Head {
            tied: dims.tied,
            softcap: ends.softcap,
        },
        embedding_dropout: ends.dropout,
        towers: Vec::new(),
        next_token_tensors: Vec::new(),
        encoder: None,
    }
}

/// Next-token-prediction layers: each is the last layer of the model (or `like`) with a projection of two inputs and three
/// norms. They are stored beside the model and are no part of its total.
pub fn next_token(network: &mut Network, count: u64, like: Option<usize>) {
    let kind = like.or_else(|| network.order.last().copied()).unwrap_or(0);
    let Some(layer) = network.kinds.get(kind).filter(|_| count > 0) else {
        return;
    };
    let hidden = network.hidden_size;
    let mut weights = Weights::new();
    weights.linear(
        "mtp.eh_proj",
        (hidden, 2 * hidden),
        false,
        Role::Mixer,
        Cut::Whole,
    );
    for name in ["mtp.enorm", "mtp.hnorm", "mtp.shared_head.norm"] {
        weights.norm(name, hidden, false);
    }
    let ends = weights.into_tensors().into_iter();
    let body = layer.tensors.iter().map(|tensor| Tensor {
        name: format!("mtp.{}", tensor.name),
        ..tensor.clone()
    });
    network.next_token_tensors = body
        .chain(ends)
        .map(|mut tensor| {
            tensor.copies = tensor.copies.saturating_mul(count);
            tensor
        })
        .collect();
}

/// The window of a configuration: `None` where it has none, or where it is at least as long as the context.
pub fn window(c: &Config, default: Option<u64>, dims: &Dims) -> Option<u64> {
    const KEYS: &[&str] = &["sliding_window", "sliding_window_size"];
    let found = c.field(Field::SlidingWindow, KEYS);
    let absent = !KEYS.iter().any(|key| c.has(key));
    found
        .or(if absent { default } else { None })
        .filter(|width| *width > 0 && dims.positions.is_none_or(|longest| *width < longest))
}

/// Reach of each layer by `layer_types` (`sliding_attention`, `chunked_attention`, else full); `None` where it is absent.
pub fn spans_by_type(c: &Config, layers: u64, width: Option<u64>) -> Option<Vec<Span>> {
    let types = c.words_per_layer("layer_types", layers)?;
    let spans = types.iter().map(|kind| match (kind.as_str(), width) {
        ("sliding_attention", Some(width)) => Span::Sliding(width),
        ("chunked_attention", Some(width)) => Span::Chunked(width),
        _ => Span::Full,
    });
    Some(spans.collect())
}

/// Every `period`-th layer is full, the others have the window.
pub fn spans_by_period(layers: u64, width: Option<u64>, period: u64) -> Vec<Span> {
    (0..layers)
        .map(|depth| match width {
            Some(width) if period == 0 || !(depth + 1).is_multiple_of(period) => Span::Sliding(width),
            _ => Span::Full,
        })
        .collect()
}

/// The reach of a layer; full beyond the list.
pub fn span_at(spans: &[Span], depth: u64) -> Span {
    usize::try_from(depth)
        .ok()
        .and_then(|depth| spans.get(depth).copied())
        .unwrap_or(Span::Full)
}

/// Elements of a head that are rotated, by `partial_rotary_factor` or `rotary_pct`.
pub fn rotary_dim(c: &Config, head_dim: u64, default: f64) -> u64 {
    const KEYS: &[&str] = &["partial_rotary_factor", "rotary_pct"];
    let inner = c
        .get(&["rope_parameters"])
        .and_then(|(_, rope)| rope.get("partial_rotary_factor"))
        .and_then(serde_json::Value::as_f64)
        .filter(|factor| (0.0..=1.0).contains(factor));
    let factor = c.real(KEYS, 1.0, inner.unwrap_or(default));
    // Thousandths are exact enough: the factors are quarters, halves and 0.4.
    let thousandths = (1..=1000u32)
        .rev()
        .find(|n| f64::from(*n) <= factor * 1000.0 + 0.5);
    head_dim * u64::from(thousandths.unwrap_or(0)) / 1000
}
