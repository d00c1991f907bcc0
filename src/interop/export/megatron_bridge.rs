//! A script for Megatron-Bridge, which NeMo's training runs on: the provider of the model from the hub, with the same
//! settings as Megatron's arguments. Source: NVIDIA-NeMo/Megatron-Bridge 0.3.1 `training/config.py`, `recipes/common.py`.

use serde_json::Value;

use super::Body;
use super::common::{Recipe, global_batch, machines, recipe};
use super::python::{literal, text, truth};
use super::sheet::Sheet;
use crate::request::InputId;

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let (nodes, each) = machines(sheet);
    sheet.note(format!(
        "Start it with torchrun --nnodes {nodes} --nproc-per-node {each} megatron_bridge.py."
    ));
    let name = text(&sheet.model());
    let mut lines: Vec<String> = Vec::new();
    let mut set = |path: &str, value: String| lines.push(format!("cfg.{path} = {value}"));
    let length = sheet.integer(InputId::SeqLength).unwrap_or(2048);
    set("model.seq_length", length.to_string());
    set("dataset.seq_length", length.to_string());
    set(
        "train.micro_batch_size",
        sheet.integer(InputId::BatchSize).unwrap_or(1).to_string(),
    );
    let batch = match sheet.integer(InputId::NumMicroBatches) {
        Some(count) => sheet
            .peek_integer(InputId::BatchSize)
            .unwrap_or(1)
            .saturating_mul(count)
            .saturating_mul(sheet.facts().data_parallel),
        None => global_batch(sheet),
    };
    set("train.global_batch_size", batch.to_string());
    for (path, id) in [
        ("model.tensor_model_parallel_size", InputId::TensorParallelSize),
        (
            "model.pipeline_model_parallel_size",
            InputId::PipelineParallelSize,
        ),
        ("model.context_parallel_size", InputId::ContextParallelSize),
        ("model.expert_model_parallel_size", InputId::ExpertParallelSize),
        ("model.make_vocab_size_divisible_by", InputId::VocabularyMultiple),
    ] {
        set(path, sheet.integer(id).unwrap_or(1).to_string());
    }
    for (path, id) in [
        (
            "model.virtual_pipeline_model_parallel_size",
            InputId::VirtualPipelineSize,
        ),
        (
            "model.expert_tensor_parallel_size",
            InputId::ExpertTensorParallelSize,
        ),
        (
            "model.microbatch_group_size_per_vp_stage",
            InputId::MicrobatchGroup,
        ),
        (
            "model.num_layers_in_first_pipeline_stage",
            InputId::FirstStageLayers,
        ),
        (
            "model.num_layers_in_last_pipeline_stage",
            InputId::LastStageLayers,
        ),
        ("model.wgrad_deferral_limit", InputId::WgradDeferral),
    ] {
        if let Some(value) = sheet.typed_integer(id) {
            set(path, value.to_string());
        }
    }
    for (path, id) in [
        ("model.sequence_parallel", InputId::SequenceParallel),
        ("model.cross_entropy_loss_fusion", InputId::CrossEntropyFusion),
        ("model.gradient_accumulation_fusion", InputId::AccumulationFusion),
        ("model.masked_softmax_fusion", InputId::SoftmaxFusion),
        ("model.deterministic_mode", InputId::DeterministicMode),
        (
            "model.account_for_embedding_in_pipeline_split",
            InputId::CountEmbedding,
        ),
        ("model.account_for_loss_in_pipeline_split", InputId::CountLoss),
        ("model.moe_grouped_gemm", InputId::GroupedExperts),
        ("model.moe_pad_expert_input_to_capacity", InputId::PadToCapacity),
        ("ddp.use_distributed_optimizer", InputId::UseDistributedOptimizer),
        (
            "optimizer.use_distributed_optimizer",
            InputId::UseDistributedOptimizer,
        ),
    ] {
        set(path, truth(sheet.toggle(id)).to_owned());
    }
    if sheet.typed(InputId::WgradDeferral) {
        set("model.defer_embedding_wgrad_compute", "True".to_owned());
    }
    if let Some(factor) = sheet.typed_number(InputId::ExpertCapacity) {
        set("model.moe_expert_capacity_factor", factor.to_string());
    }
    if let Some(dropout) = sheet.typed_number(InputId::Dropout) {
        set("model.attention_dropout", dropout.to_string());
        set("model.hidden_dropout", dropout.to_string());
    }
    match sheet.among(InputId::ActivationCheckpointing, &["none", "selective", "full"]) {
        Some("full") => {
            set("model.recompute_granularity", text("full"));
            set(
                "model.recompute_method",
                text(sheet.word(InputId::RecomputeMethod)),
            );
            set(
                "model.recompute_num_layers",
                sheet.integer(InputId::RecomputeLayers).unwrap_or(1).to_string(),
            );
        }
        Some("selective") => {
            set("model.recompute_granularity", text("selective"));
            let modules = sheet.value(InputId::RecomputeModules);
            if let Some(modules) = modules.filter(|list| list.as_array().is_some_and(|list| !list.is_empty()))
            {
                set("model.recompute_modules", literal(modules));
            }
        }
        _ => set("model.recompute_granularity", "None".to_owned()),
    }
    match recipe(sheet) {
        Recipe::Mixed("fp16") => set("mixed_precision", text("16-mixed")),
        Recipe::Mixed(_) => set("mixed_precision", text("bf16_mixed")),
        Recipe::Full { .. } => set("mixed_precision", "None".to_owned()),
        Recipe::Pure(_) => {
            set("mixed_precision", text("bf16_mixed"));
            sheet.note("Megatron keeps fp32 master weights; training.precision_mode = pure has no setting.");
        }
    }
    set(
        "optimizer.clip_grad",
        sheet.number(InputId::GradientClipping).unwrap_or(1.0).to_string(),
    );
    set(
        "optimizer.lr",
        sheet.number(InputId::LearningRate).unwrap_or(1e-4).to_string(),
    );
    match sheet.among(InputId::Optimizer, &["adamw", "adam", "sgd"]) {
        Some("sgd") => {
            set("optimizer.optimizer", text("sgd"));
            set(
                "optimizer.sgd_momentum",
                sheet.number(InputId::Momentum).unwrap_or(0.9).to_string(),
            );
        }
        Some(_) => set("optimizer.optimizer", text("adam")),
        None => sheet.note("There is no such optimizer here: Adam is the default."),
    }
    sheet.among(InputId::PipelineSchedule, &["1f1b"]);
    sheet.among(InputId::BatchLayout, &["packed"]);
    sheet.tell(&[InputId::DataParallelSize]);
    sheet.note(
        "Data are mock data: set cfg.dataset to yours. Architecture that was typed must be set on cfg.model.",
    );
    let _: Option<&Value> = None;
    Body::Python(format!(
        "from megatron.bridge import AutoBridge\nfrom megatron.bridge.recipes.common import _pretrain_common\n\
from megatron.bridge.training.gpt_step import forward_step\nfrom megatron.bridge.training.pretrain import pretrain\n\n\
MODEL = {name}\n\n\ndef config():\n    cfg = _pretrain_common()\n    \
cfg.model = AutoBridge.from_hf_pretrained(MODEL).to_megatron_provider(load_weights=False)\n    \
cfg.tokenizer.tokenizer_model = MODEL\n    {}\n    return cfg\n\n\n\
if __name__ == \"__main__\":\n    pretrain(config(), forward_step)\n",
        lines.join("\n    ")
    ))
}
