//! Inputs of section `model`: the source of the model, its size and its widths.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section};
use crate::cite::{Citation, Evidence};

/// Longest width that is accepted.
pub(super) const MAX_WIDTH: u64 = 1_048_576;
/// Largest parameter count that is accepted.
pub(super) const MAX_COUNT: u64 = 1_000_000_000_000_000;

const fn input(
    id: InputId,
    group: FormGroup,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(id, (Section::Model, group), key, flag, url, label, kind)
}

pub(super) const ID: Input = input(
    InputId::ModelId,
    FormGroup::Source,
    "model.id",
    "--model",
    "m",
    "Model from the catalogue",
    InputKind::Text { max_len: 200 },
)
.help("Id, Hugging Face name or alias of a model in the catalogue, for example llama-3.1-8b. It fills every architecture field; fields typed besides it change that architecture.");

pub(super) const NAME: Input = input(
    InputId::ModelName,
    FormGroup::Source,
    "model.name",
    "--name",
    "nm",
    "Name",
    InputKind::Text { max_len: 200 },
)
.fixed("custom")
.help("A label for the answer. Where no other source of the architecture is given and the name is that of a catalogue model, the catalogue fills the architecture.");

pub(super) const HF_CONFIG: Input = input(
    InputId::HfConfig,
    FormGroup::Source,
    "model.hf_config",
    "--hf-config",
    "hf",
    "Hugging Face config.json",
    InputKind::Json,
)
.help("The content of a model's config.json. It gives the exact architecture of every known family, and comes before a catalogue id; fields typed besides it change that architecture.");

pub(super) const NUM_PARAMETERS: Input = input(
    InputId::NumParameters,
    FormGroup::Source,
    "model.num_parameters",
    "--parameters",
    "n",
    "Parameters",
    InputKind::Count {
        min: 1,
        max: MAX_COUNT,
    },
)
.derived("counted from the architecture")
.help("Number of parameters, as 7B, 124M or 7000000000. With a complete architecture the exact count is computed and this one is only compared with it. Alone it stands for the nearest typical architecture, and the answer gets a wide interval.");

pub(super) const NUM_LAYERS: Input = input(
    InputId::NumLayers,
    FormGroup::Architecture,
    "model.num_layers",
    "--num-layers",
    "l",
    "Layers",
    InputKind::Integer { min: 1, max: 10_000 },
)
.aliases(&["model.num_hidden_layers", "model.n_layer"])
.help("Transformer blocks. Weights, gradients, optimizer states and saved activations grow in proportion.");

pub(super) const HIDDEN_SIZE: Input = input(
    InputId::HiddenSize,
    FormGroup::Architecture,
    "model.hidden_size",
    "--hidden-size",
    "h",
    "Hidden size",
    InputKind::Integer {
        min: 1,
        max: MAX_WIDTH,
    },
)
.aliases(&["model.n_embd"])
.help("Width of the residual stream. Weights grow with its square, activations in proportion.");

pub(super) const INTERMEDIATE_SIZE: Input = input(
    InputId::IntermediateSize,
    FormGroup::Architecture,
    "model.intermediate_size",
    "--intermediate-size",
    "f",
    "Feed-forward width",
    InputKind::Integer {
        min: 1,
        max: MAX_WIDTH,
    },
)
.derived("from the parameter count where one is given, else 4 times the hidden size")
.help("Width of the feed-forward block of dense layers. It is usually the largest part of the weights and of the saved activations.");

pub(super) const MLP_GATED: Input = input(
    InputId::MlpGated,
    FormGroup::Architecture,
    "model.mlp_gated",
    "--mlp-gated",
    "gt",
    "Gated feed-forward",
    InputKind::Toggle,
)
.derived("true where a width is given, false where nothing is known")
.advanced()
.help("Whether the feed-forward block has a gate (SwiGLU: three matrices) or not (GPT-2: two matrices). A gate adds a matrix and two saved tensors per layer.");

pub(super) const HIDDEN_ACT: Input = input(
    InputId::HiddenAct,
    FormGroup::Architecture,
    "model.hidden_act",
    "--hidden-act",
    "ac",
    "Activation function",
    InputKind::Text { max_len: 40 },
)
.derived("silu with a gate, gelu without")
.advanced()
.help("The function between the feed-forward matrices, as Hugging Face names it: silu, gelu, gelu_pytorch_tanh, relu2. Functions built from several operations save more tensors.");

pub(super) const VOCAB_SIZE: Input = input(
    InputId::VocabSize,
    FormGroup::Architecture,
    "model.vocab_size",
    "--vocab-size",
    "v",
    "Vocabulary",
    InputKind::Integer {
        min: 1,
        max: 16_777_216,
    },
)
.fixed("32000")
.unit("tokens")
.help("Rows of the embedding and of the head. Logits and loss take about 12 bytes per token and row in the plain path, often the largest single tensors.");

pub(super) const TIE_WORD_EMBEDDINGS: Input = input(
    InputId::TieWordEmbeddings,
    FormGroup::Architecture,
    "model.tie_word_embeddings",
    "--tie-word-embeddings",
    "ti",
    "Head tied to the embedding",
    InputKind::Toggle,
)
.fixed("false")
.help("Whether the output head is the embedding matrix. Tied, it is stored, trained and updated once.");

pub(super) const NORM: Input = input(
    InputId::Norm,
    FormGroup::Architecture,
    "model.norm",
    "--norm",
    "no",
    "Normalisation",
    InputKind::Choice(&[
        Choice::new(
            "rms",
            "RMSNorm",
            &["rmsnorm", "rms_norm"],
            "One weight per channel, no bias.",
        ),
        Choice::new(
            "layer",
            "LayerNorm",
            &["layernorm", "layer_norm"],
            "A weight and a bias per channel.",
        ),
    ]),
)
.fixed("rms")
.advanced()
.help("RMSNorm or LayerNorm. LayerNorm has a bias besides its weight and saves other tensors for backward.");

pub(super) const MAX_SEQ_LEN: Input = input(
    InputId::MaxSeqLen,
    FormGroup::Workload,
    "model.max_seq_len",
    "--max-seq-len",
    "ms",
    "Longest sequence of the model",
    InputKind::Integer {
        min: 1,
        max: 1 << 30,
    },
)
.fixed("2048")
.unit("tokens")
.advanced()
.help("The length that the model allows. It is the training length when no sequence length is given; learned position tables have this many rows.");

pub(super) const LARGEST_LAYER_PARAMS: Input = input(
    InputId::LargestLayerParams,
    FormGroup::EngineSettings,
    "model.largest_layer_params",
    "--largest-layer-params",
    "ll",
    "Largest module",
    InputKind::Count {
        min: 1,
        max: MAX_COUNT,
    },
)
.derived("computed from the architecture")
.unit("parameters")
.advanced()
.only(&[super::EngineId::Deepspeed, super::EngineId::MegatronDeepspeed])
.help("Overrides the size of the largest module that ZeRO stage 3 gathers: so many weights are gathered at the least, whatever the limit of live parameters. Other engines gather by layer and do not use it.")
.cite(Citation::new(
    Evidence::Source,
    "deepspeedai/DeepSpeed deepspeed/runtime/zero/stage3.py model_to_params",
));

pub(super) const NUM_NEXTN_PREDICT_LAYERS: Input = input(
    InputId::NumNextnPredictLayers,
    FormGroup::Architecture,
    "model.num_nextn_predict_layers",
    "--num-nextn-predict-layers",
    "mtp",
    "Next-token prediction layers",
    InputKind::Integer { min: 0, max: 64 },
)
.fixed("0")
.advanced()
.help("Extra layers that predict further tokens (DeepSeek-V3, GLM-4.5). They are counted apart; the training engines built so far do not load them.");

pub(super) const INCLUDE_TOWERS: Input = input(
    InputId::IncludeTowers,
    FormGroup::Architecture,
    "model.include_towers",
    "--include-towers",
    "tw",
    "Vision and audio towers",
    InputKind::Choice(&[
        Choice::new(
            "none",
            "left out",
            &["false"],
            "Only the text stack is loaded, as a class for text alone does.",
        ),
        Choice::new(
            "frozen",
            "loaded",
            &["true"],
            "Loaded, and frozen unless its training says otherwise.",
        ),
    ]),
)
.derived("loaded and frozen where the model has any")
.advanced()
.help("Whether the vision and audio towers of a model are loaded beside its text stack. They are counted apart; tokens that images become are part of the sequence.")
.cite(Citation::new(
    Evidence::Source,
    "huggingface/transformers src/transformers/models/auto/modeling_auto.py: classes with towers answer for AutoModelForCausalLM too",
));
