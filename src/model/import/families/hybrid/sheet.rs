//! The sheet on which a layer's tensors are written down, and the layer blocks that several families share: attention,
//! gated feed-forwards, experts, layers folded into a network. Names follow the classes of transformers; the split axis
//! is the one that column-parallel, row-parallel and vocabulary-parallel layers use. No configuration is read here.

use crate::model::{
    Attention, Dense, FeedForward, Head, Layer, Mixer, Moe, Network, Norm, NormKind, QkNorm, Residual, Role,
    SharedExpert, Span, Split, Tensor, Tower,
};
use crate::units::Count;

/// A product that saturates instead of overflowing.
pub fn times(factors: &[u64]) -> u64 {
    Count::of_shape(factors).get()
}

/// A list of tensors under construction.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// What was written down so far.
    pub tensors: Vec<Tensor>,
}

impl Sheet {
    /// Any tensor, with its full name.
    pub fn add(&mut self, name: impl Into<String>, shape: &[u64], role: Role, split: Split) {
        self.tensors.push(Tensor::new(name, shape, role, split));
    }

    /// A linear layer whose outputs tensor parallelism divides.
    pub fn column(&mut self, name: &str, shape: (u64, u64), role: Role, bias: bool) {
        self.add(
            format!("{name}.weight"),
            &[shape.0, shape.1],
            role,
            Split::Axis(0),
        );
        if bias {
            self.add(format!("{name}.bias"), &[shape.0], Role::Bias, Split::Axis(0));
        }
    }

    /// A linear layer whose inputs tensor parallelism divides.
    pub fn row(&mut self, name: &str, shape: (u64, u64), role: Role, bias: bool) {
        self.add(
            format!("{name}.weight"),
            &[shape.0, shape.1],
            role,
            Split::Axis(1),
        );
        if bias {
            self.add(format!("{name}.bias"), &[shape.0], Role::Bias, Split::Replicated);
        }
    }

    /// A linear layer of which every rank holds a copy.
    pub fn whole(&mut self, name: &str, shape: (u64, u64), role: Role, bias: bool) {
        self.add(
            format!("{name}.weight"),
            &[shape.0, shape.1],
            role,
            Split::Replicated,
        );
        if bias {
            self.add(format!("{name}.bias"), &[shape.0], Role::Bias, Split::Replicated);
        }
    }

    /// The weight of a norm.
    pub fn norm(&mut self, name: &str, width: u64) {
        self.add(format!("{name}.weight"), &[width], Role::Norm, Split::Replicated);
    }

    /// Projections of softmax attention: `q_proj`, `k_proj`, `v_proj` and the output, with q/k norms as `part` says.
    pub fn attention(&mut self, hidden: u64, part: &Attention, form: &Projections) {
        let name = |piece: &str| format!("{}.{piece}", form.prefix);
        let query = times(&[part.heads, part.head_dim]);
        let rows = if form.doubled_query {
            query.saturating_mul(2)
        } else {
            query
        };
        self.column(&name("q_proj"), (rows, hidden), Role::Mixer, form.bias);
        if !form.reuses_kv {
            let key = times(&[part.kv_heads, part.head_dim]);
            self.column(&name("k_proj"), (key, hidden), Role::Mixer, form.bias);
            if !part.shared_kv {
                let value = times(&[part.kv_heads, part.value_dim]);
                self.column(&name("v_proj"), (value, hidden), Role::Mixer, form.bias);
            }
        }
        let inner = times(&[part.heads, part.value_dim]);
        self.row(&name(form.output), (hidden, inner), Role::Mixer, form.output_bias);
        if part.qk_norm != QkNorm::None && form.norm_weights {
            self.norm(&name(form.norms.0), part.head_dim);
            if !form.reuses_kv {
                self.norm(&name(form.norms.1), part.head_dim);
            }
        }
        if part.sinks {
            self.add(name("sinks"), &[part.heads], Role::Norm, Split::Axis(0));
        }
    }

    /// A gated feed-forward of three matrices; `names` are gate, up and down.
    pub fn gated(&mut self, prefix: &str, names: [&str; 3], shape: (u64, u64), role: Role, bias: bool) {
        let (hidden, width) = shape;
        let [gate, up, down] = names;
        self.column(&format!("{prefix}.{gate}"), (width, hidden), role, bias);
        self.column(&format!("{prefix}.{up}"), (width, hidden), role, bias);
        self.row(&format!("{prefix}.{down}"), (hidden, width), role, bias);
    }

    /// All routed experts of a layer in two stacked tensors, gate and up in one.
    pub fn gated_experts(&mut self, prefix: &str, experts: u64, hidden: u64, width: u64) {
        let both = width.saturating_mul(2);
        self.add(
            format!("{prefix}.gate_up_proj"),
            &[experts, both, hidden],
            Role::RoutedExpert,
            Split::Axis(1),
        );
        self.add(
            format!("{prefix}.down_proj"),
            &[experts, hidden, width],
            Role::RoutedExpert,
            Split::Axis(2),
        );
    }

    /// A router of one row per expert.
    pub fn router(&mut self, name: &str, experts: u64, hidden: u64) {
        self.add(
            format!("{name}.weight"),
            &[experts, hidden],
            Role::Router,
            Split::Replicated,
        );
    }
}

/// How a family writes its attention projections down.
#[derive(Clone, Copy, Debug)]
pub struct Projections<'a> {
    /// What stands before the names.
    pub prefix: &'a str,
    /// Name of the output projection.
    pub output: &'a str,
    /// Bias on queries, keys and values.
    pub bias: bool,
    /// Bias on the output.
    pub output_bias: bool,
    /// The query projection makes a gate of the same width as well.
    pub doubled_query: bool,
    /// Keys and values come from an earlier layer.
    pub reuses_kv: bool,
    /// Names of the norms on queries and keys.
    pub norms: (&'a str, &'a str),
    /// Whether those norms have weights.
    pub norm_weights: bool,
}

impl Default for Projections<'_> {
    fn default() -> Self {
        Self {
            prefix: "self_attn",
            output: "o_proj",
            bias: false,
            output_bias: false,
            doubled_query: false,
            reuses_kv: false,
            norms: ("q_norm", "k_norm"),
            norm_weights: true,
        }
    }
}

/// Full attention with rotation over the whole head and nothing special.
pub fn plain_attention(heads: u64, kv_heads: u64, head_dim: u64) -> Attention {
    Attention {
        heads,
        kv_heads,
        head_dim,
        value_dim: head_dim,
        span: Span::Full,
        rotary: true,
        rotary_dim: head_dim,
        fused_qkv: false,
        qk_norm: QkNorm::None,
        softcap: false,
        sinks: false,
        shared_kv: false,
        output_gate: false,
        dropout: 0.0,
    }
}

/// A gated feed-forward with separate gate and up.
pub fn gated_dense(width: u64, activation: &str) -> Dense {
    Dense {
        width,
        gated: true,
        activation: activation.to_owned(),
        fused_gate_up: false,
    }
}

/// Gated experts on the residual width, without shared or dense parts.
pub fn gated_moe(experts: u64, top_k: u64, width: u64, hidden: u64, activation: &str) -> Moe {
    Moe {
        experts,
        zero_experts: 0,
        top_k,
        width,
        model_width: hidden,
        gated: true,
        activation: activation.to_owned(),
        router_fp32: false,
        shared: None,
        dense: None,
    }
}

/// Shared experts of this width in all, absent for zero.
pub fn shared(width: u64, gate: bool) -> Option<SharedExpert> {
    (width > 0).then_some(SharedExpert { width, gate })
}

/// So many norms of the residual width.
pub fn norms(kind: NormKind, width: u64, number: usize) -> Vec<Norm> {
    vec![Norm { kind, width }; number]
}

/// A layer with sequential residuals and no dropout.
pub fn layer(mixer: Mixer, feed_forward: FeedForward, norms: Vec<Norm>, sheet: Sheet) -> Layer {
    Layer {
        mixer,
        feed_forward,
        norms,
        residual: Residual::Sequential,
        residual_dropout: 0.0,
        tensors: sheet.tensors,
        buffers: Count::ZERO,
        cross: None,
    }
}

/// The ends of a network and its layers, before folding.
#[derive(Clone, Debug)]
pub struct Stack {
    /// `model_type` of the text stack.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Rows of the embedding.
    pub vocabulary: u64,
    /// Longest context that the configuration states.
    pub positions: Option<u64>,
    /// Names of the embedding, the final norm and the head.
    pub names: [&'static str; 3],
    /// Kind of the final norm.
    pub final_norm: NormKind,
    /// Whether head and embedding are one matrix.
    pub tied: bool,
    /// Whether the logits are soft-capped.
    pub softcap: bool,
    /// The layers in order.
    pub layers: Vec<Layer>,
    /// Further tensors before the first layer.
    pub before: Sheet,
    /// Further tensors after the last layer.
    pub after: Sheet,
    /// Towers.
    pub towers: Vec<Tower>,
    /// Tensors of next-token layers.
    pub next_token: Vec<Tensor>,
}

/// Names of embedding, final norm and head in most families.
pub const NAMES: [&str; 3] = ["model.embed_tokens", "model.norm", "lm_head"];

impl Stack {
    /// An empty stack with the usual names.
    pub fn new(model_type: &str, hidden: u64, vocabulary: u64, tied: bool) -> Self {
        Self {
            model_type: model_type.to_owned(),
            hidden,
            vocabulary,
            positions: None,
            names: NAMES,
            final_norm: NormKind::Rms,
            tied,
            softcap: false,
            layers: Vec::new(),
            before: Sheet::default(),
            after: Sheet::default(),
            towers: Vec::new(),
            next_token: Vec::new(),
        }
    }

    /// Adds one next-token layer by the rule of the published files: an ordinary layer (given as its parts), a
    /// projection of two inputs to one, and three norms.
    pub fn next_token_layer(&mut self, index: u64, parts: &[&Layer]) {
        let prefix = format!("mtp.{index}");
        for (part, layer) in parts.iter().enumerate() {
            for tensor in &layer.tensors {
                let mut tensor = tensor.clone();
                tensor.name = if parts.len() == 1 {
                    format!("{prefix}.{}", tensor.name)
                } else {
                    format!("{prefix}.{part}.{}", tensor.name)
                };
                self.next_token.push(tensor);
            }
        }
        let mut sheet = Sheet::default();
        let both = self.hidden.saturating_mul(2);
        sheet.whole(
            &format!("{prefix}.eh_proj"),
            (self.hidden, both),
            Role::FeedForward,
            false,
        );
        for norm in ["enorm", "hnorm", "shared_head.norm"] {
            sheet.norm(&format!("{prefix}.{norm}"), self.hidden);
        }
        self.next_token.extend(sheet.tensors);
    }

    /// Folds equal layers and writes down the ends.
    pub fn finish(self) -> Network {
        let mut kinds: Vec<Layer> = Vec::new();
        let mut order = Vec::with_capacity(self.layers.len());
        for layer in self.layers {
            match kinds.iter().position(|known| *known == layer) {
                Some(kind) => order.push(kind),
                None => {
                    order.push(kinds.len());
                    kinds.push(layer);
                }
            }
        }
        let [embedding, norm, head] = self.names;
        let mut input = Sheet::default();
        input.add(
            format!("{embedding}.weight"),
            &[self.vocabulary, self.hidden],
            Role::Embedding,
            Split::Axis(0),
        );
        input.tensors.extend(self.before.tensors);
        let mut output = Sheet::default();
        output.tensors.extend(self.after.tensors);
        output.norm(norm, self.hidden);
        if !self.tied {
            output.column(head, (self.vocabulary, self.hidden), Role::Head, false);
        }
        Network {
            model_type: self.model_type,
            hidden_size: self.hidden,
            vocabulary: self.vocabulary,
            max_positions: self.positions,
            kinds,
            order,
            input_tensors: input.tensors,
            output_tensors: output.tensors,
            final_norm: Some(Norm {
                kind: self.final_norm,
                width: self.hidden,
            }),
            head: Head {
                tied: self.tied,
                softcap: self.softcap,
            },
            embedding_dropout: 0.0,
            towers: self.towers,
            next_token_tensors: self.next_token,
            encoder: None,
        }
    }
}
