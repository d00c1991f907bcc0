//! What only TensorRT-LLM reads, with the rules between its limits.

use super::super::given::Given;
use super::super::resolve::{Model, Report};
use super::settings::released;
use crate::inference::Version;
use crate::inference::engines::tensorrt_llm::release::releases;
use crate::inference::engines::tensorrt_llm::{Backend, Options};
use crate::request::InputId;

const KNOWN: (&str, &str) = (
    "the newest version that is known",
    "TensorRT-LLM is known from 0.5 on; give a version like 1.0.0.",
);

/// The arguments of a build or a start; `None` where the version is refused.
pub fn options(given: &Given, model: &Model, report: &mut Report) -> Option<Options> {
    let (release, _) = released(given, &releases().releases, KNOWN, report)?;
    let whole = |id| given.typed_integer(id);
    let mut options = Options::new(release);
    options.backend = match given.choice(InputId::TrtBackend) {
        Some("pytorch") => Some(Backend::PyTorch),
        Some(_) => Some(Backend::TensorRt),
        None => None,
    };
    options.fraction = given.typed_number(InputId::GpuMemoryUtilization);
    options.block = whole(InputId::BlockSize);
    options.batch = whole(InputId::TrtMaxBatchSize);
    options.input = whole(InputId::TrtMaxInputLen);
    options.length = whole(InputId::TrtMaxSeqLen);
    options.tokens = whole(InputId::TrtMaxNumTokens);
    options.most_tokens = whole(InputId::MaxPoolTokens);
    options.beams = given.integer(InputId::TrtMaxBeamWidth).unwrap_or(1).max(1);
    options.packed = given.toggle(InputId::TrtRemovePadding) != Some(false);
    options.reuse = given.toggle(InputId::PrefixCaching) != Some(false);
    options.eager = given.toggle(InputId::EnforceEager) == Some(true);
    options.experts = given.toggle(InputId::ServerExpertParallel) == Some(true);
    check(given, &options, model, report);
    Some(options)
}

/// Whether the backend is the one on PyTorch: asked for, or the default of the release.
pub fn on_pytorch(given: &Given, version: Version) -> bool {
    match given.choice(InputId::TrtBackend) {
        Some(name) => name == "pytorch",
        None => releases().at(version).is_some_and(|release| release.pytorch),
    }
}

fn check(given: &Given, options: &Options, model: &Model, report: &mut Report) {
    let pytorch = match options.backend {
        Some(backend) => backend == Backend::PyTorch,
        None => options.release.pytorch,
    };
    let mut not_used = |used: bool, id: InputId, why: &str| {
        if given.differs_from_default(id) && !used {
            report.warn("not_used", id, why);
        }
    };
    not_used(
        !pytorch,
        InputId::TrtRemovePadding,
        "The PyTorch backend always packs prompts.",
    );
    not_used(
        pytorch,
        InputId::EnforceEager,
        "A built engine captures no graphs.",
    );
    not_used(
        options.reuse,
        InputId::SharedPrefixTokens,
        "Without reuse of blocks every sequence holds its own copy.",
    );
    not_used(
        options.packed,
        InputId::TrtMaxNumTokens,
        "Padded prompts are bounded by the batch and the longest prompt.",
    );
    let experts = model.network.kinds.iter().any(|layer| layer.moe().is_some());
    not_used(
        experts,
        InputId::ServerExpertParallel,
        "The model has no experts to divide.",
    );
    if pytorch && given.has(InputId::TrtMaxInputLen) {
        report.warn(
            "not_used",
            InputId::TrtMaxInputLen,
            "The PyTorch backend has no longest prompt: the longest sequence bounds it.",
        );
    }
    if let (Some(input), Some(length)) = (options.input, options.length)
        && input > length
    {
        report.error(
            "unsupported_combination",
            InputId::TrtMaxInputLen,
            format!("A prompt of {input} tokens is longer than the longest sequence of {length}."),
        );
    }
}
