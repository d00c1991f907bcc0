//! Nodes: what a shape fills, what holds where nothing is said, and the host of a node.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod travelling;

use gpu_mem_calc::api::{self, InputId, Request};
use serde_json::{Value, json};
use travelling::{ask, question};

#[test]
fn a_node_shape_fills_what_is_open() {
    let request = Request::from_json(&json!({
        "model": {"id": "llama-3.1-8b"}, "engine": {"type": "fsdp"},
        "node_config": {"node_shape": "aws-p5en", "num_nodes": 4},
    }))
    .expect("a request");
    let answer = api::calculate(&request).expect("an answer");
    assert_eq!(answer.gpus_used, 32);
    assert_eq!(answer.capacity.gpu.as_deref(), Some("h200-sxm-141gb"));
    let nodes = answer.multi_node_info.expect("nodes");
    assert_eq!((nodes.gpus_per_node, nodes.ports_per_node), (8, 16));
    assert!((nodes.interconnect_bandwidth_gbps - 200.0).abs() < 1e-9);
    // What is typed stays.
    let typed = request
        .with(InputId::Gpu, "h100-sxm-80gb")
        .with(InputId::PortsPerNode, 4);
    let answer = api::calculate(&typed).expect("an answer");
    assert_eq!(answer.capacity.gpu.as_deref(), Some("h100-sxm-80gb"));
    assert_eq!(answer.multi_node_info.expect("nodes").ports_per_node, 4);
    // Nodes are whole.
    let part = typed
        .with(InputId::NumNodes, Value::Null)
        .with(InputId::NumGpus, 12);
    let issues = api::calculate(&part).expect_err("half a node");
    assert!(
        issues.iter().any(|issue| issue.code == "gpu_count_mismatch"),
        "{issues:?}"
    );
}

#[test]
fn gpus_of_which_nothing_is_said_fill_usual_machines() {
    let asked = |gpu: &str, gpus: u64, nodes: Value| {
        let mut request = question(json!({"type": "fsdp"}), json!({}), gpus, 1);
        request["hardware"]["gpu"] = json!(gpu);
        request["node_config"] = nodes;
        ask(request)
    };
    for (gpu, gpus, nodes) in [
        ("h100-sxm-80gb", 256, 32),
        ("h100-sxm-80gb", 12, 2),
        ("rtx-4090", 16, 2),
        ("gb200-nvl72-per-gpu", 144, 2),
    ] {
        let answer = asked(gpu, gpus, json!({}));
        let info = answer.multi_node_info.as_ref().expect("more than one node");
        assert_eq!(info.num_nodes, nodes, "{gpus} x {gpu}");
        assert!(
            answer.network_overhead.total_overhead_bytes.get() > 0,
            "{gpus} x {gpu} meet only inside a node"
        );
        let noted = answer
            .assumed
            .iter()
            .find(|one| one.path == InputId::NumNodes.key());
        assert_eq!(
            noted.map(|one| one.value.clone()),
            Some(json!(nodes)),
            "{gpus} x {gpu}"
        );
    }
    let rate = |nodes: Value| {
        let answer = asked("h100-sxm-80gb", 256, nodes);
        answer
            .multi_node_info
            .map(|info| info.interconnect_bandwidth_gbps)
    };
    // A DGX H100's ports where nothing is said, the type's own where it is typed.
    assert_eq!(rate(json!({})), Some(400.0));
    assert_eq!(rate(json!({"interconnect_type": "infiniband"})), Some(200.0));
    // What fits a machine stays in it, and one node that is typed stays one.
    for (gpus, nodes) in [(8, json!({})), (256, json!({"num_nodes": 1}))] {
        assert!(asked("h100-sxm-80gb", gpus, nodes).multi_node_info.is_none());
    }
}

#[test]
fn the_fewest_gpus_of_a_shape_are_whole_nodes() {
    let asked = |more: Value| {
        let mut asked = json!({
            "model": {"id": "llama-3.1-8b"}, "engine": {"type": "fsdp"}, "training": {"seq_length": 4096},
            "hardware": {"gpu": "h100-sxm-80gb"},
        });
        asked["node_config"] = more;
        let request = Request::from_json(&asked).expect("a request");
        api::solve(&request, api::Unknown::Gpus).expect("a solution")
    };
    let free = asked(json!({}));
    let whole = asked(json!({"node_shape": "dgx-h100"}));
    let (free, fewest) = (free.value.expect("it fits"), whole.value.expect("it fits"));
    assert_eq!(whole.step, 8);
    assert!(fewest >= free && fewest.is_multiple_of(8), "{fewest} for {free}");
    // Four stages of eight ranks are four nodes without being told.
    let request = Request::from_json(&json!({
        "model": {"id": "llama-3.1-70b"}, "engine": {"type": "megatron_lm"},
        "parallelism": {"tensor_parallel_size": 8, "pipeline_parallel_size": 4},
        "node_config": {"node_shape": "dgx-h100"},
    }))
    .expect("a request");
    let answer = api::calculate(&request).expect("an answer");
    assert_eq!(answer.multi_node_info.expect("nodes").num_nodes, 4);
    let twice = request.with(InputId::DataParallelSize, 2);
    let answer = api::calculate(&twice).expect("an answer");
    assert_eq!(
        (answer.gpus_used, answer.multi_node_info.expect("nodes").num_nodes),
        (64, 8)
    );
}

#[test]
fn the_host_of_a_shape_judges_what_is_offloaded() {
    let with = |shape: &str| {
        let request = Request::from_json(&json!({
            "model": {"id": "llama-3.1-405b"},
            "engine": {"type": "deepspeed", "zero_stage": 3, "offload_optimizer": "cpu"},
            "node_config": {"node_shape": shape, "num_nodes": 1},
        }))
        .expect("a request");
        api::calculate(&request).expect("an answer").host.expect("a host")
    };
    let host = with("azure-nd-a100-v4");
    assert!(host.verdict.is_some(), "the host's memory is known");
}
