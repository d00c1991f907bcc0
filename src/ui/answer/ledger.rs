//! The ledger as a table: every tensor with its size at one instant; a row opens to formula, values and source.

use std::collections::BTreeMap;
use std::sync::Arc;

use leptos::prelude::*;

use super::super::format::{exact, gib_number, grouped, readable};
use super::groups;
use crate::api::{self, Answer, InstantRow, LedgerRow};
use crate::units::Bytes;

/// The ledger of the fullest GPU.
pub fn ledger(answer: Memo<Option<Arc<Answer>>>) -> AnyView {
    let chosen = RwSignal::new(None::<String>);
    // An instant that no longer occurs falls back to the one that binds.
    let instant = Memo::new(move |_| {
        answer.with(|answer| {
            let wanted = chosen.get();
            let instants = answer
                .as_ref()
                .map(|answer| answer.instants.as_slice())
                .unwrap_or_default();
            let occurs = |id: &&InstantRow| wanted.as_deref() == Some(id.id);
            let binding = || instants.iter().find(|instant| instant.binding);
            instants
                .iter()
                .find(occurs)
                .or_else(binding)
                .map(|instant| instant.id)
                .unwrap_or_default()
        })
    });
    let opened = RwSignal::new(Vec::<String>::new());
    let choices = move || {
        answer.with(|answer| {
            let answer = answer.as_deref()?;
            let options = answer
                .instants
                .iter()
                .map(|one| {
                    let id = one.id;
                    let note = if one.binding { " (the peak)" } else { "" };
                    view! {
                        <option value=id selected=move || instant.get() == id>
                            {format!("{}{note}", one.label)}
                        </option>
                    }
                })
                .collect_view();
            Some(options)
        })
    };
    let rows = move || {
        let instant = instant.get();
        answer.with(|answer| {
            let answer = answer.as_deref()?;
            let at = answer.instants.iter().find(|row| row.id == instant);
            let groups = groups::ALL
                .iter()
                .map(|group| {
                    let total = at.map(|at| group.of(&at.groups)).unwrap_or_default();
                    let entries: Vec<_> = keyed(&answer.ledger)
                        .into_iter()
                        .filter(|row| row.entry.group == group.key)
                        .collect();
                    (!entries.is_empty()).then(|| {
                        view! {
                            <tbody>
                                <tr class="ledger-group">
                                    <th scope="rowgroup">
                                        <span class=format!("swatch group-{}", group.key)></span>
                                        {group.label}
                                    </th>
                                    <td class="ledger-narrow"></td>
                                    <td class="ledger-narrow"></td>
                                    <td class="number">{gib_number(total)}</td>
                                </tr>
                                {entries.into_iter().map(|entry| row(entry, instant, opened)).collect_view()}
                            </tbody>
                        }
                    })
                })
                .collect_view();
            Some(groups)
        })
    };
    let total = move || {
        let instant = instant.get();
        answer.with(|answer| {
            let row = answer.as_deref()?.instants.iter().find(|row| row.id == instant);
            row.map(|row| gib_number(row.allocated_bytes))
        })
    };
    view! {
        <section class="panel" aria-labelledby="ledger-title">
            <div class="panel-head">
                <h2 id="ledger-title">"Every tensor"</h2>
                <label class="inline-choice">
                    <span>"alive at"</span>
                    <span class="control">
                        <select
                            id="ledger-instant"
                            class="select"
                            on:change=move |event| chosen.set(Some(event_target_value(&event)))
                        >
                            {choices}
                        </select>
                        <svg viewBox="0 0 16 16" aria-hidden="true">
                            <path d="M4 6l4 4 4-4" fill="none" stroke="currentColor" stroke-width="1.6" />
                        </svg>
                    </span>
                </label>
            </div>
            <div class="table-frame">
                <table class="ledger" id="ledger-table">
                    <caption class="visually-hidden">
                        "Every tensor on the fullest GPU; open a row for its formula and source"
                    </caption>
                    <thead>
                        <tr>
                            <th scope="col">"Tensor"</th>
                            <th scope="col" class="ledger-narrow">"Type"</th>
                            <th scope="col" class="number ledger-narrow">"One × alive"</th>
                            <th scope="col" class="number">"GiB"</th>
                        </tr>
                    </thead>
                    {rows}
                    <tfoot>
                        <tr>
                            <th scope="row">"Allocated at this instant"</th>
                            <td class="ledger-narrow"></td>
                            <td class="ledger-narrow"></td>
                            <td class="number">{total}</td>
                        </tr>
                    </tfoot>
                </table>
            </div>
        </section>
    }
    .into_any()
}

/// An entry with a key of its own: its id, its place where it has one, and a number where both occur again with another
/// formula.
struct Keyed<'a> {
    key: String,
    entry: &'a LedgerRow,
    /// Whether another entry has the same name.
    twin: bool,
}

fn keyed(ledger: &[LedgerRow]) -> Vec<Keyed<'_>> {
    let name = |entry: &LedgerRow| (entry.id, entry.place.clone());
    let mut all = BTreeMap::<_, usize>::new();
    for entry in ledger {
        *all.entry(name(entry)).or_default() += 1;
    }
    let mut met = BTreeMap::<_, usize>::new();
    ledger
        .iter()
        .map(|entry| {
            let times = met.entry(name(entry)).or_default();
            *times += 1;
            let place = match entry.place.as_str() {
                "" => String::new(),
                place => format!("@{place}"),
            };
            let number = if *times > 1 {
                format!("#{times}")
            } else {
                String::new()
            };
            Keyed {
                key: format!("{}{place}{number}", entry.id),
                entry,
                twin: all.get(&name(entry)).is_some_and(|all| *all > 1),
            }
        })
        .collect()
}

fn row(keyed: Keyed<'_>, instant: &'static str, opened: RwSignal<Vec<String>>) -> AnyView {
    let Keyed { key, entry, twin } = keyed;
    let detail_id = format!(
        "ledger-{}",
        key.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
    );
    let held = entry.held_at.get(instant).copied().unwrap_or(0);
    let bytes = entry.unit_bytes * held;
    let is_open = {
        let key = key.clone();
        Memo::new(move |_| opened.with(|opened| opened.contains(&key)))
    };
    let toggle = {
        let key = key.clone();
        move |_| {
            opened.update(|opened| {
                if let Some(at) = opened.iter().position(|one| *one == key) {
                    opened.remove(at);
                } else {
                    opened.push(key.clone());
                }
            });
        }
    };
    let detail = {
        let entry = entry.clone();
        let detail_id = detail_id.clone();
        move || is_open.get().then(|| detail(&entry, held, &detail_id))
    };
    view! {
        <tr
            class="ledger-row"
            class:ledger-absent=bytes == Bytes::ZERO
            data-key=key
            data-bytes=bytes.get().to_string()
            data-unit=entry.unit_bytes.get().to_string()
            data-held=held.to_string()
        >
            <th scope="row">
                <button
                    type="button"
                    class="ledger-open"
                    aria-expanded=move || if is_open.get() { "true" } else { "false" }
                    aria-controls=detail_id
                    on:click=toggle
                >
                    <span class="ledger-label">
                        {entry.label}
                        {(!entry.place.is_empty()).then(|| view! { <small>{format!(" {}", entry.place)}</small> })}
                        {twin.then(|| view! { " " <code class="soft">{entry.formula}</code> })}
                    </span>
                </button>
            </th>
            <td class="ledger-narrow soft">{entry.dtype.map(|dtype| dtype.name())}</td>
            <td class="number ledger-narrow soft">{format!("{} × {held}", gib_number(entry.unit_bytes))}</td>
            <td class="number">{gib_number(bytes)}</td>
        </tr>
        {detail}
    }
    .into_any()
}

fn detail(entry: &LedgerRow, held: u64, id: &str) -> AnyView {
    let symbols = entry
        .symbols
        .iter()
        .map(|symbol| {
            view! {
                <li>
                    <code>{symbol.name}</code>
                    {format!(" = {} ", grouped(symbol.value))}
                    <span class="soft">{symbol.meaning}</span>
                </li>
            }
        })
        .collect_view();
    view! {
        <tr class="ledger-detail" id=id.to_owned()>
            <td colspan="4">
                <dl>
                    <dt>"Bytes of one"</dt>
                    <dd>
                        <code>{entry.formula}</code>
                        {(!entry.symbols.is_empty()).then(|| view! {
                            <code>{format!(" = {}", readable(&api::substituted(entry)))}</code>
                        })}
                        <code>{format!(" = {}", exact(entry.unit_bytes))}</code>
                    </dd>
                    <dt>"Alive"</dt>
                    <dd>{format!("{held} × {} = {}", exact(entry.unit_bytes), exact(entry.unit_bytes * held))}</dd>
                    {(!entry.symbols.is_empty()).then(|| view! {
                        <dt>"Where"</dt>
                        <dd><ul class="symbols">{symbols}</ul></dd>
                    })}
                    <dt>"Source"</dt>
                    <dd>
                        {entry.citation.source}
                        " "
                        <span class="tag">{entry.citation.evidence.words()}</span>
                    </dd>
                </dl>
            </td>
        </tr>
    }
    .into_any()
}
