//! Which inputs are options, and which of them a request chooses. An option is a value that switches something on or off;
//! sizes, of which every value is answered by the same formula, are none.

use super::super::given::Given;
use super::super::read::Typed;
use super::super::resolve::{self, Report};
use crate::request::{Availability, EngineId, INPUTS, Input, InputId, InputKind, Section};

/// An option that a request chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The input.
    pub id: InputId,
    /// Its value, in words of the registry; for numbers what they switch.
    pub value: String,
}

impl Chosen {
    /// As the table names it: `training.optimizer=sgd`.
    pub fn key(&self) -> String {
        format!("{}={}", self.id.key(), self.value)
    }
}

/// Numbers that switch something away from what is usual, with the words for what they do.
const SWITCHES: &[(InputId, &[&str])] = &[
    (InputId::GradientAccumulationSteps, &["several"]),
    (InputId::GradientClipping, &["off"]),
    (InputId::Momentum, &["off"]),
    (InputId::ImagesPerSample, &["some"]),
    (InputId::Dropout, &["on"]),
    (InputId::LoraDropout, &["on"]),
    (InputId::BaseGroupSize, &["per_output"]),
    (InputId::ReshardRanks, &["fewer"]),
    (InputId::ZeroStage, &["0", "1", "2", "3"]),
    (InputId::HpzPartitionSize, &["on"]),
    (InputId::OffloadRatio, &["part"]),
    (InputId::PrefetchBucketSize, &["off"]),
    (InputId::FurtherLayers, &["some"]),
    (InputId::OffloadFraction, &["part"]),
];

/// Numbers of which every value is answered by the same formula, and versions, which published records of many releases
/// cover (the accuracy table says how well).
const SIZES: &[InputId] = &[
    InputId::BatchSize,
    InputId::SeqLength,
    InputId::MeanLength,
    InputId::ImageHeight,
    InputId::ImageWidth,
    InputId::EvaluationBatchSize,
    InputId::GeneratedTokens,
    InputId::GaloreRank,
    InputId::LoraRank,
    InputId::CheckpointEvery,
    InputId::LossChunks,
    InputId::EngineVersion,
    InputId::TransformersVersion,
    InputId::ReduceBucketSize,
    InputId::MaxLiveParameters,
    InputId::ParamPersistenceThreshold,
    InputId::DataParallelSize,
    InputId::TensorParallelSize,
    InputId::PipelineParallelSize,
    InputId::VirtualPipelineSize,
    InputId::ContextParallelSize,
    InputId::ExpertParallelSize,
    InputId::ExpertTensorParallelSize,
    InputId::NumMicroBatches,
    InputId::MicrobatchGroup,
    InputId::FirstStageLayers,
    InputId::LastStageLayers,
    InputId::RecomputeLayers,
    InputId::RecomputeModules,
    InputId::SavedProducts,
    InputId::VocabularyMultiple,
    InputId::WgradDeferral,
    InputId::ExpertImbalance,
    InputId::ExpertCapacity,
    InputId::PipelineLayout,
    InputId::RolloutUtilization,
    InputId::RolloutTensor,
];

/// Inputs that change the time of a step and no byte of it; tests/measured/throughput.jsonl and the closed forms of `network`
/// stand behind them.
const TIME: &[InputId] = &[InputId::OverlapGradReduce, InputId::OverlapParamGather];

/// Inputs that name the engine, which the columns of the table stand for.
const ENGINE: &[InputId] = &[InputId::EngineType, InputId::FsdpVersion];

/// Inputs whose options act on each other, so that a run with each of them alone shows nothing about both.
const MEETING: &[(InputId, InputId)] = &[
    // Recomputation decides what is saved, sent away, or compiled.
    (InputId::ActivationCheckpointing, InputId::ActivationOffload),
    (InputId::ActivationCheckpointing, InputId::Attention),
    (InputId::ActivationCheckpointing, InputId::CheckpointReentrant),
    (InputId::ActivationCheckpointing, InputId::Compile),
    // What beside adapters is stored and trained.
    (InputId::Adapter, InputId::BaseFormat),
    (InputId::Adapter, InputId::ModulesToSave),
    (InputId::Objective, InputId::Adapter),
    // Both decide the temporaries of a step.
    (InputId::Optimizer, InputId::OptimizerImplementation),
    (InputId::Optimizer, InputId::OptimizerInBackward),
    // What a tower saves.
    (InputId::TowerTraining, InputId::ActivationCheckpointing),
    (InputId::TowerTraining, InputId::Attention),
    // Kernels that share intermediates.
    (InputId::FusedKernels, InputId::Loss),
    // What is gathered when.
    (InputId::ShardingStrategy, InputId::FsdpCpuOffload),
    (InputId::ZeroStage, InputId::OffloadOptimizer),
    (InputId::OffloadOptimizer, InputId::OffloadParam),
    (InputId::SequenceParallel, InputId::LossParallel),
];

/// Values that stand for others: what is held is the same to the byte.
const SAME: &[(InputId, &str, &str)] = &[
    // torch 2.15 optim/adamw.py: `class AdamW(Adam)`, with another default of the weight decay.
    (InputId::Optimizer, "adam", "adamw"),
    // TF32 is how tensor cores read fp32 operands; tensors stay fp32 (aten/src/ATen/Context.h, `allowTF32CuBLAS`).
    (InputId::Dtype, "tf32", "fp32"),
    // A base in few bits with adapters, which the base format says; its products are in bf16.
    (InputId::Dtype, "int8", "bf16"),
    (InputId::Dtype, "int4", "bf16"),
];

/// The value that a value stands for.
fn same(id: InputId, value: &'static str) -> &'static str {
    let stands = |(input, word, _): &&(InputId, &str, &str)| *input == id && *word == value;
    SAME.iter().find(stands).map_or(value, |(_, _, other)| other)
}

/// Whether two inputs act on each other.
pub fn meet(first: InputId, second: InputId) -> bool {
    MEETING
        .iter()
        .any(|(one, other)| [(*one, *other), (*other, *one)].contains(&(first, second)))
}

/// Whether an input has options.
pub fn is_option(input: &Input) -> bool {
    let section = matches!(
        input.section,
        Section::Training | Section::Engine | Section::Parallelism
    );
    let switches = SWITCHES.iter().any(|(id, _)| *id == input.id);
    let chosen = matches!(input.kind, InputKind::Choice(_) | InputKind::Toggle);
    let built = input.availability == Availability::Built;
    section && built && (chosen || switches) && !is_size(input.id)
}

/// Whether an input is a size, names the engine, or changes time alone.
pub fn is_size(id: InputId) -> bool {
    SIZES.contains(&id) || ENGINE.contains(&id) || TIME.contains(&id)
}

/// Every option of the registry, in its order.
pub fn every_option() -> Vec<Chosen> {
    let options = INPUTS.iter().filter(|input| is_option(input));
    options
        .flat_map(|input| values(input).into_iter().map(|value| (input.id, value)))
        .map(|(id, value)| Chosen { id, value })
        .collect()
}

fn values(input: &Input) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    if let Some((_, switched)) = SWITCHES.iter().find(|(id, _)| *id == input.id) {
        return words(switched);
    }
    match input.kind {
        InputKind::Choice(choices) => choices
            .iter()
            .filter(|choice| choice.availability == Availability::Built)
            .filter(|choice| same(input.id, choice.value) == choice.value)
            .map(|choice| choice.value.to_string())
            .collect(),
        InputKind::Toggle => words(&["true", "false"]),
        _ => Vec::new(),
    }
}

/// The options that a request chooses, by itself or by defaults: those that the job uses. A value that only follows from
/// other options is none of its own.
pub fn chosen(given: &Given, engine: EngineId, (ranks, nodes): (u64, u64), report: &Report) -> Vec<Chosen> {
    INPUTS
        .iter()
        .filter(|input| is_option(input) && input.engines.to(engine))
        .filter(|input| resolve::is_used(input.id, given, engine, ranks, nodes))
        .filter_map(|input| {
            let value = value(input, given, report)?;
            Some(Chosen { id: input.id, value })
        })
        .collect()
}

fn value(input: &Input, given: &Given, report: &Report) -> Option<String> {
    let id = input.id;
    let taken = report.assumed.iter().find(|assumed| assumed.path == id.key());
    // With fp32 arithmetic everything is fp32, whatever the mode.
    let wide = matches!(given.choice(InputId::Dtype), Some("fp32" | "tf32"));
    if id == InputId::PrecisionMode && wide {
        return None;
    }
    // What follows from other values goes before a fixed default.
    let follows = taken.and_then(|assumed| assumed.value.as_str());
    if let Some(word) = follows.filter(|_| !given.has(id)) {
        return Some(word.to_string());
    }
    let typed = given.value(id)?;
    let number = match typed {
        Typed::Choice(choice) => return Some(same(id, choice.value).to_string()),
        Typed::Toggle(on) => return Some(on.to_string()),
        Typed::Integer(stage) if id == InputId::ZeroStage => return Some(stage.to_string()),
        Typed::Integer(whole) => whole as f64,
        Typed::Number(number) => number,
        _ => return None,
    };
    switched(id, number).map(ToString::to_string)
}

/// What a number switches, where it does.
fn switched(id: InputId, number: f64) -> Option<&'static str> {
    let (_, words) = SWITCHES.iter().find(|(other, _)| *other == id)?;
    let switches = match id {
        InputId::ReshardRanks => true,
        InputId::GradientAccumulationSteps | InputId::HpzPartitionSize => number > 1.0,
        InputId::ImagesPerSample => number > 0.0,
        InputId::OffloadRatio => number < 1.0,
        InputId::Dropout | InputId::LoraDropout => number > 0.0,
        _ => number <= 0.0,
    };
    words.first().copied().filter(|_| switches)
}
