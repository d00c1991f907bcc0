//! DeepSeek-V4: one shared key-value head, grouped low-rank output, layers that attend to a window alone or also to a
//! stream compressed 4-fold (with an indexer) or 128-fold, experts in every layer (the first route by a table), and a
//! residual of several streams mixed by hyper-connections.

use super::keys::Keys;
use super::sheet::{Sheet, Stack, gated_moe, layer, norms, plain_attention, shared, times};
use crate::model::{Attention, FeedForward, Layer, Mixer, Network, NormKind, Role, Span, Split};
use crate::units::Count;

/// How a layer sees what lies before its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Not at all.
    Window,
    /// Compressed a little, with an indexer that selects.
    Sparse,
    /// Compressed a lot.
    Heavy,
}

/// What the layers share.
struct Text {
    hidden: u64,
    attention: Attention,
    query_rank: u64,
    groups: u64,
    output_rank: u64,
    sparse_rate: u64,
    heavy_rate: u64,
    index: (u64, u64),
    experts: u64,
    top_k: u64,
    width: u64,
    shared_width: u64,
    mlp_bias: bool,
    streams: u64,
    vocabulary: u64,
    activation: String,
}

impl Text {
    fn attention(&self, sheet: &mut Sheet, reach: Reach) -> Mixer {
        let hidden = self.hidden;
        let Attention { heads, head_dim, .. } = self.attention;
        let inner = times(&[heads, head_dim]);
        let name = |piece: &str| format!("self_attn.{piece}");
        sheet.add(name("sinks"), &[heads], Role::Norm, Split::Axis(0));
        sheet.whole(&name("q_a_proj"), (self.query_rank, hidden), Role::Mixer, false);
        sheet.norm(&name("q_a_norm"), self.query_rank);
        sheet.column(&name("q_b_proj"), (inner, self.query_rank), Role::Mixer, false);
        sheet.whole(&name("kv_proj"), (head_dim, hidden), Role::Mixer, false);
        sheet.norm(&name("kv_norm"), head_dim);
        let low = times(&[self.groups, self.output_rank]);
        sheet.column(
            &name("o_a_proj"),
            (low, inner / self.groups.max(1)),
            Role::Mixer,
            false,
        );
        sheet.row(&name("o_b_proj"), (hidden, low), Role::Mixer, false);
        match reach {
            Reach::Window => {}
            Reach::Heavy => self.compressor(sheet, "self_attn.compressor", self.heavy_rate, (head_dim, 1)),
            Reach::Sparse => {
                let (index_heads, index_dim) = self.index;
                self.compressor(sheet, "self_attn.compressor", self.sparse_rate, (head_dim, 2));
                let indexer = "self_attn.compressor.indexer";
                self.compressor(sheet, indexer, self.sparse_rate, (index_dim, 2));
                let rows = times(&[index_heads, index_dim]);
                sheet.whole(
                    &format!("{indexer}.q_b_proj"),
                    (rows, self.query_rank),
                    Role::Mixer,
                    false,
                );
                let scorer = format!("{indexer}.scorer.weights_proj");
                sheet.whole(&scorer, (index_heads, hidden), Role::Mixer, false);
            }
        }
        let mut part = self.attention.clone();
        if reach != Reach::Window {
            part.span = Span::Full;
        }
        Mixer::Attention(part)
    }

    /// Makes one entry of `rate` positions; `overlap` entries at a time.
    fn compressor(&self, sheet: &mut Sheet, name: &str, rate: u64, (width, overlap): (u64, u64)) {
        let rows = times(&[width, overlap]);
        sheet.add(
            format!("{name}.position_bias"),
            &[rate, rows],
            Role::Norm,
            Split::Replicated,
        );
        sheet.whole(
            &format!("{name}.kv_proj"),
            (rows, self.hidden),
            Role::Mixer,
            false,
        );
        sheet.whole(
            &format!("{name}.gate_proj"),
            (rows, self.hidden),
            Role::Mixer,
            false,
        );
        sheet.norm(&format!("{name}.kv_norm"), width);
    }

    fn layer(&self, reach: Reach, hashed: bool) -> Layer {
        let hidden = self.hidden;
        let mut sheet = Sheet::default();
        let mixer = self.attention(&mut sheet, reach);
        sheet.router("mlp.gate", self.experts, hidden);
        sheet.gated_experts("mlp.experts", self.experts, hidden, self.width);
        let names = ["gate_proj", "up_proj", "down_proj"];
        let inner = (hidden, self.shared_width);
        sheet.gated(
            "mlp.shared_experts",
            names,
            inner,
            Role::SharedExpert,
            self.mlp_bias,
        );
        sheet.norm("input_layernorm", hidden);
        sheet.norm("post_attention_layernorm", hidden);
        let mixed = times(&[self.streams, self.streams.saturating_add(2)]);
        let concatenated = times(&[self.streams, hidden]);
        for connection in ["attn_hc", "ffn_hc"] {
            let name = |piece: &str| format!("{connection}.{piece}");
            sheet.add(name("fn"), &[mixed, concatenated], Role::Norm, Split::Replicated);
            sheet.add(name("base"), &[mixed], Role::Norm, Split::Replicated);
            sheet.add(name("scale"), &[3], Role::Norm, Split::Replicated);
        }
        let mut moe = gated_moe(self.experts, self.top_k, self.width, hidden, &self.activation);
        moe.router_fp32 = true;
        moe.shared = shared(self.shared_width, false);
        let norms = norms(NormKind::Rms, hidden, 2);
        let mut layer = layer(mixer, FeedForward::Moe(moe), norms, sheet);
        layer.buffers = if hashed {
            Count::of_shape(&[self.vocabulary, self.top_k])
        } else {
            Count::new(self.experts)
        };
        layer
    }
}

/// Builds `deepseek_v4`.
pub fn build(keys: &Keys<'_>) -> Network {
    let hidden = keys.count_or("hidden_size", 4096);
    let heads = keys.count_or("num_attention_heads", 64);
    let head_dim = keys.count_or("head_dim", 512);
    let vocabulary = keys.count_or("vocab_size", 129_280);
    keys.known(&[
        "partial_rotary_factor",
        "num_key_value_heads",
        "attention_bias",
        "compress_rope_theta",
        "hc_sinkhorn_iters",
        "expert_dtype",
    ]);
    let attention = Attention {
        span: Span::Sliding(keys.count_or("sliding_window", 128)),
        rotary_dim: keys
            .maybe("qk_rope_head_dim")
            .unwrap_or(head_dim / 8)
            .min(head_dim),
        sinks: true,
        shared_kv: true,
        dropout: keys.share("attention_dropout"),
        ..plain_attention(heads, 1, head_dim)
    };
    let rates = keys.section("compress_rates");
    let rate = |name: &'static str, legacy: &'static str, default: u64| {
        let stated = rates.as_ref().and_then(|rates| rates.maybe(name));
        keys.maybe(legacy).or(stated).unwrap_or(default)
    };
    let experts = keys.count_of(&["n_routed_experts", "num_local_experts"], 256);
    let width = keys.count_or("moe_intermediate_size", 2048);
    let groups = keys.count_or("o_groups", 8);
    if !times(&[heads, head_dim]).is_multiple_of(groups) {
        keys.error("o_groups", "must divide the query heads times their width");
    }
    // The class builds one shared expert whatever the number.
    keys.known(&["n_shared_experts"]);
    let text = Text {
        hidden,
        attention,
        query_rank: keys.count_or("q_lora_rank", 1024),
        groups,
        output_rank: keys.count_or("o_lora_rank", 1024),
        sparse_rate: rate("compressed_sparse_attention", "compress_rate_csa", 4),
        heavy_rate: rate("heavily_compressed_attention", "compress_rate_hca", 128),
        index: (
            keys.count_or("index_n_heads", 64),
            keys.count_or("index_head_dim", 128),
        ),
        experts,
        top_k: keys.top_k(6, experts),
        width,
        shared_width: width,
        mlp_bias: keys.flag("mlp_bias", false),
        streams: keys.small("hc_mult", 4).clamp(1, 256),
        vocabulary,
        activation: keys.activation("silu"),
    };
    let depth = keys.layers(43);
    let extra = keys.small("num_nextn_predict_layers", 1).min(64);
    let reaches = reaches(keys, depth, extra);
    let hashed = hashed(keys, depth);
    let tied = keys.flag("tie_word_embeddings", false);
    let mut stack = Stack::new("deepseek_v4", hidden, vocabulary, tied);
    stack.positions = keys.positions();
    let concatenated = times(&[text.streams, hidden]);
    let head = |piece: &str| format!("model.hc_head.{piece}");
    stack.after.add(
        head("hc_fn"),
        &[text.streams, concatenated],
        Role::Norm,
        Split::Replicated,
    );
    stack
        .after
        .add(head("hc_base"), &[text.streams], Role::Norm, Split::Replicated);
    stack
        .after
        .add(head("hc_scale"), &[1], Role::Norm, Split::Replicated);
    for (reach, hashed) in reaches.iter().zip(&hashed) {
        stack.layers.push(text.layer(*reach, *hashed));
    }
    let beyond = reaches
        .iter()
        .skip(hashed.len())
        .copied()
        .chain(std::iter::repeat(Reach::Window));
    for (index, reach) in (0..extra).zip(beyond) {
        let ordinary = text.layer(reach, false);
        stack.next_token_layer(index, &[&ordinary]);
    }
    stack.finish()
}

/// How each layer sees: by `layer_types`, by `compress_ratios` (which go on with the next-token layers), else two heavy
/// layers and then both kinds in turn.
fn reaches(keys: &Keys<'_>, depth: u64, extra: u64) -> Vec<Reach> {
    let kinds = [
        "sliding_attention",
        "compressed_sparse_attention",
        "heavily_compressed_attention",
    ];
    if let Some(types) = keys.layer_types(&["layer_types"], depth, &kinds) {
        keys.known(&["compress_ratios"]);
        let reach = |index| match types.at(index) {
            "compressed_sparse_attention" => Reach::Sparse,
            "heavily_compressed_attention" => Reach::Heavy,
            _ => Reach::Window,
        };
        return (0..depth).map(reach).collect();
    }
    let Some(ratios) = keys.naturals("compress_ratios") else {
        let reach = |index: u64| match index {
            0 | 1 => Reach::Heavy,
            _ if index.is_multiple_of(2) => Reach::Heavy,
            _ => Reach::Sparse,
        };
        return (0..depth).map(reach).collect();
    };
    if (ratios.len() as u64) < depth {
        keys.error(
            "compress_ratios",
            &format!("has {} entries for {depth} layers", ratios.len()),
        );
    }
    let wanted = usize::try_from(depth.saturating_add(extra)).unwrap_or(usize::MAX);
    let mut reaches: Vec<Reach> = ratios
        .iter()
        .take(wanted)
        .map(|ratio| match ratio {
            0 => Reach::Window,
            4 => Reach::Sparse,
            128 => Reach::Heavy,
            other => {
                keys.error(
                    "compress_ratios",
                    &format!("has the ratio {other}; 0, 4 and 128 are known"),
                );
                Reach::Window
            }
        })
        .collect();
    while (reaches.len() as u64) < depth {
        reaches.push(Reach::Window);
    }
    reaches
}

/// Which layers route by a table.
fn hashed(keys: &Keys<'_>, depth: u64) -> Vec<bool> {
    let types = keys.layer_types(&["mlp_layer_types"], depth, &["hash_moe", "moe"]);
    let prefix = keys.natural("num_hash_layers", 3);
    (0..depth)
        .map(|index| match &types {
            Some(types) => types.at(index) == "hash_moe",
            None => index < prefix,
        })
        .collect()
}
