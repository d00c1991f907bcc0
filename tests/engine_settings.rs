//! What each setting of DeepSpeed and of FSDP holds where, by hand: Llama-3-8B (P = 8,030,261,248) on 8 GPUs. The formulas are
//! those of the frameworks' own functions; how they are exceeded is said beside each.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Answer, Request, Verdict};
use serde_json::{Value, json};

const P: u64 = 8_030_261_248;
const GPUS: u64 = 8;

fn request(engine: Value) -> Request {
    let value = json!({"model": {"id": "llama-3-8b"}, "engine": engine,
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": GPUS},
        "training": {"batch_size": 1, "seq_length": 128, "activation_checkpointing": "full", "optimizer": "adamw"}});
    Request::from_json(&value).expect("a request")
}

#[track_caller]
fn ask(engine: Value) -> Answer {
    api::calculate(&request(engine)).unwrap_or_else(|issues| panic!("{issues:?}"))
}

/// DeepSpeed's answer at a stage with other settings.
#[track_caller]
fn zero(stage: u64, more: Value) -> Answer {
    ask(deepspeed(stage, more))
}

fn deepspeed(stage: u64, more: Value) -> Value {
    let mut engine = json!({"type": "deepspeed", "zero_stage": stage});
    let settings = engine.as_object_mut().expect("settings");
    settings.extend(more.as_object().expect("settings").clone());
    engine
}

/// Issues as "code path", errors marked with `!`.
fn issues(engine: Value) -> Vec<String> {
    api::validate(&request(engine))
        .iter()
        .map(|issue| {
            let mark = if issue.is_error() { "!" } else { "" };
            format!("{mark}{} {}", issue.code, issue.path)
        })
        .collect()
}

/// Weights, gradients and states at an instant.
fn state(answer: &Answer, instant: &str) -> [u64; 3] {
    let found = answer.instants.iter().find(|row| row.id == instant);
    let groups = found.expect("an instant").groups;
    [
        groups.model_params.get(),
        groups.gradients.get(),
        groups.optimizer_states.get(),
    ]
}

/// Bytes of the entries of this id at an instant.
fn held(answer: &Answer, id: &str, instant: &str) -> u64 {
    let rows = answer.ledger.iter().filter(|row| row.id == id);
    rows.map(|row| (row.unit_bytes * row.held_at[instant]).get())
        .sum()
}

/// Equal but for the rounding of the allocator, 2 MiB at the most for each buffer.
#[track_caller]
fn near(found: u64, expected: u64) {
    assert!(found.abs_diff(expected) < 4 << 20, "{found} against {expected}");
}

#[test]
fn stage_0_divides_nothing() {
    let answer = zero(0, json!({}));
    let [weights, _, states] = state(&answer, "rest");
    near(weights, 2 * P);
    near(states, 12 * P);
    // All 16-bit gradients after backward; their fp32 copies beside them in the step.
    near(state(&answer, "backward_end")[1], 2 * P);
    near(state(&answer, "optimizer_step")[1], 6 * P);
    // Absent, null and 0 are one stage (trap T41: 0 is no word for "unset").
    for engine in [
        json!({"type": "deepspeed"}),
        json!({"type": "deepspeed", "zero_stage": null}),
    ] {
        assert_eq!(ask(engine).ledger, answer.ledger);
    }
}

#[test]
fn stage_1_divides_states_and_stage_2_gradients_too() {
    let (one, two) = (zero(1, json!({})), zero(2, json!({})));
    for stage in [1, 2] {
        let asked = request(deepspeed(stage, json!({})));
        let answer = api::calculate_on_rank(&asked, 0).expect("an answer");
        let [weights, gradients, states] = state(&answer, "rest");
        near(weights, 2 * P);
        near(states, 12 * P / GPUS);
        assert_eq!(gradients, 0);
        // The first rank's part: the embedding, two layers, the attention of the third and some rows of its gate, whose gradient
        // it keeps whole.
        let (layer, attention) = (218_112_000, 4096 * (4096 + 1024 + 1024 + 4096));
        let matrix = 4096 * 14_336;
        let whole = 128_256 * 4096 + 2 * layer + attention + matrix;
        assert_eq!(state(&answer, "clip")[1], 2 * whole);
        // estimate_zero2_model_states_mem_needs: 2P + 18P/g; the step flattens the partition beside its gradients.
        let step: u64 = state(&answer, "optimizer_step").iter().sum();
        near(step, 2 * P + 18 * P / GPUS + 2 * whole);
        // Other parts begin and end inside of a matrix, and keep both whole.
        let fullest = state(&api::calculate(&asked).expect("an answer"), "clip")[1];
        assert!(
            fullest > 2 * whole && fullest < 2 * P / GPUS + 4 * matrix,
            "{fullest}"
        );
    }
    // Stage 1 reduces after backward, when every gradient is there; stage 2 meanwhile.
    assert!(state(&one, "backward_first")[1] > 3 * P / 2);
    assert!(state(&two, "backward_first")[1] < P);
}

#[test]
fn stage_3_divides_the_weights_and_gathers_what_runs() {
    let answer = zero(3, json!({}));
    near(held(&answer, "zero.weights", "rest"), 2 * P / GPUS);
    near(held(&answer, "zero.gradients", "rest"), 2 * P / GPUS);
    near(state(&answer, "rest")[2], 12 * P / GPUS);
    // The norms: 65 of 4,096 weights are below the threshold of 100,000.
    near(held(&answer, "zero.persistent", "rest"), 2 * 65 * 4096);
    // Gathered up to max_live_parameters, 10^9 elements, but for a rounding to segments of 2 MiB; not in the step.
    near(held(&answer, "zero.gathered", "backward_first"), 2_000_000_000);
    assert_eq!(held(&answer, "zero.gathered", "optimizer_step"), 0);
    // estimate_zero3_model_states_mem_needs has 18P/g and no buffer: here at rest 16P/g with the bucket of 10^9 bytes, and
    // in the step fp32 gradients and a flattened copy of the first sub-group of 10^9 elements.
    let rest: u64 = state(&answer, "rest").iter().sum();
    near(rest, 16 * P / GPUS + 1_000_000_000 + 2 * 65 * 4096);
    let step: u64 = state(&answer, "optimizer_step").iter().sum();
    near(step, rest + 4_000_000_000 + 2_000_000_000);
}

#[test]
fn disk_costs_the_gpu_what_the_host_costs_it() {
    let cpu = zero(3, json!({"offload_optimizer": "cpu"}));
    let disk = zero(3, json!({"offload_optimizer": "nvme"}));
    assert_eq!(disk.instants, cpu.instants);
    assert_eq!(disk.peak_allocated_bytes, cpu.peak_allocated_bytes);
    let (cpu, disk) = (cpu.host.expect("a host"), disk.host.expect("a host"));
    assert_eq!(cpu.disk_per_node.high_bytes.get(), 0);
    // Master weights, moments and fp32 gradients lie on the disk: 16 bytes for each weight.
    near(disk.disk_per_node.expected_bytes.get(), 16 * P);
    let has = |id: &str| disk.rows.iter().filter(|row| row.id == id).count();
    assert_eq!((has("host.swap_buffers"), has("host.master")), (1, 0));
    let buffers = disk
        .rows
        .iter()
        .find(|row| row.id == "host.swap_buffers")
        .unwrap();
    // buffer_count 4, of a sub-group each.
    assert_eq!(
        (buffers.count, buffers.unit_bytes.get(), buffers.pinned),
        (4, 4_000_000_000, true)
    );
}

#[test]
fn weights_leave_the_gpu_without_the_optimizer() {
    let (whole, away) = (zero(3, json!({})), zero(3, json!({"offload_param": "cpu"})));
    assert_eq!(held(&away, "zero.weights", "rest"), 0);
    let [weights, gradients, states] = state(&whole, "rest");
    let [left, same_gradients, same_states] = state(&away, "rest");
    near(weights - left, 2 * P / GPUS);
    assert_eq!((gradients, states), (same_gradients, same_states));
    // In host memory, 2 bytes for each weight of the node.
    let host = away.host.expect("a host");
    near(host.memory_per_node.low_bytes.get(), 2 * P);
}

#[test]
fn offload_is_possible_where_deepspeed_has_it() {
    let refused = |stage: u64, more: Value| issues(deepspeed(stage, more));
    for stage in [0, 1, 2] {
        assert_eq!(
            refused(stage, json!({"offload_optimizer": "nvme"})),
            ["!unsupported_combination engine.offload_optimizer"]
        );
        assert_eq!(
            refused(stage, json!({"offload_param": "cpu"})),
            ["!unsupported_combination engine.offload_param"]
        );
    }
    assert_eq!(
        refused(0, json!({"offload_optimizer": "cpu"})),
        ["!unsupported_combination engine.offload_optimizer"]
    );
    for stage in [1, 2, 3] {
        assert_eq!(
            refused(stage, json!({"offload_optimizer": "cpu"})),
            Vec::<String>::new()
        );
        let answer = zero(stage, json!({"offload_optimizer": "cpu"}));
        assert_eq!(state(&answer, "rest")[2], 0, "stage {stage}");
        assert!(answer.cpu_memory_bytes.get() > 12 * P, "stage {stage}");
    }
    assert_eq!(
        issues(json!({"type": "deepspeed", "zero_stage": 4})),
        ["!out_of_range engine.zero_stage"]
    );
    assert_eq!(
        issues(json!({"type": "fsdp", "zero_stage": 2, "offload_optimizer": "cpu"})),
        ["not_used engine.zero_stage", "not_used engine.offload_optimizer"]
    );
    assert_eq!(
        refused(2, json!({"zero_init": false, "offload_ratio": 0.5})),
        ["not_used engine.offload_ratio", "not_used engine.zero_init"]
    );
}

#[test]
fn half_of_the_optimizer_stays_by_whole_sub_groups() {
    // 64 GPUs of a 70B model hold 1.1 sub-groups each: half of two, one whole one, stays.
    let mut question = request(deepspeed(
        3,
        json!({"offload_optimizer": "cpu", "offload_ratio": 0.5}),
    ));
    question.set(api::InputId::ModelId, json!("llama-3.1-70b"));
    question.set(api::InputId::NumGpus, json!(64));
    let answer = api::calculate(&question).expect("an answer");
    near(state(&answer, "rest")[2], 12 * 1_000_000_000);
}

#[test]
fn host_memory_is_told_for_a_node_and_for_the_job() {
    let here = zero(3, json!({}));
    assert_eq!((here.cpu_memory_gb, here.cpu_memory_per_node_gb), (0.0, 0.0));
    let one = zero(3, json!({"offload_optimizer": "cpu"}));
    let node = one.host.as_ref().expect("a host").memory_per_node.expected_bytes;
    assert_eq!(
        (one.cpu_memory_bytes, one.cpu_memory_per_node_bytes),
        (node, node)
    );
    assert_eq!(one.cpu_memory_gb, node.to_gib());
    let mut question = request(deepspeed(3, json!({"offload_optimizer": "cpu"})));
    question.set(api::InputId::NumNodes, json!(2));
    let two = api::calculate(&question).expect("an answer");
    assert_eq!(two.cpu_memory_bytes, one.cpu_memory_bytes);
    assert_eq!(two.cpu_memory_per_node_bytes * 2, two.cpu_memory_bytes);
    assert_eq!(two.cpu_memory_per_node_gb, two.cpu_memory_per_node_bytes.to_gib());
    // Not checked unless it is stated; then too little decides.
    assert_eq!(one.host.expect("a host").verdict, None);
    question.set(api::InputId::HostMemoryGb, json!(1));
    let poor = api::calculate(&question).expect("an answer");
    assert_eq!(poor.verdict, Verdict::DoesNotFit);
    assert!(
        poor.recommended_batch_size_reason
            .expect("a reason")
            .contains("host memory")
    );
}

#[test]
fn buffers_have_the_sizes_that_are_asked_for() {
    let bucket = |answer: &Answer| held(answer, "zero.bucket", "backward_first");
    let usual = zero(2, json!({}));
    near(bucket(&usual), 2 * 500_000_000);
    near(
        bucket(&zero(2, json!({"reduce_bucket_size": 100_000_000}))),
        200_000_000,
    );
    near(bucket(&zero(2, json!({"overlap_comm": true}))), 4 * 500_000_000);
    assert_eq!(bucket(&zero(2, json!({"contiguous_gradients": false}))), 0);
    let gathered = |more: Value| held(&zero(3, more), "zero.gathered", "backward_first");
    near(
        gathered(json!({"max_live_parameters": 600_000_000})),
        1_200_000_000,
    );
    // Never less than the largest module, the embedding of 128,256 x 4,096; or the one that is typed.
    let none = json!({"max_live_parameters": 0, "prefetch_bucket_size": 0});
    let embedding = 128_256 * 4096;
    assert!(gathered(none) >= 2 * embedding);
    let kept = |threshold: u64| {
        let more = json!({"param_persistence_threshold": threshold});
        held(&zero(3, more), "zero.persistent", "rest")
    };
    assert_eq!(kept(0), 0);
    assert!(kept(5_000_000) > kept(100_000));
    assert_eq!(
        issues(deepspeed(2, json!({"allgather_bucket_size": 1000}))),
        ["not_used engine.allgather_bucket_size"]
    );
    assert_eq!(
        issues(json!({"type": "pytorch_ddp", "bucket_cap_mb": 100})),
        ["not_used engine.bucket_cap_mb"]
    );
    for name in [
        "reduce_bucket_size",
        "max_live_parameters",
        "param_persistence_threshold",
    ] {
        assert_eq!(
            issues(deepspeed(3, json!({name: -1}))),
            [format!("!out_of_range engine.{name}")]
        );
    }
}

#[test]
fn a_typed_largest_module_is_gathered() {
    let typed = |stage: u64, largest: Value| {
        let engine = deepspeed(stage, json!({"max_live_parameters": 1000}));
        let mut question = request(engine);
        question.set(api::InputId::LargestLayerParams, largest);
        question
    };
    let gathered = |largest: Value| {
        let answer = api::calculate(&typed(3, largest)).expect("an answer");
        held(&answer, "zero.gathered", "backward_first")
    };
    near(gathered(json!("1.2B")), 2_400_000_000);
    near(gathered(json!(3_000_000_000_u64)), 6_000_000_000);
    let paths = |question: &Request| -> Vec<String> {
        let issues = api::validate(question);
        issues
            .iter()
            .map(|issue| format!("{} {}", issue.code, issue.path))
            .collect()
    };
    assert_eq!(
        paths(&typed(3, json!("1.2B"))),
        ["largest_layer_differs model.largest_layer_params"]
    );
    assert_eq!(paths(&typed(3, json!(128_256 * 4096))), Vec::<String>::new());
    assert!(paths(&typed(2, json!("1.2B"))).contains(&"not_used model.largest_layer_params".to_string()));
    assert_eq!(
        paths(&typed(3, json!(0))),
        ["not_positive model.largest_layer_params"]
    );
}

/// Llama-3.2-1B in pure bf16 on 4 GPUs: P = 1,235,814,400.
fn small(engine: Value, nodes: u64) -> Result<Answer, Vec<api::Issue>> {
    let value = json!({"model": {"id": "llama-3.2-1b"}, "engine": engine,
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 4}, "node_config": {"num_nodes": nodes},
        "training": {"seq_length": 512, "activation_checkpointing": "full", "precision_mode": "pure",
            "optimizer_implementation": "fused"}});
    api::calculate(&Request::from_json(&value).expect("a request"))
}

#[test]
fn no_shard_holds_all_states_and_flat_gradients() {
    let engine = json!({"type": "fsdp", "fsdp_version": 1, "sharding_strategy": "no_shard"});
    let answer = small(engine.clone(), 1).expect("an answer");
    let [weights, _, states] = state(&answer, "rest");
    let all = 1_235_814_400;
    near(weights, 2 * all);
    near(states, 4 * all);
    near(state(&answer, "optimizer_step")[1], 2 * all);
    // torch's own FSDP on the no-op device: 10,943,556,608 allocated at the peak, 9,890,781,184 in the step.
    for (found, traced) in [
        (answer.peak_allocated_bytes.get(), 10_943_556_608_u64),
        (state(&answer, "optimizer_step").iter().sum(), 9_890_781_184),
    ] {
        let error = found.abs_diff(traced) as f64 / traced as f64;
        assert!(error < 0.001, "{found} against {traced}");
    }
    // The flat gradients stay until the next forward pass: zero_grad sees the original parameters alone.
    near(state(&answer, "rest")[1], 2 * all);
    // DDP holds the same states, and its buckets beside the gradients for good.
    let ddp = small(json!({"type": "pytorch_ddp"}), 1).expect("an answer");
    near(state(&ddp, "rest")[2], states);
    near(state(&ddp, "rest")[1], 2 * all);
    let mut flat = engine;
    flat["use_orig_params"] = json!(false);
    assert_eq!(state(&small(flat, 1).expect("an answer"), "rest")[1], 0);
    // fully_shard has no such strategy.
    let second = small(json!({"type": "fsdp", "sharding_strategy": "no_shard"}), 1);
    assert!(second.is_err_and(|issues| issues[0].path == "engine.sharding_strategy"));
}

#[test]
fn the_five_strategies_divide_what_they_say() {
    let all = 1_235_814_400;
    for version in [1, 2] {
        let rest = |strategy: &str, nodes: u64| {
            let engine = json!({"type": "fsdp", "fsdp_version": version, "sharding_strategy": strategy});
            let answer = small(engine, nodes).expect("an answer");
            let weights = held(&answer, "weights", "rest");
            (weights, state(&answer, "backward_last")[0], answer.engine)
        };
        let (full, full_running, _) = rest("full_shard", 1);
        near(full, 2 * all / 4);
        let (kept, kept_running, _) = rest("shard_grad_op", 1);
        assert_eq!(kept, full);
        // Gathered weights stay from their first use until backward has passed.
        assert!(kept_running > full_running + all, "version {version}");
        // Divided inside the node, copied between the two.
        let (hybrid, hybrid_running, engine) = rest("hybrid_shard", 2);
        near(hybrid, 2 * all / 2);
        assert_eq!(engine, "hsdp");
        let (second, second_running, _) = rest("hybrid_shard_zero2", 2);
        assert_eq!(second, hybrid);
        assert!(second_running > hybrid_running + all, "version {version}");
    }
    assert_eq!(
        issues(json!({"type": "deepspeed", "sharding_strategy": "shard_grad_op"})),
        ["not_used engine.sharding_strategy"]
    );
}
