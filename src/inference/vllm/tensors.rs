//! The weights of one rank as vLLM creates them: projections fused, heads and experts divided, keys and values copied where
//! there are more ranks than heads, the vocabulary padded to 64 rows; in the order of creation, on which the allocator's
//! tails depend (vllm `model_executor/layers/{linear,vocab_parallel_embedding,fused_moe}`, `models/*.py`).

use super::caching::{Caching, Repeat};
use super::format::{Matrix, WeightFormat, bias_rows};
use super::job::{Job, Mesh};
use crate::model::{Latent, Layer, Mixer, Role, Split, Tensor};
use crate::units::{Bytes, DType};

/// Rows of embedding and head are padded to a multiple of this (`DEFAULT_VOCAB_PADDING_SIZE`).
const VOCABULARY: u64 = 64;

/// The weights of one pipeline stage on one rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// Bytes in blocks of the allocator: what the log prints.
    pub allocated: Bytes,
    /// Bytes in segments of the allocator.
    pub reserved: Bytes,
    /// The sum of the tensors.
    pub raw: Bytes,
    /// The same with the longest tail that each of them can keep.
    pub most: Bytes,
    /// Tables of rotary embeddings among them.
    pub rotary: Bytes,
    /// Copies and products of latent projections among them.
    pub latent_copies: Bytes,
}

/// The layers of each pipeline stage: even, and what is left over goes to the stages before the last
/// (vllm `distributed/utils.py` `get_pp_indices`).
pub fn stages(layers: usize, stages: u64) -> Vec<usize> {
    let count = usize::try_from(stages.max(1)).unwrap_or(1).min(layers.max(1));
    let mut sizes = vec![layers / count; count];
    let left = layers % count;
    for size in sizes.iter_mut().rev().skip(usize::from(count > 1)).take(left) {
        *size += 1;
    }
    sizes
}

/// Rows of the vocabulary with padding.
pub fn padded_vocabulary(rows: u64) -> u64 {
    rows.div_ceil(VOCABULARY).saturating_mul(VOCABULARY)
}

/// The weights of every stage.
pub fn all_weights(job: &Job<'_>) -> Vec<Weights> {
    loaded(job, &Caching::default())
        .into_iter()
        .map(|(weights, _)| weights)
        .collect()
}

/// Bounds of what [`all_weights`] finds as allocated, without looking for blocks.
pub fn weight_bounds(job: &Job<'_>) -> [Vec<Weights>; 2] {
    let least = loaded(job, &Caching::bounds());
    let most = least.iter().map(|(weights, tails)| Weights {
        allocated: weights.allocated + *tails,
        ..*weights
    });
    [
        least.iter().map(|(weights, _)| *weights).collect(),
        most.collect(),
    ]
}

/// The weights of every stage on an allocator, with its tails.
fn loaded(job: &Job<'_>, allocator: &Caching) -> Vec<(Weights, Bytes)> {
    let kinds: Vec<Built> = job.network.kinds.iter().map(|layer| built(layer, job)).collect();
    let sizes = stages(job.network.order.len(), job.mesh.pipeline);
    let count = sizes.len();
    let mut from = 0;
    sizes
        .into_iter()
        .enumerate()
        .map(|(stage, size)| {
            let range = from..from + size;
            from += size;
            let mut caching = allocator.clone();
            let ends = (stage == 0, stage + 1 == count);
            let weights = stage_weights(job, &kinds, range, ends, &mut caching);
            (weights, caching.tails())
        })
        .collect()
}

/// The weights of a stage: its layers in `range`, the embedding on the first stage, head on the last.
fn stage_weights(
    job: &Job<'_>,
    kinds: &[Built],
    range: std::ops::Range<usize>,
    (first, last): (bool, bool),
    caching: &mut Caching,
) -> Weights {
    let network = job.network;
    let mut weights = Weights::default();
    // gpt-oss asks for its table in fp32 (vllm 0.11.0 `models/gpt_oss.py`).
    let element = match network.model_type.as_str() {
        "gpt_oss" => DType::Fp32,
        _ => job.dtype,
    };
    if first {
        let towers = network.towers.iter().filter(|_| job.encoder_tokens.is_some());
        for tensor in towers.flat_map(|tower| &tower.tensors) {
            tower(tensor, job, caching);
        }
        end(&network.input_tensors, job, caching);
    }
    let mut tables: Vec<u64> = Vec::new();
    let mut copies: Vec<u64> = Vec::new();
    let mut repeats: Vec<Option<Repeat>> = vec![None; kinds.len()];
    for kind in network.order.get(range).unwrap_or_default() {
        let (Some(layer), Some(repeat)) = (kinds.get(*kind), repeats.get_mut(*kind)) else {
            continue;
        };
        copies.extend(layer.copies);
        if layer.rotary.is_none_or(|width| tables.contains(&width)) {
            caching.layer(&layer.sizes, repeat);
            continue;
        }
        for size in layer.sizes.iter().take(layer.mixer) {
            caching.add(*size);
        }
        if let Some(width) = layer.rotary.filter(|width| !tables.contains(width)) {
            tables.push(width);
            let table = bytes_of(job.rotary_positions().saturating_mul(width), element);
            weights.rotary += Bytes::new(table);
            caching.add(table);
        }
        for size in layer.sizes.iter().skip(layer.mixer) {
            caching.add(*size);
        }
    }
    if last {
        if network.head.tied && !first {
            end(&network.input_tensors, job, caching);
        }
        end(&network.output_tensors, job, caching);
        if job.draft_layers() > 0 && !network.next_token_tensors.is_empty() {
            // Recipes in four bits leave next-token layers as they are; FP8 checkpoints convert them.
            let mut drafter = job.clone();
            if matches!(job.weights, WeightFormat::Int4 { .. } | WeightFormat::Nvfp4) {
                drafter.weights = WeightFormat::Native;
            }
            for size in group(&network.next_token_tensors, None, &drafter).0 {
                caching.add(size);
            }
        }
    }
    for copy in copies.into_iter().filter(|copy| *copy > 0) {
        weights.latent_copies += Bytes::new(copy);
        caching.add(copy);
    }
    weights.allocated = caching.allocated();
    weights.reserved = caching.reserved();
    weights.raw = caching.requested();
    weights.most = weights.raw + caching.tails();
    weights
}

/// What a layer of one kind creates.
struct Built {
    /// Sizes in order.
    sizes: Vec<u64>,
    /// How many of them come before the rotary table.
    mixer: usize,
    /// Elements of a row of the rotary table.
    rotary: Option<u64>,
    /// Copies and products of latent projections.
    copies: [u64; 3],
}

fn built(layer: &Layer, job: &Job<'_>) -> Built {
    let (sizes, mixer) = group(&layer.tensors, Some(layer), job);
    let (rotary, copies) = mixer_extras(&layer.mixer, job);
    Built {
        sizes,
        mixer,
        rotary,
        copies,
    }
}

fn mixer_extras(mixer: &Mixer, job: &Job<'_>) -> (Option<u64>, [u64; 3]) {
    match mixer {
        Mixer::Attention(attention) => (attention.rotary.then_some(attention.rotary_dim), [0; 3]),
        Mixer::Latent(latent) => (Some(latent.rope_dim), latent_copies(latent, job)),
        Mixer::Several(parts) => parts
            .iter()
            .map(|part| mixer_extras(part, job))
            .find(|(rotary, _)| rotary.is_some())
            .unwrap_or_default(),
        _ => (None, [0; 3]),
    }
}

/// What is kept of latent projections beside them: keys' and values' parts in 16 bits, or the products of queries with keys' and of
/// values' with the output, in eight bits where the projections are, and the rotated part of queries.
fn latent_copies(latent: &Latent, job: &Job<'_>) -> [u64; 3] {
    if !job.release.latent_cache {
        return [0; 3];
    }
    let heads = latent.heads.div_ceil(job.mesh.attention_ranks());
    let each = heads.saturating_mul(latent.kv_rank);
    if !job.release.latent_products {
        let part = |width: u64| bytes_of(each.saturating_mul(width), job.dtype);
        return [part(latent.nope_dim), part(latent.value_dim), 0];
    }
    let hidden = job.network.hidden_size;
    let queries = latent.query_rank.unwrap_or(hidden);
    let product = |width: u64| {
        let elements = each.saturating_mul(width);
        match job.weights {
            WeightFormat::Fp8Tensor | WeightFormat::Fp8Channel | WeightFormat::Fp8Block => elements,
            _ => bytes_of(elements, job.dtype),
        }
    };
    let rotated = heads.saturating_mul(latent.rope_dim).saturating_mul(queries);
    [product(queries), product(hidden), bytes_of(rotated, job.dtype)]
}

/// Where a tensor stands in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Mixer,
    HeadNorm,
    Router,
    FeedForward,
    Experts,
    LayerNorm,
}

fn class(tensor: &Tensor) -> Class {
    let name = tensor.name.as_str();
    let of_mixer = [
        "attn.",
        "attention.",
        "mixer.",
        "mamba.",
        "temporal_block.",
        "conv.",
    ]
    .iter()
    .any(|part| name.contains(part));
    match tensor.role {
        Role::Router => Class::Router,
        Role::RoutedExpert => Class::Experts,
        Role::FeedForward | Role::SharedExpert => Class::FeedForward,
        Role::Norm if name.contains("q_norm") || name.contains("k_norm") => Class::HeadNorm,
        Role::Norm | Role::Bias if of_mixer => Class::Mixer,
        Role::Norm => Class::LayerNorm,
        Role::Bias if name.contains("router") || name.contains(".gate.") => Class::Router,
        Role::Bias if name.contains("norm") => Class::LayerNorm,
        Role::Bias => Class::FeedForward,
        _ => Class::Mixer,
    }
}

/// The name under which a tensor is fused with its neighbours: what stands before the fused part, the part, and what follows.
type Fused<'a> = (&'a str, &'static str, &'a str);

fn fused(name: &str) -> Fused<'_> {
    let mut start = 0;
    for part in name.split('.') {
        let end = start + part.len();
        let whole = match part {
            "q_proj" | "k_proj" | "v_proj" => "qkv",
            "gate_proj" | "up_proj" => "gate_up",
            "in_proj_qkv" | "in_proj_z" => "in_proj_qkvz",
            "in_proj_b" | "in_proj_a" => "in_proj_ba",
            _ => "",
        };
        // Neither the first nor the last part of a name.
        if !whole.is_empty() && start > 0 && end < name.len() {
            return (
                name.get(..start).unwrap_or_default(),
                whole,
                name.get(end..).unwrap_or_default(),
            );
        }
        start = end + 1;
    }
    (name, "", "")
}

/// A tensor on this rank, possibly fused of several.
struct Piece<'a> {
    class: Class,
    name: Fused<'a>,
    matrix: Option<Matrix>,
    elements: u64,
    gate_up: bool,
    quantised: bool,
    parts: u64,
}

/// The sizes of a group of tensors in order, and how many of them belong to the mixer.
fn group(tensors: &[Tensor], layer: Option<&Layer>, job: &Job<'_>) -> (Vec<u64>, usize) {
    let mut pieces: Vec<Piece<'_>> = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let piece = piece(tensor, layer, job);
        let sibling = pieces
            .iter_mut()
            .find(|other| other.name == piece.name && other.class == piece.class);
        match sibling {
            Some(other) if piece.class != Class::Experts => join(other, &piece),
            _ => pieces.push(piece),
        }
    }
    pieces.sort_by_key(|piece| piece.class);
    let mut sizes = Vec::with_capacity(pieces.len() * 2);
    let mut scales = Vec::new();
    let mut mixer = 0;
    for piece in &pieces {
        if piece.class == Class::LayerNorm {
            sizes.append(&mut scales);
        }
        match (piece.quantised, piece.matrix) {
            (true, Some(matrix)) => {
                let format = kernel_format(job, piece.class, layer);
                let stored = format.store(matrix, job.dtype, piece.gate_up);
                sizes.push(stored.weight);
                let late = if piece.class == Class::Experts {
                    &mut scales
                } else {
                    &mut sizes
                };
                late.extend(stored.extras.into_iter().filter(|extra| *extra > 0));
            }
            _ => sizes.push(bytes_of(piece.elements, job.dtype)),
        }
        if let (Some(slots), Some(matrix)) = (job.adapters, piece.matrix)
            && matches!(piece.class, Class::Mixer | Class::FeedForward)
        {
            sizes.extend(slots.sizes(matrix, piece.parts, job.dtype));
        }
        if piece.class == Class::Mixer {
            mixer = sizes.len();
        }
    }
    sizes.append(&mut scales);
    (sizes, mixer)
}

/// FP8 blocks of GPUs whose kernels multiply in 16 bits: Marlin repeats the scales for each output (vllm
/// `layers/quantization/utils/marlin_utils_fp8.py`): all linears before Ada, experts on GB10 and consumer Blackwell (derived
/// from vllm-017, which holds 1.56 % more than its experts).
///
/// Groups of experts' scales are halved until they divide their width on a rank and the hidden size, down to 32
/// (vllm `layers/quantization/moe_wna16.py` create_weights).
fn kernel_format(job: &Job<'_>, class: Class, layer: Option<&Layer>) -> WeightFormat {
    match (job.weights, job.device.capability) {
        (WeightFormat::Int4 { mut group, zeros }, _) if class == Class::Experts => {
            let (width, hidden) = layer.and_then(Layer::moe).map_or((0, 0), |moe| {
                (moe.width / job.mesh.expert_ranks(), moe.model_width)
            });
            while group > 32 && (width % group != 0 || hidden % group != 0) {
                group /= 2;
            }
            WeightFormat::Int4 { group, zeros }
        }
        (WeightFormat::Fp8Block, Some(0..89)) => WeightFormat::Fp8BlockMarlin,
        (WeightFormat::Fp8Block, Some(120..130)) if class == Class::Experts => WeightFormat::Fp8BlockMarlin,
        (format, _) => format,
    }
}

fn join(whole: &mut Piece<'_>, part: &Piece<'_>) {
    whole.parts += 1;
    whole.elements = whole.elements.saturating_add(part.elements);
    whole.matrix = match (whole.matrix, part.matrix) {
        (Some(one), Some(other)) if one.columns == other.columns => Some(Matrix {
            rows: one.rows.saturating_add(other.rows),
            ..one
        }),
        _ => None,
    };
}

fn piece<'a>(tensor: &'a Tensor, layer: Option<&Layer>, job: &Job<'_>) -> Piece<'a> {
    let class = class(tensor);
    let shape = local_shape(tensor, layer, &job.mesh);
    let gate_up = tensor.name.contains("gate_up") || tensor.name.contains("w13");
    let expert_bias = tensor.role == Role::RoutedExpert && tensor.name.ends_with("bias");
    let stack = shape
        .iter()
        .fold(tensor.copies, |product, axis| product.saturating_mul(*axis));
    let matrix = tensor
        .is_linear_weight()
        .then(|| matrix(tensor, &shape, gate_up))
        .flatten();
    let elements = match (expert_bias, shape.as_slice()) {
        (true, [experts, rows]) => experts.saturating_mul(bias_rows(job.weights, *rows, gate_up)),
        _ => stack,
    };
    Piece {
        class,
        name: fused(&tensor.name),
        matrix,
        elements,
        gate_up,
        parts: 1,
        quantised: covers(job, tensor) && !expert_bias,
    }
}

/// A matrix with its rows as output features. Stacks whose divided axis is the last for gate and up, or the middle one for
/// down, are stored the other way round (gpt-oss).
fn matrix(tensor: &Tensor, shape: &[u64], gate_up: bool) -> Option<Matrix> {
    match *shape {
        [rows, columns] => Some(Matrix {
            copies: tensor.copies.max(1),
            rows,
            columns,
        }),
        [experts, first, second] => {
            let turned = match tensor.split {
                Split::Axis(2) => gate_up,
                Split::Axis(1) => !gate_up && tensor.name.contains("down"),
                _ => false,
            };
            let (rows, columns) = if turned { (second, first) } else { (first, second) };
            Some(Matrix {
                copies: experts,
                rows,
                columns,
            })
        }
        _ => None,
    }
}

/// Whether a format stores this tensor: matrices of mixers, feed-forwards and experts, never routers, convolutions, gates of
/// one column and the narrow projections that published checkpoints list as not converted.
fn covers(job: &Job<'_>, tensor: &Tensor) -> bool {
    let format = job.weights;
    let narrow = [
        ".in_proj_a.",
        ".in_proj_b.",
        "shared_expert_gate",
        "conv1d",
        "weights_proj",
    ];
    let role = match tensor.role {
        Role::RoutedExpert => true,
        Role::Mixer | Role::FeedForward | Role::SharedExpert => !format.experts_only(),
        _ => false,
    };
    format != WeightFormat::Native
        && role
        && tensor.is_linear_weight()
        && !narrow.iter().any(|part| tensor.name.contains(part))
        && !job
            .left_out
            .iter()
            .any(|part| tensor.name.contains(part.as_str()))
}

/// A tensor's shape on one rank.
fn local_shape(tensor: &Tensor, layer: Option<&Layer>, mesh: &Mesh) -> Vec<u64> {
    let mut shape = tensor.shape.clone();
    let ranks = match class(tensor) {
        Class::Mixer | Class::HeadNorm => mesh.attention_ranks(),
        _ => mesh.tensor.max(1),
    };
    if tensor.role == Role::RoutedExpert && mesh.expert {
        let group = ranks.saturating_mul(mesh.data.max(1));
        if let [experts, _, ..] = shape.as_mut_slice() {
            *experts = experts.div_ceil(group);
        }
        return shape;
    }
    // Without whole experts their width is divided among the ranks of all copies (vllm 0.33.0 `layers/fused_moe/config.py`
    // flatten_tp_across_dp_and_pcp).
    let ranks = match tensor.role {
        Role::RoutedExpert => mesh.expert_ranks(),
        _ => ranks,
    };
    let Split::Axis(axis) = tensor.split else {
        return shape;
    };
    let Some(size) = shape.get_mut(usize::from(axis)) else {
        return shape;
    };
    let attention = layer.and_then(|layer| match &layer.mixer {
        Mixer::Attention(attention) => Some(attention),
        Mixer::Several(parts) => parts.iter().find_map(|part| match part {
            Mixer::Attention(attention) => Some(attention),
            _ => None,
        }),
        _ => None,
    });
    let name = tensor.name.as_str();
    let of_keys = name.contains(".k_proj.") || name.contains(".v_proj.");
    let all_three = name.contains("qkv") || name.contains("query_key_value") || name.contains("c_attn");
    match attention {
        Some(attention) if of_keys => {
            let heads = attention.kv_heads.max(1);
            *size = (*size / heads).saturating_mul((heads / ranks).max(1));
        }
        Some(attention) if attention.fused_qkv && axis == 0 && all_three => {
            let queries = (attention.heads / ranks)
                .max(1)
                .saturating_mul(attention.head_dim);
            let both = attention.head_dim.saturating_add(attention.value_dim);
            *size = queries.saturating_add((attention.kv_heads / ranks).max(1).saturating_mul(both));
        }
        _ => {
            // A single group of a state is copied, several are divided (vllm `layers/mamba/mamba_mixer2.py`).
            let copied = layer.map_or(0, |layer| single_group(&layer.mixer));
            let copied = match name.contains("in_proj") || name.contains("conv1d") {
                true => copied.min(*size),
                false => 0,
            };
            *size = size.saturating_sub(copied).div_ceil(ranks).saturating_add(copied);
        }
    }
    shape
}

/// Rows of the input and output matrices of a state that has one group for all heads.
fn single_group(mixer: &Mixer) -> u64 {
    match mixer {
        Mixer::Mamba2 { groups: 1, state, .. } => state.saturating_mul(2),
        Mixer::Several(parts) => parts.iter().map(single_group).max().unwrap_or(0),
        _ => 0,
    }
}

fn bytes_of(elements: u64, element: DType) -> u64 {
    element.bytes_of(crate::units::Count::new(elements)).get()
}

fn end(tensors: &[Tensor], job: &Job<'_>, caching: &mut Caching) {
    for tensor in tensors {
        let elements = match (tensor.role, tensor.shape.as_slice()) {
            // A table for every layer is divided as the embedding is (vllm `models/gemma3n.py`); learned positions are not.
            (role, [rows, rest @ ..])
                if role == Role::Embedding
                    || role == Role::PositionEmbedding && tensor.name.contains("per_layer") =>
            {
                rest.iter().fold(
                    padded_vocabulary(*rows) / job.mesh.attention_ranks(),
                    |product, axis| product.saturating_mul(*axis),
                )
            }
            (Role::Head, [rows, rest @ ..]) => rest.iter().fold(
                padded_vocabulary(*rows) / job.mesh.tensor.max(1),
                |product, axis| product.saturating_mul(*axis),
            ),
            _ => tensor.elements().get(),
        };
        caching.add(bytes_of(elements, job.dtype));
    }
}

/// A tensor of a tower: the matrices of its blocks are divided as those of the text are, the rest is copied.
fn tower(tensor: &Tensor, job: &Job<'_>, caching: &mut Caching) {
    let ranks = job.mesh.tensor.max(1);
    let divided = ["blocks", "layers", "merger"]
        .iter()
        .any(|part| tensor.name.contains(part))
        && tensor.shape.len() >= 2;
    let one: u64 = tensor
        .shape
        .iter()
        .fold(1, |product: u64, axis| product.saturating_mul(*axis));
    let size = if divided { one.div_ceil(ranks) } else { one };
    for _ in 0..tensor.copies.min(4096) {
        caching.add(bytes_of(size, job.dtype));
    }
}
