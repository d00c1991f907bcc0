//! What published runs of every engine state alike: versions of the libraries, the compiler, the card, the batch.

use serde_json::Value;

use crate::accuracy::question::Question;
use crate::accuracy::record::Record;
use crate::accuracy::software;
use crate::request::InputId;

/// Sequence length, micro-batch and accumulation of a run that cannot be asked without them.
pub(super) fn batch(question: &mut Question, record: &Record) -> Result<(), String> {
    question.set(
        InputId::SeqLength,
        record
            .whole("seq_len")
            .ok_or("the true sequence length is not known")?,
    );
    question.set(
        InputId::BatchSize,
        record.whole("mbs").ok_or("the micro-batch is not stated")?,
    );
    question.set_some(InputId::GradientAccumulationSteps, record.whole("grad_accum"));
    Ok(())
}

/// Torch's version from the software or the date; transformers' where the run used it.
pub(super) fn versions(question: &mut Question, record: &Record) -> Result<(), String> {
    let software = record.text("software").unwrap_or_default();
    let stated = software::version_of("torch", software);
    let torch = match stated {
        Some(version) => version,
        None => software::torch_of(record.text("date").unwrap_or_default())
            .ok_or("neither software nor date is stated")?,
    };
    question.set(InputId::EngineVersion, torch);
    let runner = record.text("engine").unwrap_or_default();
    let inferred = runner
        .contains("HF Trainer")
        .then(|| software::transformers_of(record.text("date").unwrap_or_default()))
        .flatten();
    let transformers = software::version_of("transformers", software).or(inferred);
    question.set_some(InputId::TransformersVersion, transformers);
    Ok(())
}

/// How the run was compiled, where it was. From torch 2.8 on torchtitan compiles its loss with the layers.
pub(super) fn compiled(question: &mut Question, record: &Record) {
    if !record.flag("compile") {
        return;
    }
    let minor = question
        .request
        .get(InputId::EngineVersion)
        .and_then(Value::as_str)
        .and_then(|version| version.split_once('.'))
        .and_then(|(_, minor)| minor.parse::<u16>().ok());
    let torchtitan = record
        .text("engine")
        .is_some_and(|engine| engine.starts_with("torchtitan"));
    let with_loss = torchtitan && minor.is_some_and(|minor| minor >= 8);
    question.set(
        InputId::Compile,
        if with_loss { "model_and_loss" } else { "model" },
    );
}

/// The card, with its memory where the record states another than the table's.
pub(super) fn card(question: &mut Question, record: &Record) {
    let name = record.text("gpu").unwrap_or_default();
    let plain = name.split(['(', ',']).next().unwrap_or(name).trim();
    let known = crate::hardware::find(plain).map(|gpu| gpu.id.clone());
    let (id, typed) = match (known, plain) {
        (Some(id), _) => (Some(id), false),
        (None, text) if text.contains("H100") => (Some("h100-sxm-80gb".into()), true),
        (None, text) if text.contains("B200") => (Some("b200-sxm".into()), true),
        (None, text) if text.contains("GB300") => (Some("gb300-nvl72-per-gpu".into()), true),
        (None, text) if text.contains("MI300X") => (Some("instinct-mi300x".into()), false),
        (None, text) if text.contains("A100") => (Some("a100-sxm-80gb".into()), true),
        _ => (None, true),
    };
    question.set_some(InputId::Gpu, id);
    if typed {
        question.set_some(InputId::GpuMemoryGb, record.number("gpu_mem_gib"));
    }
}
