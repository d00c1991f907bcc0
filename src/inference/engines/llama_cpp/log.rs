//! The lines that a start prints about memory (ggml-org/llama.cpp `src/llama-model.cpp`, `llama-kv-cache.cpp`,
//! `llama-context.cpp`, `ggml/src/ggml-cuda/ggml-cuda.cu`).

use super::options::Options;
use super::start::{Held, Start};
use crate::units::Bytes;

/// Names of the backend's buffers: CUDA0, CUDA_Host.
pub struct Names {
    backend: &'static str,
}

impl Names {
    /// By the card's maker.
    pub const fn of(nvidia: bool) -> Self {
        Self {
            backend: if nvidia { "CUDA" } else { "ROCm" },
        }
    }

    /// The buffer of a GPU.
    pub fn gpu(&self, number: usize) -> String {
        format!("{}{number}", self.backend)
    }

    fn host(&self) -> String {
        format!("{}_Host", self.backend)
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1_u64 << 20) as f64
}

/// The lines of a start.
pub fn lines(start: &Start, options: &Options, layers: u64, names: &Names) -> Vec<String> {
    let mut found = Vec::new();
    let mut push = |function: &str, name: &str, what: &str, bytes: u64| {
        if bytes > 0 {
            found.push(format!(
                "{function}: {name:>10} {what} = {:8.2} MiB",
                mebibytes(bytes)
            ));
        }
    };
    let mapped = if options.mapped { "CPU_Mapped" } else { "CPU" };
    push("load_tensors", mapped, "model buffer size", start.host.weights);
    let each = |line: &mut dyn FnMut(usize, &Held)| {
        for (number, held) in start.gpus.iter().enumerate() {
            line(number, held);
        }
    };
    each(&mut |number, held| {
        push(
            "load_tensors",
            &names.gpu(number),
            "model buffer size",
            held.weights,
        )
    });
    push("llama_context", &names.host(), "output buffer size", start.output);
    each(&mut |number, held| push("llama_kv_cache", &names.gpu(number), "KV buffer size", held.cache));
    push("llama_kv_cache", "CPU", "KV buffer size", start.host.cache);
    each(&mut |number, held| {
        push(
            "llama_memory_recurrent",
            &names.gpu(number),
            "RS buffer size",
            held.state,
        )
    });
    push(
        "llama_memory_recurrent",
        "CPU",
        "RS buffer size",
        start.host.state,
    );
    each(&mut |number, held| {
        push(
            "llama_context",
            &names.gpu(number),
            "compute buffer size",
            held.compute.expected.get(),
        );
    });
    let host = if start.gpus.is_empty() {
        "CPU".to_string()
    } else {
        names.host()
    };
    push(
        "llama_context",
        &host,
        "compute buffer size",
        start.host.compute.expected.get(),
    );
    if let Some(tower) = &start.projector {
        found.push(format!(
            "load_hparams: model size: {:14.2} MiB",
            mebibytes(tower.weights)
        ));
        let on = if start.gpus.is_empty() {
            "CPU".to_string()
        } else {
            names.gpu(0)
        };
        let compute = mebibytes(tower.compute.expected.get());
        found.push(format!(
            "alloc_compute_meta: {on:>10} compute buffer size = {compute:8.2} MiB"
        ));
    }
    let total = layers.saturating_add(1);
    found.insert(
        0,
        format!(
            "load_tensors: offloaded {}/{total} layers to GPU",
            start.offloaded
        ),
    );
    let (keys, values) = start.keys_values;
    found.push(format!(
        "llama_kv_cache: size = {:7.2} MiB ({:6} cells, {:3} layers), K ({}): {:7.2} MiB, V ({}): {:7.2} MiB",
        mebibytes(keys.saturating_add(values)),
        start.context,
        layers,
        options.type_k.name,
        mebibytes(keys),
        options.type_v.name,
        mebibytes(values)
    ));
    found
}

/// The line of the first allocation that fails on a GPU with so much free memory: weights, then cache, then scratch.
pub fn failure(held: &Held, number: usize, free: Bytes) -> Option<String> {
    let mut taken = 0_u64;
    for bytes in [held.weights, held.cache, held.state, held.compute.expected.get()] {
        taken = taken.saturating_add(bytes);
        if bytes > 0 && taken > free.get() {
            return Some(format!(
                "ggml_backend_cuda_buffer_type_alloc_buffer: allocating {:.2} MiB on device {number}: cudaMalloc failed: out of memory",
                mebibytes(bytes)
            ));
        }
    }
    None
}
