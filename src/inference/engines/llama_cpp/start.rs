//! A start: what each device holds of weights, cache and scratch, and what stays on the host (ggml-org/llama.cpp
//! `src/llama-model.cpp` load_tensors, `src/llama-context.cpp`).

use std::sync::Arc;

use super::cache::{self, Cells};
use super::graph::{self, Part, Pass};
use super::mix::Class;
use super::options::Options;
use super::placement::{self, Device, Layers, SplitMode};
use super::projector::{Projector, projector};
use super::tensors::{GgufTensor, tensors};
use super::types::F16;
use crate::inference::job::InferenceJob;
use crate::memory::Interval;
use crate::model::{Layer, Mixer, Network};
use crate::units::Bytes;

/// What one device holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Weights.
    pub weights: u64,
    /// Keys and values.
    pub cache: u64,
    /// States of fixed size.
    pub state: u64,
    /// The compute buffer.
    pub compute: Interval,
    /// What a prompt takes from the backend's pool beside the printed buffers.
    pub pool: Interval,
}

impl std::ops::Add for Held {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            weights: self.weights.saturating_add(other.weights),
            cache: self.cache.saturating_add(other.cache),
            state: self.state.saturating_add(other.state),
            compute: self.compute + other.compute,
            pool: self.pool + other.pool,
        }
    }
}

/// A start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The GPUs.
    pub gpus: Vec<Held>,
    /// The host.
    pub host: Held,
    /// Logits that are returned to the host.
    pub output: u64,
    /// Cells of all sequences.
    pub context: u64,
    /// Cells of both caches.
    pub cells: Cells,
    /// Keys and values of all devices.
    pub keys_values: (u64, u64),
    /// Bytes of the file.
    pub file: u64,
    /// Layers on GPUs, the output among them.
    pub offloaded: u64,
    /// Whether the compute buffers of a GPU are only bounded.
    pub bounded: bool,
    /// The tower, on the first GPU.
    pub projector: Option<Projector>,
    /// The model that drafts: a context of its own on the same devices.
    pub drafter: Option<Box<Start>>,
}

impl Start {
    /// What each GPU holds of both models.
    pub fn all(&self) -> Vec<Held> {
        let drafted = |number: usize| {
            let drafter = self.drafter.as_ref();
            drafter.and_then(|start| start.gpus.get(number).copied())
        };
        let tower = self.projector.unwrap_or_default();
        let seen = |number: usize| Held {
            weights: if number == 0 { tower.weights } else { 0 },
            compute: if number == 0 {
                tower.compute
            } else {
                Interval::default()
            },
            ..Held::default()
        };
        let both =
            |(number, held): (usize, &Held)| *held + drafted(number).unwrap_or_default() + seen(number);
        self.gpus.iter().enumerate().map(both).collect()
    }
}

/// What neither sequences nor lengths change.
#[derive(Clone, Debug)]
pub struct Prepared {
    tensors: Arc<[GgufTensor]>,
    layers: Layers,
    /// Of the host, then of each GPU.
    devices: Vec<Fixed>,
    /// Of each layer: the largest tensor of its experts on the host, and its largest other matrix.
    largest: Vec<(u64, u64)>,
    /// Bytes of the file.
    file: u64,
    /// The output's weights.
    output: u64,
    /// The file of the model that drafts.
    drafter: Option<Box<Prepared>>,
}

/// What a device holds of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fixed {
    weights: u64,
    /// Elements of its largest matrix.
    matrix: u64,
    /// Its longest row.
    row: u64,
}

/// The place of a device in a list that begins with the host.
const fn place_of(device: Device) -> usize {
    match device {
        Device::Host => 0,
        Device::Gpu(number) => number.saturating_add(1),
    }
}

impl Prepared {
    /// The tensors of the file and their places.
    pub fn new(network: &Network, options: &Options) -> Self {
        let listed = options.file.listed.clone();
        let tensors = listed.unwrap_or_else(|| tensors(network, &options.file).into());
        Self::placed(tensors, network, options)
    }

    /// The same tensors in other places.
    #[must_use]
    pub fn moved(&self, network: &Network, options: &Options) -> Self {
        Self::placed(Arc::clone(&self.tensors), network, options)
    }

    fn placed(tensors: Arc<[GgufTensor]>, network: &Network, options: &Options) -> Self {
        let layers = placement::layers(network.depth(), &options.place);
        let gpus = options.place.gpus;
        let mut devices = vec![Fixed::default(); gpus.saturating_add(1)];
        let mut largest = vec![(0_u64, 0_u64); network.order.len()];
        let (mut file, mut output) = (0_u64, 0_u64);
        let rows = options.place.split == SplitMode::Row && gpus > 1;
        let mut add = |device: Device, bytes: u64| {
            if let Some(held) = devices.get_mut(place_of(device)) {
                held.weights = held.weights.saturating_add(bytes);
            }
        };
        let mut widths = Vec::new();
        for tensor in tensors.iter() {
            let device = placement::tensor(tensor, &layers, &options.place);
            let bytes = tensor.bytes();
            file = file.saturating_add(bytes);
            // Rows of matrices are divided among all GPUs where that is asked for.
            if rows && device != Device::Host && tensor.rows > 1 && !tensor.routed {
                for gpu in 0..gpus {
                    add(Device::Gpu(gpu), bytes / gpus as u64);
                }
            } else {
                add(device, bytes);
            }
            let head = match tensor.class {
                Class::Output => true,
                Class::TokenEmbedding => network.head.tied && tensor.name.starts_with("token_embd"),
                _ => false,
            };
            if head {
                output = output.max(bytes);
                // A tied head is a second copy, where the output is on a GPU.
                if tensor.class == Class::TokenEmbedding && layers.output != Device::Host {
                    add(layers.output, bytes);
                }
            }
            let layer = tensor.layer.and_then(|layer| usize::try_from(layer).ok());
            if let Some((experts, matrix)) = layer.and_then(|layer| largest.get_mut(layer)) {
                if !tensor.routed {
                    *matrix = bytes.max(*matrix);
                } else if device == Device::Host {
                    *experts = bytes.max(*experts);
                }
            }
            if tensor.rows > 1 {
                let matrix = if tensor.routed {
                    0
                } else {
                    tensor.row.saturating_mul(tensor.rows)
                };
                widths.push((device, matrix, tensor.row));
            }
        }
        for (device, matrix, row) in widths {
            if let Some(held) = devices.get_mut(place_of(device)) {
                held.matrix = held.matrix.max(matrix);
                held.row = held.row.max(row);
            }
        }
        Self {
            tensors,
            layers,
            devices,
            largest,
            file,
            output,
            drafter: options.drafter.as_ref().map(|drafter| {
                let options = options.drafting();
                Box::new(Self::new(drafter, &options))
            }),
        }
    }

    fn device(&self, device: Device) -> Fixed {
        self.devices.get(place_of(device)).copied().unwrap_or_default()
    }

    /// The output on the host may be multiplied on the first GPU, too: its weights and the logits.
    fn lent_output(&self, device: Device, network: &Network, outputs: u64) -> u64 {
        if device != Device::Gpu(0) || self.layers.output != Device::Host {
            return 0;
        }
        let logits = network.vocabulary.saturating_mul(outputs).saturating_mul(4);
        self.output.saturating_add(logits)
    }
}

/// Where the cache of a layer is.
fn cache_device(layer: Device, options: &Options) -> Device {
    if options.offload_cache {
        layer
    } else {
        Device::Host
    }
}

fn window(network: &Network) -> u64 {
    let windows = network
        .kinds
        .iter()
        .filter_map(|layer| cache::per_cell(&layer.mixer, super::options::Latent::Alone).window);
    windows.max().unwrap_or(0)
}

/// Cells that the asked sequences need.
pub fn asked_context(job: &InferenceJob, options: &Options) -> u64 {
    let needed = job.sequences.saturating_mul(job.length());
    cache::context(options.context.unwrap_or(needed), job.sequences, options)
}

/// A start for the asked sequences.
pub fn start(job: &InferenceJob, options: &Options, prepared: &Prepared) -> Start {
    let mut found = one(job, options, prepared);
    found.projector = options
        .projector
        .map(|kind| projector(&job.network, kind, options.flash));
    if let (Some(network), Some(prepared)) = (&options.drafter, &prepared.drafter) {
        let drafting = Options {
            context: Some(found.context),
            ..options.drafting()
        };
        let job = InferenceJob {
            network: Arc::clone(network),
            ..job.clone()
        };
        let drafter = one(&job, &drafting, prepared);
        found.bounded |= drafter.bounded;
        found.drafter = Some(Box::new(drafter));
    }
    found
}

/// A start of one model.
fn one(job: &InferenceJob, options: &Options, prepared: &Prepared) -> Start {
    let network = &job.network;
    let context = asked_context(job, options);
    let cells = cache::cells(context, window(network), job.sequences, options);
    let gpus = options.place.gpus;
    let mut held = vec![Held::default(); gpus];
    let mut host = Held::default();
    let mut keys_values = (0_u64, 0_u64);
    let per_kind: Vec<(u64, u64, u64)> = network
        .kinds
        .iter()
        .map(|layer| {
            let (keys, values) = cache::bytes(layer, cells, options);
            let state = cache::state(&layer.mixer).saturating_mul(job.sequences);
            (keys, values, state)
        })
        .collect();
    for (kind, place) in network.order.iter().zip(&prepared.layers.layers) {
        let (keys, values, state) = per_kind.get(*kind).copied().unwrap_or_default();
        keys_values = (
            keys_values.0.saturating_add(keys),
            keys_values.1.saturating_add(values),
        );
        let on = match cache_device(*place, options) {
            Device::Gpu(number) => held.get_mut(number).unwrap_or(&mut host),
            Device::Host => &mut host,
        };
        on.cache = on.cache.saturating_add(keys).saturating_add(values);
        on.state = on.state.saturating_add(state);
    }
    let tokens = options.ubatch.min(options.batch).min(context).max(1);
    for (number, gpu) in held.iter_mut().enumerate() {
        gpu.weights = prepared.device(Device::Gpu(number)).weights;
        gpu.compute = compute(job, options, prepared, Device::Gpu(number), (tokens, cells));
        gpu.pool = pool(job, options, prepared, Device::Gpu(number), (tokens, cells));
    }
    host.weights = prepared.device(Device::Host).weights;
    host.compute = if gpus == 0 {
        compute(job, options, prepared, Device::Host, (tokens, cells))
    } else {
        copies(network, tokens, cells, options)
    };
    let output = network.vocabulary.saturating_mul(job.sequences).saturating_mul(4);
    let on_gpus = prepared
        .layers
        .layers
        .iter()
        .filter(|place| **place != Device::Host);
    Start {
        gpus: held,
        host,
        output,
        context,
        cells,
        keys_values,
        file: prepared.file,
        offloaded: on_gpus.count() as u64 + u64::from(prepared.layers.output != Device::Host),
        bounded: bounded(network, options),
        drafter: None,
        projector: None,
    }
}

/// Masks and embeddings in pinned memory: fp32 masks, or 16 bits in newer builds; one copy of the embedding, or two.
fn copies(network: &Network, tokens: u64, cells: Cells, options: &Options) -> Interval {
    let windowed = if window(network) > 0 { cells.window } else { 0 };
    let pairs = tokens.saturating_mul(cells.full.saturating_add(windowed));
    let rows = tokens.saturating_mul(network.hidden_size).saturating_mul(4);
    let sum = |mask: u64, embeddings: u64| {
        Bytes::new(
            pairs
                .saturating_mul(mask)
                .saturating_add(rows.saturating_mul(embeddings)),
        )
    };
    let mask = if options.narrow_masks() { 2 } else { 4 };
    Interval::new(sum(2, 1), sum(mask, 1), sum(mask, 2))
}

/// Layers in a row that are alike are computed in the same memory: three of them stand for all.
const ALIKE: usize = 3;

/// Whether a prompt's products with experts on the host are computed on the first GPU, to which their weights are copied: from 32
/// tokens on, which the fork counts per expert (ggml-org/llama.cpp `ggml/src/ggml-cuda/ggml-cuda.cu`
/// ggml_backend_cuda_device_offload_op; ikawrakow/ik_llama.cpp the same file).
fn copies_weights(layer: &Layer, options: &Options) -> bool {
    let tokens = options.ubatch.min(options.batch);
    match layer.moe() {
        Some(moe) if options.fork => tokens.saturating_mul(moe.top_k) / moe.experts.max(1) > 32,
        _ => tokens >= 32,
    }
}

/// The parts of the graph that a device computes for the prompt. `lent`: weights of experts on the host are copied to the first GPU.
fn parts<'a>(
    network: &'a Network,
    options: &Options,
    prepared: &Prepared,
    (device, lent): (Device, bool),
) -> Vec<Part<'a>> {
    let mut found: Vec<(usize, Part<'a>)> = Vec::new();
    let places = network.order.iter().zip(&prepared.layers.layers);
    let mut run = 0_usize;
    let first = device == Device::Gpu(0);
    for (depth, (kind, place)) in places.enumerate() {
        let Some(layer) = network.kinds.get(*kind) else {
            continue;
        };
        let (largest, matrix) = prepared.largest.get(depth).copied().unwrap_or_default();
        // The prompt of layers on the host is computed on the first GPU, and so are experts of other GPUs' layers.
        let away = *place == Device::Host;
        let borrowed = first && (away || largest > 0 && lent);
        if *place != device && !borrowed {
            continue;
        }
        let copies = first && lent && copies_weights(layer, options);
        let part = Part {
            layer,
            copied: if copies { largest } else { 0 },
            matrix: if away && device != Device::Host { matrix } else { 0 },
            elsewhere: device != Device::Host && !copies && largest > 0,
            away: away && device != Device::Host,
        };
        let alike = |(last, before): &(usize, Part<'_>)| {
            last == kind
                && (before.copied > 0) == (part.copied > 0)
                && before.elsewhere == part.elsewhere
                && before.away == part.away
        };
        run = match found.last() {
            Some(last) if alike(last) => run.saturating_add(1),
            _ => 1,
        };
        if run <= ALIKE {
            found.push((*kind, part));
        } else if let Some((_, last)) = found.last_mut() {
            last.copied = last.copied.max(part.copied);
        }
    }
    // Patterns of different layers repeat: the first and last stand for all.
    const MOST: usize = 12;
    if found.len() > MOST {
        let tail = found.split_off(found.len().saturating_sub(MOST / 2));
        found.truncate(MOST / 2);
        found.extend(tail);
    }
    found.into_iter().map(|(_, part)| part).collect()
}

/// Copies of every input that the scheduler keeps where GPUs compute batches one after another: with all layers on several
/// GPUs and no tensor placed by name (ggml-org/llama.cpp `ggml/src/ggml-backend.cpp` GGML_SCHED_MAX_COPIES, `src/llama-context.cpp`;
/// builds of the fork usually have it off).
fn scheduled(options: &Options, prepared: &Prepared, fork: bool) -> u64 {
    let place = &options.place;
    let all = prepared.layers.output != Device::Host && !prepared.layers.layers.contains(&Device::Host);
    let plain = place.overrides.is_empty() && place.cpu_moe == 0;
    let several = place.gpus > 1 && place.split == SplitMode::Layer;
    if options.fork == fork && several && all && plain && options.offload_cache {
        4
    } else {
        1
    }
}

/// The compute buffer of a device. Its band is what builds differ in: another order of the same tensors, one more copy of the
/// stream, masks that come in 16 bits (over the builds of tests/measured/serving.jsonl, where most do not state theirs), weights that the fork
/// copies unless they were repacked; wide where the graph is only bounded.
fn compute(
    job: &InferenceJob,
    options: &Options,
    prepared: &Prepared,
    device: Device,
    (tokens, cells): (u64, Cells),
) -> Interval {
    let network = &job.network;
    let output = prepared.layers.output == device;
    let outputs = options
        .output_rows(job.sequences)
        .unwrap_or(tokens)
        .clamp(1, tokens.max(1));
    // Without a common cache each sequence looks at its own part.
    let apart = if options.unified { 1 } else { job.sequences.max(1) };
    let pass = Pass {
        tokens,
        cells: (cells.full / apart, cells.window / apart),
        hidden: network.hidden_size,
        vocabulary: if output { network.vocabulary } else { 0 },
        outputs,
        copies: scheduled(options, prepared, false),
        // The first GPU casts the mask for all.
        cast: matches!(device, Device::Gpu(0) | Device::Host) && !options.narrow_masks(),
    };
    let with = |lent: bool, pass: Pass| {
        let parts = parts(network, options, prepared, (device, lent));
        if parts.is_empty() && !output {
            Bytes::ZERO
        } else {
            Bytes::new(graph::buffer(&parts, pass, options))
        }
    };
    let expected = with(!options.fork, pass);
    if expected == Bytes::ZERO {
        return Interval::default();
    }
    let copied = Pass {
        copies: pass.copies.max(scheduled(options, prepared, true)),
        ..pass
    };
    let most = expected.max(with(true, copied)) + Bytes::new(prepared.lent_output(device, network, outputs));
    let stream = Bytes::new(tokens.saturating_mul(network.hidden_size).saturating_mul(4));
    let mask = if options.narrow_masks() {
        Bytes::ZERO
    } else {
        Bytes::new(tokens.saturating_mul(pass.cells.0).saturating_mul(4))
    };
    let (below, above) = if bounded(network, options) {
        (0.6, 1.5)
    } else {
        (0.97, 1.03)
    };
    Interval::new(
        expected.scaled(below).saturating_sub(mask).saturating_sub(stream),
        expected,
        most.scaled(above) + stream + stream,
    )
}

/// Whether the graph is only bounded: mixers with a state, keys and values made anew from a latent.
fn bounded(network: &Network, options: &Options) -> bool {
    let odd = |mixer: &Mixer| match mixer {
        Mixer::None | Mixer::Attention(_) => false,
        Mixer::Latent(_) => options.fork,
        _ => true,
    };
    network.kinds.iter().any(|layer| odd(&layer.mixer))
}

/// What the backend takes from its pool for a prompt: the operand of the widest product in 8 bits, keys and values of a
/// quantised cache in 16; at most also the largest matrix in 16 bits, for cards and types without a product on blocks
/// (ggml-org/llama.cpp `ggml/src/ggml-cuda/ggml-cuda.cu` ggml_cuda_op_mul_mat_cublas, `mmq.cu`, `fattn-common.cuh`).
fn pool(
    job: &InferenceJob,
    options: &Options,
    prepared: &Prepared,
    device: Device,
    (tokens, cells): (u64, Cells),
) -> Interval {
    let network = &job.network;
    let Fixed { matrix, row, .. } = prepared.device(device);
    if matrix == 0 {
        return Interval::default();
    }
    // 36 bytes per 32 values (q8_1).
    let operand = row.saturating_mul(tokens).saturating_mul(9) / 8;
    let widened = |kind: super::types::GgmlType, elements: u64| {
        if options.flash && kind.is_quantised() {
            F16.size(elements, cells.full)
        } else {
            0
        }
    };
    let copies = network
        .kinds
        .iter()
        .map(|layer| {
            let per = cache::per_cell(&layer.mixer, options.latent);
            widened(options.type_k, per.keys).saturating_add(widened(options.type_v, per.values))
        })
        .max()
        .unwrap_or(0);
    let expected = operand.saturating_add(copies);
    Interval::new(
        Bytes::ZERO,
        Bytes::new(expected),
        Bytes::new(expected.saturating_add(matrix.saturating_mul(2))),
    )
}
