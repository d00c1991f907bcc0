//! From a published run (`training.jsonl`) to a question. Texts are free, so a record is asked only where every
//! decisive one is understood; all others get a reason that many records share.

use serde_json::Value;

use super::question::Question;
use super::record::{EngineName, Record};
use super::{extras, software, trace};
use crate::request::InputId;

/// The question of a published run, or why it cannot be asked.
pub fn question(record: &Record) -> Result<Question, String> {
    let mut question = Question::default();
    let engine = record.engine();
    refuse_what_is_not_built(record, engine)?;
    mesh(&mut question, record, engine)?;
    question.set(InputId::ModelId, model(record)?);
    precision(&mut question, record)?;
    optimizer(&mut question, record)?;
    adapter(&mut question, record)?;
    workload(&mut question, record)?;
    activations(&mut question, record)?;
    versions(&mut question, record)?;
    card(&mut question, record);
    compiled(&mut question, record);
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
        other => return Err(format!("engine {} is not built yet", other.key())),
    }
    if record.text("offload").is_some() || says(record, "act_ckpt", "offload") {
        return Err("offload to the CPU is not built yet".into());
    }
    for (key, name) in [
        ("tp", "tensor"),
        ("pp", "pipeline"),
        ("cp", "context"),
        ("ep", "expert"),
    ] {
        let built = key == "tp" && engine == EngineName::Tp;
        if !built && record.whole(key).is_some_and(|size| size > 1) {
            return Err(format!("{name} parallelism is not built yet"));
        }
    }
    let float8 = record
        .object("extra")
        .and_then(|extra| extra.get("float8_linear"))
        .and_then(Value::as_bool);
    if engine == EngineName::Tp && float8 == Some(true) {
        return Err("float8 linear layers under tensor parallelism are not built yet".into());
    }
    let strategy = record.text("strategy").unwrap_or_default();
    if strategy.contains("device_map") || strategy.contains("sequence parallel") {
        return Err("layers divided over GPUs (device_map) are not built yet".into());
    }
    Ok(())
}

/// The ZeRO stage of a run under DeepSpeed. Qwen's scripts take stage 3 for full training (QwenLM/Qwen:
/// finetune/finetune_ds.sh). Their quantised adapters run under stage 2 on one GPU, where DeepSpeed divides nothing and its
/// flat buffers are those of the adapters alone, so they are asked as a plain run.
fn zero_stage(record: &Record) -> Option<u64> {
    let strategy = record.text("strategy").unwrap_or_default().to_lowercase();
    let stated = strategy
        .contains("zero")
        .then(|| strategy.chars().rev().find_map(|letter| letter.to_digit(10)))
        .flatten();
    let runner = record
        .text("engine")
        .is_some_and(|text| text.contains("DeepSpeed"));
    let adapted = record.object("peft").is_some();
    stated.map(u64::from).or((runner && !adapted).then_some(3))
}

/// Whether a text field contains a word, in any case.
fn says(record: &Record, key: &str, word: &str) -> bool {
    record
        .text(key)
        .is_some_and(|text| text.to_lowercase().contains(word))
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
            .to_lowercase()
            .replace("-instruct", "")
            .replace("-chat", "")
            .replace("-gptq", "")
            .replace("_", "."),
    }
    .replace("meta-llama-3-8b", "llama-3-8b")
    .replace("mixtral-8x7b-v0.1", "mixtral-8x7b"))
}

fn precision(question: &mut Question, record: &Record) -> Result<(), String> {
    let text = record.text("precision").unwrap_or_default().to_lowercase();
    let has = |part: &str| text.contains(part);
    if zero_stage(record).is_some() {
        question.set(
            InputId::Dtype,
            if record.text("quant_base").is_some() {
                "fp16"
            } else {
                "bf16"
            },
        );
        question.set(InputId::PrecisionMode, "mixed");
        return Ok(());
    }
    if has("nvfp4") {
        return Err("nvfp4 training is not built yet".into());
    }
    if has("fp32 params sharded") {
        question.set(InputId::Dtype, "bf16");
        question.set(InputId::PrecisionMode, "mixed");
        question.set(InputId::ReduceDtype, "fp32");
        return Ok(());
    }
    let sharded = record
        .text("strategy")
        .is_some_and(|text| text.starts_with("FSDP1"));
    let adapted = record.object("peft").is_some();
    // Qwen's scripts: bf16 weights and --bf16, fp16 over a quantised base.
    let flagged = has("--bf16") || has("--fp16") || has("hf bf16") || has("q-lora: fp16");
    let compute = if has("float16") && !has("bfloat16") {
        "fp16"
    } else {
        "bf16"
    };
    // HF's flag on FSDP1 is its mixed precision: trained weights in fp32 shards, arithmetic and reduction in 16 bits.
    if sharded && (has("--bf16") || has("--fp16")) {
        question.set(InputId::Dtype, compute);
        question.set(InputId::PrecisionMode, "mixed");
        question.set(InputId::ReduceDtype, compute);
        return Ok(());
    }
    // Beside adapters the frozen weights stay in 16 bits and the fp32 adapters are cast.
    if adapted && flagged {
        question.set(InputId::Dtype, compute);
        question.set(InputId::PrecisionMode, "autocast");
        return Ok(());
    }
    if has("fp16") && !flagged || compute == "fp16" {
        return Err("fp16 without adapters is not described closely enough".into());
    }
    // A model that was loaded in bf16 keeps its weights, gradients and states there; --bf16 changes nothing at rest.
    if has("torch_dtype=bfloat16")
        || has("(pure)")
        || has("params, grads, optimizer states in bf16")
        || has("bf16 weights")
    {
        question.set(InputId::Dtype, "bf16");
        question.set(InputId::PrecisionMode, "pure");
        return Ok(());
    }
    Err("the precision recipe is not stated".into())
}

fn optimizer(question: &mut Question, record: &Record) -> Result<(), String> {
    let text = record.text("optimizer").unwrap_or_default().to_lowercase();
    let has = |part: &str| text.contains(part);
    if text.is_empty() {
        return Err("the optimizer is not stated".into());
    }
    if has("backward") {
        question.set(InputId::OptimizerInBackward, true);
        question.set(InputId::GradientClipping, 0.0);
    }
    let torchao = has("ao ") && !has("_adamw");
    let eight = has("8-bit") || has("8bit");
    let kind = match () {
        () if has("cpu") => return Err("an optimizer on the host is not built yet".into()),
        () if has("galore") => return galore(question, &text),
        () if has("muon") => "muon",
        () if torchao && eight => "adamw_8bit_torchao",
        () if torchao && has("4-bit") => "adamw_4bit_torchao",
        () if has("paged") && eight => "paged_adamw_8bit",
        () if has("paged") => "paged_adamw_32bit",
        () if eight => "adamw_8bit",
        () => "adamw",
    };
    question.set(InputId::Optimizer, kind);
    let runner = record.text("engine").unwrap_or_default();
    let fused = kind == "adamw" && (has("fused") || runner.starts_with("torchtune"));
    question.set_some(InputId::OptimizerImplementation, fused.then_some("fused"));
    Ok(())
}

/// GaLore as galore_torch computes it: one optimizer over all matrices of the layers.
fn galore(question: &mut Question, text: &str) -> Result<(), String> {
    let value = |key: &str| {
        let words = || text.split([' ', '/']);
        words().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    };
    if value("galore_per_parameter") == Some("true") {
        return Err("GaLore with one optimizer per weight is not built yet".into());
    }
    if value("galore_with_embedding") == Some("true") {
        return Err("GaLore over the embedding is not built yet".into());
    }
    let rank: u64 = value("galore_rank")
        .and_then(|rank| rank.parse().ok())
        .ok_or("GaLore's rank is not stated")?;
    question.set(InputId::Optimizer, "galore");
    question.set(InputId::GaloreRank, rank);
    Ok(())
}

fn adapter(question: &mut Question, record: &Record) -> Result<(), String> {
    let base = record.text("quant_base").map(str::to_lowercase);
    let Some(peft) = record.object("peft") else {
        return match base {
            Some(_) => Err("a quantised base without adapters".into()),
            None => Ok(()),
        };
    };
    let kind = peft.get("type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "lora" | "qlora" | "dora") {
        return Err(format!("the adapter {kind} is not built yet"));
    }
    let modules = extras::modules(peft.get("modules_to_save"))?;
    question.set(InputId::ModulesToSave, modules);
    question.set(InputId::Adapter, if kind == "dora" { "dora" } else { "lora" });
    let rank = peft
        .get("rank")
        .and_then(Value::as_u64)
        .ok_or("the adapter's rank is not stated")?;
    question.set(InputId::LoraRank, rank);
    question.set(InputId::LoraTargets, targets(peft.get("targets"))?);
    // As their model cards say of the main branch: one scale per output.
    let ungrouped = [
        "TheBloke/Llama-2-70B-GPTQ",
        "TheBloke/Mixtral-8x7B-Instruct-v0.1-GPTQ",
    ];
    if record
        .text("model")
        .is_some_and(|model| ungrouped.contains(&model))
    {
        question.set(InputId::BaseGroupSize, 0);
    }
    // The baseline leaves the preparation of a 4-bit model to TRL, which does nothing to one that FSDP divides.
    let baseline = extra(record, "framework_config").is_some_and(|config| config.contains("baseline"));
    if baseline && base.is_some() && record.text("strategy") == Some("single") {
        question.set(InputId::KbitPrepared, true);
        question.set(InputId::KbitNormsOnly, true);
    }
    // The default of fms-hf-tuning (tuning/config/peft_config.py).
    let usual = record
        .text("source_group")
        .is_some_and(|group| group.starts_with("fms"))
        .then_some(0.05);
    let dropout = peft.get("dropout").and_then(Value::as_f64).or(usual);
    question.set_some(InputId::LoraDropout, dropout);
    question.set(
        InputId::BaseFormat,
        match base.as_deref() {
            None => "plain",
            // ms-swift's and fms-hf-tuning's defaults of bitsandbytes are NF4 with quantised scales.
            Some(text) if text.contains("nf4") || text.contains("int4 (bnb)") => "nf4_double",
            Some(text) if text.contains("gptq") && text.contains("int4") => "gptq_int4",
            Some(text) if text.contains("gptq") && text.contains("int8") => "gptq_int8",
            Some(text) => return Err(format!("a base in {text} is not built yet")),
        },
    );
    Ok(())
}

/// The adapted layers of a published run: names of modules, torchtune's short names, or the runner's word for all of them.
fn targets(given: Option<&Value>) -> Result<&'static str, String> {
    let names: Vec<String> = match given {
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_lowercase)
            .collect(),
        Some(Value::String(name)) => vec![name.to_lowercase()],
        _ => return Err("the adapter's targets are not stated".into()),
    };
    let has = |words: &[&str]| names.iter().any(|name| words.contains(&name.as_str()));
    let says = |part: &str| names.iter().any(|name| name.contains(part));
    if says("all-linear") || says("all linear") || has(&["mlp", "w1"]) {
        return Ok("all_linear");
    }
    if says("default (") || has(&["q", "v"]) && !has(&["k", "o"]) {
        return Ok("query_value");
    }
    if has(&["q", "k"]) {
        return Ok("attention");
    }
    if says("default") {
        return Err("the adapter's targets are not stated".into());
    }
    trace::targets(given)
}

fn workload(question: &mut Question, record: &Record) -> Result<(), String> {
    let note = record.text("seq_len_note").unwrap_or_default().to_lowercase();
    let sequence = record.whole("seq_len");
    // Samples longer than the cap are cut to it, so the longest batch is as long as the cap.
    let reached = note.contains("cap is reached")
        || note.contains("cap reached up to 8192") && sequence.is_some_and(|tokens| tokens <= 8192);
    let padded = reached || note.contains("padded to");
    if padded {
        question.set(InputId::BatchLayout, "padded");
    }
    let unknown = [
        "only a cap",
        "only the cap",
        "cap;",
        "cap on",
        "not packed",
        "unknown",
        "not stated",
    ];
    match sequence {
        Some(tokens) if reached || !unknown.iter().any(|word| note.contains(word)) => {
            question.set(InputId::SeqLength, tokens);
        }
        _ => return Err("the true sequence length is not known".into()),
    }
    question.set(
        InputId::BatchSize,
        record.whole("mbs").ok_or("the micro-batch is not stated")?,
    );
    question.set_some(InputId::GradientAccumulationSteps, record.whole("grad_accum"));
    Ok(())
}

fn activations(question: &mut Question, record: &Record) -> Result<(), String> {
    // torchtitan's own configurations recompute at op level unless they say otherwise.
    let unstated = match record.text("engine") {
        Some(engine) if engine.starts_with("torchtitan") => "selective (per-op)",
        _ => "none",
    };
    let checkpointing = record.text("act_ckpt").unwrap_or(unstated).to_lowercase();
    question.set(
        InputId::ActivationCheckpointing,
        match checkpointing.as_str() {
            "none" => "none",
            "selective (per-op)" => "operations",
            "selective (every 2nd layer)" => "every_n",
            "selective (per-layer)" => return Err("which layers are recomputed is not stated".into()),
            text if text.starts_with("full") && !text.contains('+') => "full",
            _ => return Err("this kind of recomputation is not built yet".into()),
        },
    );
    let attention = record.text("attention").unwrap_or_default().to_lowercase();
    let kernel = if attention.contains("unfused") || attention.contains("eager") {
        "eager"
    } else if attention.contains("flash_att") || attention.contains("flash attention") {
        "flash_attention"
    } else {
        "fused"
    };
    question.set(InputId::Attention, kernel);
    let loss = record.text("loss_impl").unwrap_or_default().to_lowercase();
    let kind = if loss.contains("liger") {
        "fused"
    } else if loss.contains("chunked") {
        "chunked"
    } else if loss.contains("fused ce") {
        "fused_in_place"
    } else {
        "plain"
    };
    question.set(InputId::Loss, kind);
    let config = extra(record, "framework_config").unwrap_or_default();
    if liger(record) {
        question.set(InputId::Loss, "fused");
        question.set(InputId::FusedKernels, "liger");
        return Ok(());
    }
    let bigcode = says(record, "model", "bigcode");
    question.set(
        InputId::FusedKernels,
        // "liger" in these names is the loss alone, and GPT-BigCode's rules replace nothing but the loss.
        if config.contains("foak") && record.text("quant_base").is_some() && !bigcode {
            "norm_rotary_adapter"
        } else if config.contains("foak") {
            "norm_rotary"
        } else {
            "none"
        },
    );
    Ok(())
}

/// Whether ms-swift's script uses Liger's kernels; one of its comments gives the figure without them.
fn liger(record: &Record) -> bool {
    let argument = record
        .object("extra")
        .and_then(|extra| extra.get("args"))
        .and_then(|args| args.get("use_liger_kernel"))
        .and_then(Value::as_str);
    let comment = extra(record, "comment").unwrap_or_default().to_lowercase();
    argument == Some("true") && !comment.contains("not using")
}

/// Torch's version from the software or the date; transformers' where the run used it.
fn versions(question: &mut Question, record: &Record) -> Result<(), String> {
    let software = record.text("software").unwrap_or_default();
    let stated = software::version_of("torch", software);
    question.differences.version_inferred = stated.is_none();
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
fn compiled(question: &mut Question, record: &Record) {
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
fn card(question: &mut Question, record: &Record) {
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
        refused("strategy", json!("Megatron"), "engine megatron is not built yet");
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
