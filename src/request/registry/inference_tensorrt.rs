//! Inputs of section `inference` that only TensorRT-LLM reads: its backend and the limits that a build freezes.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section, ServerId};
use crate::cite::{Citation, Evidence};

const ARGUMENTS: Citation = Citation::new(
    Evidence::Source,
    "NVIDIA/TensorRT-LLM docs/source/reference/memory.md",
);

const fn setting(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(
        id,
        (Section::Inference, FormGroup::ServerSettings),
        key,
        flag,
        url,
        label,
        kind,
    )
    .serving(&[ServerId::TensorRtLlm])
    .cite(ARGUMENTS)
}

const TOKENS: InputKind = InputKind::Integer {
    min: 1,
    max: 1_073_741_824,
};

pub(super) const BACKEND: Input = setting(
    InputId::TrtBackend,
    "inference.trt_backend",
    "--trt-backend",
    "nbe",
    "Backend",
    InputKind::Choice(&[
        Choice::new("tensorrt", "TensorRT engine", &["trt", "cpp"], "An engine that was built; its limits are frozen."),
        Choice::new("pytorch", "PyTorch", &["torch"], "Modules in PyTorch; a dummy pass is measured."),
    ]),
)
.derived("PyTorch from 1.0 on")
.help("A built engine reserves the memory of its largest shapes and buffers per request; the PyTorch backend measures a pass of the most tokens.");

pub(super) const MAX_BATCH_SIZE: Input = setting(
    InputId::TrtMaxBatchSize,
    "inference.trt_max_batch_size",
    "--trt-max-batch-size",
    "nbs",
    "Largest batch",
    InputKind::Integer { min: 1, max: 1_048_576 },
)
.derived("by version: 2048 from 0.12 on")
.help("Requests at once. Buffers of decoder and runtime have a row of the vocabulary for each: the default can cost more than the weights of a small model.");

pub(super) const MAX_INPUT_LEN: Input = setting(
    InputId::TrtMaxInputLen,
    "inference.trt_max_input_len",
    "--trt-max-input-len",
    "nil",
    "Longest prompt",
    TOKENS,
)
.derived("the longest sequence")
.unit("tokens")
.help("Longest prompt of a build. Where prompts are padded, or no number of tokens bounds a pass, memory is reserved for a batch of such prompts.");

pub(super) const MAX_SEQ_LEN: Input = setting(
    InputId::TrtMaxSeqLen,
    "inference.trt_max_seq_len",
    "--trt-max-seq-len",
    "nsl",
    "Longest sequence",
    TOKENS,
)
.derived("the longest context of the model")
.unit("tokens")
.help("Prompt and answer together. Tables of the runtime have a place for each position of each request.");

pub(super) const MAX_BEAM_WIDTH: Input = setting(
    InputId::TrtMaxBeamWidth,
    "inference.trt_max_beam_width",
    "--trt-max-beam-width",
    "nbw",
    "Beams",
    InputKind::Integer { min: 1, max: 1_024 },
)
.fixed("1")
.help("Beams of a search. They multiply buffers and the tokens of answers; prompts are shared.");

pub(super) const MAX_NUM_TOKENS: Input = setting(
    InputId::TrtMaxNumTokens,
    "inference.trt_max_num_tokens",
    "--trt-max-num-tokens",
    "nnt",
    "Tokens of one pass",
    TOKENS,
)
.derived("8192 from 0.12 on; before all prompts of a batch")
.unit("tokens")
.help("Tokens of one pass of packed prompts. The memory of activations grows with it.");

pub(super) const REMOVE_INPUT_PADDING: Input = setting(
    InputId::TrtRemovePadding,
    "inference.trt_remove_input_padding",
    "--trt-remove-input-padding",
    "nrp",
    "Packed prompts",
    InputKind::Toggle,
)
.fixed("true")
.advanced()
.help("Without it prompts are padded to the longest, and attention keeps its scores.");
