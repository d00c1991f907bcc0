//! The answer to an inference question: verdict, parts with a bar, capacity both ways, instants, start-up log, warnings.

use leptos::prelude::*;

use super::super::explain::figure;
use super::super::format::{decimal, exact, gib, gib_number, grouped};
use super::super::state::use_form;
use super::{breakdown, fixes, issues, meters, side_by_side, travelling, validation, verdict};
use crate::api::{InferenceAnswer, Task};
use crate::units::Bytes;

use Column::{Number, Words};

/// The answer column of the inference tab.
pub fn serving() -> AnyView {
    let form = use_form();
    let has = Memo::new(move |_| form.served.with(Option::is_some));
    let top = move || {
        let stale = form.stale();
        form.served
            .with(|answer| answer.as_deref().map(|answer| strip(answer, stale)))
    };
    let part = move |view: fn(&InferenceAnswer) -> AnyView| {
        move || form.served.with(|answer| answer.as_deref().map(view))
    };
    let warnings = move || {
        form.served.with(|answer| {
            answer
                .as_deref()
                .map(|answer| issues::warnings(form, &answer.warnings))
        })
    };
    let empty = move || {
        (!has.get() && !form.families.pending()).then(|| {
            view! {
                <section class="panel empty-answer">
                    <h2>"No answer yet"</h2>
                    <p>"Choose a model, or correct the fields that are marked."</p>
                </section>
            }
        })
    };
    let changes = move || has.get().then(|| fixes::of_inference(form));
    let plots = move || {
        has.get().then(|| {
            form.plots.view_later(move |plots| {
                let instants = move || {
                    form.served.with(|answer| {
                        let answer = answer.as_deref()?;
                        Some((plots.instants)(&answer.instants, answer.capacity.usable_bytes))
                    })
                };
                view! {
                    {(plots.curves)(form, Task::Inference)}
                    <section class="panel" aria-labelledby="instants-heading">
                        <h2 id="instants-heading">"From loading to the last token"</h2>
                        {instants}
                    </section>
                }
                .into_any()
            })
        })
    };
    let explained = move || {
        has.get().then(|| {
            form.explain.view_later(move |explain| {
                view! { {(explain.learn)(form, Task::Inference)} {(explain.rules)(form, Task::Inference)} }.into_any()
            })
        })
    };
    let planner = form.planner.view_later(move |planner| {
        view! { {(planner.serving)(form)} {(planner.cheapest)(form, Task::Inference)} }.into_any()
    });
    let opened = RwSignal::new(false);
    let pinned = move || {
        form.served.with(|answer| {
            answer
                .as_deref()
                .map(|answer| pinned(answer, form.stale(), opened))
        })
    };
    let spoken = Memo::new(move |_| {
        form.serving.with(|current| match current {
            Ok(answer) => format!(
                "{}: needs {} of {} per GPU.",
                verdict::title(answer.verdict),
                verdict::need(answer.need),
                gib(answer.capacity.usable_bytes)
            ),
            Err(_) if form.families.pending() => String::new(),
            Err(_) => "An input is not valid; the answer is that of the previous input.".to_owned(),
        })
    });
    view! {
        <div class="answer-top">{top}</div>
        {empty}
        <div class="answer-details" class:stale=move || form.stale()>
            {issues::errors(form)}
            {part(glance)}
            {part(capacity)}
            {changes}
            {plots}
            {part(parts)}
            {part(travelling::served)}
            {part(cards)}
            {part(sharing)}
            {side_by_side::side_by_side(form)}
            {planner}
            {part(start_up)}
            {warnings}
            {explained}
            {part(ledger)}
        </div>
        <div class="visually-hidden" role="status" id="spoken-answer">{move || spoken.get()}</div>
        {pinned}
    }
    .into_any()
}

fn strip(answer: &InferenceAnswer, stale: bool) -> AnyView {
    let note = stale.then(|| {
        view! {
            <p class="stale-note" id="stale-note">
                "This answer belongs to the previous input. Correct the marked field to update it."
            </p>
        }
    });
    let failure = answer
        .failure
        .clone()
        .map(|line| view! { <p class="stale-note">"The engine prints: " <code>{line}</code></p> });
    view! {
        <section
            class=format!("verdict-strip {}", verdict::tone(answer.verdict))
            class:stale=stale
            id="verdict"
            aria-label="Verdict"
            data-verdict=answer.verdict.key()
            data-stale=if stale { "true" } else { "false" }
        >
            <div class="verdict-line">
                <h2 class="verdict-badge">{verdict::sign(answer.verdict)} {verdict::title(answer.verdict)}</h2>
                <p class="verdict-need" title=exact(answer.need.expected_bytes)>
                    <small>"needs "</small>
                    {figure::words("need", verdict::need(answer.need))}
                    <small>{format!(" of {} per GPU", gib(answer.capacity.usable_bytes))}</small>
                </p>
            </div>
            {failure}
            {super::host::host(answer.host.as_ref())}
            {note}
        </section>
    }
    .into_any()
}

/// What fits: sequences, length, GPUs, tokens.
fn capacity(answer: &InferenceAnswer) -> AnyView {
    let gpus = answer
        .fewest_gpus
        .map_or_else(|| "none of those tried".to_owned(), grouped);
    let rows: Vec<(&'static str, String)> = [
        Some((
            "Most sequences of this length",
            grouped(answer.max_supported_batch_size),
        )),
        Some((
            "Longest sequence with so many at once, in tokens",
            grouped(answer.max_context_len),
        )),
        Some(("Tokens that the cache can hold", grouped(answer.kv_pool_tokens))),
        answer
            .pool
            .as_ref()
            .map(|pool| ("Maximum concurrency", decimal(pool.max_concurrency))),
        Some(("Fewest GPUs that hold one copy", gpus)),
        answer
            .most_gpu_layers
            .map(|layers| ("Most layers on the GPUs, the output as one", grouped(layers))),
        Some(("Copies on these GPUs", grouped(answer.replicas))),
        answer
            .estimated_throughput_tokens_per_sec
            .map(|rate| ("New tokens per second, at most (roofline)", decimal(rate))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let rows = rows
        .into_iter()
        .map(|(label, value)| view! { <tr><th scope="row">{label}</th><td class="number">{value}</td></tr> })
        .collect_view();
    view! {
        <section class="panel" aria-labelledby="capacity-title">
            <h2 id="capacity-title">"What fits"</h2>
            <table class="breakdown-table" id="capacity-table"><tbody>{rows}</tbody></table>
        </section>
    }
    .into_any()
}

/// The colour of a part: those of the training breakdown that mean the nearest thing.
fn colour(id: &str) -> &'static str {
    match id {
        "weights" => "group-model_params",
        "kv_cache" | "state" => "group-kv_cache",
        "activations" => "group-activations",
        _ => "group-overhead",
    }
}

/// The need as one bar.
fn bar(answer: &InferenceAnswer) -> AnyView {
    let breakdown = &answer.breakdown;
    let pieces = [
        ("group-model_params", "Weights", breakdown.model_params_bytes),
        ("group-kv_cache", "Keys and values", breakdown.kv_cache_bytes),
        ("group-activations", "Temporaries", breakdown.activations_bytes),
        ("group-overhead", "Overhead", breakdown.overhead_bytes),
    ]
    .map(|(class, name, bytes)| (class.to_owned(), name, bytes));
    breakdown::bar(
        &pieces,
        answer.total_memory_per_gpu_bytes,
        answer.capacity.usable_bytes,
    )
}

/// The strip that a phone keeps at the bottom.
fn pinned(answer: &InferenceAnswer, stale: bool, open: RwSignal<bool>) -> AnyView {
    let figures = [
        ("Allocated", answer.meters.allocated),
        ("Reserved", answer.meters.reserved),
        ("Device", answer.meters.device),
    ];
    let words = format!("The engine may use {} of this GPU.", gib(answer.budget_bytes));
    verdict::sheet(
        (answer.verdict, answer.need, answer.capacity.usable_bytes),
        stale,
        open,
        (bar(answer), &figures, Some(words)),
    )
}

fn parts(answer: &InferenceAnswer) -> AnyView {
    let rows = answer
        .parts
        .iter()
        .filter(|part| part.bytes.high_bytes > Bytes::ZERO)
        .map(|part| {
            let expected = figure::words(format!("part-{}", part.id), gib_number(part.bytes.expected_bytes));
            view! {
                <tr>
                    <th scope="row" title=part.source.clone()><span class=format!("swatch {}", colour(part.id))></span> " " {part.label}</th>
                    <td class="number">{gib_number(part.bytes.low_bytes)}</td>
                    <td class="number" title=exact(part.bytes.expected_bytes)>{expected}</td>
                    <td class="number">{gib_number(part.bytes.high_bytes)}</td>
                </tr>
            }
        })
        .collect_view()
        .into_any();
    panel(
        "breakdown",
        "What takes the memory",
        &[
            Words("On the fullest GPU"),
            Number("low"),
            Number("GiB"),
            Number("high"),
        ],
        rows,
        None,
    )
}

/// The kinds of a node of unlike cards.
fn cards(answer: &InferenceAnswer) -> AnyView {
    if answer.cards.is_empty() {
        return ().into_any();
    }
    let rows = answer
        .cards
        .iter()
        .map(|card| {
            let mark = card.binding.then_some(" (binds)");
            view! {
                <tr>
                    <th scope="row">{format!("{} x {}", card.gpus, card.name)} {mark}</th>
                    <td>{verdict::title(card.verdict)}</td>
                    <td class="number" title=exact(card.need_bytes)>{gib_number(card.need_bytes)}</td>
                    <td class="number" title=exact(card.budget_bytes)>{gib_number(card.budget_bytes)}</td>
                </tr>
            }
        })
        .collect_view()
        .into_any();
    panel(
        "cards",
        "Cards of this node",
        &[
            Words("Cards"),
            Words("Verdict"),
            Number("GiB needed"),
            Number("GiB of budget"),
        ],
        rows,
        None,
    )
}

/// The engines that share each GPU, in the order of their starts.
fn sharing(answer: &InferenceAnswer) -> AnyView {
    let Some(sharing) = &answer.sharing else {
        return ().into_any();
    };
    let rows = sharing
        .rows
        .iter()
        .map(|share| {
            view! {
                <tr>
                    <th scope="row">{format!("{}. {}", share.order, share.engine)}</th>
                    <td>{if share.starts { "starts" } else { "does not start" }}</td>
                    <td class="number">{format!("{:.3}", share.gpu_memory_utilization)}</td>
                    <td class="number">{format!("{:.3}", share.utilization_high)}</td>
                    <td class="number" title=exact(share.free_before_bytes)>{gib_number(share.free_before_bytes)}</td>
                </tr>
            }
        })
        .collect_view()
        .into_any();
    panel(
        "sharing",
        "Engines on each GPU, in the order of their starts",
        &[
            Words("Engine"),
            Words("Start"),
            Number("Share to give"),
            Number("safe"),
            Number("GiB free before"),
        ],
        rows,
        Some(format!(
            "{} are left when all that start have started.",
            gib(sharing.left_bytes)
        )),
    )
}

fn start_up(answer: &InferenceAnswer) -> AnyView {
    if answer.start_up.is_empty() {
        return ().into_any();
    }
    let text = answer.start_up.join("\n");
    view! {
        <section class="panel" aria-labelledby="start-up-title">
            <h2 id="start-up-title">"Start-up as the engine logs it"</h2>
            <pre tabindex="0">{text}</pre>
        </section>
    }
    .into_any()
}

fn glance(answer: &InferenceAnswer) -> AnyView {
    view! {
        <section class=format!("panel glance {}", verdict::tone(answer.verdict)) aria-labelledby="glance-title">
            <h2 id="glance-title">"At a glance"</h2>
            {bar(answer)}
            {binding(answer)}
            {taken(answer)}
            {meters::meters(&answer.meters, answer.capacity.usable_bytes)}
            {validation::line(&answer.validation, None)}
        </section>
    }
    .into_any()
}

/// Which instant decides.
fn binding(answer: &InferenceAnswer) -> Option<AnyView> {
    let instant = answer.instants.iter().find(|instant| instant.binding)?;
    Some(
        view! {
            <p class="binding" id="binding-instant">
                "Tightest at "
                {figure::words(format!("instant-{}", instant.id), instant.label.clone())}
                {format!(": {} allocated.", gib(instant.allocated_bytes))}
            </p>
        }
        .into_any(),
    )
}

/// Why an engine with a pool fills the card.
fn taken(answer: &InferenceAnswer) -> Option<AnyView> {
    let pool = answer.pool.as_ref()?;
    let text = format!(
        "The engine takes {} of the card whatever is asked: what it does not need for weights and temporaries, {}, becomes room for {} cached tokens. The requests that are asked need {}.",
        gib(answer.budget_bytes),
        gib(pool.bytes.expected_bytes),
        grouped(pool.tokens),
        gib(answer.need.expected_bytes),
    );
    Some(view! { <p id="why-so-much">{text}</p> }.into_any())
}

fn ledger(answer: &InferenceAnswer) -> AnyView {
    let rows = answer
        .components
        .iter()
        .map(|part| {
            view! {
                <tr>
                    <th scope="row" title=part.source.clone()>{part.label.clone()}</th>
                    <td>{part.formula.clone()}</td>
                    <td class="number" title=exact(part.bytes)>
                        {figure::words(format!("line-{}", part.id), gib_number(part.bytes))}
                    </td>
                </tr>
            }
        })
        .collect_view()
        .into_any();
    panel(
        "ledger",
        "Ledger at the tightest instant",
        &[Words("Tensor"), Words("Formula"), Number("GiB")],
        rows,
        None,
    )
}

/// A column of a table: words, or numbers, which stand to the right.
pub enum Column {
    Words(&'static str),
    Number(&'static str),
}

/// A table with a heading for each column.
pub fn table(name: &str, columns: &[Column], rows: AnyView) -> AnyView {
    let heads = columns
        .iter()
        .map(|column| match column {
            Words(text) => view! { <th scope="col">{*text}</th> }.into_any(),
            Number(text) => view! { <th scope="col" class="number">{*text}</th> }.into_any(),
        })
        .collect_view();
    view! {
        <table class="breakdown-table" id=format!("{name}-table")>
            <thead>
                <tr>{heads}</tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

/// A panel of the answer that is one table, with a sentence below it.
pub fn panel(
    name: &str,
    title: &'static str,
    columns: &[Column],
    rows: AnyView,
    sentence: Option<String>,
) -> AnyView {
    let (labelled, id) = (format!("{name}-title"), format!("{name}-title"));
    view! {
        <section class="panel" aria-labelledby=labelled>
            <h2 id=id>{title}</h2>
            {table(name, columns, rows)}
            {sentence.map(|text| view! { <p class="soft">{text}</p> })}
        </section>
    }
    .into_any()
}
