//! "How it works", written for a student: one step of training, or one service, in short paragraphs with the numbers of the question
//! in them. Each number opens.

use leptos::prelude::*;

use super::super::answer::verdict;
use super::super::format::{gib, grouped, parameters};
use super::super::state::Form;
use super::figure::{figure, words};
use crate::api::{Answer, Component, InferenceAnswer, Task};
use crate::units::Bytes;

/// The section; its numbers follow the answer.
pub fn learn(form: Form, task: Task) -> AnyView {
    let content = move || match task {
        Task::Training | Task::Plan => form.answer.with(|answer| answer.as_deref().map(training)),
        Task::Inference => form.served.with(|answer| answer.as_deref().map(serving)),
    };
    view! {
        <section class="panel" id="learn" aria-labelledby="learn-title">
            <h2 id="learn-title">"How it works, with your numbers"</h2>
            <ol class="learn">{content}</ol>
        </section>
    }
    .into_any()
}

/// The bytes of a group, as its account adds them up.
fn group(components: &[Component], name: &str) -> Bytes {
    components
        .iter()
        .filter(|part| part.group == name)
        .map(|part| part.bytes)
        .sum()
}

fn training(answer: &Answer) -> AnyView {
    let share = |name: &'static str| figure(format!("group-{name}"), group(&answer.components, name));
    let binding = answer.instants.iter().find(|instant| instant.binding);
    let instant = binding.map(|instant| {
        view! { {words(format!("instant-{}", instant.id), instant.label.clone())} ": " {figure("meter-allocated", answer.meters.allocated.expected_bytes)} }
    });
    view! {
        <li>
            <h3>"The weights"</h3>
            <p>
                {format!("{} has {} parameters. ", answer.model.name, parameters(answer.model.total_parameters.get()))}
                "Each is a number that must be in memory when its layer runs. An engine that divides the model keeps a shard on each GPU and gathers a layer for the moment in which it is used. On this GPU weights and their copies take "
                {share("model_params")} "."
            </p>
        </li>
        <li>
            <h3>"The gradients"</h3>
            <p>
                "The backward pass computes for each trained parameter in which direction it must change: one more number each, in the buckets in which GPUs add theirs up. At the tightest instant "
                {share("gradients")} " of them are alive."
            </p>
        </li>
        <li>
            <h3>"The optimizer's memory"</h3>
            <p>
                "Adam remembers for each trained parameter a mean of its gradients and one of their squares, and with mixed precision a 32-bit master copy. They are made in the first step and stay: "
                {share("optimizer_states")} "."
            </p>
        </li>
        <li>
            <h3>"The activations"</h3>
            <p>
                "The forward pass keeps what the backward pass will need of every layer and every token. This part grows with micro-batch and sequence length; recomputation keeps only the inputs of the layers and calculates the rest again. Logits, one number per word of the vocabulary and token, come on top at the end: "
                {share("activations")} "."
            </p>
        </li>
        <li>
            <h3>"Not all at once"</h3>
            <p>
                {format!("A step goes through {} instants, and what is alive changes from one to the next. So the peak is not a sum of everything but the fullest instant. Here it is ", answer.instants.len())}
                {instant} "."
            </p>
        </li>
        <li>
            <h3>"What the machine shows"</h3>
            <p>
                "torch's allocator takes memory from the driver in segments and keeps what is freed for reuse, so it holds more than is allocated: "
                {figure("meter-reserved", answer.meters.reserved.expected_bytes)}
                " reserved. The CUDA context, libraries and communicators lie outside it: nvidia-smi shows about "
                {figure("meter-device", answer.meters.device.expected_bytes)} "."
            </p>
        </li>
        <li>
            <h3>"The verdict"</h3>
            <p>
                "When memory is short the allocator gives back what it only keeps. So what counts is the need: "
                {words("need", verdict::need(answer.need))}
                {format!(" of {} that a program gets of this GPU. ", gib(answer.capacity.usable_bytes))}
                <b>{format!("{}.", verdict::title(answer.verdict))}</b>
                " “Tight” means that only a part of the interval is below the capacity."
            </p>
        </li>
    }
    .into_any()
}

fn serving(answer: &InferenceAnswer) -> AnyView {
    let share = |name: &'static str| figure(format!("group-{name}"), group(&answer.components, name));
    let pool = answer.pool.as_ref().map(|pool| {
        view! {
            <li>
                <h3>"Why the engine takes so much"</h3>
                <p>
                    {format!("This engine does not take what it needs but what it is allowed: at its start it loads the weights, runs one pass to see what temporaries take, and makes one pool of keys and values of all that is left of its budget of {}. The pool is {} and holds {} tokens. So nvidia-smi shows the card as nearly full from the first second, with one request as with a hundred. A smaller share of the card leaves a smaller pool, not less speed for few requests.",
                        gib(answer.budget_bytes), gib(pool.bytes.expected_bytes), grouped(pool.tokens))}
                </p>
            </li>
        }
    });
    view! {
        <li>
            <h3>"The weights"</h3>
            <p>
                {format!("{} has {} parameters. ", answer.model.name, parameters(answer.model.total_parameters.get()))}
                "All of them are loaded before the first request, in the format in which they are stored. On this GPU they take "
                {share("model_params")} "."
            </p>
        </li>
        <li>
            <h3>"The cache of keys and values"</h3>
            <p>
                "To write the next token the model looks back at all earlier ones. So that it need not read them again it keeps two vectors of each token and layer. This part grows with every token of every sequence that is served at once: "
                {share("kv_cache")} " for those that are asked."
            </p>
        </li>
        <li>
            <h3>"Temporaries"</h3>
            <p>
                "One pass needs room for what it calculates, most of all when a long prompt is read. It is given back afterwards: "
                {share("activations")} "."
            </p>
        </li>
        <li>
            <h3>"What lies around"</h3>
            <p>
                "CUDA's context, workspaces of libraries, captured graphs and communicators are no tensors of the model, but of the card: "
                {share("overhead")} "."
            </p>
        </li>
        {pool}
        <li>
            <h3>"The verdict"</h3>
            <p>
                "The requests that are asked need "
                {words("need", verdict::need(answer.need))}
                {format!(" of {} that a program gets of this GPU, of which the engine may use {}. ", gib(answer.capacity.usable_bytes), gib(answer.budget_bytes))}
                <b>{format!("{}.", verdict::title(answer.verdict))}</b>
            </p>
        </li>
    }
    .into_any()
}
