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

pub(super) static ADAPTER: Input = input(
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
    ]),
)
.fixed("none")
.help("What trains: all weights, or low-rank adapters beside frozen weights. Adapters save gradients and optimizer states, not activations.")
.cite(PEFT);

pub(super) static LORA_RANK: Input = input(
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

pub(super) static LORA_TARGETS: Input = input(
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

pub(super) static LORA_DROPOUT: Input = input(
    InputId::LoraDropout,
    "training.lora_dropout",
    "--lora-dropout",
    "ldr",
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

pub(super) static ADAPTER_DTYPE: Input = input(
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

pub(super) static BASE_FORMAT: Input = input(
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
        Choice::new("gptq_int4", "GPTQ int4", &["gptq"], "Groups of 128 with fp16 scales."),
    ]),
)
.fixed("plain")
.advanced()
.help("How the frozen matrices of the blocks are stored. Quantised ones are expanded one at a time for their product; embedding, head and norms stay.")
.cite(BITSANDBYTES);

pub(super) static KBIT_PREPARED: Input = input(
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
