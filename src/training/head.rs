//! The end of the network: final norm, head and loss, each way of computing the loss on tapes of its own, and what is alive
//! at its three instants.
//!
//! Read in transformers 5.23 (loss/loss_utils.py), pytorch/torchtitan (components/loss.py) and linkedin/Liger-Kernel
//! (ops/fused_linear_cross_entropy.py).

use super::block::Setting;
use super::names;
use super::ops::Recorder;
use super::plan::fresh_gradients;
use super::preference::{preference, reward};
use super::tape::{
    Edge, NodeId, Played, Rows, Shape, Stage, Start, Storage, StorageId, Tape, Target, Var, WeightGradients,
};
use super::{LossKind, Objective, Precision, Projection, TrainingJob};
use crate::model::Network;
use crate::units::{Bytes, DType};

/// What the end of the network holds at each of its instants, over what the layers hold.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// While the loss is computed.
    pub loss_forward: Vec<Storage>,
    /// In preference training, while the reference runs through its layers, through its head, and while its log-probabilities
    /// are computed.
    pub reference: [Vec<Storage>; 3],
    /// When the forward pass is over and backward has not begun.
    pub loss_kept: Vec<Storage>,
    /// While the gradient of the logits is computed.
    pub loss_backward: Vec<Storage>,
    /// While the gradients of head and final norm are computed.
    pub head_backward: Vec<Storage>,
    /// After that: the logits, where the program still refers to them.
    pub after: Vec<Storage>,
    /// What is sent to the host, where saved activations wait there.
    pub packed: Vec<Storage>,
}

/// The head and the loss on a tape.
struct Tail {
    tape: Tape,
    start: Start,
    /// What the program still refers to while the loss is computed.
    referred: Vec<StorageId>,
    /// The logits that the program may keep.
    outputs: Option<StorageId>,
    /// What a kernel keeps to write the gradient over.
    overwritten: Option<StorageId>,
    /// The logits' fp32 copy after the forward pass.
    converted: Option<Storage>,
}

/// Evaluates the end of the network.
pub fn ending(job: &TrainingJob, setting: &Setting) -> Ending {
    if let Objective::Preference(preferences) = job.objective {
        return preference(job, setting, preferences.how);
    }
    if job.objective == Objective::Reward {
        return reward(job, setting);
    }
    let (network, weights) = (&*job.network, fresh_gradients(job));
    match job.loss {
        LossKind::Plain | LossKind::FusedInPlace => {
            let tail = record(network, setting, true, Copies::of(job));
            let kept: Vec<StorageId> = tail.outputs.filter(|_| job.keep_outputs).into_iter().collect();
            let played = tail.tape.play(tail.start, weights, &kept);
            Ending {
                after: alive(&played, &kept),
                packed: packed(&tail.tape, setting, 1),
                ..at_instants(&tail, &played)
            }
        }
        LossKind::Chunked { chunks, recomputed } => chunked(network, setting, (chunks, recomputed), weights),
        LossKind::FusedLinear => fused_linear(network, setting),
    }
}

/// How a loss copies the logits before it.
#[derive(Clone, Copy, Debug, Default)]
struct Copies {
    /// The program still refers to the 16-bit logits: not up to transformers 4.45, whose models rebind the name.
    narrow: bool,
    /// The loss is computed in the type of the logits: GPT-2's kin up to transformers 4.48, and the first Qwen.
    unwidened: bool,
    /// The logits are copied to fp32 when the forward pass has returned, before the outputs are dropped (accelerate 1.0.1
    /// utils/operations.py, `ConvertOutputsToFp32`). Only told where the model has made no such copy itself, which would
    /// have been as large.
    converted: bool,
    /// The fp32 logits are shifted into a copy: before transformers 5, which shifts the labels.
    shifted: bool,
    /// The kernel writes the gradient over its input.
    in_place: bool,
}

impl Copies {
    fn of(job: &TrainingJob) -> Self {
        let in_place = job.loss == LossKind::FusedInPlace;
        // The first Qwen's class comes with its checkpoints and is of no version (modeling_qwen.py, `QWenLMHeadModel`).
        let (version, model) = (job.transformers_version, job.network.model_type.as_str());
        let own = model == "qwen";
        let unwidened = own || version < (4, 49) && matches!(model, "gpt2" | "gpt_bigcode");
        Self {
            converted: unwidened && matches!(job.precision, Precision::Autocast(_)),
            narrow: version > (4, 45),
            shifted: own || version < (5, 0),
            unwidened,
            in_place,
        }
    }

    /// Of transformers 5.
    const CURRENT: Self = Self {
        narrow: true,
        unwidened: false,
        converted: false,
        shifted: false,
        in_place: false,
    };
}

pub(super) fn recorder(setting: &Setting, mut tape: Tape) -> Recorder {
    tape.keep_on_host(setting.away);
    Recorder {
        tape,
        types: setting.types,
        tokens: setting.tokens,
        kernels: setting.kernels,
        adapter: setting.adapter,
        outside: false,
        sequences: setting.sequences,
        passing_workspace: setting.passing_workspace,
        ring: setting.ring,
        of_patches: false,
        frozen: false,
    }
}

fn record(network: &Network, setting: &Setting, with_norm: bool, copies: Copies) -> Tail {
    let (tape, mut hidden) = Tape::new(setting.hidden_state(), true);
    let mut recorder = recorder(setting, tape);
    if let (true, Some(norm)) = (with_norm, network.final_norm) {
        let before = recorder.tape.distribute(setting.sequence_divided());
        hidden = recorder.norm(hidden, norm.kind, 1);
        recorder.tape.distribute(before);
    }
    let mut logits = head(network, setting, &mut recorder, hidden);
    if network.head.softcap {
        logits = recorder.scale(logits, None, &names::LOGITS_CAPPED);
        logits = recorder.keeping_result(logits, &names::LOGITS_CAPPED);
        logits = recorder.scale(logits, None, &names::LOGITS_CAPPED);
    }
    let wide = if copies.unwidened {
        logits
    } else {
        recorder.cast(logits, DType::Fp32, &names::LOGITS_FP32)
    };
    let outputs = if copies.narrow {
        logits.storage
    } else {
        wide.storage
    };
    let mut referred: Vec<StorageId> = hidden.storage.into_iter().chain(outputs).collect();
    referred.extend(wide.storage);
    let input = if copies.shifted {
        let edge = recorder.new_gradient(wide, &names::LOGITS_FP32);
        let node = recorder.tape.node(&[edge], &[], &[]);
        recorder.output(&names::LOGITS_SHIFTED, wide.shape, wide.dtype, node)
    } else {
        wide
    };
    referred.extend(input.storage);
    referred.dedup();
    let start = if setting.loss_divided() {
        divided_cross_entropy(&mut recorder, input, &mut referred)
    } else if copies.in_place {
        // The gradient is the kernel's input itself.
        Start {
            node: input.node,
            gradient: Storage::new(&names::LOGITS_SHIFTED, input.shape, input.dtype),
            held: false,
        }
    } else {
        let wide = autocast_to_fp32(&mut recorder, input);
        referred.extend(wide.storage.filter(|id| !referred.contains(id)));
        cross_entropy(&mut recorder, wide)
    };
    Tail {
        tape: recorder.tape,
        start,
        referred,
        outputs,
        overwritten: input.storage.filter(|_| copies.in_place),
        converted: copies
            .converted
            .then(|| Storage::new(&names::LOGITS_FP32, logits.shape, DType::Fp32)),
    }
}

/// The head's product. Divided by columns it makes this rank's part of the logits, which is gathered where the loss wants
/// all of them.
pub(super) fn head(network: &Network, setting: &Setting, recorder: &mut Recorder, hidden: Var) -> Var {
    let input = if !setting.head_divided() {
        hidden
    } else if setting.sequence_divided() {
        recorder.gathered_rows(hidden)
    } else {
        recorder.entering(hidden, &names::LINEAR_INPUT)
    };
    recorder.tape.enter(Stage::Head);
    let all = recorder.rows(&names::VOCABULARY, network.head_rows());
    let own = if setting.head_divided() {
        recorder.rows(&names::VOCABULARY, setting.part(network.vocabulary))
    } else {
        all
    };
    let logits = recorder.linear(input, own, &names::LOGITS, Projection::Head);
    recorder.tape.enter(Stage::Loss);
    if setting.head_divided() && !setting.loss_divided() {
        recorder.gathered_columns(logits, all, &names::LOGITS)
    } else {
        logits
    }
}

/// Cross entropy over a part of the vocabulary (torch 2.15, distributed/tensor/parallel/loss.py): the log-softmax is
/// written out, with logits, shifted logits and exponentials at once, and keeps its result. The backward of the loss is
/// that of both: a tensor of zeros with one value per row, and `grad − exp(result)·sum` in two steps.
fn divided_cross_entropy(recorder: &mut Recorder, logits: Var, referred: &mut Vec<StorageId>) -> Start {
    let logits = autocast_to_fp32(recorder, logits);
    let storage = |name| Storage::new(name, logits.shape, logits.dtype);
    let result = recorder.tape.store(storage(&names::LOG_PROBABILITIES));
    referred.push(recorder.tape.store(storage(&names::LOG_SOFTMAX_PART)));
    let edge = Recorder::same_gradient(logits);
    let softmax = recorder.tape.node(&[edge], &[Some(result)], &[]);
    let likelihood = Edge {
        target: softmax.map_or(Target::Discarded, Target::Node),
        made: Some(Storage::gradient(
            &names::LOG_PROBABILITIES,
            logits.shape,
            logits.dtype,
        )),
    };
    let parts = [storage(&names::LOG_SOFTMAX_PART); 2];
    let node = recorder.tape.node(&[likelihood], &[Some(result)], &parts);
    start(node)
}

/// Backward begins with one number.
fn start(node: Option<NodeId>) -> Start {
    let scalar = Shape {
        axis: &names::ONE,
        width: 1,
        rows: Rows::One,
    };
    Start {
        node,
        gradient: Storage::gradient(&names::LOGITS, scalar, DType::Fp32),
        held: false,
    }
}

/// What a cross entropy computes on: autocast gives it fp32, and the copy lives as long as the call.
fn autocast_to_fp32(recorder: &mut Recorder, logits: Var) -> Var {
    match recorder.types.autocast {
        Some(_) => recorder.cast(logits, DType::Fp32, &names::LOGITS_FP32),
        None => logits,
    }
}

/// Log-softmax, which keeps its result, and the negative log-likelihood, whose gradient is a tensor of zeros with one
/// value per row.
fn cross_entropy(recorder: &mut Recorder, logits: Var) -> Start {
    let result = recorder.tape.store(Storage::new(
        &names::LOG_PROBABILITIES,
        logits.shape,
        logits.dtype,
    ));
    let edge = recorder.new_gradient(logits, &names::LOGITS_FP32);
    let softmax = recorder.tape.node(&[edge], &[Some(result)], &[]);
    let likelihood = Edge {
        target: softmax.map_or(Target::Discarded, Target::Node),
        made: Some(Storage::gradient(
            &names::LOG_PROBABILITIES,
            logits.shape,
            logits.dtype,
        )),
    };
    let node = recorder.tape.node(&[likelihood], &[Some(result)], &[]);
    start(node)
}

pub(super) fn alive(played: &Played, ids: &[u32]) -> Vec<Storage> {
    ids.iter()
        .filter_map(|id| played.storages.get(*id as usize).copied())
        .collect()
}

fn at_instants(tail: &Tail, played: &Played) -> Ending {
    let mut forward = tail.tape.alive_after_forward();
    for id in &tail.referred {
        if !forward.contains(id) {
            forward.push(*id);
        }
    }
    let head = if played.body.bytes > played.head.bytes {
        &played.body
    } else {
        &played.head
    };
    Ending {
        loss_forward: with_conversion(tail, played, alive(played, &forward)),
        loss_kept: alive(played, &tail.tape.alive_after_forward()),
        reference: Default::default(),
        loss_backward: alive(played, &played.loss.alive),
        head_backward: alive(played, &head.alive),
        after: Vec::new(),
        packed: Vec::new(),
    }
}

/// The larger of what is alive while the loss is computed, and of what is left of it with the fp32 copy of the logits.
fn with_conversion(tail: &Tail, played: &Played, computing: Vec<Storage>) -> Vec<Storage> {
    let Some(copy) = tail.converted else {
        return computing;
    };
    let mut left = tail.tape.alive_after_forward();
    for id in tail.outputs.into_iter().chain(tail.overwritten) {
        if !left.contains(&id) {
            left.push(id);
        }
    }
    let mut converting = alive(played, &left);
    converting.push(copy);
    let bytes = |storages: &[Storage]| -> Bytes { storages.iter().map(Storage::bytes).sum() };
    if bytes(&converting) > bytes(&computing) {
        converting
    } else {
        computing
    }
}

/// Hidden states in chunks, each with logits, loss and backward of its own (torchtitan's `ChunkedLossWrapper`): the
/// gradient of all hidden states is collected, and the head's weight gradient exists from the first chunk on. A chunk that is
/// neither recomputed nor has its backward at once keeps its log-probabilities until then.
fn chunked(
    network: &Network,
    setting: &Setting,
    (chunks, recomputed): (u64, bool),
    weights: WeightGradients,
) -> Ending {
    let chunk = Setting {
        tokens: setting.tokens.div_ceil(chunks.max(1)),
        ..*setting
    };
    let tail = record(network, &chunk, false, Copies::CURRENT);
    let one = at_instants(&tail, &tail.tape.play(tail.start, weights, &[]));
    let (tape, input) = Tape::new(setting.hidden_state(), true);
    let mut recorder = recorder(setting, tape);
    let normed = network
        .final_norm
        .map_or(input, |norm| recorder.norm(input, norm.kind, 1));
    let kept: Vec<Storage> = recorder
        .tape
        .alive_after_forward()
        .into_iter()
        .chain(normed.storage)
        .filter_map(|id| recorder.tape.storages().get(id as usize).copied())
        .collect();
    let mut fixed = kept;
    fixed.push(Storage::new(&names::HIDDEN_CHUNKS, input.shape, input.dtype));
    let with = |part: Vec<Storage>| {
        let mut all = fixed.clone();
        if weights == WeightGradients::Stay && setting.adapter.is_none() {
            all.push(head_gradient(network, setting.types.weights));
        }
        all.extend(part);
        all
    };
    let others = if recomputed || setting.away {
        0
    } else {
        chunks.saturating_sub(1)
    };
    let waiting = |chunks: u64| {
        let shape = Shape {
            axis: &names::VOCABULARY,
            width: network.vocabulary,
            rows: Rows::Tokens(chunk.tokens.saturating_mul(chunks)),
        };
        (chunks > 0).then(|| Storage::new(&names::LOG_PROBABILITIES, shape, DType::Fp32))
    };
    let with_waiting = |part: Vec<Storage>| {
        let mut all = with(part);
        all.extend(waiting(others));
        all
    };
    // The first chunk's backward finds all other chunks, the second one less and the head's gradient.
    let gradient = head_gradient(network, setting.types.weights);
    let first = waiting(1).is_some_and(|one| one.bytes() > gradient.bytes());
    let loss_backward = if others == 0 {
        with(one.loss_backward)
    } else if first {
        let mut all = fixed.clone();
        all.extend(one.loss_backward);
        all.extend(waiting(others));
        all
    } else {
        let mut all = with(one.loss_backward);
        all.extend(waiting(others - 1));
        all
    };
    let loss_forward = if others == 0 {
        with(one.loss_forward)
    } else {
        let mut all = fixed.clone();
        all.extend(one.loss_forward);
        all.extend(waiting(others));
        all
    };
    Ending {
        loss_forward,
        loss_kept: fixed.clone(),
        reference: Default::default(),
        loss_backward,
        head_backward: with_waiting(one.head_backward),
        after: Vec::new(),
        packed: packed(&tail.tape, setting, chunks),
    }
}

/// What so many equal ends send to the host.
pub(super) fn packed(tape: &Tape, setting: &Setting, times: u64) -> Vec<Storage> {
    if !setting.away {
        return Vec::new();
    }
    let all = tape.packed();
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    std::iter::repeat_n(all, times).flatten().collect()
}

fn head_gradient(network: &Network, dtype: DType) -> Storage {
    let shape = Shape {
        axis: &names::WEIGHTS,
        width: network.vocabulary.saturating_mul(network.hidden_size),
        rows: Rows::One,
    };
    Storage::gradient(&names::WEIGHT, shape, dtype)
}

/// Liger's fused linear layer and cross entropy: both gradients are computed in the forward pass, a few rows of logits at
/// a time.
fn fused_linear(network: &Network, setting: &Setting) -> Ending {
    let (tape, input) = Tape::new(setting.hidden_state(), true);
    let mut recorder = recorder(setting, tape);
    let normed = network
        .final_norm
        .map_or(input, |norm| recorder.norm(input, norm.kind, 1));
    let dtype = recorder.product_type(normed.dtype);
    let mut fixed: Vec<Storage> = recorder
        .tape
        .alive_after_forward()
        .into_iter()
        .chain(normed.storage)
        .filter_map(|id| recorder.tape.storages().get(id as usize).copied())
        .collect();
    fixed.push(Storage::gradient(&names::NORM_OUTPUT, normed.shape, dtype));
    if setting.adapter.is_none() {
        fixed.push(head_gradient(network, setting.types.weights));
    }
    let steps = network.vocabulary.div_ceil(network.hidden_size.max(1)).max(1);
    let rows = setting.tokens.div_ceil(steps).next_power_of_two();
    let chunk = Shape {
        axis: &names::VOCABULARY,
        width: network.vocabulary,
        rows: Rows::Tokens(rows),
    };
    let mut forward = fixed.clone();
    forward.push(Storage::new(&names::LOGITS_CHUNK, chunk, dtype));
    let head_backward = match network.final_norm {
        Some(_) => {
            let start = Start {
                node: normed.node,
                gradient: Storage::gradient(&names::NORM_OUTPUT, normed.shape, normed.dtype),
                held: false,
            };
            let played = recorder.tape.play(start, WeightGradients::Stay, &[]);
            let mut all = alive(&played, &played.body.alive);
            if setting.adapter.is_none() {
                all.push(head_gradient(network, setting.types.weights));
            }
            all
        }
        None => fixed.clone(),
    };
    Ending {
        loss_forward: forward,
        loss_kept: fixed.clone(),
        reference: Default::default(),
        loss_backward: fixed.clone(),
        head_backward,
        after: Vec::new(),
        packed: if setting.away { fixed } else { Vec::new() },
    }
}
