//! From a published run (`training.jsonl`) to a question. Texts are free, so a record is asked only where every
//! decisive one is understood; all others get a reason that many records share. Which engine and model a run used is read
//! here; `recipe` reads precision, optimizer and offload, `adapter` adapters and quantised bases, `work` batches and what the
//! layers and the loss hold, `place` versions and the card.

mod adapter;
mod bigscience;
mod megatron;
mod place;
mod recipe;
mod torchtitan;
mod work;

use serde_json::Value;

use super::question::Question;
use super::record::{EngineName, Record};
use crate::request::InputId;

pub use megatron::is_functional_test;

/// The question of a published run, or why it cannot be asked.
pub fn question(record: &Record) -> Result<Question, String> {
    if is_functional_test(record) {
        return megatron::question(record);
    }
    let engine = record.engine();
    if engine == EngineName::MegatronDeepSpeed {
        return bigscience::question(record);
    }
    let swift = record
        .text("engine")
        .is_some_and(|engine| engine.starts_with("ms-swift megatron"));
    if engine == EngineName::Megatron && swift {
        return megatron::script(record, &model(record)?);
    }
    let mut question = Question::default();
    refuse_what_is_not_built(record, engine)?;
    mesh(&mut question, record, engine)?;
    question.set(InputId::ModelId, model(record)?);
    recipe::precision(&mut question, record)?;
    recipe::optimizer(&mut question, record)?;
    recipe::offload(&mut question, record, engine)?;
    adapter::adapter(&mut question, record)?;
    work::workload(&mut question, record)?;
    work::activations(&mut question, record)?;
    place::versions(&mut question, record)?;
    place::card(&mut question, record);
    place::compiled(&mut question, record);
    if torchtitan::is_torchtitan(record, engine) {
        torchtitan::compose(&mut question, record)?;
    }
    Ok(question)
}

fn refuse_what_is_not_built(record: &Record, engine: EngineName) -> Result<(), String> {
    match engine {
        EngineName::Single
        | EngineName::Ddp
        | EngineName::Fsdp1
        | EngineName::Fsdp2
        | EngineName::DeepSpeed
        | EngineName::Tp => {}
        EngineName::Hsdp => return Err("hybrid sharding is not built yet".into()),
        EngineName::Megatron => return Err("its arguments under Megatron are not read yet".into()),
        other => return Err(format!("engine {} is not built yet", other.key())),
    }
    for (key, name) in [
        ("tp", "tensor"),
        ("pp", "pipeline"),
        ("cp", "context"),
        ("ep", "expert"),
    ] {
        let built = key == "tp" && engine == EngineName::Tp || torchtitan::is_torchtitan(record, engine);
        if !built && record.whole(key).is_some_and(|size| size > 1) {
            return Err(format!("{name} parallelism is not built yet"));
        }
    }
    let strategy = record.text("strategy").unwrap_or_default();
    if strategy.contains("device_map") || strategy.contains("sequence parallel") {
        return Err("layers divided over GPUs (device_map) are not built yet".into());
    }
    Ok(())
}

/// The ZeRO stage of a run under DeepSpeed. Qwen's scripts take stage 3 for full training (QwenLM/Qwen:
/// finetune/finetune_ds.sh), and stage 2 for quantised adapters on one GPU (finetune_qlora_single_gpu.sh).
fn zero_stage(record: &Record) -> Option<u64> {
    let strategy = record.text("strategy").unwrap_or_default().to_ascii_lowercase();
    let stated = strategy
        .contains("zero")
        .then(|| strategy.chars().rev().find_map(|letter| letter.to_digit(10)))
        .flatten();
    let runner = record
        .text("engine")
        .is_some_and(|text| text.contains("DeepSpeed"));
    let usual = match (record.object("peft"), record.text("quant_base")) {
        (None, _) => Some(3),
        (Some(_), Some(_)) => Some(2),
        (Some(_), None) => None,
    };
    stated.map(u64::from).or(usual.filter(|_| runner))
}

/// Whether a text field contains a word, in any case.
fn says(record: &Record, key: &str, word: &str) -> bool {
    record
        .text(key)
        .is_some_and(|text| text.to_ascii_lowercase().contains(word))
}

fn mesh(question: &mut Question, record: &Record, engine: EngineName) -> Result<(), String> {
    let ranks = match engine {
        EngineName::Single => Some(1),
        EngineName::Ddp | EngineName::DeepSpeed => record.whole("dp").or(record.whole("n_gpus")),
        _ => record.whole("dp_shard").or(record.whole("n_gpus")),
    };
    let ranks = ranks.ok_or("the number of GPUs is not stated")?;
    let tensor = if engine == EngineName::Tp {
        record
            .whole("tp")
            .ok_or("the tensor-parallel size is not stated")?
    } else {
        1
    };
    question.set(InputId::NumGpus, ranks.saturating_mul(tensor));
    if engine == EngineName::Tp {
        // torchtitan's defaults: sequence parallelism with tensor parallelism, and loss parallelism.
        question.set(InputId::TensorParallelSize, tensor);
        question.set(InputId::TensorParallelPlan, "torch");
        question.set(InputId::SequenceParallel, record.flag("sp"));
        question.set(InputId::LossParallel, true);
    }
    if let Some(stage) = zero_stage(record) {
        question.set(InputId::EngineType, "deepspeed");
        question.set(InputId::ZeroStage, stage);
    } else if engine == EngineName::Fsdp1 {
        question.set(InputId::EngineType, "fsdp");
        question.set(InputId::FsdpVersion, "1");
        question.set(InputId::ShardingStrategy, "full_shard");
    } else if matches!(engine, EngineName::Fsdp2 | EngineName::Tp) {
        question.set(InputId::EngineType, "fsdp");
        // A pipeline's stages stay gathered.
        if record.whole("pp").is_some_and(|size| size > 1) {
            return Ok(());
        }
        let never = extra(record, "reshard_after_forward") == Some("never");
        question.set(InputId::ReshardAfterForward, !never);
        question.set(
            InputId::ShardingStrategy,
            if never { "shard_grad_op" } else { "full_shard" },
        );
    } else {
        question.set(InputId::EngineType, "pytorch_ddp");
    }
    Ok(())
}

fn extra<'a>(record: &'a Record, key: &str) -> Option<&'a str> {
    record.object("extra")?.get(key).and_then(Value::as_str)
}

/// The published name, where it is not one that the catalogue knows as it stands.
fn model(record: &Record) -> Result<String, String> {
    let name = record.text("model").ok_or("the model is not named")?;
    let plain = name.split('(').next().unwrap_or(name).trim();
    Ok(match plain {
        "Llama-2-7B-class" => "llama-2-7b".into(),
        // Its architecture, as the records state it, is that of DeepSeek-V2-Lite.
        "DeepSeek-V3-16B" => "deepseek-v2-lite".into(),
        "DeepSeek-V3-671B" => "deepseek-v3".into(),
        "Llama-4-Scout 17Bx16E reduced to 2 layers" => "llama-4-scout-17b-16e".into(),
        "NousResearch/Llama-2-70b-hf" => "llama-2-70b".into(),
        "bigcode/gpt_bigcode-santacoder" => "santacoder".into(),
        "meta-llama/Meta-Llama-3-8B" => "llama-3-8b".into(),
        "mistralai/Mistral-7B-v0.1" => "mistral-7b-v0.1".into(),
        "mistralai/Mixtral-8x7B-Instruct-v0.1" => "mixtral-8x7b".into(),
        text if text.contains("torchao benchmark") || text == "Llama-2-1B" => {
            return Err("the architecture of the benchmark's own model is not stated".into());
        }
        "TechxGenus/Meta-Llama-3-8B-GPTQ" => "llama-3-8b".into(),
        "TheBloke/Mixtral-8x7B-Instruct-v0.1-GPTQ" => "mixtral-8x7b".into(),
        text => text
            .rsplit('/')
            .next()
            .unwrap_or(text)
            .to_ascii_lowercase()
            .replace("-instruct", "")
            .replace("-chat", "")
            .replace("-gptq", "")
            .replace("_", "."),
    }
    .replace("meta-llama-3-8b", "llama-3-8b")
    .replace("mixtral-8x7b-v0.1", "mixtral-8x7b"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::record::read;
    use serde_json::json;

    const RUN: &str = r#"{"id":"fms","source_group":"g","model":"meta-llama/Meta-Llama-3-8B","n_gpus":1,"gpu":"A100 80GB",
        "gpu_mem_gib":79.15,"engine":"fms-hf-tuning sft_trainer","strategy":"single","dp":1,
        "precision":"torch_dtype=bfloat16, HF --bf16 autocast/mixed precision","optimizer":"AdamW (adamw_torch)","mbs":4,
        "seq_len":4096,"seq_len_note":"packed to max_seq_len","grad_accum":1,"act_ckpt":"full (HF gradient_checkpointing)",
        "attention":"flash_attention_2","compile":false,"loss_impl":"Liger fused linear CE","quantity":"max_allocated",
        "software":"torch 2.4.1, transformers 4.45.2","date":"2024-2025"}"#;

    #[track_caller]
    fn ask(change: impl FnOnce(&mut Record)) -> Result<Value, String> {
        let mut records = read(&RUN.replace('\n', " ")).expect("readable");
        let mut record = records.remove(0);
        change(&mut record);
        question(&record).map(|question| question.request.to_json())
    }

    #[test]
    fn a_full_run_on_one_gpu_is_asked() {
        let request = ask(|_| ()).expect("mapped");
        assert_eq!(request.get("model"), Some(&json!({"id": "llama-3-8b"})));
        assert_eq!(
            request.get("engine"),
            Some(&json!({"type": "pytorch_ddp", "version": "2.4", "transformers_version": "4.45"}))
        );
        let training = request.get("training").expect("training");
        assert_eq!(training.get("precision_mode"), Some(&json!("pure")));
        assert_eq!(training.get("loss"), Some(&json!("fused")));
        assert_eq!(training.get("activation_checkpointing"), Some(&json!("full")));
        assert_eq!(training.get("optimizer_implementation"), None);
    }

    #[track_caller]
    fn refused(key: &str, value: Value, reason: &str) {
        let key = key.to_owned();
        let answer = ask(|record| {
            record.fields.insert(key, value);
        });
        assert_eq!(answer.expect_err("refused"), reason);
    }

    #[test]
    fn what_cannot_be_asked_has_a_reason() {
        refused(
            "peft",
            json!({"type": "adalora"}),
            "the adapter adalora is not built yet",
        );
        refused(
            "strategy",
            json!("Megatron"),
            "its arguments under Megatron are not read yet",
        );
        refused("tp", json!(2), "tensor parallelism is not built yet");
        refused("seq_len", Value::Null, "the true sequence length is not known");
        refused(
            "seq_len_note",
            json!("max_length is only a cap"),
            "the true sequence length is not known",
        );
        refused("optimizer", json!("GaLore AdamW"), "GaLore's rank is not stated");
        refused("precision", json!("bf16"), "the precision recipe is not stated");
    }
}
