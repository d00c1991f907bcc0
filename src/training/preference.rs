//! The end of the network in preference training (DPO): chosen and rejected answers pass the model together, their
//! log-probabilities are gathered from the logits, the reference does the same without gradients, and one number per pair
//! is the loss.
//!
//! Read in transformers 5.23 (models return the logits), TRL 0.13 (trainer/dpo_trainer.py and utils.py: the concatenated
//! forward, the reference or the adapter switched off, log-probabilities one sequence after another for 16-bit logits) and
//! PyTorch 2.15 (`log_softmax` keeps its result; autocast runs it in fp32; the last position is cut off as a view).

use super::TrainingJob;
use super::block::Setting;
use super::head::{Ending, alive, head, packed, recorder};
use super::names;
use super::objective::LogProbabilities;
use super::ops::Recorder;
use super::plan::fresh_gradients;
use super::tape::{Edge, NodeId, Rows, Shape, Start, Storage, StorageId, Tape, Target, Var};
use crate::units::{Bytes, DType};

/// What a pass without gradients holds while its log-probabilities are made, at the tighter of its two moments: the head's
/// product, or what follows it.
pub fn evaluated(job: &TrainingJob, setting: &Setting, how: LogProbabilities) -> Vec<Storage> {
    let pass = pass(job, setting, how, false);
    let storages = pass.recorder.tape.storages();
    let at = |ids: Vec<StorageId>| -> Vec<Storage> {
        let found = ids.iter().filter_map(|id| storages.get(*id as usize));
        found.copied().collect()
    };
    let head = at(pass.logits.into_iter().chain(pass.input).collect());
    let after = at(pass.passing);
    let bytes = |of: &[Storage]| of.iter().map(Storage::bytes).sum::<Bytes>();
    if bytes(&head) > bytes(&after) { head } else { after }
}

/// The model's pass on a tape, and what stands beside what backward needs while its log-probabilities are made.
struct Pass {
    recorder: Recorder,
    node: Option<NodeId>,
    /// The head's input and the logits.
    input: Option<StorageId>,
    logits: Option<StorageId>,
    passing: Vec<StorageId>,
}

/// Evaluates the end of the network.
pub fn preference(job: &TrainingJob, setting: &Setting, how: LogProbabilities) -> Ending {
    let model = pass(job, setting, how, true);
    let tape = &model.recorder.tape;
    let start = Start {
        node: model.node,
        gradient: Storage::gradient(&names::LOG_PROBABILITIES, one(), DType::Fp32),
        held: false,
    };
    let played = tape.play(start, fresh_gradients(job), &[]);
    let kept = tape.alive_after_forward();
    let with = |extra: &[StorageId]| {
        let mut all = kept.clone();
        all.extend(extra.iter().filter(|id| !kept.contains(id)));
        alive(&played, &all)
    };
    let reference = pass(job, setting, how, false);
    let beside = reference.recorder.tape.storages();
    let at = |ids: &[StorageId]| {
        let mut all = with(&[]);
        all.extend(ids.iter().filter_map(|id| beside.get(*id as usize).copied()));
        all
    };
    let head_and_input: Vec<StorageId> = reference.logits.into_iter().chain(reference.input).collect();
    let of_reference = [at(&[]), at(&head_and_input), at(&reference.passing)];
    let head = if played.body.bytes > played.head.bytes {
        &played.body
    } else {
        &played.head
    };
    Ending {
        loss_forward: with(&model.passing),
        loss_kept: with(&[]),
        reference: of_reference,
        loss_backward: alive(&played, &played.loss.alive),
        head_backward: alive(&played, &head.alive),
        after: Vec::new(),
        packed: packed(tape, setting, 1),
    }
}

/// The end of a reward model: a number per token from a head of one row, of which the last of every sequence is taken; its
/// gradient is a tensor of zeros with those filled in (transformers 5.23 modeling_layers.py,
/// `GenericForSequenceClassification`; TRL 1.16 trainer/reward_trainer.py: chosen and rejected answers in one pass).
pub fn reward(job: &TrainingJob, setting: &Setting) -> Ending {
    let network = &*job.network;
    let (tape, mut hidden) = Tape::new(setting.hidden_state(), true);
    let mut recorder = recorder(setting, tape);
    if let Some(norm) = network.final_norm {
        hidden = recorder.norm(hidden, norm.kind, 1);
    }
    let numbers = head(network, setting, &mut recorder, hidden);
    let tape = &recorder.tape;
    let start = Start {
        node: numbers.node,
        gradient: Storage::gradient(&names::LOGITS, numbers.shape, numbers.dtype),
        held: false,
    };
    let played = tape.play(start, fresh_gradients(job), &[]);
    let mut kept = tape.alive_after_forward();
    let also = numbers.storage.filter(|id| !kept.contains(id));
    kept.extend(also);
    let head = if played.body.bytes > played.head.bytes {
        &played.body
    } else {
        &played.head
    };
    Ending {
        loss_forward: alive(&played, &kept),
        loss_kept: alive(&played, &kept),
        loss_backward: alive(&played, &played.loss.alive),
        head_backward: alive(&played, &head.alive),
        packed: packed(tape, setting, 1),
        ..Ending::default()
    }
}

const fn one() -> Shape {
    Shape {
        axis: &names::ONE,
        width: 1,
        rows: Rows::One,
    }
}

/// Norm, head and log-probabilities; `trained`: with gradients.
fn pass(job: &TrainingJob, setting: &Setting, how: LogProbabilities, trained: bool) -> Pass {
    let network = &*job.network;
    let (tape, mut hidden) = Tape::new(setting.hidden_state(), trained);
    let mut recorder = recorder(setting, tape);
    if let Some(norm) = network.final_norm {
        let before = recorder.tape.distribute(setting.sequence_divided());
        hidden = recorder.norm(hidden, norm.kind, 1);
        recorder.tape.distribute(before);
    }
    let input = hidden.storage;
    let mut logits = head(network, setting, &mut recorder, hidden);
    let raw = logits.storage;
    if network.head.softcap {
        logits = recorder.scale(logits, None, &names::LOGITS_CAPPED);
        logits = recorder.keeping_result(logits, &names::LOGITS_CAPPED);
        logits = recorder.scale(logits, None, &names::LOGITS_CAPPED);
    }
    let mut passing: Vec<StorageId> = logits.storage.into_iter().collect();
    // The last position of every sequence predicts nothing: a view whose gradient is a tensor of zeros with it filled in.
    let rows = setting.tokens.saturating_sub(setting.sequences);
    let edge = recorder.new_gradient(logits, &names::LOGITS);
    let cut = Var {
        node: recorder.tape.node(&[edge], &[], &[]),
        shape: of_tokens(logits.shape, rows),
        ..logits
    };
    let node = match how {
        LogProbabilities::Rows => by_rows(&mut recorder, cut, setting, &mut passing),
        LogProbabilities::Wide | LogProbabilities::Narrow => {
            let wide = how == LogProbabilities::Wide || recorder.types.autocast.is_some();
            let cast = if wide && cut.dtype != DType::Fp32 {
                recorder.cast(cut, DType::Fp32, &names::LOGITS_FP32)
            } else {
                // A view with gaps between the sequences is copied before the kernel runs.
                recorder.output(&names::LOGITS_SHIFTED, cut.shape, cut.dtype, cut.node)
            };
            passing.extend(cast.storage);
            gathered(&mut recorder, cast, &mut passing)
        }
    };
    Pass {
        recorder,
        node,
        input,
        logits: raw,
        passing,
    }
}

const fn of_tokens(shape: Shape, rows: u64) -> Shape {
    Shape {
        rows: Rows::Tokens(rows),
        ..shape
    }
}

/// `log_softmax`, which keeps its result, and the gathering of one value per row, whose gradient is a tensor of zeros.
fn gathered(recorder: &mut Recorder, logits: Var, passing: &mut Vec<StorageId>) -> Option<NodeId> {
    let result = recorder.tape.store(Storage::new(
        &names::LOG_PROBABILITIES,
        logits.shape,
        logits.dtype,
    ));
    passing.push(result);
    let edge = recorder.new_gradient(logits, &names::LOGITS_FP32);
    let softmax = recorder.tape.node(&[edge], &[Some(result)], &[]);
    let zeros = Edge {
        target: softmax.map_or(Target::Discarded, Target::Node),
        made: Some(Storage::gradient(
            &names::LOGITS_GATHERED,
            logits.shape,
            logits.dtype,
        )),
    };
    recorder.tape.node(&[zeros], &[], &[])
}

/// One sequence after another; the gradients of all of them are stacked when the last has come.
fn by_rows(
    recorder: &mut Recorder,
    logits: Var,
    setting: &Setting,
    passing: &mut Vec<StorageId>,
) -> Option<NodeId> {
    let stack = recorder.new_gradient(logits, &names::LOGITS);
    let whole = recorder.tape.node(&[stack], &[], &[]);
    recorder.tape.collect(whole);
    let each = setting.sequence.saturating_sub(1);
    let row = Var {
        node: whole,
        shape: of_tokens(logits.shape, each),
        ..logits
    };
    let sequences = if whole.is_some() { setting.sequences } else { 1 };
    let mut edges = Vec::new();
    for sequence in 0..sequences {
        let mut own = Vec::new();
        let input = match recorder.types.autocast {
            Some(_) => recorder.cast(row, DType::Fp32, &names::LOGITS_FP32),
            None => row,
        };
        if input.dtype != row.dtype {
            own.extend(input.storage);
        }
        let node = gathered(recorder, input, &mut own);
        if sequence + 1 == sequences {
            passing.append(&mut own);
        }
        edges.push(Edge {
            target: node.map_or(Target::Discarded, Target::Node),
            made: Some(Storage::gradient(&names::LOG_PROBABILITIES, one(), DType::Fp32)),
        });
    }
    recorder.tape.node(&edges, &[], &[])
}
