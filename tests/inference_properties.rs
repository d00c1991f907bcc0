//! Properties of every inference answer over 100,000 random questions: nothing panics, what is answered adds up, bounds enclose
//! what is expected, and more work never needs less memory.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, InferenceAnswer, Request};
use gpu_mem_calc::units::Bytes;
use serde_json::{Value, json};

/// Numbers without a pattern (Steele and Vigna's SplitMix64), the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A whole number of any size up to a power of two.
    fn count(&mut self, most: u32) -> u64 {
        let bits = u32::try_from(self.below(most as usize + 1)).unwrap_or(0);
        (self.next() & ((1_u64 << bits) - 1)).max(1)
    }
}

const GPUS: [&str; 7] = [
    "h100-sxm-80gb",
    "a100-sxm-40gb",
    "rtx-4090",
    "t4",
    "instinct-mi300x",
    "dgx-spark-gb10",
    "b200-sxm-180gb",
];

const ENGINES: [&str; 5] = ["huggingface", "vllm", "sglang", "tensorrt_llm", "tgi"];
/// It has questions of its own, so that those of the others stay what they are.
const OF_FILES: [&str; 1] = ["llama_cpp"];

/// One question: a model of the catalogue, an engine, lengths, and some settings, valid or not.
fn question(random: &mut Random, models: &[String], engines: &[&str]) -> Value {
    let engine = random.pick(engines);
    let mut inference = json!({
        "engine_type": engine,
        "batch_size": random.count(12),
        "prompt_tokens": random.count(18),
        "new_tokens": random.count(12),
        "tensor_parallel_size": random.pick(&[1, 1, 1, 2, 4, 8]),
    });
    for _ in 0..random.below(5) {
        let (key, value) = setting(random, engine);
        inference[key] = value;
    }
    let mut hardware = json!({ "gpu": random.pick(&GPUS) });
    if random.below(4) == 0 {
        hardware["used_memory_gb"] = json!(random.below(30));
    }
    json!({ "model": { "id": random.pick(models) }, "inference": inference, "hardware": hardware })
}

/// Settings of llama.cpp, valid or not.
fn of_files(random: &mut Random) -> (&'static str, Value) {
    let all = [
        (
            "gguf_type",
            json!(random.pick(&["F16", "Q8_0", "Q4_K_M", "IQ2_XXS", "Q3_K_L", "MXFP4_MOE", "TQ1_0"])),
        ),
        ("tensor_types", json!(["ffn_.*_exps=q6_K", "attn_(k|v)=q8_0"])),
        ("imatrix", json!(true)),
        ("latent_tensors", json!(random.pick(&["joint", "split", "both"]))),
        ("cache_type_k", json!(random.pick(&["q8_0", "f32", "q4_0"]))),
        ("cache_type_v", json!(random.pick(&["q8_0", "bf16", "iq4_nl"]))),
        ("llama_fork", json!("ik")),
        ("mla", json!(random.below(4))),
        ("attn_max_batch", json!(random.count(11))),
        ("ctx_size", json!(random.count(20))),
        ("n_ubatch", json!(random.count(13))),
        ("n_batch", json!(random.count(13))),
        ("n_outputs_max", json!(random.count(9))),
        ("flash_attn", json!(random.pick(&["on", "off", "auto"]))),
        ("n_gpu_layers", json!(random.count(7))),
        ("n_cpu_moe", json!(random.count(6))),
        ("split_mode", json!(random.pick(&["row", "none", "layer"]))),
        ("tensor_split", json!(["3", "0", "1.5"])),
        ("override_tensor", json!(["blk.[0-9].ffn=CPU", "attn=CUDA1"])),
        ("draft_model", json!("qwen2.5-0.5b")),
        ("kv_unified", json!(random.below(2) == 0)),
        ("swa_full", json!(true)),
        ("kv_offload", json!(false)),
        ("mmap", json!(false)),
        ("pipeline_parallel_size", json!(random.pick(&[1, 2, 3, 4]))),
        (
            "engine_version",
            json!(random.pick(&["b4000", "b5200", "b6000", "b7000", "b9000"])),
        ),
    ];
    random.pick(&all)
}

fn setting(random: &mut Random, engine: &str) -> (&'static str, Value) {
    if engine == "llama_cpp" {
        return of_files(random);
    }
    let both = [
        (
            "weight_format",
            json!(random.pick(&["none", "fp8", "awq", "gptq", "nf4", "nf4_double", "mxfp4", "int8"])),
        ),
        ("dtype", json!(random.pick(&["bf16", "fp16", "fp32"]))),
        (
            "kv_cache_quantization",
            json!(random.pick(&["none", "fp8", "fp4", "int4", "int2"])),
        ),
        ("pipeline_parallel_size", json!(random.pick(&[1, 2, 3, 4]))),
        ("other_gpus", json!("l40s")),
    ];
    let transformers = [
        (
            "attention",
            json!(random.pick(&["sdpa", "eager", "math", "flash_attention_2"])),
        ),
        ("padding", json!(true)),
        (
            "cache_implementation",
            json!(random.pick(&["static", "offloaded", "dynamic"])),
        ),
        ("use_kv_cache", json!(false)),
        ("prefill_chunk_size", json!(random.count(14))),
        ("all_logits", json!(true)),
        ("num_beams", json!(random.count(5))),
        ("do_sample", json!(true)),
        ("output_scores", json!(true)),
        (
            "experts_implementation",
            json!(random.pick(&["grouped_mm", "batched_mm"])),
        ),
        ("assistant_model", json!("smollm2-135m")),
    ];
    let server = [
        (
            "engine_version",
            json!(random.pick(&[
                "0.6.6", "0.7.3", "0.8.5", "0.9.2", "0.14.1", "0.19.1", "0.22.1", "0.33.0"
            ])),
        ),
        ("entry_point", json!("library")),
        (
            "gpu_memory_utilization",
            json!(0.05 + 0.05 * random.below(20) as f64),
        ),
        ("max_model_len", json!(random.count(20))),
        ("max_num_batched_tokens", json!(random.count(18))),
        ("max_num_seqs", json!(random.count(12))),
        ("block_size", json!(random.pick(&[1, 8, 16, 64, 256]))),
        ("enable_prefix_caching", json!(random.below(2) == 0)),
        ("shared_prefix_tokens", json!(random.count(16))),
        ("enforce_eager", json!(true)),
        ("enable_chunked_prefill", json!(random.below(2) == 0)),
        ("sampler", json!(random.pick(&["sort", "flashinfer", "triton"]))),
        ("kv_cache_memory_gb", json!(random.count(7))),
        ("enable_expert_parallel", json!(true)),
        ("data_parallel_size", json!(random.pick(&[1, 2, 8]))),
        ("decode_context_parallel_size", json!(random.pick(&[1, 2]))),
        ("max_loras", json!(random.count(4))),
        ("num_speculative_tokens", json!(random.count(3))),
        ("draft_model", json!("qwen2.5-0.5b")),
        ("other_engines", json!("qwen2.5-0.5b@4x2048, 6 GiB")),
    ];
    let sglang = sglang(random);
    let tensorrt = tensorrt(random);
    let tgi = tgi(random);
    let own: &[(&'static str, Value)] = match engine {
        "vllm" => &server,
        "sglang" => &sglang,
        "tensorrt_llm" => &tensorrt,
        "tgi" => &tgi,
        _ => &transformers,
    };
    let place = random.below(both.len() + own.len());
    match place.checked_sub(both.len()) {
        None => both[place].clone(),
        Some(place) => own[place].clone(),
    }
}

fn tgi(random: &mut Random) -> Vec<(&'static str, Value)> {
    vec![
        (
            "engine_version",
            json!(random.pick(&["0.9.1", "1.4.0", "2.0.0", "2.3.1", "2.4.0", "3.0.0", "3.3.0"])),
        ),
        (
            "gpu_memory_utilization",
            json!(0.05 + 0.05 * random.below(20) as f64),
        ),
        ("max_total_tokens", json!(random.count(21) + 1)),
        ("max_input_tokens", json!(random.count(20))),
        ("max_batch_prefill_tokens", json!(random.count(18))),
        ("max_batch_total_tokens", json!(random.count(24))),
        ("tgi_wiggle_room", json!(0.05 * (1 + random.below(20)) as f64)),
        (
            "tgi_attention",
            json!(random.pick(&["paged", "flashdecoding", "flashinfer"])),
        ),
        (
            "tgi_quantize",
            json!(random.pick(&["awq", "eetq", "gptq", "bitsandbytes", "fp8"])),
        ),
        ("tgi_dtype", json!("float16")),
        ("num_shard", json!(random.pick(&[1, 2, 4]))),
        ("sharded", json!(random.below(2) == 0)),
        ("block_size", json!(random.pick(&[1, 16, 256]))),
        ("shared_prefix_tokens", json!(random.count(16))),
        ("enforce_eager", json!(true)),
    ]
}

fn tensorrt(random: &mut Random) -> Vec<(&'static str, Value)> {
    vec![
        (
            "engine_version",
            json!(random.pick(&["0.5.0", "0.9.0", "0.13.0", "0.21.0", "1.2.1"])),
        ),
        ("trt_backend", json!(random.pick(&["tensorrt", "pytorch"]))),
        (
            "gpu_memory_utilization",
            json!(0.05 + 0.05 * random.below(20) as f64),
        ),
        ("block_size", json!(random.pick(&[1, 32, 64, 128, 65_536]))),
        ("trt_max_batch_size", json!(random.count(14))),
        ("trt_max_input_len", json!(random.count(20))),
        ("trt_max_seq_len", json!(random.count(21))),
        ("trt_max_num_tokens", json!(random.count(18))),
        ("trt_max_beam_width", json!(random.count(4))),
        ("trt_remove_input_padding", json!(false)),
        ("max_pool_tokens", json!(random.count(24))),
        ("enable_prefix_caching", json!(random.below(2) == 0)),
        ("shared_prefix_tokens", json!(random.count(16))),
        ("enable_expert_parallel", json!(true)),
        ("enforce_eager", json!(true)),
    ]
}

fn sglang(random: &mut Random) -> Vec<(&'static str, Value)> {
    vec![
        (
            "engine_version",
            json!(random.pick(&["0.3.0", "0.4.6", "0.5.3", "0.5.10"])),
        ),
        (
            "gpu_memory_utilization",
            json!(0.05 + 0.05 * random.below(20) as f64),
        ),
        ("chunk_size", json!(random.count(16) - 1)),
        ("max_prefill_tokens", json!(random.count(18))),
        ("max_running_requests", json!(random.count(14))),
        ("max_pool_tokens", json!(random.count(24))),
        ("max_model_len", json!(random.count(21))),
        ("block_size", json!(random.pick(&[1, 16, 64, 256, 65_536]))),
        (
            "attention_backend",
            json!(random.pick(&["flashinfer", "triton", "fa3", "trtllm", "aiter"])),
        ),
        ("disable_radix_cache", json!(true)),
        ("shared_prefix_tokens", json!(random.count(16))),
        ("enforce_eager", json!(true)),
        ("cuda_graph_max_bs", json!(random.count(12))),
        ("enable_piecewise_cuda_graph", json!(random.below(2) == 0)),
        ("enable_dp_attention", json!(true)),
        ("data_parallel_size", json!(random.pick(&[1, 2, 8]))),
        ("enable_expert_parallel", json!(true)),
        (
            "swa_full_tokens_ratio",
            json!(0.05 * (1 + random.below(20)) as f64),
        ),
        ("disable_hybrid_swa_memory", json!(true)),
        (
            "mamba_full_memory_ratio",
            json!(0.1 * (1 + random.below(30)) as f64),
        ),
        ("max_mamba_cache_size", json!(random.count(12))),
        (
            "speculative_algo",
            json!(random.pick(&["eagle", "standalone", "ngram"])),
        ),
        ("num_speculative_tokens", json!(random.count(3))),
        ("draft_model", json!("qwen2.5-0.5b")),
        ("multi_lora_enabled", json!(true)),
        ("disable_custom_all_reduce", json!(true)),
    ]
}

fn models() -> Vec<String> {
    api::models().iter().map(|model| model.id.to_string()).collect()
}

fn ask(question: &Value) -> Result<InferenceAnswer, Vec<api::Issue>> {
    api::calculate_inference(&Request::from_json(question).expect("a request"))
}

/// What every answer keeps.
fn check(answer: &InferenceAnswer, question: &Value) {
    let groups = &answer.breakdown;
    let sum =
        groups.model_params_bytes + groups.kv_cache_bytes + groups.activations_bytes + groups.overhead_bytes;
    assert_eq!(sum, answer.total_memory_per_gpu_bytes, "{question}");
    for range in [
        answer.need,
        answer.meters.allocated,
        answer.meters.reserved,
        answer.meters.device,
    ] {
        assert!(
            range.low_bytes <= range.expected_bytes && range.expected_bytes <= range.high_bytes,
            "{question}"
        );
    }
    for part in &answer.parts {
        assert!(
            part.bytes.low_bytes <= part.bytes.high_bytes,
            "{question}: {}",
            part.id
        );
    }
    let expected: u64 = answer
        .parts
        .iter()
        .map(|part| part.bytes.expected_bytes.get())
        .sum();
    assert_eq!(expected, answer.need.expected_bytes.get(), "{question}");
    assert!(answer.memory_utilization_percent.is_finite(), "{question}");
    assert!(answer.max_concurrency.is_finite(), "{question}");
    assert_eq!(answer.verdict == api::Verdict::DoesNotFit, !answer.fits_on_gpu);
    let binding = answer.instants.iter().filter(|instant| instant.binding).count();
    assert!(binding <= 1, "{question}");
}

#[test]
fn a_hundred_thousand_random_questions_are_answered_or_refused() {
    let models = models();
    for (seed, engines, count) in [(5, &ENGINES[..], 100_000), (17, &OF_FILES[..], 20_000)] {
        let mut random = Random(seed);
        let mut answered = 0_u32;
        for _ in 0..count {
            let question = question(&mut random, &models, engines);
            match ask(&question) {
                Ok(answer) => {
                    check(&answer, &question);
                    answered += 1;
                }
                Err(issues) => assert!(issues.iter().any(api::Issue::is_error), "{question}"),
            }
        }
        assert!(answered > count / 5, "only {answered} were answered");
    }
}

/// Prompt and answer.
fn longest(question: &Value) -> u64 {
    let tokens = |key: &str| question["inference"][key].as_u64().unwrap_or(0);
    tokens("prompt_tokens") + tokens("new_tokens")
}

#[test]
fn more_work_never_needs_less() {
    let compared = compared(11, &ENGINES, |answer| answer.need.expected_bytes);
    assert!(compared > 2_000, "only {compared} were compared");
}

/// llama.cpp plans its scratch with an allocator that fills holes: a larger tensor may leave one that another fits, and two
/// sequences look at half of a given context each. Its cache never shrinks.
#[test]
fn more_work_never_needs_less_cache_on_gpus_and_host() {
    let compared = compared(23, &OF_FILES, |answer| {
        answer.devices.iter().map(|one| one.cache_bytes).sum()
    });
    assert!(compared > 2_000, "only {compared} were compared");
}

/// How many random questions were compared with the same of twice the work.
fn compared(seed: u64, engines: &[&str], needed: impl Fn(&InferenceAnswer) -> Bytes) -> u32 {
    let models = models();
    let mut random = Random(seed);
    let mut compared = 0_u32;
    for _ in 0..4_000 {
        let first = question(&mut random, &models, engines);
        // Phi-3 computes its prompt again when the answer crosses 4,096 positions, and not when the prompt is beyond them.
        if first["model"]["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("phi-3"))
        {
            continue;
        }
        let Ok(less) = ask(&first) else { continue };
        // Tokens of an answer wait in 16 bits until 128 of them are packed into a quantised cache.
        let packed = first["inference"]["kv_cache_quantization"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("int"));
        for key in ["batch_size", "prompt_tokens", "new_tokens"] {
            if packed && key == "new_tokens" {
                continue;
            }
            // Sequences share whole blocks alone: of a prefix that goes beyond the prompt a longer prompt shares a block more, and each
            // sequence keeps one less of its own.
            let given = |key: &str| first["inference"][key].as_u64().unwrap_or(0);
            if key == "prompt_tokens" && given("shared_prefix_tokens") > given("prompt_tokens") {
                continue;
            }
            let mut second = first.clone();
            second["inference"][key] = json!(first["inference"][key].as_u64().unwrap_or(1) * 2);
            let Ok(more) = ask(&second) else { continue };
            // Beyond the model's positions SGLang's request table has longer rows and, rounded down, one row fewer.
            let row = match first["inference"]["engine_type"].as_str() {
                Some("sglang") => 4 * (longest(&second) + 8),
                _ => 0,
            };
            assert!(
                needed(&more).get() + row >= needed(&less).get(),
                "{first}: {key} doubled, {} < {}",
                needed(&more).get(),
                needed(&less).get()
            );
            compared += 1;
        }
    }
    compared
}
