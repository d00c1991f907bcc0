//! Engine, lengths, sharding and number of GPUs of an inference question.

use std::sync::Arc;

use super::super::given::Given;
use super::super::resolve::{Model, Report};
use super::division::{copies, indivisible};
use super::{llama_cpp, sglang, tensorrt, tgi, transformers, vllm};
use crate::inference::release::{Row, row};
use crate::inference::{Engine, Version};
use crate::model::draft_head::DraftHead;
use crate::model::{Network, catalogue};
use crate::request::{Availability, InputId, ServerId};
use crate::warn::Issue;

/// Tokens that `generate` adds when nothing is said (transformers 5.23.0 generation/configuration_utils.py, `max_length`).
const NEW_TOKENS: u64 = 20;
/// Devices that llama.cpp sees at most (ggml-org/llama.cpp `ggml/include/ggml-cuda.h`, GGML_CUDA_MAX_DEVICES).
const MOST_VISIBLE: u64 = 16;
/// The length of a sequence where the model states no longest one.
const LENGTH: u64 = 4096;

/// The engine; one that is not built is refused.
pub fn server(given: &Given, report: &mut Report) -> Option<ServerId> {
    let choice = given.choice_entry(InputId::ServerType)?;
    if choice.availability == Availability::Planned {
        let built = InputId::ServerType.input().kind.choices();
        report.add(
            Issue::error(
                "not_available_yet",
                InputId::ServerType.key(),
                format!("{} is known and not built yet.", choice.label),
            )
            .with_value(choice.value)
            .with_allowed(
                built
                    .iter()
                    .filter(|choice| choice.availability == Availability::Built)
                    .map(|choice| choice.value),
            ),
        );
    }
    ServerId::from_key(choice.value)
}

/// The engine with its options.
pub fn options(
    given: &Given,
    engine: ServerId,
    model: &Model,
    gpus: u64,
    report: &mut Report,
) -> Option<Engine> {
    match engine {
        ServerId::Huggingface => Some(Engine::Transformers(transformers::options(given, model, report))),
        ServerId::Vllm => vllm::options(given, model, report).map(Engine::Vllm),
        ServerId::Sglang => sglang::options(given, model, report).map(Engine::Sglang),
        ServerId::Tgi => tgi::options(given, report).map(Engine::Tgi),
        ServerId::TensorRtLlm => tensorrt::options(given, model, report).map(Engine::TensorRtLlm),
        ServerId::LlamaCpp => llama_cpp::options(given, model, gpus, report)
            .map(Box::new)
            .map(Engine::LlamaCpp),
    }
}

/// The row of the typed version, or the newest with its reason; refused with what is `known` where it is before every row.
pub fn released<R: Row>(
    given: &Given,
    rows: &'static [R],
    (reason, known): (&'static str, &'static str),
    report: &mut Report,
) -> Option<(&'static R, Version)> {
    let id = InputId::ServerVersion;
    let Some(text) = given.text(id) else {
        let newest = rows.last()?;
        report.assume(id, newest.from(), reason);
        return Some((newest, Version::parse(newest.from())?));
    };
    let found = Version::parse(&text).and_then(|version| Some((row(rows, version)?, version)));
    if found.is_none() {
        report.add(Issue::error("out_of_range", id.key(), known).with_value(text));
    }
    found
}

/// The head on the model's hidden states that drafts, where the draft model names one.
pub fn draft_head(given: &Given) -> Option<DraftHead> {
    DraftHead::read(&given.text(InputId::DraftModel)?)
}

/// The model that drafts, or the head on the hidden states of `model`.
pub fn drafter(given: &Given, model: Option<&Network>, report: &mut Report) -> Option<Arc<Network>> {
    let name = given.text(InputId::DraftModel)?;
    if let (Some(model), Some(head)) = (model, DraftHead::read(&name)) {
        return match head.network(model) {
            Ok(network) => Some(Arc::new(network)),
            Err(why) => {
                report.error("not_supported_by_model", InputId::DraftModel, why);
                None
            }
        };
    }
    let found = catalogue::find(&name).and_then(catalogue::Entry::shared);
    if found.is_none() {
        report.add(
            Issue::error(
                "not_found",
                InputId::DraftModel.key(),
                format!("{name:?} is not in the catalogue of models."),
            )
            .with_value(name),
        );
    }
    found.map(|shared| shared.network.clone())
}

/// Prompt and answer.
pub fn lengths(given: &Given, model: &Model, report: &mut Report) -> (u64, u64) {
    let typed = |id| given.typed_integer(id);
    let limit = typed(InputId::MaxSeqLen).or(model.network.max_positions);
    let (total, prompt, answer) = (
        typed(InputId::TotalTokens).or_else(|| tgi::longest(given)),
        typed(InputId::PromptTokens),
        typed(InputId::NewTokens),
    );
    if let (Some(total), Some(prompt)) = (total, prompt)
        && prompt.saturating_add(answer.unwrap_or(1)) > total
    {
        report.add(
            Issue::error(
                "unsupported_combination",
                InputId::PromptTokens.key(),
                format!("A prompt of {prompt} tokens and its answer are longer than {total}."),
            )
            .with_value(prompt),
        );
    }
    let found = match (total, prompt, answer) {
        (_, Some(prompt), Some(answer)) => (prompt, answer),
        (Some(total), Some(prompt), None) => (prompt, total.saturating_sub(prompt).max(1)),
        (None, Some(prompt), None) => {
            report.assume(
                InputId::NewTokens,
                NEW_TOKENS,
                "what generate() adds when nothing is said",
            );
            (prompt, NEW_TOKENS)
        }
        (total, None, answer) => {
            let total = total.unwrap_or_else(|| {
                let length = limit.unwrap_or(LENGTH).max(2);
                report.assume(InputId::TotalTokens, length, "the longest context of the model");
                length
            });
            let answer = answer.unwrap_or_else(|| {
                let answer = NEW_TOKENS.min(total / 2).max(1);
                report.assume(
                    InputId::NewTokens,
                    answer,
                    "what generate() adds when nothing is said",
                );
                answer
            });
            if answer >= total && total > 1 {
                report.add(
                    Issue::error(
                        "unsupported_combination",
                        InputId::NewTokens.key(),
                        format!("An answer of {answer} tokens leaves no prompt in {total}."),
                    )
                    .with_value(answer),
                );
            }
            let prompt = total.saturating_sub(answer).max(1);
            report.assume(
                InputId::PromptTokens,
                prompt,
                "tokens per sequence less new tokens",
            );
            (prompt, answer)
        }
    };
    let length = found.0.saturating_add(found.1);
    if let Some(limit) = limit.filter(|limit| length > *limit) {
        let id = if total.is_some() {
            InputId::TotalTokens
        } else {
            InputId::PromptTokens
        };
        report.add(
            Issue::warning(
                "longer_than_model",
                id.key(),
                format!(
                    "The model is made for {limit} tokens at most; {length} are calculated all the same."
                ),
            )
            .with_value(length),
        );
    }
    found
}

/// Tensor and pipeline parallel sizes, checked against the heads and layers.
pub fn sharding(
    given: &Given,
    engine: Option<ServerId>,
    model: Option<&Model>,
    report: &mut Report,
) -> (u64, u64) {
    let mut tensor = tgi::shards(given, engine, report)
        .or(given.integer(InputId::ServerTensorParallel))
        .unwrap_or(1);
    let mut pipeline = given.integer(InputId::ServerPipelineParallel).unwrap_or(1);
    if engine == Some(ServerId::LlamaCpp) {
        // It divides layers among all GPUs that it sees.
        tensor = 1;
        if given.get(InputId::ServerPipelineParallel).is_none() {
            pipeline = given
                .integer(InputId::NumGpus)
                .unwrap_or(1)
                .clamp(1, MOST_VISIBLE);
        }
    }
    let copies = copies(engine);
    if let Some(model) = model {
        if let Some(why) = indivisible(&model.network, tensor, copies) {
            report.add(
                Issue::error("not_divisible", InputId::ServerTensorParallel.key(), why).with_value(tensor),
            );
        }
        if pipeline > model.network.depth() && engine != Some(ServerId::LlamaCpp) {
            report.add(
                Issue::error(
                    "not_divisible",
                    InputId::ServerPipelineParallel.key(),
                    format!(
                        "{} layers cannot be divided among {pipeline} GPUs.",
                        model.network.depth()
                    ),
                )
                .with_value(pipeline),
            );
        }
    }
    if engine == Some(ServerId::Huggingface) && tensor > 1 && pipeline > 1 {
        report.error(
            "unsupported_combination",
            InputId::ServerPipelineParallel,
            "Transformers divides either matrices (tp_plan) or layers (device_map), not both.",
        );
    }
    if engine == Some(ServerId::Tgi) && pipeline > 1 {
        report.error(
            "not_supported_by_engine",
            InputId::ServerPipelineParallel,
            "TGI divides matrices among shards, never layers.",
        );
    }
    (tensor, pipeline)
}

/// GPUs of the whole job: given, or those of one copy.
pub fn gpus(given: &Given, per_copy: u64, report: &mut Report) -> u64 {
    let Some(gpus) = given.typed_integer(InputId::NumGpus) else {
        if per_copy > 1 {
            report.assume(InputId::NumGpus, per_copy, "the GPUs of one copy of the model");
        }
        return per_copy;
    };
    if gpus % per_copy.max(1) != 0 {
        report.add(
            Issue::error(
                "gpu_count_mismatch",
                InputId::ServerTensorParallel.key(),
                format!("{gpus} GPUs cannot be divided into copies of {per_copy}."),
            )
            .with_value(per_copy),
        );
    }
    gpus
}
