//! Nemotron-H and Nemotron 3: one block per layer (Mamba 2, attention, feed-forward or experts), in the order of
//! `hybrid_override_pattern` or `layers_block_type`, each with one norm. Nothing is gated; experts may work on a latent
//! width.

use super::keys::Keys;
use super::sheet::{
    Projections, Sheet, Stack, gated_dense, gated_moe, layer, norms, plain_attention, shared, times,
};
use super::state_space::Mamba2;
use crate::model::{Dense, FeedForward, Layer, Mixer, Network, NormKind, Role, Split};
use crate::units::Count;

/// The kinds of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Mamba,
    Attention,
    FeedForward,
    Experts,
}

impl Block {
    fn of_letter(letter: char) -> Option<Self> {
        match letter {
            'M' => Some(Self::Mamba),
            '*' => Some(Self::Attention),
            '-' => Some(Self::FeedForward),
            'E' => Some(Self::Experts),
            _ => None,
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        match name {
            "mamba" | "linear_attention" => Some(Self::Mamba),
            "attention" | "full_attention" => Some(Self::Attention),
            "mlp" => Some(Self::FeedForward),
            "moe" => Some(Self::Experts),
            _ => None,
        }
    }
}

/// Reads an order of blocks from a list of names, else from a pattern of letters.
fn order(keys: &Keys<'_>, list: &[&str], pattern: &str) -> Option<Vec<Block>> {
    let from_letters = keys.word(pattern).map(|letters| {
        letters
            .chars()
            .filter_map(|letter| {
                let block = Block::of_letter(letter);
                if block.is_none() {
                    keys.error(
                        pattern,
                        &format!("has the letter {letter:?}; M, *, - and E are known"),
                    );
                }
                block
            })
            .collect::<Vec<_>>()
    });
    for key in list {
        if let Some(names) = keys.words(key) {
            let blocks = names.iter().filter_map(|name| {
                let block = Block::of_name(name);
                if block.is_none() {
                    keys.error(
                        key,
                        &format!("has the entry {name:?}; mamba, attention, mlp and moe are known"),
                    );
                }
                block
            });
            return Some(blocks.collect());
        }
    }
    from_letters
}

/// Widths of the blocks.
struct Shape {
    hidden: u64,
    mamba: Mamba2,
    attention: crate::model::Attention,
    dense_width: u64,
    experts: u64,
    top_k: u64,
    expert_width: u64,
    shared_width: u64,
    latent: Option<u64>,
    mlp_bias: bool,
    activation: String,
}

impl Shape {
    fn read(keys: &Keys<'_>) -> Self {
        let hidden = keys.count_or("hidden_size", 4096);
        let heads = keys.count_or("num_attention_heads", 32);
        let kv_heads = keys.kv_heads(heads, Some(8));
        let head_dim = keys.count_of(&["head_dim", "attention_head_dim"], 128);
        let mut attention = plain_attention(heads, kv_heads, head_dim);
        attention.rotary = false;
        attention.rotary_dim = 0;
        attention.dropout = keys.share("attention_dropout");
        let bias = keys.flag("use_bias", false);
        let mamba_heads = keys.count_or("mamba_num_heads", 128);
        let mamba_dim = keys.count_or("mamba_head_dim", 64);
        let mamba = Mamba2 {
            hidden,
            inner: times(&[mamba_heads, mamba_dim]),
            heads: mamba_heads,
            head_dim: mamba_dim,
            groups: keys.count_of(&["mamba_n_groups", "n_groups"], 8),
            state: keys.count_or("ssm_state_size", 128),
            conv: keys.count_of(&["mamba_d_conv", "conv_kernel"], 4),
            conv_bias: keys.flag_of(&["mamba_conv_bias", "use_conv_bias"], true),
            input_bias: bias,
            output_bias: bias,
            norm: true,
        };
        let experts = keys.count_of(&["n_routed_experts", "num_local_experts"], 8);
        keys.known(&[
            "expand",
            "mamba_expand",
            "time_step_rank",
            "attention_bias",
            "mamba_proj_bias",
            "n_shared_experts",
            "hidden_dropout",
            "mamba_hidden_act",
            "moe_shared_expert_overlap",
            "partial_rotary_factor",
            "sliding_window",
            "n_groups",
            "conv_kernel",
        ]);
        Self {
            hidden,
            mamba,
            attention,
            dense_width: keys.count_or("intermediate_size", 21_504),
            experts,
            top_k: keys.top_k(2, experts),
            expert_width: keys.count_or("moe_intermediate_size", 7688),
            shared_width: keys.count_or("moe_shared_expert_intermediate_size", 7688),
            latent: keys.maybe("moe_latent_size"),
            mlp_bias: keys.flag("mlp_bias", false),
            activation: keys.word("mlp_hidden_act").unwrap_or_else(|| "relu2".to_owned()),
        }
    }

    fn block(&self, block: Block) -> Layer {
        let hidden = self.hidden;
        let mut sheet = Sheet::default();
        sheet.norm("norm", hidden);
        let mut buffers = Count::ZERO;
        let (mixer, feed_forward) = match block {
            Block::Mamba => (self.mamba.write(&mut sheet, "mixer"), FeedForward::None),
            Block::Attention => {
                let form = Projections {
                    prefix: "mixer",
                    ..Projections::default()
                };
                sheet.attention(hidden, &self.attention, &form);
                (Mixer::Attention(self.attention.clone()), FeedForward::None)
            }
            Block::FeedForward => {
                self.plain(&mut sheet, "mixer", self.dense_width, Role::FeedForward);
                let dense = Dense {
                    gated: false,
                    ..gated_dense(self.dense_width, &self.activation)
                };
                (Mixer::None, FeedForward::Dense(dense))
            }
            Block::Experts => {
                buffers = Count::new(self.experts);
                (Mixer::None, FeedForward::Moe(self.experts(&mut sheet)))
            }
        };
        let mut layer = layer(mixer, feed_forward, norms(NormKind::Rms, hidden, 1), sheet);
        layer.buffers = buffers;
        layer
    }

    fn plain(&self, sheet: &mut Sheet, prefix: &str, width: u64, role: Role) {
        sheet.column(
            &format!("{prefix}.up_proj"),
            (width, self.hidden),
            role,
            self.mlp_bias,
        );
        sheet.row(
            &format!("{prefix}.down_proj"),
            (self.hidden, width),
            role,
            self.mlp_bias,
        );
    }

    fn experts(&self, sheet: &mut Sheet) -> crate::model::Moe {
        let model_width = self.latent.unwrap_or(self.hidden);
        let up = [self.experts, self.expert_width, model_width];
        let down = [self.experts, model_width, self.expert_width];
        sheet.add("mixer.experts.up_proj", &up, Role::RoutedExpert, Split::Axis(1));
        sheet.add(
            "mixer.experts.down_proj",
            &down,
            Role::RoutedExpert,
            Split::Axis(2),
        );
        sheet.router("mixer.gate", self.experts, self.hidden);
        self.plain(
            sheet,
            "mixer.shared_experts",
            self.shared_width,
            Role::SharedExpert,
        );
        if let Some(latent) = self.latent {
            let bias = self.mlp_bias;
            sheet.whole(
                "mixer.fc1_latent_proj",
                (latent, self.hidden),
                Role::FeedForward,
                bias,
            );
            sheet.whole(
                "mixer.fc2_latent_proj",
                (self.hidden, latent),
                Role::FeedForward,
                bias,
            );
        }
        let mut moe = gated_moe(
            self.experts,
            self.top_k,
            self.expert_width,
            model_width,
            &self.activation,
        );
        moe.gated = false;
        moe.router_fp32 = true;
        moe.shared = shared(self.shared_width, false);
        moe
    }
}

/// Builds `nemotron_h`.
pub fn build(keys: &Keys<'_>) -> Network {
    let shape = Shape::read(keys);
    let blocks = order(
        keys,
        &["layers_block_type", "layer_types"],
        "hybrid_override_pattern",
    )
    .unwrap_or_else(|| {
        keys.error(
            "hybrid_override_pattern",
            "is missing, and so is layers_block_type: one of them must name the blocks in order",
        );
        Vec::new()
    });
    if let Some(stated) = keys.maybe("num_hidden_layers")
        && stated != blocks.len() as u64
    {
        let message = format!(
            "says {stated}, the list of blocks has {}; the list is used",
            blocks.len()
        );
        keys.warn("num_hidden_layers", &message);
    }
    keys.depth_of_list("hybrid_override_pattern", blocks.len());
    let tied = keys.never_tied();
    let vocabulary = keys.count_or("vocab_size", 131_072);
    let mut stack = Stack::new("nemotron_h", shape.hidden, vocabulary, tied);
    stack.names = ["model.embeddings", "model.norm_f", "lm_head"];
    stack.positions = keys.positions();
    stack.layers = blocks.iter().map(|block| shape.block(*block)).collect();
    let predicted = keys.small("num_nextn_predict_layers", 0);
    let pattern = order(keys, &["mtp_layers_block_type"], "mtp_hybrid_override_pattern")
        .unwrap_or_else(|| vec![Block::Attention, Block::Experts]);
    let parts: Vec<Layer> = pattern.iter().map(|block| shape.block(*block)).collect();
    for index in 0..predicted {
        stack.next_token_layer(index, &parts.iter().collect::<Vec<_>>());
    }
    stack.finish()
}
