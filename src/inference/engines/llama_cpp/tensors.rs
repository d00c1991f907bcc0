//! The tensors of a GGUF file of a model, made from its network: name, layer, row length, type. Names and what is merged or
//! split follow the converter (ggml-org/llama.cpp `convert_hf_to_gguf.py`, `gguf-py/gguf/tensor_mapping.py`).

use std::sync::Arc;

use super::mix::{Class, Facts, Mix, fitting};
use super::pattern::Pattern;
use super::types::GgmlType;
use crate::model::{Layer, Mixer, Moe, Network, Role, Tensor};

/// Where latent attention keeps its projections of keys and values (DeepSeek, Kimi-K2, GLM-4.7-Flash).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatentTensors {
    /// `attn_kv_b`, as converters made it until April 2025.
    Joint,
    /// `attn_k_b` and `attn_v_b`.
    Split,
    /// All three, as the converter of the fork made them.
    Both,
}

/// What is chosen about a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileChoice {
    /// The named mix.
    pub mix: Mix,
    /// Whether an importance matrix was used.
    pub imatrix: bool,
    /// Types by name, the first that matches.
    pub types: Vec<(Pattern, GgmlType)>,
    /// The projections of latent attention.
    pub latent: LatentTensors,
    /// What the header of the file lists; it replaces everything else.
    pub listed: Option<Arc<[GgufTensor]>>,
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufTensor {
    /// Its name, `blk.3.ffn_down_exps.weight`.
    pub name: String,
    /// Its layer; `None` at both ends.
    pub layer: Option<u64>,
    /// What it is for the rules.
    pub class: Class,
    /// Whether it holds routed experts.
    pub routed: bool,
    /// Its type.
    pub kind: GgmlType,
    /// Length of a row.
    pub row: u64,
    /// Rows.
    pub rows: u64,
    /// How many of these there are.
    pub copies: u64,
}

impl GgufTensor {
    /// Bytes of all of them.
    pub const fn bytes(&self) -> u64 {
        self.kind.size(self.row, self.rows).saturating_mul(self.copies)
    }
}

/// A tensor before its type is known.
struct Shape {
    name: String,
    class: Class,
    routed: bool,
    row: u64,
    rows: u64,
    copies: u64,
}

/// All tensors of the text model; towers have a file of their own.
pub fn tensors(network: &Network, choice: &FileChoice) -> Vec<GgufTensor> {
    if let Some(listed) = &choice.listed {
        return listed.to_vec();
    }
    let facts = facts(network, choice.imatrix);
    let mut found = Vec::new();
    let mut add = |layer: Option<u64>, shape: &Shape| {
        let prefix = layer.map_or_else(String::new, |layer| format!("blk.{layer}."));
        let name = format!("{prefix}{}.weight", shape.name);
        let by_rule = choice
            .mix
            .choose(facts, shape.class, shape.routed, (layer.unwrap_or(0), shape.row));
        let by_name = choice.types.iter().find(|(pattern, _)| pattern.matches(&name));
        let kind = match by_name {
            Some((_, kind)) if shape.class != Class::Kept => fitting(*kind, shape.row),
            _ => by_rule,
        };
        found.push(GgufTensor {
            name,
            layer,
            class: shape.class,
            routed: shape.routed,
            kind,
            row: shape.row,
            rows: shape.rows,
            copies: shape.copies,
        });
    };
    let ends = |tensors: &[Tensor]| -> Vec<Shape> {
        tensors
            .iter()
            .flat_map(|tensor| shapes(tensor, None, &network.model_type))
            .collect()
    };
    for shape in ends(&network.input_tensors) {
        add(None, &shape);
    }
    let kinds: Vec<Vec<Shape>> = network
        .kinds
        .iter()
        .map(|layer| of_layer(layer, choice.latent, &network.model_type))
        .collect();
    for (depth, kind) in network.order.iter().enumerate() {
        for shape in kinds.get(*kind).into_iter().flatten() {
            add(Some(depth as u64), shape);
        }
    }
    for shape in ends(&network.output_tensors) {
        add(None, &shape);
    }
    found
}

/// What the rules ask about a network.
fn facts(network: &Network, imatrix: bool) -> Facts {
    let groups = network.kinds.iter().find_map(|layer| groups(&layer.mixer));
    let experts = network.kinds.iter().filter_map(Layer::moe).map(|moe| moe.experts);
    Facts {
        layers: network.depth(),
        groups: groups.unwrap_or(1),
        experts: experts.max().unwrap_or(0),
        imatrix,
        falcon: network.model_type == "falcon",
        tied: network.head.tied,
    }
}

fn groups(mixer: &Mixer) -> Option<u64> {
    match mixer {
        Mixer::Attention(attention) => Some(attention.heads / attention.kv_heads.max(1)),
        Mixer::Several(parts) => parts.iter().find_map(groups),
        _ => None,
    }
}

fn of_layer(layer: &Layer, latent: LatentTensors, family: &str) -> Vec<Shape> {
    let mut found: Vec<Shape> = layer
        .tensors
        .iter()
        .flat_map(|tensor| {
            if tensor.name.ends_with("kv_b_proj.weight") {
                projections(&layer.mixer, latent)
            } else {
                shapes(tensor, layer.moe(), family)
            }
        })
        .collect();
    if layer.buffers.get() > 0 {
        found.push(Shape {
            name: "exp_probs_b".into(),
            class: Class::Kept,
            routed: false,
            row: layer.buffers.get(),
            rows: 1,
            copies: 1,
        });
    }
    found
}

/// `attn_kv_b`, `attn_k_b` (transposed: its rows are as long as a head without rotation) and `attn_v_b`.
fn projections(mixer: &Mixer, latent: LatentTensors) -> Vec<Shape> {
    let shape = |name: &str, row: u64, rows: u64, copies: u64| Shape {
        name: name.into(),
        class: Class::Matrix,
        routed: false,
        row,
        rows,
        copies,
    };
    let parts: Vec<&Mixer> = match mixer {
        Mixer::Several(parts) => parts.iter().collect(),
        other => vec![other],
    };
    let mut all = Vec::new();
    // A layer with two such mixers lists its tensor twice, each time for one of them.
    let Some(Mixer::Latent(one)) = parts.into_iter().find(|part| matches!(part, Mixer::Latent(_))) else {
        return all;
    };
    let (rank, heads) = (one.kv_rank, one.heads);
    if latent != LatentTensors::Split {
        let rows = heads.saturating_mul(one.nope_dim.saturating_add(one.value_dim));
        all.push(shape("attn_kv_b", rank, rows, 1));
    }
    if latent != LatentTensors::Joint {
        all.push(shape("attn_k_b", one.nope_dim, heads.saturating_mul(rank), 1));
        all.push(shape("attn_v_b", rank, heads.saturating_mul(one.value_dim), 1));
    }
    all
}

/// What a tensor of the reference class is in a file.
fn shapes(tensor: &Tensor, moe: Option<&Moe>, family: &str) -> Vec<Shape> {
    let (class, leaf) = class(tensor);
    let elements = tensor
        .shape
        .iter()
        .fold(1_u64, |product, size| product.saturating_mul(*size));
    let routed = tensor.role == Role::RoutedExpert && class != Class::Kept;
    let row = match (routed, moe, class) {
        (true, Some(moe), Class::Down) => moe.width,
        (true, Some(moe), _) => moe.model_width,
        // GPT-2 stores its matrices transposed.
        _ if family == "gpt2" && tensor.is_linear_weight() && class != Class::Output => {
            tensor.shape.first().copied().unwrap_or(1)
        }
        _ => tensor.shape.last().copied().unwrap_or(1),
    }
    .max(1);
    let one = |name: String, class: Class, rows: u64| Shape {
        name,
        class,
        routed,
        row,
        rows,
        copies: tensor.copies,
    };
    let rows = elements / row;
    // Experts' gates and ups are one tensor in the class and two in the file.
    if routed && leaf.contains("gate_up") {
        return vec![
            one("ffn_gate_exps".into(), Class::Gate, rows / 2),
            one("ffn_up_exps".into(), Class::Up, rows.div_ceil(2)),
        ];
    }
    vec![one(name(class, tensor.role, leaf), class, rows)]
}

/// Its name in a file, as far as rules and patterns ask for it.
fn name(class: Class, role: Role, leaf: &str) -> String {
    let experts = match role {
        Role::RoutedExpert => "_exps",
        Role::SharedExpert => "_shexp",
        _ => "",
    };
    match class {
        Class::TokenEmbedding => "token_embd".into(),
        Class::Output => "output".into(),
        Class::Query => "attn_q".into(),
        Class::Key => "attn_k".into(),
        Class::Value => "attn_v".into(),
        Class::Fused => "attn_qkv".into(),
        Class::AttentionOutput => "attn_output".into(),
        Class::Gate => format!("ffn_gate{experts}"),
        Class::Up => format!("ffn_up{experts}"),
        Class::Down => format!("ffn_down{experts}"),
        Class::Kept if role == Role::Router => "ffn_gate_inp".into(),
        Class::Matrix => match leaf {
            "q_a_proj" => "attn_q_a".into(),
            "q_b_proj" => "attn_q_b".into(),
            "kv_a_proj_with_mqa" => "attn_kv_a_mqa".into(),
            "in_proj" | "in_proj_qkvz" | "in_proj_ba" => format!("ssm_{leaf}"),
            other => other.into(),
        },
        Class::Kept => leaf.into(),
    }
}

/// The class of a tensor, and the last part of its name.
fn class(tensor: &Tensor) -> (Class, &str) {
    let path = tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name);
    let leaf = path.rsplit_once('.').map_or(path, |(_, leaf)| leaf);
    let recurrent = ["linear_attn.", "mamba.", "mixer.out_proj"]
        .iter()
        .any(|part| path.starts_with(part));
    let found = match tensor.role {
        Role::Embedding => Class::TokenEmbedding,
        // One table for all layers (Gemma 3n), which is as long as many embeddings.
        Role::PositionEmbedding if leaf.contains("per_layer") => Class::TokenEmbedding,
        Role::Head if tensor.shape.len() >= 2 => Class::Output,
        Role::Head | Role::Norm | Role::Bias | Role::PositionEmbedding | Role::Router | Role::Tower => {
            Class::Kept
        }
        _ if leaf.ends_with("bias") || tensor.shape.len() < 2 => Class::Kept,
        Role::Mixer => match leaf {
            "q_proj" | "wq" => Class::Query,
            "k_proj" | "wk" if !path.contains("indexer") => Class::Key,
            "v_proj" | "wv" => Class::Value,
            "qkv_proj" | "query_key_value" | "c_attn" | "Wqkv" | "wqkv" | "in_proj_qkv" | "qkv" => {
                Class::Fused
            }
            "o_proj" | "out_proj" | "dense" | "c_proj" | "wo" if !recurrent => Class::AttentionOutput,
            _ => Class::Matrix,
        },
        Role::FeedForward | Role::SharedExpert | Role::RoutedExpert => match leaf {
            "down_proj" | "w2" | "c_proj" | "fc2" | "fc_out" | "dense_4h_to_h" | "output_linear" => {
                Class::Down
            }
            "gate_proj" | "w1" | "linear" => Class::Gate,
            "up_proj" | "w3" | "v1" | "c_fc" | "fc1" | "fc_in" | "dense_h_to_4h" | "gate_up_proj"
            | "input_linear" | "linear_1" => Class::Up,
            _ => Class::Matrix,
        },
    };
    (found, leaf)
}
