//! The answer to a training request, in the keys of the original calculator and the additions to them.
//!
//! Plain data that serialises to JSON. Keys that end in `_gb` hold GiB and have a twin in bytes. Parts that are not built
//! yet are absent, never zero.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::backing::{Backing, RankRow, StageRow};
use super::host::HostNeed;
use super::ledger_rows::{Component, GroupBytes, InstantRow, LedgerRow};
use super::model_summary::ModelSummary;
use super::network_answer::NetworkOverhead;
use crate::units::Bytes;
use crate::warn::Issue;

/// A quantity in bytes with the bounds between which it is stated to lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Range {
    /// Lower bound.
    pub low_bytes: Bytes,
    /// Expected value.
    pub expected_bytes: Bytes,
    /// Upper bound.
    pub high_bytes: Bytes,
}

/// The verdict on one GPU; the worse is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Even the upper end of the need is within the usable capacity.
    Fits,
    /// Only the lower end of the need is within the usable capacity.
    Tight,
    /// Not even the lower end of the need is within the usable capacity.
    DoesNotFit,
}

impl Verdict {
    /// The value in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Tight => "tight",
            Self::DoesNotFit => "does_not_fit",
        }
    }

    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Tight => "tight",
            Self::DoesNotFit => "does not fit",
        }
    }
}

/// The breakdown of the total; its five parts add up to it in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Breakdown {
    /// Weights that stay, and gathered or cast copies, in GiB.
    pub model_params_gb: f64,
    /// The same in bytes.
    pub model_params_bytes: Bytes,
    /// Gradients and their buckets, in GiB.
    pub gradients_gb: f64,
    /// The same in bytes.
    pub gradients_bytes: Bytes,
    /// Optimizer states, in GiB.
    pub optimizer_states_gb: f64,
    /// The same in bytes.
    pub optimizer_states_bytes: Bytes,
    /// Saved activations, logits and loss, in GiB.
    pub activations_gb: f64,
    /// The same in bytes.
    pub activations_bytes: Bytes,
    /// Temporaries, buffers, fragmentation and what lies outside the allocator, in GiB.
    pub overhead_gb: f64,
    /// The same in bytes.
    pub overhead_bytes: Bytes,
}

impl Breakdown {
    /// With the GiB twins filled in.
    pub fn from_groups(groups: GroupBytes) -> Self {
        Self {
            model_params_gb: groups.model_params.to_gib(),
            model_params_bytes: groups.model_params,
            gradients_gb: groups.gradients.to_gib(),
            gradients_bytes: groups.gradients,
            optimizer_states_gb: groups.optimizer_states.to_gib(),
            optimizer_states_bytes: groups.optimizer_states,
            activations_gb: groups.activations.to_gib(),
            activations_bytes: groups.activations,
            overhead_gb: groups.overhead.to_gib(),
            overhead_bytes: groups.overhead,
        }
    }
}

/// The three meters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Meters {
    /// What torch reports as `max_memory_allocated`.
    pub allocated: Range,
    /// What the caching allocator holds on a roomy card.
    pub reserved: Range,
    /// What `nvidia-smi` shows on a roomy card.
    pub device: Range,
}

/// The capacity that the need is judged against.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Capacity {
    /// Id of the GPU, where one was named or taken by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// Its name, or a description of the typed size.
    pub name: String,
    /// The number on the box, in its own unit, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marketing: Option<String>,
    /// What the driver shows, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_bytes: Option<Bytes>,
    /// What a program sees, as a range where cards or drivers differ.
    pub visible: Range,
    /// Already in use by something else.
    pub used_bytes: Bytes,
    /// What is left for the job: visible less used. The verdict is against this.
    pub usable_bytes: Bytes,
    /// Where the numbers come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A value that was not given and what holds instead.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Assumed {
    /// The input.
    pub path: &'static str,
    /// The value that holds.
    pub value: Value,
    /// From what it follows.
    pub reason: String,
}

/// How far predictions lie from runs of one origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Checked {
    /// How many runs were compared.
    pub runs: u64,
    /// Median absolute error in percent.
    pub median_percent: f64,
    /// 90th percentile.
    pub p90_percent: f64,
    /// Largest.
    pub worst_percent: f64,
}

impl Checked {
    fn words(&self, origin: &str) -> String {
        format!(
            "{origin}: median error {:.2} %, 90 % within {:.2} %, worst {:.2} %",
            self.median_percent, self.p90_percent, self.worst_percent
        )
    }
}

/// How this kind of answer compares with measured runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Validation {
    /// There are measured runs of this engine.
    Records {
        /// The engine as the records name it.
        engine: String,
        /// Runs of the framework's own code without a GPU: exact, where kernels do not matter.
        #[serde(skip_serializing_if = "Option::is_none")]
        traced: Option<Checked>,
        /// Runs that others published, as they measured and described them.
        #[serde(skip_serializing_if = "Option::is_none")]
        published: Option<Checked>,
    },
    /// There are none: the text says "not validated".
    None(&'static str),
}

impl Validation {
    /// No measured run of this engine.
    pub const NOT_VALIDATED: Self = Self::None("not validated");

    /// For a person: on how many runs it was checked, and how far they lie, each origin by itself.
    pub fn words(&self) -> (String, String) {
        let (engine, origins) = match self {
            Self::None(words) => {
                return (
                    (*words).to_owned(),
                    "no measured run of this engine is at hand".to_owned(),
                );
            }
            Self::Records {
                engine,
                traced,
                published,
            } => (engine, [("traced", traced), ("published", published)]),
        };
        let known = || {
            origins
                .iter()
                .filter_map(|(origin, found)| Some((*origin, (*found).as_ref()?)))
        };
        let counts: Vec<String> = known()
            .map(|(origin, found)| format!("{} {origin}", found.runs))
            .collect();
        let errors: Vec<String> = known().map(|(origin, found)| found.words(origin)).collect();
        (
            format!("checked on {} runs of {engine}", counts.join(" and ")),
            errors.join("; "),
        )
    }
}

/// Nodes of the job, where there is more than one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MultiNodeInfo {
    /// Machines.
    pub num_nodes: u64,
    /// GPUs of each.
    pub gpus_per_node: u64,
    /// Kind of link.
    pub interconnect_type: String,
    /// Bandwidth of one port in one direction.
    pub interconnect_bandwidth_gbps: f64,
    /// Ports of a node.
    pub ports_per_node: u64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answer {
    /// Expected need of one GPU as the device sees it, in GiB.
    pub total_memory_per_gpu_gb: f64,
    /// The same in bytes; the breakdown and the components add up to it.
    pub total_memory_per_gpu_bytes: Bytes,
    /// Sum over all GPUs, in GiB.
    pub total_memory_all_gpus_gb: f64,
    /// The same in bytes.
    pub total_memory_all_gpus_bytes: Bytes,
    /// Expected host memory of the whole job, in GiB; zero where nothing is kept outside the GPUs.
    pub cpu_memory_gb: f64,
    /// The same in bytes.
    pub cpu_memory_bytes: Bytes,
    /// Expected host memory of one node, in GiB.
    pub cpu_memory_per_node_gb: f64,
    /// The same in bytes.
    pub cpu_memory_per_node_bytes: Bytes,
    /// The five groups.
    pub breakdown: Breakdown,
    /// Whether the verdict is "fits" or "tight".
    pub fits_on_gpu: bool,
    /// The verdict, on GPU and host.
    pub verdict: Verdict,
    /// Expected need over usable capacity.
    pub memory_utilization_percent: f64,
    /// The largest micro-batch that fits, where the given one does not; null where it fits or none does.
    pub recommended_batch_size: Option<u64>,
    /// Why there is no recommendation although it does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended_batch_size_reason: Option<String>,
    /// Memory of all GPUs together as a program sees it, in GiB.
    pub total_gpu_memory_gb: f64,
    /// The same in bytes.
    pub total_gpu_memory_bytes: Bytes,
    /// Nodes, where there is more than one.
    pub multi_node_info: Option<MultiNodeInfo>,
    /// What leaves a node per step, where there is more than one. Traffic is no memory.
    pub network_overhead: Option<NetworkOverhead>,
    /// Expected `max_memory_allocated`.
    pub peak_allocated_bytes: Bytes,
    /// Expected reserved memory on a roomy card.
    pub peak_reserved_bytes: Bytes,
    /// Expected `nvidia-smi` figure on a roomy card.
    pub device_bytes: Bytes,
    /// The three meters with their ranges.
    pub meters: Meters,
    /// What the verdict judges: allocated with its fragmentation band, and what lies outside the allocator.
    pub need: Range,
    /// What it is judged against.
    pub capacity: Capacity,
    /// Memory and disk of a node, where something is kept outside the GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostNeed>,
    /// GPUs that the job uses.
    pub gpus_used: u64,
    /// Sequences per optimizer step over all ranks.
    pub global_batch_size: u64,
    /// The parts of the total, in bytes.
    pub components: Vec<Component>,
    /// The instants of the step in the order of time; one of them binds.
    pub instants: Vec<InstantRow>,
    /// Every tensor, when it is alive, its formula and its source.
    pub ledger: Vec<LedgerRow>,
    /// The model that was answered for.
    pub model: ModelSummary,
    /// What was not given and what holds instead.
    pub assumed: Vec<Assumed>,
    /// The engine as records of measured runs name it: single, ddp, fsdp2.
    pub engine: &'static str,
    /// How this kind of answer compares with measured runs.
    pub validation: Validation,
    /// Classes of ranks that hold the same, the fullest first.
    pub ranks: Vec<RankRow>,
    /// Why ranks hold what they hold.
    pub ranks_reason: &'static str,
    /// Pipeline ranks in order, each with its own breakdown; the rest of the answer is of the fullest. Empty without a pipeline
    /// engine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageRow>,
    /// Whether a trace, a record or a calculation by hand stands behind every option.
    pub evidence: Backing,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
}
