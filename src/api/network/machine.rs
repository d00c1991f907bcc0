//! The machine of a job: rates of its card, and nodes and wires for the three cases.

use super::super::job::Job;
use crate::hardware::{Gpu, find_link};
use crate::network::{Algorithm, AttentionKernels, Case, Choice, Cluster, Machine, Wire, efficiency};
use crate::training::Engine;
use crate::units::{BytesPerSecond, DType, FlopsPerSecond, Seconds};

/// What a healthy large ring reaches of a wire: 76 to 82 % of one direction (stas00/ml-engineering@744d01e
/// network/README.md); fast, expected, slow.
const RING: [f64; 3] = [0.82, 0.78, 0.76];
/// Around a typed or usual share of the ports: what the best and the poorer fabrics reach (assumed).
const AROUND: [f64; 3] = [1.08, 1.0, 0.82];
/// What GPUs without a fabric of their own reach of the host's bus, where all use it (assumed).
const BUS: [f64; 3] = [1.0, 0.8, 0.5];

/// The machine, and whether the rates of its card are known.
pub fn machine(job: &Job) -> (Machine, bool) {
    let gpu = &job.card.gpu;
    let stated = job.speed.peak_tflops.or(gpu.bf16_tflops);
    let peak = FlopsPerSecond::from_tera(stated.unwrap_or_default());
    let memory = gpu.bandwidth_gb_per_s;
    let clusters = Case::ALL.map(|case| cluster(job, case));
    let machine = Machine {
        peak: peak * arithmetic(job),
        stated_peak: peak,
        memory: BytesPerSecond::from_gb(memory.unwrap_or_default()),
        efficiency: efficiency(gpu, job.speed.compute_efficiency, attention(job)),
        clusters,
        choice: job.speed.choice,
        host: host(job),
    };
    (machine, stated.is_some() && memory.is_some())
}

/// The rate of the arithmetic against that of 16-bit products: TF32 half, plain fp32 a sixteenth (A100 and H100 datasheets:
/// 19.5 of 312 and 67 of 989 TFLOP/s).
fn arithmetic(job: &Job) -> f64 {
    match (job.training.precision, job.speed.tf32) {
        (precision, true) if precision.compute() == DType::Fp32 => 0.5,
        (precision, false) if precision.compute() == DType::Fp32 => 1.0 / 16.0,
        _ => 1.0,
    }
}

/// The generation of fused attention: what is typed, else that of Transformer Engine under Megatron and torch's.
fn attention(job: &Job) -> AttentionKernels {
    job.speed.attention.unwrap_or(match job.training.engine {
        Engine::Megatron(_) => AttentionKernels::Third,
        _ => AttentionKernels::Second,
    })
}

/// The wire between GPUs of a node.
pub fn inside(gpu: &Gpu, case: Case) -> Wire {
    if let Some(both) = gpu.link_gb_per_s.filter(|both| *both > 0.0) {
        let nominal = both / 2.0;
        let measured = gpu.scale_up().and_then(|link| link.achievable_gb_per_s);
        let expected = measured.unwrap_or(nominal * Case::Expected.of(RING));
        let rate = match case {
            Case::Fast => expected.max(nominal * case.of(RING)),
            Case::Expected => expected,
            Case::Slow => expected.min(nominal * case.of(RING)),
        };
        return Wire {
            rate: BytesPerSecond::from_gb(rate),
            fabric: true,
        };
    }
    Wire {
        rate: bus(gpu) * case.of(BUS),
        fabric: false,
    }
}

/// What a copy over the host's bus reaches.
fn bus(gpu: &Gpu) -> BytesPerSecond {
    let link = find_link(&format!("pcie-{}-0-x16", gpu.pcie_generation.unwrap_or(4)));
    let rate = link.and_then(|link| {
        let nominal = link.one_direction_gb_per_s.map(|rate| rate * 0.85);
        link.achievable_gb_per_s.or(nominal)
    });
    BytesPerSecond::from_gb(rate.unwrap_or(25.0))
}

fn cluster(job: &Job, case: Case) -> Cluster {
    let gpu = &job.card.gpu;
    let (gpus_per_node, nodes, nominal) = match &job.nodes {
        Some(nodes) => {
            let ports = nodes.ports_per_node as f64;
            let rate = BytesPerSecond::from_gbit(nodes.interconnect_bandwidth_gbps * ports);
            (nodes.gpus_per_node, nodes.num_nodes, rate)
        }
        None => (job.mesh.gpus, 1, BytesPerSecond::ZERO),
    };
    let (share, typed) = job.speed.network_efficiency;
    let around = if typed { 1.0 } else { case.of(AROUND) };
    // TCP takes tens of microseconds where RDMA takes few (assumed for slow Ethernet).
    let slow = job.nodes.as_ref().is_some_and(|nodes| {
        nodes.interconnect_type.starts_with("ethernet") && nodes.interconnect_bandwidth_gbps < 100.0
    });
    Cluster {
        gpus_per_node,
        nodes,
        inside: inside(gpu, case),
        between: nominal * (share * around).min(1.0),
        hop: Seconds::from_micros(if slow { 20.0 } else { 0.0 }),
        switch: gpu
            .scale_up()
            .and_then(|link| link.switch_gb_per_s)
            .map(BytesPerSecond::from_gb),
        fabric_reduces: job.speed.choice == Choice::Only(Algorithm::InNetwork),
    }
}

/// Between a GPU and the host, and the host's memory per GPU: eight channels of DDR5 on each of two sockets, in links.json.
fn host(job: &Job) -> (BytesPerSecond, BytesPerSecond) {
    let gpus = job
        .nodes
        .as_ref()
        .map_or(job.mesh.gpus, |nodes| nodes.gpus_per_node);
    let socket = find_link("DDR5-4800 8 channels (one socket)").and_then(|link| link.achievable_gb_per_s);
    let memory = BytesPerSecond::from_gb(2.0 * socket.unwrap_or(250.0));
    (bus(&job.card.gpu), memory * (1.0 / gpus.max(1) as f64))
}
