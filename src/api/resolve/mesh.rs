//! GPUs, the sizes of the mesh, nodes: the product rule and what must divide what.

use serde_json::{Map, Value};

use super::super::given::Given;
use super::{Card, Model, Report};
use crate::hardware::{Gpu, NodeShape, OF_A_SERVER, usual_machine};
use crate::request::{EngineId, InputId, MultiNodeInfo};
use crate::warn::Issue;

/// The sizes of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// GPUs of the job.
    pub gpus: u64,
    /// Data-parallel replicas.
    pub data: u64,
    /// Tensor-parallel ranks.
    pub tensor: u64,
    /// Pipeline stages.
    pub pipeline: u64,
    /// Context-parallel ranks.
    pub context: u64,
    /// Expert-parallel ranks.
    pub expert: u64,
}

const SIZES: [InputId; 7] = [
    InputId::DataParallelSize,
    InputId::TensorParallelSize,
    InputId::PipelineParallelSize,
    InputId::ContextParallelSize,
    InputId::ExpertParallelSize,
    InputId::VirtualPipelineSize,
    InputId::ExpertTensorParallelSize,
];

/// Reads the mesh; `None` when a size could not be read or the product is wrong.
pub fn mesh(given: &Given, engine: EngineId, report: &mut Report) -> Option<Mesh> {
    let size = |id| given.integer(id).unwrap_or(1);
    for id in SIZES.into_iter().skip(1) {
        if !id.input().engines.to(engine) && size(id) > 1 {
            report.add(
                Issue::error(
                    "not_supported_by_engine",
                    id.key(),
                    format!("{} is answered without it: its size must be 1.", engine.name()),
                )
                .with_value(size(id))
                .with_allowed(["1"]),
            );
        }
    }
    let experts = InputId::ExpertParallelSize;
    if engine == EngineId::Deepspeed && size(experts) > 1 {
        report.add(
            Issue::error(
                "not_available_yet",
                experts.key(),
                "Expert parallelism of DeepSpeed is not built yet.",
            )
            .with_value(size(experts))
            .with_allowed(["1"]),
        );
    }
    if given.toggle(InputId::SequenceParallel) == Some(true) && size(InputId::TensorParallelSize) == 1 {
        report.warn(
            "sequence_parallel_without_tp",
            InputId::SequenceParallel,
            "Sequence parallelism needs tensor parallelism; with a tensor parallel size of 1 it is switched off.",
        );
    }
    let failed = SIZES.iter().any(|id| given.has_failed(*id)) || given.has_failed(InputId::NumGpus);
    if failed {
        return None;
    }
    let model_parallel = size(InputId::TensorParallelSize)
        .saturating_mul(size(InputId::PipelineParallelSize))
        .saturating_mul(size(InputId::ContextParallelSize));
    let (gpus, data) = product(given, model_parallel, report)?;
    Some(Mesh {
        gpus,
        data,
        tensor: size(InputId::TensorParallelSize),
        pipeline: size(InputId::PipelineParallelSize),
        context: size(InputId::ContextParallelSize),
        expert: size(InputId::ExpertParallelSize),
    })
}

/// GPUs = tensor x pipeline x context x data; the one that is not given follows from the others, or from the nodes.
fn product(given: &Given, model_parallel: u64, report: &mut Report) -> Option<(u64, u64)> {
    let data = given
        .integer(InputId::DataParallelSize)
        .filter(|_| given.has(InputId::DataParallelSize));
    let gpus = given
        .integer(InputId::NumGpus)
        .filter(|_| given.has(InputId::NumGpus));
    // Where both are typed, nodes say how many there are.
    let typed = |id| given.typed_integer(id);
    let nodes = typed(InputId::NumNodes)
        .zip(typed(InputId::GpusPerNode))
        .map(|(nodes, each)| nodes.saturating_mul(each))
        .filter(|all| (1..=1_048_576).contains(all));
    let (gpus, data) = match (gpus, data) {
        (Some(gpus), Some(data)) => (gpus, data),
        (None, Some(data)) => {
            let gpus = data.saturating_mul(model_parallel);
            report.assume(InputId::NumGpus, gpus, "the product of the parallel sizes");
            (gpus, data)
        }
        (Some(gpus), None) => (gpus, (gpus / model_parallel).max(1)),
        (None, None) if nodes.is_some_and(|all| all.is_multiple_of(model_parallel)) => {
            let gpus = nodes.unwrap_or(model_parallel);
            report.assume(InputId::NumGpus, gpus, "nodes times GPUs per node");
            (gpus, gpus / model_parallel)
        }
        (None, None) => {
            report.assume(
                InputId::NumGpus,
                model_parallel,
                "the product of the parallel sizes",
            );
            (model_parallel, 1)
        }
    };
    let wanted = data.saturating_mul(model_parallel);
    if wanted == gpus {
        return Some((gpus, data));
    }
    let mut issue = Issue::error(
        "gpu_count_mismatch",
        "parallelism",
        format!(
            "Tensor {} x pipeline {} x context {} x data {data} = {wanted}, but there are {gpus} GPUs.",
            given.integer(InputId::TensorParallelSize).unwrap_or(1),
            given.integer(InputId::PipelineParallelSize).unwrap_or(1),
            given.integer(InputId::ContextParallelSize).unwrap_or(1),
        ),
    )
    .with_value(wanted);
    if gpus % model_parallel == 0 {
        issue
            .fixes
            .push(fix(InputId::DataParallelSize, gpus / model_parallel));
    }
    let product = wanted.max(model_parallel);
    if product <= 1_048_576 {
        issue.fixes.push(fix(InputId::NumGpus, product));
    }
    report.add(issue);
    None
}

fn fix(id: InputId, value: u64) -> Map<String, Value> {
    let mut fix = Map::new();
    fix.insert(id.key().to_string(), Value::from(value));
    fix
}

/// What the mesh must divide, by the sizes of the model, or by those that were typed where it could not be resolved.
pub fn splits(
    mesh: Mesh,
    (engine, model): (EngineId, Option<&Model>),
    given: &Given,
    sequence: u64,
    report: &mut Report,
) {
    let size = |id: InputId| {
        let field = model.and_then(|model| model.fields.iter().find(|field| field.path == id.key()));
        match (model, field) {
            (Some(_), field) => field.and_then(|field| field.value.as_u64()),
            (None, _) => given.typed_integer(id),
        }
    };
    let mut refuse = |code: &'static str, id: InputId, message: String| report.error(code, id, message);
    // What PyTorch's plans must divide follows from the plan.
    let by_plan = [EngineId::PytorchDdp, EngineId::Fsdp, EngineId::Deepspeed];
    let planned = model.is_some() && by_plan.contains(&engine);
    let heads = size(InputId::NumAttentionHeads).filter(|_| !planned);
    let kv_heads = size(InputId::NumKeyValueHeads).filter(|_| !planned);
    if let Some(heads) = heads.filter(|heads| heads % mesh.tensor != 0) {
        refuse(
            "not_divisible",
            InputId::TensorParallelSize,
            format!("{heads} attention heads cannot be divided by {}.", mesh.tensor),
        );
    } else if let Some(kv) =
        kv_heads.filter(|kv| kv % mesh.tensor != 0 && !mesh.tensor.is_multiple_of(*kv.max(&1)))
    {
        refuse(
            "not_divisible",
            InputId::TensorParallelSize,
            format!(
                "{kv} key/value heads are neither a multiple nor a divisor of {}.",
                mesh.tensor
            ),
        );
    }
    if let Some(layers) = size(InputId::NumLayers).filter(|layers| mesh.pipeline > *layers) {
        refuse(
            "out_of_range",
            InputId::PipelineParallelSize,
            format!("{} stages are more than the {layers} layers.", mesh.pipeline),
        );
    }
    match size(InputId::NumExperts) {
        Some(experts) if experts % mesh.expert != 0 => refuse(
            "not_divisible",
            InputId::ExpertParallelSize,
            format!("{experts} experts cannot be divided by {}.", mesh.expert),
        ),
        None if mesh.expert > 1 && model.is_some() => refuse(
            "unsupported_combination",
            InputId::ExpertParallelSize,
            "The model has no experts.".to_string(),
        ),
        _ => {}
    }
    if mesh.context > 1 && !sequence.is_multiple_of(mesh.context.saturating_mul(2)) {
        refuse(
            "not_divisible",
            InputId::ContextParallelSize,
            format!(
                "A sequence of {sequence} tokens cannot be divided by twice the context parallel size {}.",
                mesh.context
            ),
        );
    }
}

/// The nodes, where there is more than one. What nobody says is taken from the machine in which the card usually stands.
pub fn nodes(given: &Given, gpus: u64, card: Option<&Card>, report: &mut Report) -> Option<MultiNodeInfo> {
    if given.has_failed(InputId::NumNodes) || given.has_failed(InputId::GpusPerNode) {
        return None;
    }
    let per_node = given.integer(InputId::GpusPerNode);
    let stated = given.typed_integer(InputId::NumNodes);
    let usual = card
        .filter(|_| stated.is_none() && per_node.is_none())
        .and_then(|card| usual_nodes(&card.gpu, gpus, report));
    let nodes = match (stated, per_node) {
        (Some(nodes), _) => nodes,
        (None, Some(each)) => gpus.div_ceil(each),
        (None, None) => usual.map_or(1, |(nodes, _)| nodes),
    };
    if nodes > gpus {
        report.error(
            "out_of_range",
            InputId::NumNodes,
            format!("{nodes} nodes are more than the {gpus} GPUs."),
        );
        return None;
    }
    if !gpus.is_multiple_of(nodes) {
        report.error(
            "not_divisible",
            InputId::NumNodes,
            format!("{gpus} GPUs cannot be divided evenly among {nodes} nodes."),
        );
        return None;
    }
    if let Some(each) = per_node.filter(|each| each.saturating_mul(nodes) != gpus) {
        report.error(
            "gpu_count_mismatch",
            InputId::GpusPerNode,
            format!(
                "{nodes} nodes of {each} GPUs have {}, but there are {gpus} GPUs.",
                nodes.saturating_mul(each)
            ),
        );
        return None;
    }
    if nodes == 1 {
        return None;
    }
    let shape = usual
        .and_then(|(_, shape)| shape)
        .filter(|_| !given.has(InputId::InterconnectType));
    let kind = given.choice(InputId::InterconnectType).unwrap_or("infiniband");
    // A port of NVLink is a GPU's: half of what both directions add up to.
    let fabric = card
        .and_then(|card| card.gpu.link_gb_per_s)
        .map(|both| both * 4.0);
    let of_kind = match kind {
        "nvlink" => fabric.unwrap_or(300.0),
        "ethernet_10g" => 10.0,
        "ethernet_25g" => 25.0,
        "ethernet_100g" => 100.0,
        "infiniband_ndr" | "ethernet_400g" => 400.0,
        "infiniband_xdr" | "ethernet_800g" => 800.0,
        _ => 200.0,
    };
    let of_shape = |shape: &NodeShape| (shape.gpus == gpus / nodes).then_some(shape.ports);
    let ports = given.integer(InputId::PortsPerNode);
    let ports = ports.or_else(|| shape.and_then(of_shape)).unwrap_or_else(|| {
        let each = kind.starts_with("infiniband") || kind == "nvlink";
        let ports = if each { gpus / nodes } else { 1 };
        report.assume(
            InputId::PortsPerNode,
            ports,
            "one per GPU for InfiniBand and NVLink, one for Ethernet",
        );
        ports
    });
    let bandwidth = given
        .number(InputId::InterconnectBandwidthGbps)
        .unwrap_or(shape.map_or(of_kind, |shape| shape.port_gbit));
    Some(MultiNodeInfo {
        num_nodes: nodes,
        gpus_per_node: gpus / nodes,
        interconnect_type: kind.to_string(),
        interconnect_bandwidth_gbps: bandwidth,
        ports_per_node: ports,
    })
}

/// How many nodes there are where nobody says, if more than one, and the shape that they have: as full as the card's usual
/// machine, or the next smaller size that divides the GPUs.
fn usual_nodes(gpu: &Gpu, gpus: u64, report: &mut Report) -> Option<(u64, Option<&'static NodeShape>)> {
    // No usual machine is smaller, and the table of nodes need not be read.
    if gpus <= OF_A_SERVER {
        return None;
    }
    let (most, shape) = usual_machine(gpu);
    if gpus <= most {
        return None;
    }
    let each = (1..=most).rev().find(|each| gpus.is_multiple_of(*each))?;
    let machine = shape.map_or("a server of eight", |shape| shape.name.as_str());
    report.assume(
        InputId::NumNodes,
        gpus / each,
        format!("no nodes are given: {each} GPUs in each, as in {machine}"),
    );
    Some((gpus / each, shape))
}
