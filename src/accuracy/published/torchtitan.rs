//! torchtitan's runs over a mesh of tensor, context, pipeline and expert ranks: how its trainer composes them at the time of a
//! record, where the record does not say it.

use serde_json::Value;

use super::{extra, place};
use crate::accuracy::question::Question;
use crate::accuracy::record::{EngineName, Record};
use crate::request::InputId;

/// Whether a record is of torchtitan, whose mesh is asked.
pub(super) fn is_torchtitan(record: &Record, engine: EngineName) -> bool {
    let runner = record
        .text("engine")
        .is_some_and(|runner| runner.starts_with("torchtitan"));
    runner && matches!(engine, EngineName::Fsdp2 | EngineName::Tp)
}

/// Context, pipeline and expert ranks of a run, and the micro-batches of its pipeline.
pub(super) fn compose(question: &mut Question, record: &Record) -> Result<(), String> {
    let size = |key: &str| record.whole(key).unwrap_or(1).max(1);
    let (context, pipeline, expert) = (size("cp"), size("pp"), size("ep"));
    let layers = record
        .object("extra")
        .and_then(|extra| extra.get("layers"))
        .and_then(Value::as_u64);
    question.set_some(InputId::NumLayers, layers);
    question.set_some(InputId::BatchSize, batch_of_its_date(record));
    // Its figures are of torch 2.10 and 2.11, as it says of those beside them.
    let readme = record
        .text("source")
        .is_some_and(|source| source.contains("moe_training/README.md"));
    if readme {
        question.set(InputId::EngineVersion, "2.10");
        place::compiled(question, record);
    }
    if context * pipeline * expert == 1 {
        return Ok(());
    }
    let shards = record
        .whole("dp_shard")
        .ok_or("the number of GPUs is not stated")?;
    let gpus = shards
        .saturating_mul(size("tp"))
        .saturating_mul(context)
        .saturating_mul(pipeline);
    question.set(InputId::NumGpus, gpus);
    question.set(InputId::ContextParallelSize, context);
    question.set(InputId::ExpertParallelSize, expert);
    if pipeline == 1 {
        return Ok(());
    }
    question.set(InputId::PipelineParallelSize, pipeline);
    let date = record.text("date").unwrap_or_default();
    let interleaved =
        record.whole("vpp").is_some() || extra(record, "pp_schedule") == Some("Interleaved1F1B");
    // Multi-stage schedules have two stages per rank unless they say otherwise.
    let chunks = record.whole("vpp").unwrap_or(if interleaved { 2 } else { 1 });
    if chunks > 1 {
        question.set(InputId::VirtualPipelineSize, chunks);
    }
    let batch = record.whole("mbs").ok_or("the micro-batch is not stated")?;
    // As many micro-batches as ranks (torchtitan 9dec370, parallelisms/pipelining_utils.py), from torchtitan 1073 of April
    // 2025 on micro-batches of one sample.
    let batches = if date < "2025-04" { pipeline } else { batch };
    question.set(InputId::BatchSize, (batch / batches.max(1)).max(1));
    question.set(InputId::GradientAccumulationSteps, batches);
    // Until torchtitan 1416 of July 2025 the stages between the first and the last had what did not divide (`generate_split_points`).
    if date < "2025-07-30" {
        let model = question.request.get(InputId::ModelId).and_then(Value::as_str);
        let depth = model
            .and_then(crate::model::catalogue::find)
            .and_then(crate::model::catalogue::Entry::network)
            .map(|network| network.depth())
            .ok_or("the number of layers is not stated")?;
        question.set(
            InputId::PipelineLayout,
            layout(depth, pipeline.saturating_mul(chunks)),
        );
    }
    Ok(())
}

/// Sequences per rank of the configuration at the commit of a record that took them from another date: torchtitan 27aa490
/// trains its DeepSeek-V3 of 16B with 4 (models/deepseek_v3/config_registry.py, `deepseek_v3_16b`), where 1610 of August 2025
/// still had 8.
fn batch_of_its_date(record: &Record) -> Option<u64> {
    let inferred = record.fields.get("inferred").and_then(Value::as_array)?;
    let unverified = inferred
        .iter()
        .filter_map(Value::as_str)
        .any(|text| text.contains("unverified for this date"));
    let commit = record
        .text("source")
        .is_some_and(|source| source.contains("27aa49077c43"));
    (unverified && commit).then_some(4)
}

/// The layers of every stage, as a written layout.
fn layout(layers: u64, stages: u64) -> String {
    let (each, more) = (layers / stages.max(1), layers % stages.max(1));
    let sizes = (0..stages).map(|stage| each + u64::from((1..=more).contains(&stage)));
    let written: Vec<String> = sizes.map(|size| format!("t*{size}")).collect();
    format!("E{}L", written.join("|"))
}

#[cfg(test)]
mod tests {
    use super::layout;

    #[test]
    fn the_first_and_the_last_stage_have_the_fewest() {
        assert_eq!(layout(126, 8), "Et*15|t*16|t*16|t*16|t*16|t*16|t*16|t*15L");
    }
}
