//! The words with which the registry describes an input: section, group, type and range, default, engines, level.

use serde::{Deserialize, Serialize};

/// A section of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
}

impl Section {
    /// Every section, in the order of the request.
    pub const ALL: [Self; 6] = [
        Self::Model,
        Self::Training,
        Self::Parallelism,
        Self::Engine,
        Self::Hardware,
        Self::NodeConfig,
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
    /// Values that only exported configuration files carry.
    ExportsOnly,
}

impl FormGroup {
    /// Every group in the order of the form.
    pub const ALL: [Self; 15] = [
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
        Self::ExportsOnly,
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
            Self::ExportsOnly => "Without effect on memory",
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
    /// One sentence.
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
            help,
            availability: Availability::Built,
        }
    }

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
    ($($(#[$doc:meta])* $variant:ident = $key:literal, $name:literal;)*) => {
        /// A training engine.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EngineId {
            $(
                $(#[$doc])*
                #[serde(rename = $key)]
                $variant,
            )*
        }

        impl EngineId {
            /// Every training engine.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The canonical value of `engine.type`.
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
        }
    };
}

// Every training engine, once. `tests/engines_complete.rs` names every other place that one needs.
engines! {
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

impl EngineId {
    /// The engine with this canonical key.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|engine| engine.key() == key)
    }
}

/// The engines to which an input means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// All.
    All,
    /// Only these.
    Only(&'static [EngineId]),
}

impl Applies {
    /// Whether the input means something to this engine.
    pub fn to(self, engine: EngineId) -> bool {
        match self {
            Self::All => true,
            Self::Only(engines) => engines.contains(&engine),
        }
    }
}

/// Where the form shows an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// At once.
    Basic,
    /// Under "more".
    Advanced,
}

/// Whether the product answers for an input or a value yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// It does.
    Built,
    /// It is known, checked for its range, and refused with `not_available_yet` when it would change the answer.
    Planned,
    /// It has no effect on memory and is kept for exported configuration files.
    ExportsOnly,
}
