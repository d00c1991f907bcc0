//! What decides time and cost of a step, and what the shape of a node fills in.

use super::super::given::Given;
use super::super::read::Typed;
use super::{Report, prices};
use crate::hardware::{NodeShape, find_node};
use crate::network::{Algorithm, AttentionKernels, Choice};
use crate::request::InputId;

/// What decides the time of a step beside the job itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Share of the ports' bandwidth, and whether it was typed.
    pub network_efficiency: (f64, bool),
    /// Share of the card's rate that products reach, where it was typed.
    pub compute_efficiency: Option<f64>,
    /// The generation of fused attention, where it was typed.
    pub attention: Option<AttentionKernels>,
    /// Rate of the card, where it was typed, in TFLOP/s.
    pub peak_tflops: Option<f64>,
    /// Which algorithm all-reduces use.
    pub choice: Choice,
    /// Whether products of fp32 run as TF32.
    pub tf32: bool,
    /// Tokens of the whole run.
    pub token_budget: Option<u64>,
    /// Price of a GPU-hour.
    pub price: Option<f64>,
    /// The shape of a node, where one is chosen.
    pub shape: Option<&'static NodeShape>,
    /// Megatron's overlap of gradients, weights and tensor-parallel collectives.
    pub overlap: (bool, bool, bool),
}

/// Reads it for a card; the typed price of a GPU-hour comes before that of the list.
pub fn speed(given: &Given, gpu: &str, report: &mut Report) -> Speed {
    let by_gpu = prices(given, &mut report.issues);
    let on = |id| given.toggle(id).unwrap_or(false);
    let gradients = on(InputId::OverlapGradReduce);
    Speed {
        network_efficiency: (
            given.number(InputId::NetworkEfficiency).unwrap_or(0.85),
            given.differs_from_default(InputId::NetworkEfficiency),
        ),
        compute_efficiency: given.number(InputId::ComputeEfficiency),
        attention: match given.choice(InputId::AttentionKernels) {
            Some("first") => Some(AttentionKernels::First),
            Some("second") => Some(AttentionKernels::Second),
            Some("third") => Some(AttentionKernels::Third),
            _ => None,
        },
        peak_tflops: given.number(InputId::PeakTflops),
        choice: match given.choice(InputId::Collectives) {
            Some("ring") => Choice::Only(Algorithm::Ring),
            Some("tree") => Choice::Only(Algorithm::Tree),
            Some("hierarchical") => Choice::Only(Algorithm::Hierarchical),
            Some("in_network") => Choice::Only(Algorithm::InNetwork),
            _ => Choice::Auto,
        },
        tf32: given.choice(InputId::Dtype) == Some("tf32"),
        token_budget: given.integer(InputId::TokenBudget),
        price: given.number(InputId::GpuHourPrice).or(by_gpu.get(gpu).copied()),
        shape: given.choice(InputId::NodeShape).and_then(find_node),
        overlap: (
            gradients,
            gradients && on(InputId::OverlapParamGather),
            on(InputId::TpCommOverlap) && on(InputId::SequenceParallel),
        ),
    }
}

/// The question with what a node shape fills: card, GPUs per node, ports and host memory, as far as they are open.
pub fn shaped(given: &Given, report: &mut Report) -> Given {
    let mut filled = given.clone();
    let Some(shape) = given.choice(InputId::NodeShape).and_then(find_node) else {
        return filled;
    };
    let mut fill = |id: InputId, value: Typed| {
        if !filled.has(id) {
            report.assume(id, value.to_json(), format!("the node shape {}", shape.name));
            filled.fill(id, value);
        }
    };
    if !given.has(InputId::GpuMemoryGb) {
        fill(InputId::Gpu, Typed::Text(shape.gpu.clone()));
    }
    let nodes = given
        .integer(InputId::NumNodes)
        .filter(|_| given.has(InputId::NumNodes));
    let sized = given.has(InputId::NumGpus) || given.has(InputId::DataParallelSize);
    // As many whole nodes as the model-parallel sizes need.
    let size = |id| given.integer(id).unwrap_or(1);
    let product = size(InputId::TensorParallelSize)
        .saturating_mul(size(InputId::PipelineParallelSize))
        .saturating_mul(size(InputId::ContextParallelSize));
    let least = product.div_ceil(shape.gpus.max(1)).max(1);
    let whole = nodes.unwrap_or(least).saturating_mul(shape.gpus);
    if !sized {
        fill(InputId::NumGpus, Typed::Integer(whole));
    }
    let stated = given
        .integer(InputId::NumGpus)
        .filter(|_| given.has(InputId::NumGpus));
    let replicas = given
        .integer(InputId::DataParallelSize)
        .filter(|_| given.has(InputId::DataParallelSize));
    let gpus = stated.or(Some(replicas.map_or(whole, |data| data.saturating_mul(product))));
    if nodes.is_none() && gpus.is_some_and(|gpus| gpus > shape.gpus) {
        fill(InputId::GpusPerNode, Typed::Integer(shape.gpus));
    }
    fill(InputId::HostMemoryGb, Typed::Number(shape.host_gib));
    if !given.has(InputId::InterconnectType) {
        fill(InputId::InterconnectBandwidthGbps, Typed::Number(shape.port_gbit));
        fill(InputId::PortsPerNode, Typed::Integer(shape.ports));
    }
    filled
}
