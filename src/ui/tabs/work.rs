//! The tabs whose calculators are in work: what they will answer, said plainly, without a figure.

use leptos::prelude::*;

/// Inference, in work.
pub fn inference() -> AnyView {
    in_work(
        "Inference is in work",
        "This tab will answer whether a model can be served on the GPUs, with how long a context and how many requests at once.",
        &[
            "Engines: Transformers, vLLM, SGLang, TGI, TensorRT-LLM, llama.cpp, each with its version",
            "Weight formats to the bit: 16-bit, FP8, AWQ, GPTQ, bitsandbytes, GGUF",
            "KV cache with grouped heads, latent attention, sliding windows and state space layers",
            "CUDA graphs, activation peak of the prefill, what the engine reserves at start",
        ],
    )
}

/// Multi-node, in work.
pub fn multi_node() -> AnyView {
    in_work(
        "Multi-node is in work",
        "This tab will answer what travels between GPUs and nodes in one step, how long that takes, and which layout is best.",
        &[
            "Volume of every collective: all-reduce, all-gather, reduce-scatter, all-to-all, pipeline",
            "Time per step on real links, with what overlaps with computing",
            "A search over tensor, pipeline, data, context and expert parallel layouts",
        ],
    )
}

fn in_work(title: &'static str, intro: &'static str, items: &[&'static str]) -> AnyView {
    let items = items.iter().map(|item| view! { <li>{*item}</li> }).collect_view();
    view! {
        <section class="panel in-work">
            <h2>{title}</h2>
            <p>{intro}</p>
            <h3>"What will come"</h3>
            <ul>{items}</ul>
            <p class="soft">
                "No figure is shown until it can be checked against measured runs. Training is ready in the first tab."
            </p>
        </section>
    }
    .into_any()
}
