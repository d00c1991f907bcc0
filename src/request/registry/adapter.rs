//! Inputs about adapters beside frozen weights.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section};
use crate::cite::{Citation, Evidence};

const PEFT: Citation = Citation::new(Evidence::Source, "huggingface/peft src/peft/tuners/lora/layer.py");
const BITSANDBYTES: Citation = Citation::new(
    Evidence::Source,
    "bitsandbytes-foundation/bitsandbytes functional.py and nn/modules.py",
);

const fn input(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(
        id,
        (Section::Training, FormGroup::Adapters),
        key,
        flag,
        url,
        label,
        kind,
    )
}

pub(super) const ADAPTER: Input = input(
    InputId::Adapter,
    "training.adapter",
    "--adapter",
    "ad",
    "Adapter",
    InputKind::Choice(&[
        Choice::new("none", "none (all weights train)", &["full"], "Every weight has a gradient and optimizer states."),
        Choice::new(
            "lora",
            "LoRA",
            &["qlora"],
            "Frozen weights with two small trained matrices beside each targeted linear layer.",
        ),
        Choice::new(
            "dora",
            "DoRA",
            &["qdora"],
            "LoRA with the length of every row trained by itself: keeps two more outputs and, with dropout, a copy of each matrix.",
        ),
    ]),
)
.fixed("none")
.help("What trains: all weights, or low-rank adapters beside frozen weights. Adapters save gradients and optimizer states, not activations.")
.cite(PEFT);

pub(super) const LORA_RANK: Input = input(
    InputId::LoraRank,
    "training.lora_rank",
    "--lora-rank",
    "lk",
    "Adapter rank",
    InputKind::Integer { min: 1, max: 65_536 },
)
.fixed("16")
.advanced()
.help("Rank of the adapters: each has rank times (inputs + outputs) weights.")
.cite(PEFT);

pub(super) const LORA_TARGETS: Input = input(
    InputId::LoraTargets,
    "training.lora_targets",
    "--lora-targets",
    "lg",
    "Adapter targets",
    InputKind::Choice(&[
        Choice::new(
            "query_value",
            "queries and values",
            &["qv"],
            "The projections of queries and values.",
        ),
        Choice::new(
            "attention",
            "attention",
            &["qkvo"],
            "All projections of attention.",
        ),
        Choice::new(
            "mlp",
            "feed-forward",
            &["feed_forward"],
            "The projections of the feed-forwards.",
        ),
        Choice::new(
            "all_linear",
            "all linear layers",
            &["all-linear"],
            "All linear layers of the blocks; not the head.",
        ),
    ]),
)
.fixed("all_linear")
.advanced()
.help("Which linear layers have an adapter. Each keeps its input once more for backward.")
.cite(PEFT);

pub(super) const LORA_DROPOUT: Input = input(
    InputId::LoraDropout,
    "training.lora_dropout",
    "--lora-dropout",
    "lq",
    "Adapter dropout",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: false,
    },
)
.fixed("0")
.advanced()
.help("Dropout before the adapter. Above zero each adapter keeps a mask and a dropped copy of its input.")
.cite(PEFT);

pub(super) const ADAPTER_DTYPE: Input = input(
    InputId::AdapterDtype,
    "training.adapter_dtype",
    "--adapter-dtype",
    "ay",
    "Adapter type",
    InputKind::Choice(&[
        Choice::new("fp32", "fp32", &["float32"], "As PEFT makes them by default (autocast_adapter_dtype)."),
        Choice::new("bf16", "bf16", &["bfloat16"], "In the type of a bf16 base."),
        Choice::new("fp16", "fp16", &["float16"], "In the type of an fp16 base."),
    ]),
)
.fixed("fp32")
.advanced()
.help("Type of the adapters, their gradients and optimizer states. Without autocast, fp32 adapters copy the input of each targeted layer to fp32.")
.cite(PEFT);

pub(super) const BASE_FORMAT: Input = input(
    InputId::BaseFormat,
    "training.base_format",
    "--base-format",
    "bf",
    "Frozen weights",
    InputKind::Choice(&[
        Choice::new("plain", "16 bits", &["none"], "In the compute type."),
        Choice::new("nf4", "NF4", &["bnb_4bit"], "bitsandbytes, blocks of 64 with fp32 scales."),
        Choice::new(
            "nf4_double",
            "NF4, double quantisation",
            &["nf4_dq"],
            "bitsandbytes, scales in 8 bits (QLoRA).",
        ),
        Choice::new(
            "int8",
            "LLM.int8()",
            &["bnb_8bit"],
            "bitsandbytes, a byte per weight and a scale per output; inputs of its products stay through recomputation without re-entering.",
        ),
        Choice::new("gptq_int4", "GPTQ int4", &["gptq"], "Four bits per weight, groups with fp16 scales."),
        Choice::new("gptq_int8", "GPTQ int8", &[], "A byte per weight, groups with fp16 scales."),
        Choice::new(
            "awq_int4",
            "AWQ int4",
            &["awq"],
            "AutoAWQ, groups with fp16 scales; backward repeats the expanded matrix for every sequence.",
        ),
    ]),
)
.fixed("plain")
.advanced()
.help("How the frozen matrices of the blocks are stored. Quantised ones are expanded one at a time for their product; embedding, head and norms stay.")
.cite(BITSANDBYTES);

pub(super) const KBIT_PREPARED: Input = input(
    InputId::KbitPrepared,
    "training.kbit_prepared",
    "--kbit-prepared",
    "kp",
    "Prepared for k-bit training",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("prepare_model_for_kbit_training casts everything that is not quantised to fp32, so the residual stream is fp32 as well.")
.cite(Citation::new(Evidence::Source, "huggingface/peft src/peft/utils/other.py"));

pub(super) const KBIT_NORMS_ONLY: Input = input(
    InputId::KbitNormsOnly,
    "training.kbit_norms_only",
    "--kbit-norms-only",
    "kn",
    "Embedding and head back in 16 bits",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("TRL casts embedding and head of a prepared 4-bit model back to bf16 (peft_module_casting_to_bf16), so only the norms stay fp32.")
.cite(Citation::new(Evidence::Source, "huggingface/trl 0.13 trl/trainer/utils.py"));

pub(super) const MODULES_TO_SAVE: Input = input(
    InputId::ModulesToSave,
    "training.modules_to_save",
    "--modules-to-save",
    "mts",
    "Whole modules that train",
    InputKind::Choice(&[
        Choice::new("none", "none", &[], "Only the adapters train."),
        Choice::new("embedding", "embedding", &["embed_tokens", "wte"], "A copy of the embedding trains."),
        Choice::new("head", "head", &["lm_head"], "A copy of the head trains."),
        Choice::new(
            "embedding_head",
            "embedding and head",
            &["embed_tokens,lm_head", "wte,lm_head"],
            "Copies of both train, two even where they are tied.",
        ),
    ]),
)
.fixed("none")
.advanced()
.help("Modules that train whole beside the adapters (modules_to_save): the frozen originals stay, and copies of them have gradients and optimizer states.")
.cite(Citation::new(Evidence::Source, "huggingface/peft src/peft/utils/other.py, ModulesToSaveWrapper"));

pub(super) const OBJECTIVE: Input = Input::new(
    InputId::Objective,
    (Section::Training, FormGroup::Workload),
    "training.objective",
    "--objective",
    "ob",
    "Objective",
    InputKind::Choice(&[
        Choice::new("next_token", "next token", &["sft", "pretrain"], "Pre-training or supervised fine-tuning."),
        Choice::new(
            "preference",
            "preferences (DPO)",
            &["dpo"],
            "Chosen and rejected answers in one forward pass; a reference, which is a copy of the model or the model without its adapters, passes them as well.",
        ),
        Choice::new(
            "preference_reference_free",
            "preferences without a reference (SimPO)",
            &["simpo", "cpo"],
            "Chosen and rejected answers in one forward pass, and no reference.",
        ),
        Choice::new(
            "unpaired_preference",
            "single answers, good or bad (KTO)",
            &["kto"],
            "One answer per row, and a reference that passes it as well.",
        ),
        Choice::new(
            "grpo",
            "sampled answers, scored (GRPO)",
            &["rloo"],
            "Answers of an engine, whose log-probabilities the model and a reference compute.",
        ),
        Choice::new(
            "grpo_reference_free",
            "the same without a reference (DAPO)",
            &["dapo"],
            "Answers of an engine, whose log-probabilities the model alone computes.",
        ),
        Choice::new(
            "ppo",
            "sampled answers with a critic (PPO)",
            &[],
            "As GRPO, with a critic that trains and a reward model that scores on the same GPUs.",
        ),
        Choice::new(
            "reward",
            "reward model",
            &["rm"],
            "Chosen and rejected answers in one forward pass; a head of one row gives one number for each.",
        ),
    ]),
)
.fixed("next_token")
.advanced()
.help("What is trained for. With preferences over pairs the batch counts pairs: twice as many sequences pass the model, and log-probabilities of all tokens are computed for it and, where there is one, for the reference.")
.cite(Citation::new(Evidence::Source, "huggingface/trl trl/trainer/dpo_trainer.py; arXiv 2305.18290"));

pub(super) const LOG_PROBABILITIES: Input = Input::new(
    InputId::LogProbabilities,
    (Section::Training, FormGroup::Workload),
    "training.log_probabilities",
    "--log-probabilities",
    "lp",
    "Log-probabilities",
    InputKind::Choice(&[
        Choice::new("rows", "one sequence at a time", &[], "In the type of the logits, one sequence after another (TRL for 16-bit logits)."),
        Choice::new("narrow", "all at once", &["bf16"], "In the type of the logits, all sequences at once."),
        Choice::new("wide", "all at once in fp32", &["naive", "fp32"], "From an fp32 copy of all logits."),
    ]),
)
.fixed("rows")
.advanced()
.help("How the log-probabilities of preference training are computed from the logits, which decides how many copies of them exist.")
.cite(Citation::new(Evidence::Source, "huggingface/trl trl/trainer/utils.py, selective_log_softmax"));

pub(super) const CHECKPOINT_REENTRANT: Input = Input::new(
    InputId::CheckpointReentrant,
    (Section::Training, FormGroup::Activations),
    "training.checkpoint_reentrant",
    "--checkpoint-reentrant",
    "cr",
    "Recomputation re-enters autograd",
    InputKind::Toggle,
)
.derived("true before transformers 5, false from then on")
.advanced()
.help("use_reentrant: a recomputed layer runs a backward pass of its own, during which the gradient of its output stays. Units of FSDP1 with frozen weights then hold every layer's input and its gradient (transformers before 4.52).")
.cite(Citation::new(
    Evidence::Source,
    "pytorch torch/utils/checkpoint.py; transformers modeling_utils.py, gradient_checkpointing_enable",
));

pub(super) const BASE_GROUP_SIZE: Input = input(
    InputId::BaseGroupSize,
    "training.base_group_size",
    "--base-group-size",
    "gs",
    "Weights per scale",
    InputKind::Integer { min: 0, max: 1_048_576 },
)
.fixed("128")
.advanced()
.help("Weights of GPTQ and AWQ that share a scale and a zero. 0 stands for one scale per output, which some published files have.")
.cite(Citation::new(Evidence::Source, "AutoGPTQ/AutoGPTQ quantization/config.py, group_size"));
