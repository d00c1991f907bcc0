//! Questions on several GPUs through the door.

use gpu_mem_calc::api::{self, MultiNodeAnswer, Request};
use serde_json::{Value, json};

/// The answer to a question that is one.
pub fn ask(request: Value) -> MultiNodeAnswer {
    let request = Request::from_json(&request).expect("a request");
    api::multi_node(&request).unwrap_or_else(|issues| unreachable!("{issues:?}"))
}

/// A small question: 4 layers, 1024 wide, with figures that divide.
pub fn question(engine: Value, parallelism: Value, gpus: u64, nodes: u64) -> Value {
    json!({
        "model": {"num_layers": 4, "hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 16,
            "intermediate_size": 4096, "vocab_size": 32000},
        "engine": engine,
        "parallelism": parallelism,
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": gpus},
        "node_config": {"num_nodes": nodes},
        "training": {"seq_length": 2048, "batch_size": 2, "gradient_accumulation_steps": 4},
    })
}
