//! Inputs of section `training`: workload, types, activations and loss; the optimizer's are in `optimizer`.

use super::{Choice, EngineId, FormGroup, Input, InputId, InputKind, Section};
use crate::cite::{Citation, Evidence};

/// An input of section `training`.
pub(super) const fn input(
    id: InputId,
    group: FormGroup,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(id, (Section::Training, group), key, flag, url, label, kind)
}

pub(super) const BATCH_SIZE: Input = input(
    InputId::BatchSize,
    FormGroup::Workload,
    "training.batch_size",
    "--batch-size",
    "b",
    "Micro-batch per GPU",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.aliases(&["training.micro_batch_size", "training.per_device_train_batch_size"])
.fixed("1")
.unit("sequences")
.help("Sequences that one rank computes at once. Saved activations and logits grow in proportion; weights and optimizer states do not change.");

pub(super) const SEQ_LENGTH: Input = input(
    InputId::SeqLength,
    FormGroup::Workload,
    "training.seq_length",
    "--seq-length",
    "s",
    "Sequence length",
    InputKind::Integer {
        min: 1,
        max: 1 << 30,
    },
)
.aliases(&["training.sequence_length"])
.derived("the longest sequence of the model where that is typed, else 2048 or what the model allows if that is less")
.unit("tokens")
.help("Tokens of one training sequence. Activations and logits grow in proportion, and with its square under eager attention.");

pub(super) const GRADIENT_ACCUMULATION_STEPS: Input = input(
    InputId::GradientAccumulationSteps,
    FormGroup::Workload,
    "training.gradient_accumulation_steps",
    "--gradient-accumulation-steps",
    "ga",
    "Gradient accumulation",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.fixed("1")
.unit("steps")
.help("Micro-batches per optimizer step. From two on, gradients are alive during the forward pass as well; more steps do not add.");

pub(super) const BATCH_LAYOUT: Input = input(
    InputId::BatchLayout,
    FormGroup::Workload,
    "training.batch_layout",
    "--batch-layout",
    "bly",
    "Batch layout",
    InputKind::Choice(&[
        Choice::new(
            "packed",
            "packed",
            &["fixed"],
            "Every row is filled to the sequence length, so all batches have one shape.",
        ),
        Choice::new(
            "padded",
            "padded to the longest",
            &["dynamic"],
            "Rows are padded to the longest of their batch: the sequence length is that of the longest batch, and shorter ones leave blocks of other sizes in the allocator.",
        ),
        Choice::new(
            "padding_free",
            "without padding",
            &["flattened"],
            "The rows of a batch are laid one behind the other: the tokens of a batch are the sum of their lengths.",
        ),
    ]),
)
.fixed("packed")
.advanced()
.help("How sequences of different lengths become a batch. The sequence length is the longest; the mean length matters where batches are not padded.")
.cite(Citation::new(
    Evidence::Source,
    "huggingface/transformers src/transformers/data/data_collator.py: DataCollatorForSeq2Seq, DataCollatorWithFlattening",
));

pub(super) const MEAN_LENGTH: Input = input(
    InputId::MeanLength,
    FormGroup::Workload,
    "training.mean_length",
    "--mean-length",
    "mnl",
    "Mean length",
    InputKind::Integer {
        min: 1,
        max: 1 << 30,
    },
)
.derived("the sequence length")
.advanced()
.unit("tokens")
.help("Mean length of the sequences of a batch without padding. The batch of the expected value has one sequence of the full length and otherwise mean ones; the interval reaches from mean ones only to full ones only.");

pub(super) const DTYPE: Input = input(
    InputId::Dtype,
    FormGroup::Precision,
    "training.dtype",
    "--dtype",
    "t",
    "Compute type",
    InputKind::Choice(&[
        Choice::new("bf16", "bf16", &["bfloat16"], "16-bit brain float."),
        Choice::new("fp16", "fp16", &["float16", "half"], "16-bit float."),
        Choice::new("fp32", "fp32", &["float32", "float"], "32-bit float throughout."),
        Choice::new(
            "tf32",
            "tf32",
            &[],
            "32-bit floats whose products are computed with shorter mantissas: the memory is that of fp32.",
        ),
        Choice::new(
            "int8",
            "int8 base with adapters",
            &[],
            "A frozen base in bitsandbytes' LLM.int8() with trained adapters; products in bf16.",
        ),
        Choice::new(
            "int4",
            "int4 base with adapters",
            &["nf4"],
            "A frozen base in 4 bits (NF4) with trained adapters; products in bf16.",
        ),
    ]),
)
.fixed("bf16")
.help("Type of the arithmetic. Together with the precision mode it decides the bytes of weights, gradients, states and activations.");

pub(super) const PRECISION_MODE: Input = input(
    InputId::PrecisionMode,
    FormGroup::Precision,
    "training.precision_mode",
    "--precision-mode",
    "pm",
    "Precision mode",
    InputKind::Choice(&[
        Choice::new(
            "mixed",
            "mixed",
            &[],
            "fp32 weights and states with 16-bit arithmetic: FSDP's mixed precision policy, autocast on PyTorch DDP.",
        ),
        Choice::new(
            "autocast",
            "autocast",
            &["amp"],
            "torch autocast over fp32 weights; linear weights are cast and the copies kept until their backward.",
        ),
        Choice::new(
            "pure",
            "pure",
            &[],
            "Weights, gradients, states and arithmetic all in the compute type.",
        ),
    ]),
)
.derived("autocast on PyTorch DDP, mixed on FSDP")
.help("Where fp32 copies are kept. With AdamW, pure 16-bit takes 8 bytes per parameter, autocast and mixed take 16 and cast copies besides. A model loaded in bf16 and trained with --bf16 is pure.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/pytorch torch/amp/autocast_mode.py; torch/distributed/fsdp/_fully_shard",
));

pub(super) const ACTIVATION_CHECKPOINTING: Input = input(
    InputId::ActivationCheckpointing,
    FormGroup::Activations,
    "training.activation_checkpointing",
    "--activation-checkpointing",
    "ck",
    "Recomputation",
    InputKind::Choice(&[
        Choice::new("none", "none", &["0"], "Everything that backward needs is saved."),
        Choice::new(
            "selective",
            "selective (attention core)",
            &["1", "2"],
            "Scores and probabilities of plain attention are recomputed; fused attention keeps none of them anyway.",
        ),
        Choice::new(
            "operations",
            "operations (every second product)",
            &["op", "sac"],
            "Attention outputs and every second matrix product are kept, the rest is recomputed (torchtitan).",
        ),
        Choice::new(
            "products",
            "operations (all products)",
            &[],
            "Attention outputs, all matrix products and what collectives made are kept (torchtitan's traced graphs).",
        ),
        Choice::new(
            "every_n",
            "full for every n-th layer",
            &["3"],
            "Every n-th layer is recomputed from its input, every second one unless n is given.",
        ),
        Choice::new(
            "full",
            "full",
            &["4"],
            "Every layer is recomputed from its input; one layer is alive at a time.",
        ),
    ]),
)
.aliases(&["training.recomputation"])
.fixed("none")
.help("What is computed again in backward instead of being kept. Full recomputation keeps one input per layer. The numbers 0 to 4 of older files are accepted: 0 none, 1 and 2 selective, 3 full for half of the layers, 4 full.")
.cite(Citation::new(
    Evidence::Published,
    "arXiv 2205.05198, selective and full recomputation",
));

pub(super) const CHECKPOINT_EVERY: Input = input(
    InputId::CheckpointEvery,
    FormGroup::Activations,
    "training.checkpoint_every",
    "--checkpoint-every",
    "cke",
    "Recompute every n-th layer",
    InputKind::Integer { min: 1, max: 4096 },
)
.fixed("2")
.advanced()
.help("Where only some layers are recomputed: of n layers the last one.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/torchtitan torchtitan/distributed/activation_checkpoint.py: layer selective recomputation",
));

pub(super) const SAVED_PRODUCTS: Input = input(
    InputId::SavedProducts,
    FormGroup::Activations,
    "training.saved_products",
    "--saved-products",
    "svp",
    "Products kept with full recomputation",
    InputKind::List { max_len: 3 },
)
.derived("none")
.only(&[EngineId::Fsdp])
.advanced()
.help("Words among router, attention_output, latent: products that traced graphs keep although layers are recomputed.")
.cite(Citation::new(
    Evidence::Source,
    "pytorch/torchtitan experiments/graph_trainer/memory_policy.py: full_recompute_save_ops",
));

pub(super) const COMPILE: Input = input(
    InputId::Compile,
    FormGroup::Activations,
    "training.compile",
    "--compile",
    "cpl",
    "torch.compile",
    InputKind::Choice(&[
        Choice::new("none", "no", &["false"], "Operations run one by one."),
        Choice::new(
            "model",
            "layers",
            &["true", "layers"],
            "Each layer is compiled: pointwise operations are fused, and those that are cheap to compute again are not saved.",
        ),
        Choice::new(
            "model_and_loss",
            "layers and loss",
            &[],
            "The loss as well, with segments that expand (torchtitan from torch 2.8 on).",
        ),
    ]),
)
.fixed("none")
.advanced()
.help("What a compiled run keeps above its resting memory is a share of what an eager one keeps; the interval is that of published pairs of both.")
.cite(Citation::new(
    Evidence::Published,
    "pairs of one run, eager and compiled: pytorch/torchtitan, pytorch/ao, pytorch/torchtune",
));

pub(super) const ATTENTION: Input = input(
    InputId::Attention,
    FormGroup::Activations,
    "training.attention",
    "--attention",
    "at",
    "Attention kernel",
    InputKind::Choice(&[
        Choice::new(
            "fused",
            "flash (fused)",
            &["flash", "sdpa"],
            "Torch's fused attention; the probabilities are never in memory. A window shorter than the sequence is a dense mask.",
        ),
        Choice::new(
            "flash_attention",
            "flash-attn package",
            &["flash_attention_2", "flash_attention_3"],
            "The flash-attn package: windows and soft-capping are the kernel's own, so there is no mask.",
        ),
        Choice::new(
            "masked",
            "fused with a dense mask",
            &["sdpa_padded", "padded"],
            "Padded batches: torch's fused kernel with a mask of the square of the sequence length.",
        ),
        Choice::new(
            "eager",
            "eager",
            &[],
            "Plain matrix products; probabilities of heads times sequence squared are saved.",
        ),
    ]),
)
.fixed("fused")
.help("How attention is computed. Eager attention saves the probabilities of every head, which grow with the square of the sequence length.");

pub(super) const FUSED_KERNELS: Input = input(
    InputId::FusedKernels,
    FormGroup::Activations,
    "training.fused_kernels",
    "--fused-kernels",
    "fk",
    "Fused kernels",
    InputKind::Choice(&[
        Choice::new("none", "none", &[], "Operations as transformers' classes write them."),
        Choice::new(
            "norm_rotary",
            "norm and rotary",
            &["foak", "unsloth"],
            "RMSNorm keeps its input only, rotation is in place.",
        ),
        Choice::new(
            "norm_rotary_adapter",
            "norm, rotary and adapters",
            &["foak_quantised"],
            "As the former, and a quantised layer with its adapter is one operation that keeps inputs instead of dropout masks (unsloth, fms-acceleration). FSDP leaves such adapters whole on every rank.",
        ),
        Choice::new(
            "liger",
            "Liger (norm, rotary, gated activation)",
            &[],
            "As the former, and the gated activation keeps gate and up only.",
        ),
    ]),
)
.fixed("none")
.advanced()
.help("Kernels that replace several operations of a block by one and keep less for backward. The loss has an input of its own.")
.cite(Citation::new(
    Evidence::Source,
    "linkedin/Liger-Kernel src/liger_kernel/ops/rms_norm.py, rope.py, swiglu.py",
));

pub(super) const LOSS: Input = input(
    InputId::Loss,
    FormGroup::Activations,
    "training.loss",
    "--loss",
    "lo",
    "Loss",
    InputKind::Choice(&[
        Choice::new(
            "plain",
            "plain cross entropy",
            &["eager"],
            "Logits of all tokens, with an fp32 copy and its gradient.",
        ),
        Choice::new(
            "chunked",
            "chunked",
            &[],
            "Logits of one chunk of tokens at a time.",
        ),
        Choice::new(
            "fused",
            "fused linear cross entropy",
            &["liger", "fused_linear"],
            "Head and loss in one kernel (Liger): logits of one chunk at a time.",
        ),
        Choice::new(
            "fused_in_place",
            "cross entropy in place",
            &["in_place", "inplace"],
            "A kernel that writes the gradient over the logits.",
        ),
    ]),
)
.fixed("plain")
.help("How logits and loss are computed. The plain path holds about 12 bytes per token and vocabulary row at its peak; chunks divide that by their number.");

pub(super) const LOSS_CHUNKS: Input = input(
    InputId::LossChunks,
    FormGroup::Activations,
    "training.loss_chunks",
    "--loss-chunks",
    "lc",
    "Chunks of the loss",
    InputKind::Integer { min: 1, max: 65_536 },
)
.fixed("8")
.advanced()
.help("Into how many parts a chunked loss divides the tokens. More chunks make the logits smaller.");

pub(super) const LOSS_CHUNK_RECOMPUTE: Input = input(
    InputId::LossChunkRecompute,
    FormGroup::Activations,
    "training.loss_chunk_recompute",
    "--loss-chunk-recompute",
    "lcr",
    "Chunks of the loss are recomputed",
    InputKind::Toggle,
)
.fixed("true")
.advanced()
.help("Whether each chunk of a chunked loss is computed again in backward, or has its backward at once. Off keeps 4 bytes per token and vocabulary row until backward.");

pub(super) const KEEP_OUTPUTS: Input = input(
    InputId::KeepOutputs,
    FormGroup::Activations,
    "training.keep_outputs",
    "--keep-outputs",
    "ko",
    "Model outputs kept during backward",
    InputKind::Toggle,
)
.fixed("false")
.advanced()
.help("Whether the training loop still holds the model's outputs while backward runs. Then the logits stay in memory until its end.");

pub(super) const DROPOUT: Input = input(
    InputId::Dropout,
    FormGroup::Activations,
    "training.dropout",
    "--dropout",
    "dr",
    "Dropout",
    InputKind::Number {
        min: 0.0,
        max: 1.0,
        positive: false,
    },
)
.derived("as the model's configuration says")
.advanced()
.help("Probability at every dropout that the model's class has: on attention probabilities, after mixer and feed-forward, on the embedding. Above zero each saves a mask of one byte per element for backward; fused attention keeps its seed only.");

pub(super) const WEIGHT_DECAY: Input = input(
    InputId::WeightDecay,
    FormGroup::ExportsOnly,
    "training.weight_decay",
    "--weight-decay",
    "wd",
    "Weight decay",
    InputKind::Number {
        min: 0.0,
        max: 1e6,
        positive: false,
    },
)
.fixed("0.01")
.advanced()
.exports_only()
.help("For exported configuration files. It has no effect on memory.");

pub(super) const LEARNING_RATE: Input = input(
    InputId::LearningRate,
    FormGroup::ExportsOnly,
    "training.learning_rate",
    "--learning-rate",
    "lr",
    "Learning rate",
    InputKind::Number {
        min: 0.0,
        max: 1e6,
        positive: false,
    },
)
.fixed("0.0001")
.advanced()
.exports_only()
.help("For exported configuration files. It has no effect on memory.");

pub(super) const WARMUP_STEPS: Input = input(
    InputId::WarmupSteps,
    FormGroup::ExportsOnly,
    "training.warmup_steps",
    "--warmup-steps",
    "ws",
    "Warm-up steps",
    InputKind::Integer {
        min: 0,
        max: 1_000_000_000,
    },
)
.fixed("2000")
.advanced()
.exports_only()
.help("For exported configuration files. It has no effect on memory.");
