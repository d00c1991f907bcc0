//! The input registry: every input that can be given, once, with its key, label, help, range, default, flag and URL key.
//!
//! The form, the command line, the JSON Schema, the share link and the help texts are read from here. What an input
//! *does* is decided in `api`; here is only what can be said about it. The list of inputs is `ids`; a section of the
//! request has one file of specifications.

mod adapter;
mod between;
mod engine;
mod hardware;
mod ids;
mod images;
mod inference;
mod inference_llama_cpp;
mod inference_run;
mod inference_sglang;
mod inference_tensorrt;
mod inference_tgi;
mod inference_traffic;
mod inference_vllm;
mod kind;
mod megatron;
mod megatron_states;
mod model;
mod model_details;
mod offload;
mod optimizer;
mod parallelism;
mod planner;
mod rollout;
mod speed;
mod training;

pub use ids::{INPUTS, InputId, bring as bring_words};
pub use kind::{
    Applies, Availability, Choice, EngineId, FormGroup, InputDefault, InputKind, Level, Section, ServerId,
    Task,
};

use crate::cite::Citation;

/// Everything that can be said about one input.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// Which input.
    pub id: InputId,
    /// Dotted path in JSON: `training.batch_size`.
    pub key: &'static str,
    /// Other paths that are accepted for the same input.
    pub aliases: &'static [&'static str],
    /// The section of the request.
    pub section: Section,
    /// The group of the form.
    pub group: FormGroup,
    /// Label of the form field.
    pub label: &'static str,
    /// Unit, for the label: "GiB", "tokens".
    pub unit: Option<&'static str>,
    /// Type and range.
    pub kind: InputKind,
    /// What holds when nothing is given.
    pub default: InputDefault,
    /// Command-line flag: `--batch-size`.
    pub flag: &'static str,
    /// Short key in a share link.
    pub url: &'static str,
    /// Engines to which it means something.
    pub engines: Applies,
    /// Whether the form shows it at once or under "more".
    pub level: Level,
    /// Whether the product answers for it yet.
    pub availability: Availability,
    /// What is said about it by its specification alone; see [`Self::words`].
    specified: Words,
}

/// What a reader asks for beside the label of an input.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// One to three sentences: what it is and what it does to memory.
    pub help: &'static str,
    /// Where its rule or default comes from.
    pub citation: Option<Citation>,
}

impl Words {
    const NONE: Self = Self {
        help: "",
        citation: None,
    };
}

impl Input {
    /// An input of every engine, without default, on the first level of the form.
    const fn new(
        id: InputId,
        (section, group): (Section, FormGroup),
        key: &'static str,
        flag: &'static str,
        url: &'static str,
        label: &'static str,
        kind: InputKind,
    ) -> Self {
        Self {
            id,
            key,
            aliases: &[],
            section,
            group,
            label,
            unit: None,
            kind,
            default: InputDefault::None,
            flag,
            url,
            engines: Applies::All,
            level: Level::Basic,
            availability: Availability::Built,
            specified: Words::NONE,
        }
    }

    const fn help(mut self, help: &'static str) -> Self {
        self.specified.help = help;
        self
    }

    const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    const fn fixed(mut self, default: &'static str) -> Self {
        self.default = InputDefault::Fixed(default);
        self
    }

    const fn derived(mut self, from: &'static str) -> Self {
        self.default = InputDefault::Derived(from);
        self
    }

    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn only(mut self, engines: &'static [EngineId]) -> Self {
        self.engines = Applies::Only(engines);
        self
    }

    const fn serving(mut self, engines: &'static [ServerId]) -> Self {
        self.engines = Applies::Serving(engines);
        self
    }

    const fn advanced(mut self) -> Self {
        self.level = Level::Advanced;
        self
    }

    const fn exports_only(mut self) -> Self {
        self.availability = Availability::ExportsOnly;
        self
    }

    const fn cite(mut self, citation: Citation) -> Self {
        self.specified.citation = Some(citation);
        self
    }

    const fn own_words(self) -> Words {
        self.specified
    }

    const fn without_words(mut self) -> Self {
        self.specified = Words::NONE;
        self
    }

    /// Its help and its source; nothing where the module is in parts and they were not brought yet.
    pub fn words(&self) -> Words {
        let own = ids::words().and_then(|all| all.get(self.id as usize));
        own.copied().unwrap_or(Words::NONE)
    }

    /// The last part of the key: `batch_size`.
    pub fn name(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, name)| name)
    }

    /// The input with this key or alias.
    pub fn by_key(key: &str) -> Option<&'static Self> {
        INPUTS
            .iter()
            .copied()
            .find(|input| input.key == key || input.aliases.contains(&key))
    }

    /// The input with this command-line flag (with its two dashes).
    pub fn by_flag(flag: &str) -> Option<&'static Self> {
        INPUTS.iter().copied().find(|input| input.flag == flag)
    }

    /// The input with this key in a share link.
    pub fn by_url(url: &str) -> Option<&'static Self> {
        INPUTS.iter().copied().find(|input| input.url == url)
    }

    /// The inputs of a group, in the order of the form.
    pub fn of_group(group: FormGroup) -> impl Iterator<Item = &'static Self> {
        INPUTS.iter().copied().filter(move |input| input.group == group)
    }
}

#[cfg(test)]
mod tests;
