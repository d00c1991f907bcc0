//! The tabs whose calculators are in work: what they will answer, said plainly, without a figure.

use leptos::prelude::*;

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
                "No figure is shown until it can be checked against measured runs. Training and inference are ready in the first tabs."
            </p>
        </section>
    }
    .into_any()
}
