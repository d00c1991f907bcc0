//! Selections of the gates among the records of servers beside vLLM (`serving.jsonl`).

use gpu_mem_calc::accuracy::record::{EngineName, Record};

use super::Select;

/// A number that the log of another server printed.
fn printed(record: &Record, figure: &str) -> Option<f64> {
    record.object("measured")?.get(figure)?.as_f64()
}

/// The records of llama.cpp that print one of these figures, or all.
fn of_llama(figures: &'static [&'static str]) -> Select {
    Box::new(move |record| {
        let printed = record.object("measured");
        let any = |figure: &&str| printed.is_some_and(|all| all.contains_key(*figure));
        record.engine() == EngineName::LlamaCpp && (figures.is_empty() || figures.iter().any(any))
    })
}

/// The file and the records of a selection of these servers.
pub fn select(name: &str) -> Option<(&'static str, Select)> {
    let chosen: Select = match name {
        "servers-all" => Box::new(|_| true),
        "sglang-all" => Box::new(|record| record.engine() == EngineName::Sglang),
        "sglang-cache" => Box::new(|record| {
            record.engine() == EngineName::Sglang
                && printed(record, "kv_gib").is_some()
                && printed(record, "kv_tokens").is_some()
        }),
        // Free memory before and after loading, and the share, are printed or follow; kernels of NVIDIA.
        "sglang-tokens" => Box::new(|record| {
            record.engine() == EngineName::Sglang
                && printed(record, "kv_tokens").is_some()
                && printed(record, "avail_after_load_gib").is_some()
                && (printed(record, "avail_before_load_gib").is_some()
                    || printed(record, "weights_gib").is_some())
                && !record
                    .text("gpu")
                    .is_some_and(|gpu| gpu.contains("AMD") || gpu.contains("MI3"))
        }),
        "tensorrt-all" => Box::new(|record| record.engine() == EngineName::TensorRtLlm),
        "tensorrt-cache" => Box::new(|record| {
            record.engine() == EngineName::TensorRtLlm
                && record.text("family") != Some("unknown")
                && (printed(record, "kv_bytes_per_token_logged").is_some()
                    || printed(record, "kv_gib").is_some() && printed(record, "kv_tokens").is_some())
        }),
        "tensorrt-tokens" => Box::new(|record| {
            record.engine() == EngineName::TensorRtLlm
                && record.text("family") != Some("unknown")
                && printed(record, "avail_before_kv_gib").is_some()
                && (printed(record, "kv_tokens").is_some() || printed(record, "kv_blocks").is_some())
        }),
        "tgi-all" => Box::new(|record| record.engine() == EngineName::Tgi),
        "tgi-known" => Box::new(|record| {
            record.engine() == EngineName::Tgi
                && record
                    .object("flags")
                    .is_some_and(|flags| flags.contains_key("max_batch_prefill_tokens"))
        }),
        "llama-all" => of_llama(&[]),
        "llama-files" => of_llama(&["model_size"]),
        "llama-cache" => of_llama(&["kv_self_mib", "kv_total_mib"]),
        "llama-compute" => of_llama(&["compute_buffers_mib"]),
        _ => return None,
    };
    Some(("serving.jsonl", chosen))
}
