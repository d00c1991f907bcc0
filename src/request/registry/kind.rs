//! The words with which the registry describes an input: section, group, type and range, default, engines, level.

use serde::{Deserialize, Serialize};

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Training.
    Training,
    /// Inference.
    Inference,
    /// A search for plans of training.
    Plan,
}

/// A section of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// `model`
    Model,
    /// `training`
    Training,
    /// `parallelism`
    Parallelism,
    /// `engine`
    Engine,
    /// `hardware`
    Hardware,
    /// `node_config`
    NodeConfig,
    /// `hybrid`
    Hybrid,
    /// `inference`
    Inference,
}

impl Section {
    /// Every section, in the order of the request.
    pub const ALL: [Self; 8] = [
        Self::Model,
        Self::Training,
        Self::Parallelism,
        Self::Engine,
        Self::Hardware,
        Self::NodeConfig,
        Self::Hybrid,
        Self::Inference,
    ];

    /// Its key in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Training => "training",
            Self::Parallelism => "parallelism",
            Self::Engine => "engine",
            Self::Hardware => "hardware",
            Self::NodeConfig => "node_config",
            Self::Hybrid => "hybrid",
            Self::Inference => "inference",
        }
    }

    /// Whether a question on training or inference reads it: model and cards belong to both.
    pub const fn belongs_to(self, task: Task) -> bool {
        match self {
            Self::Model | Self::Hardware => true,
            Self::Hybrid => matches!(task, Task::Plan),
            Self::Inference => matches!(task, Task::Inference),
            Self::Training | Self::Parallelism | Self::Engine | Self::NodeConfig => {
                matches!(task, Task::Training | Task::Plan)
            }
        }
    }

    /// The section with this key; `multinode` is another name of `node_config`.
    pub fn from_key(key: &str) -> Option<Self> {
        if key == "multinode" {
            return Some(Self::NodeConfig);
        }
        Self::ALL.into_iter().find(|section| section.key() == key)
    }
}

/// A group of fields on the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FormGroup {
    /// Which model.
    Source,
    /// Layers, widths, vocabulary.
    Architecture,
    /// Heads, windows, latent attention.
    Attention,
    /// Mixture of experts.
    Experts,
    /// Batch, sequence, accumulation.
    Workload,
    /// Types.
    Precision,
    /// Optimizer and clipping.
    Optimizer,
    /// Adapters beside frozen weights.
    Adapters,
    /// Recomputation, attention kernel, loss.
    Activations,
    /// The engine and its version.
    Engine,
    /// Settings of the engine.
    EngineSettings,
    /// The mesh.
    Parallelism,
    /// The card.
    Hardware,
    /// Nodes and links.
    Nodes,
    /// How fast, and at what price.
    Speed,
    /// What a search for plans may try.
    Planner,
    /// Values that only exported configuration files carry.
    ExportsOnly,
    /// Inference: requests and their lengths.
    Requests,
    /// Inference: types of weights, arithmetic and cache.
    Formats,
    /// Inference: the engine and its version.
    Server,
    /// Inference: settings of the engine.
    ServerSettings,
    /// Inference: among how many GPUs one copy is divided.
    Sharding,
    /// Inference: traffic to serve, limits on times.
    Traffic,
}

impl FormGroup {
    /// Every group in the order of the form.
    pub const ALL: [Self; 23] = [
        Self::Source,
        Self::Architecture,
        Self::Attention,
        Self::Experts,
        Self::Workload,
        Self::Precision,
        Self::Optimizer,
        Self::Adapters,
        Self::Activations,
        Self::Engine,
        Self::EngineSettings,
        Self::Parallelism,
        Self::Hardware,
        Self::Nodes,
        Self::Speed,
        Self::Planner,
        Self::ExportsOnly,
        Self::Requests,
        Self::Formats,
        Self::Server,
        Self::ServerSettings,
        Self::Sharding,
        Self::Traffic,
    ];

    /// Its heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Source => "Model",
            Self::Architecture => "Architecture",
            Self::Attention => "Attention",
            Self::Experts => "Mixture of experts",
            Self::Workload => "Workload",
            Self::Precision => "Precision",
            Self::Optimizer => "Optimizer",
            Self::Adapters => "Adapters",
            Self::Activations => "Activations and loss",
            Self::Engine => "Engine",
            Self::EngineSettings => "Engine settings",
            Self::Parallelism => "Parallelism",
            Self::Hardware => "Hardware",
            Self::Nodes => "Nodes",
            Self::Speed => "Speed and cost",
            Self::Planner => "Planner",
            Self::ExportsOnly => "Without effect on memory",
            Self::Requests => "Requests",
            Self::Formats => "Weights and cache",
            Self::Server => "Inference engine",
            Self::ServerSettings => "Settings of the inference engine",
            Self::Sharding => "GPUs per copy",
            Self::Traffic => "Traffic and speed",
        }
    }
}

/// One value of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The canonical value in JSON.
    pub value: &'static str,
    /// For the menu.
    pub label: &'static str,
    /// Other spellings; letter case never matters.
    pub aliases: &'static [&'static str],
    /// One sentence; the page, which shows none of them, does not carry them.
    pub help: &'static str,
    /// Whether the product answers for it yet.
    pub availability: Availability,
}

impl Choice {
    pub(super) const fn new(
        value: &'static str,
        label: &'static str,
        aliases: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            value,
            label,
            aliases,
            help: if cfg!(feature = "parts") { "" } else { help },
            availability: Availability::Built,
        }
    }

    #[allow(dead_code, reason = "the next input that is known before it is built")]
    pub(super) const fn planned(mut self) -> Self {
        self.availability = Availability::Planned;
        self
    }
}

/// Type and range of an input. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InputKind {
    /// A whole number.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A number of parameters, as a number or as text with K, M, B or T.
    Count {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A finite number.
    Number {
        /// Smallest; excluded where `min` is zero and `positive` is set.
        min: f64,
        /// Largest.
        max: f64,
        /// Whether zero is refused.
        positive: bool,
    },
    /// True or false.
    Toggle,
    /// One of a list.
    Choice(&'static [Choice]),
    /// Text.
    Text {
        /// Most characters.
        max_len: usize,
    },
    /// A list of words, in JSON an array of text.
    List {
        /// Most entries.
        max_len: usize,
    },
    /// A JSON object.
    Json,
}

impl InputKind {
    /// The choices of a choice; empty for every other kind.
    pub const fn choices(self) -> &'static [Choice] {
        match self {
            Self::Choice(choices) => choices,
            _ => &[],
        }
    }
}

/// What holds when nothing is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputDefault {
    /// This value, as it would be typed.
    Fixed(&'static str),
    /// It follows from other inputs; the text says from which.
    Derived(&'static str),
    /// Nothing: the input is simply absent.
    None,
}

macro_rules! engines {
    ($(#[$about:meta])* $id:ident: $($(#[$doc:meta])* $variant:ident = $key:literal, $name:literal;)*) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub enum $id {
            $(
                $(#[$doc])*
                #[serde(rename = $key)]
                $variant,
            )*
        }

        impl $id {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The canonical value of the input that chooses it.
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$variant => $key,)*
                }
            }

            /// Its name for a person.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The engine with this canonical key.
            pub fn from_key(key: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|engine| engine.key() == key)
            }
        }
    };
}

// Every training engine, once. `tests/engines_complete.rs` names every other place that one needs.
engines! {
    /// A training engine.
    EngineId:
    /// PyTorch: one GPU, or DistributedDataParallel on more.
    PytorchDdp = "pytorch_ddp", "PyTorch DDP";
    /// DeepSpeed ZeRO.
    Deepspeed = "deepspeed", "DeepSpeed";
    /// PyTorch fully sharded data parallel.
    Fsdp = "fsdp", "PyTorch FSDP";
    /// Megatron-LM.
    MegatronLm = "megatron_lm", "Megatron-LM";
    /// Megatron with DeepSpeed ZeRO.
    MegatronDeepspeed = "megatron_deepspeed", "Megatron-DeepSpeed";
}

engines! {
    /// An inference engine.
    ServerId:
    /// `generate` of Hugging Face Transformers.
    Huggingface = "huggingface", "HF Transformers";
    /// vLLM.
    Vllm = "vllm", "vLLM";
    /// Text Generation Inference.
    Tgi = "tgi", "TGI";
    /// TensorRT-LLM.
    TensorRtLlm = "tensorrt_llm", "TensorRT-LLM";
    /// SGLang.
    Sglang = "sglang", "SGLang";
    /// llama.cpp.
    LlamaCpp = "llama_cpp", "llama.cpp";
}

/// The engines to which an input means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// All.
    All,
    /// Only these training engines.
    Only(&'static [EngineId]),
    /// Only these inference engines.
    Serving(&'static [ServerId]),
}

impl Applies {
    /// Whether the input means something to this engine.
    pub fn to(self, engine: EngineId) -> bool {
        match self {
            Self::All => true,
            Self::Only(engines) => engines.contains(&engine),
            Self::Serving(_) => false,
        }
    }

    /// Whether the input means something to this inference engine.
    pub fn serves(self, engine: ServerId) -> bool {
        match self {
            Self::All => true,
            Self::Only(_) => false,
            Self::Serving(engines) => engines.contains(&engine),
        }
    }
}

/// Where the form shows an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// At once.
    Basic,
    /// Under "more".
    Advanced,
}

/// Whether the product answers for an input or a value yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// It does.
    Built,
    /// It is known, checked for its range, and refused with `not_available_yet` when it would change the answer.
    Planned,
    /// It has no effect on memory and is kept for exported configuration files.
    ExportsOnly,
}
