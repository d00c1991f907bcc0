//! The ledger as a table: every tensor with its size at one instant; a row opens to formula, values and source.

use std::collections::BTreeMap;
use std::sync::Arc;

use leptos::prelude::*;

use super::super::format::{exact, gib_number, grouped, readable};
use super::groups::{self, ShownGroup};
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
    // Which tensors there are changes seldom, what they take with every edit: the rows stay, and their numbers follow.
    let lines = Memo::new(move |_| answer.with(|answer| answer.as_deref().map(lines).unwrap_or_default()));
    let sizes = Memo::new(move |_| {
        let instant = instant.get();
        answer.with(|answer| {
            let ledger = answer.as_ref().map(|answer| answer.ledger.as_slice());
            let of = |(line, entry): (&Line, &LedgerRow)| {
                let size = Size {
                    unit: entry.unit_bytes,
                    held: entry.held_at.get(instant).copied().unwrap_or(0),
                };
                (line.key.clone(), size)
            };
            lines.with(|lines| {
                let all = lines.iter().zip(ledger.unwrap_or_default());
                all.map(of).collect::<BTreeMap<_, _>>()
            })
        })
    });
    let shown = Shown {
        answer,
        lines,
        sizes,
        opened,
    };
    let group = move |group: ShownGroup| {
        let of_group = move || {
            lines.with(|lines| {
                let of_group = lines.iter().filter(|line| line.group == group.key);
                of_group.cloned().collect::<Vec<_>>()
            })
        };
        let any = Memo::new(move |_| lines.with(|lines| lines.iter().any(|line| line.group == group.key)));
        let total = move || {
            let instant = instant.get();
            answer.with(|answer| {
                let instants = answer.as_ref().map(|answer| answer.instants.as_slice());
                let at = instants.unwrap_or_default().iter().find(|row| row.id == instant);
                gib_number(at.map(|at| group.of(&at.groups)).unwrap_or_default())
            })
        };
        let body = move || {
            view! {
                <tbody>
                    <tr class="ledger-group">
                        <th scope="rowgroup">
                            <span class=format!("swatch group-{}", group.key)></span>
                            {group.label}
                        </th>
                        <td class="ledger-narrow"></td>
                        <td class="ledger-narrow"></td>
                        <td class="number">{total}</td>
                    </tr>
                    <For each=of_group key=Line::clone children=move |line| row(line, shown) />
                </tbody>
            }
        };
        move || any.get().then(body)
    };
    let rows = groups::ALL.map(group).into_iter().collect_view();
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

/// What does not change with the numbers of an entry.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Line {
    /// Its id, its place where it has one, and a number where both occur again with another formula.
    key: String,
    group: &'static str,
    label: &'static str,
    place: String,
    /// The formula, where another entry has the same name.
    apart: Option<&'static str>,
    dtype: Option<&'static str>,
}

/// What an entry takes at the instant: the bytes of one, and how many are alive.
#[derive(Clone, Copy, Default, PartialEq)]
struct Size {
    unit: Bytes,
    held: u64,
}

impl Size {
    fn bytes(self) -> Bytes {
        self.unit * self.held
    }
}

/// What the rows follow.
#[derive(Clone, Copy)]
struct Shown {
    answer: Memo<Option<Arc<Answer>>>,
    lines: Memo<Vec<Line>>,
    sizes: Memo<BTreeMap<String, Size>>,
    opened: RwSignal<Vec<String>>,
}

fn lines(answer: &Answer) -> Vec<Line> {
    let name = |entry: &LedgerRow| (entry.id, entry.place.clone());
    let mut all = BTreeMap::<_, usize>::new();
    for entry in &answer.ledger {
        *all.entry(name(entry)).or_default() += 1;
    }
    let mut met = BTreeMap::<_, usize>::new();
    answer
        .ledger
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
            let twin = all.get(&name(entry)).is_some_and(|all| *all > 1);
            Line {
                key: format!("{}{place}{number}", entry.id),
                group: entry.group,
                label: entry.label,
                place: entry.place.clone(),
                apart: twin.then_some(entry.formula),
                dtype: entry.dtype.map(|dtype| dtype.name()),
            }
        })
        .collect()
}

fn row(line: Line, shown: Shown) -> AnyView {
    let Shown {
        answer,
        lines,
        sizes,
        opened,
    } = shown;
    let Line { key, place, .. } = line.clone();
    let size = {
        let key = key.clone();
        Memo::new(move |_| sizes.with(|sizes| sizes.get(&key).copied().unwrap_or_default()))
    };
    let detail_id = format!(
        "ledger-{}",
        key.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
    );
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
        let (key, detail_id) = (key.clone(), detail_id.clone());
        move || {
            is_open.get().then(|| {
                let held = size.get().held;
                let index = lines.with(|lines| lines.iter().position(|line| line.key == key))?;
                answer.with(|answer| {
                    let entry = answer.as_deref()?.ledger.get(index)?;
                    Some(detail(entry, held, &detail_id))
                })
            })
        }
    };
    view! {
        <tr
            class="ledger-row"
            class:ledger-absent=move || size.get().bytes() == Bytes::ZERO
            data-key=key
            data-bytes=move || size.get().bytes().get().to_string()
            data-unit=move || size.get().unit.get().to_string()
            data-held=move || size.get().held.to_string()
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
                        {line.label}
                        {(!place.is_empty()).then(|| view! { <small>{format!(" {place}")}</small> })}
                        {line.apart.map(|formula| view! { " " <code class="soft">{formula}</code> })}
                    </span>
                </button>
            </th>
            <td class="ledger-narrow soft">{line.dtype}</td>
            <td class="number ledger-narrow soft">
                {move || { let Size { unit, held } = size.get(); format!("{} × {held}", gib_number(unit)) }}
            </td>
            <td class="number">{move || gib_number(size.get().bytes())}</td>
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
