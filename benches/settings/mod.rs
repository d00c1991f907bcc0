//! The training jobs that both benchmarks time.

use gpu_mem_calc::api::{self, Request, Strictness};
use gpu_mem_calc::training::{
    Engine, HostMemory, Optimizer, OptimizerImplementation, Recomputation, TrainingJob,
};
use serde_json::{Map, Value, json};

/// A question about training this model on 64 H100s.
pub fn request(model: &str) -> Request {
    let sections = json!({
        "model": { "id": model },
        "training": { "batch_size": 1, "seq_length": 4096 },
        "engine": { "type": "fsdp" },
        "hardware": { "num_gpus": 64, "gpu": "h100-sxm-80gb" },
    });
    let text = Value::Object(sections.as_object().cloned().unwrap_or_else(Map::new)).to_string();
    Request::from_text(&text).expect("a request")
}

/// The job that it asks for.
pub fn job(model: &str) -> TrainingJob {
    api::job(&request(model), Strictness::default())
        .expect("a valid request")
        .training
}

/// Settings as a search goes through them, drawn without a pattern from 36,864 combinations of batch (1 to 16), sequence
/// length, recomputation, GPUs (8 to 1,024), engine, optimizer and accumulation. Network, precision and kernels are the same
/// for all, so what the engine holds and what the passes hold comes back in many of them.
pub fn settings(model: &str) -> Vec<TrainingJob> {
    let base = job(model);
    let engines = [
        Engine::Fsdp2 {
            reshard_after_forward: true,
            replicas: 1,
            offload: HostMemory::None,
            resharded_to: None,
        },
        Engine::Fsdp2 {
            reshard_after_forward: false,
            replicas: 1,
            offload: HostMemory::None,
            resharded_to: None,
        },
        Engine::Fsdp1 {
            reshard_after_forward: true,
            replicas: 1,
            offload: HostMemory::None,
            prefetch: true,
            forward_prefetch: false,
            limited: true,
            original: true,
        },
        Engine::Ddp {
            bucket_view: false,
            static_graph: false,
        },
    ];
    let optimizers = [
        (Optimizer::AdamW, OptimizerImplementation::Fused),
        (Optimizer::AdamW, OptimizerImplementation::Foreach),
        (Optimizer::Adafactor, OptimizerImplementation::Fused),
    ];
    let mut all = Vec::new();
    for number in 0..40_000_u64 {
        let mut rest = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 20;
        let mut next = |choices: u64| {
            let choice = rest % choices;
            rest /= choices;
            choice
        };
        let (optimizer, implementation) = *pick(&optimizers, next(3));
        all.push(TrainingJob {
            micro_batch: 1 + next(16),
            sequence_length: 1024 << next(4),
            recomputation: *pick(
                &[
                    Recomputation::None,
                    Recomputation::Full,
                    Recomputation::Operations,
                ],
                next(3),
            ),
            data_parallel: 8 << next(8),
            engine: *pick(&engines, next(4)),
            accumulation_steps: 1 + next(2),
            optimizer,
            implementation,
            ..base.clone()
        });
    }
    all
}

fn pick<T>(from: &[T], place: u64) -> &T {
    usize::try_from(place)
        .ok()
        .and_then(|place| from.get(place))
        .expect("something to pick")
}
