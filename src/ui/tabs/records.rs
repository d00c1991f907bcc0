//! Every measured run of the accuracy tab: a choice of them as a drawing, a table and the errors over it; each opens as a question.
//! A part of the module of its own, with the readers of records. The runs themselves are in `runs`.

use leptos::ev::{KeyboardEvent, PointerEvent};
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::Element;

use super::super::format::{decimal, grouped, words};
use super::super::part::part;
use super::super::plot::{decades, logarithmic};
use super::super::plots::{Picture, Tick};
use super::super::state::{Form, PageStoreFields, use_form};
use super::accuracy::accuracy;
use super::runs::Progress;
use super::scatter::{Point, draw};
use super::{Tab, scatter_labels};
use crate::accuracy::quantity::Quantity;
use crate::accuracy::record::EngineName;
use crate::accuracy::{Case, summary};

/// Rows that are added at a time.
const ROWS: usize = 40;

/// What the part holds: the content of the tab.
pub type Listed = fn() -> AnyView;

part!(records holds Listed: content);

fn content() -> AnyView {
    view! { {accuracy()} {listed()} }.into_any()
}

/// What is chosen of the list.
#[derive(Clone, Copy)]
struct Choice {
    engine: RwSignal<String>,
    quantity: RwSignal<String>,
    kind: RwSignal<String>,
    text: RwSignal<String>,
    rows: RwSignal<usize>,
    /// Place of the run that is read out.
    read: RwSignal<Option<usize>>,
}

impl Choice {
    fn takes(self, case: &Case) -> bool {
        let line = &case.line;
        let (engine, kind) = (self.engine.get(), self.kind.get());
        let text = self.text.get().trim().to_ascii_lowercase();
        line.quantity.key() == self.quantity.get()
            && (engine.is_empty() || line.engine.key() == engine)
            && (kind.is_empty() || (kind == "traced") == line.traced)
            && [&case.model, &case.source, &line.id]
                .iter()
                .any(|own| own.to_ascii_lowercase().contains(&text))
    }
}

/// The list with its filters.
fn listed() -> AnyView {
    let form = use_form();
    form.runs.start();
    let choice = Choice {
        engine: RwSignal::new(String::new()),
        quantity: RwSignal::new(Quantity::MaxAllocated.key().to_owned()),
        kind: RwSignal::new(String::new()),
        text: RwSignal::new(String::new()),
        rows: RwSignal::new(ROWS),
        read: RwSignal::new(None),
    };
    // Places in the whole list, the largest error first, then runs that have none.
    let chosen = Memo::new(move |_| {
        form.runs.cases.with(|cases| {
            let mut places: Vec<usize> = cases
                .iter()
                .enumerate()
                .filter(|(_, case)| choice.takes(case))
                .map(|(place, _)| place)
                .collect();
            let error = |place: &usize| {
                let case = cases.get(*place);
                case.and_then(|case| case.line.error_percent()).unwrap_or(-1.0)
            };
            places.sort_by(|left, right| error(right).total_cmp(&error(left)));
            places
        })
    });
    Effect::new(move |_| {
        chosen.track();
        choice.rows.set(ROWS);
        choice.read.set(None);
    });
    view! {
        <section class="panel runs" aria-labelledby="runs-title">
            <h2 id="runs-title">"Every measured run"</h2>
            {progress(form)}
            {filters(choice)}
            <p id="runs-summary" role="status">{move || told(form, chosen)}</p>
            <div class="runs-body">
                {figure(form, choice, chosen)}
                {table(form, choice, chosen)}
            </div>
        </section>
    }
    .into_any()
}

fn progress(form: Form) -> impl IntoView {
    let text = move || match form.runs.progress.get() {
        Progress::Idle | Progress::Fetching => "Loading the records ...".to_owned(),
        Progress::Predicting(at, of) => {
            format!(
                "Predicted so far, in this browser: {} of {} records.",
                grouped(at as u64),
                grouped(of as u64)
            )
        }
        Progress::Done(left_out) => format!(
            "Predicted just now, in this browser, by the code that answers in the other tabs. {} records are not listed: they leave \
             something open or ask for what is not built.",
            grouped(left_out as u64)
        ),
        Progress::Failed => {
            "The records could not be loaded. They lie beside the page as records.jsonl.".to_owned()
        }
    };
    let again = move || {
        (form.runs.progress.get() == Progress::Failed).then(|| {
            view! {
                <button type="button" class="button" on:click=move |_| form.runs.start()>"Try again"</button>
            }
        })
    };
    view! { <p class="accuracy-intro" id="runs-progress">{text}</p> {again} }
}

fn filters(choice: Choice) -> impl IntoView {
    let engines = EngineName::ALL.map(|engine| (engine.key(), words(engine.key())));
    let quantities = Quantity::ALL.map(|quantity| (quantity.key(), words(quantity.key())));
    let kinds = [
        ("traced", "traced".to_owned()),
        ("published", "published".to_owned()),
    ];
    view! {
        <div class="runs-filters">
            {menu("runs-engine", "Engine", Some("all engines"), engines.into(), choice.engine)}
            {menu("runs-quantity", "Quantity", None, quantities.into(), choice.quantity)}
            {menu("runs-kind", "Runs", Some("traced and published"), kinds.into(), choice.kind)}
            <label class="field" for="runs-text">
                <span class="field-label">"Model, source or id"</span>
                <input
                    class="input"
                    id="runs-text"
                    type="search"
                    prop:value=move || choice.text.get()
                    on:input=move |event| choice.text.set(event_target_value(&event))
                />
            </label>
        </div>
    }
}

fn menu(
    id: &'static str,
    label: &'static str,
    all: Option<&'static str>,
    options: Vec<(&'static str, String)>,
    value: RwSignal<String>,
) -> AnyView {
    let options = options
        .into_iter()
        .map(|(key, label)| view! { <option value=key selected=move || value.get() == key>{label}</option> })
        .collect_view();
    view! {
        <label class="field" for=id>
            <span class="field-label">{label}</span>
            <span class="control">
                <select class="select" id=id on:change=move |event| value.set(event_target_value(&event))>
                    {all.map(|all| view! { <option value="">{all}</option> })}
                    {options}
                </select>
                <svg viewBox="0 0 16 16" aria-hidden="true">
                    <path d="M4 6l4 4 4-4" fill="none" stroke="currentColor" stroke-width="1.6" />
                </svg>
            </span>
        </label>
    }
    .into_any()
}

/// The errors over the choice, in one line.
fn told(form: Form, chosen: Memo<Vec<usize>>) -> String {
    form.runs.cases.with(|cases| {
        let own = chosen.get();
        let lines = own.iter().filter_map(|place| cases.get(*place)).map(|case| &case.line);
        match summary(lines) {
            Some(found) => format!(
                "{} values: median error {} %, 90 % within {} %, worst {} %; {} % inside the stated interval.",
                grouped(found.cases as u64),
                decimal(found.median_percent),
                decimal(found.p90_percent),
                decimal(found.worst_percent),
                decimal(found.inside_percent),
            ),
            None if own.is_empty() => "No run of this kind is listed.".to_owned(),
            None => format!("{} runs; no error can be told: they failed for memory, or the meter is not stated.", own.len()),
        }
    })
}

fn figure(form: Form, choice: Choice, chosen: Memo<Vec<usize>>) -> impl IntoView {
    // In the order of the measured values, for the keyboard.
    let points = Memo::new(move |_| {
        form.runs.cases.with(|cases| {
            let mut points: Vec<(usize, Point)> = chosen
                .get()
                .into_iter()
                .filter_map(|place| Some((place, point(cases.get(place)?)?)))
                .collect();
            points.sort_by(|left, right| left.1.measured.total_cmp(&right.1.measured));
            points
        })
    });
    let range = Memo::new(move |_| {
        points.with(|points| {
            decades(
                points
                    .iter()
                    .flat_map(|(_, point)| [point.measured, point.predicted]),
            )
        })
    });
    let drawing = move || {
        let points: Vec<Point> = points.with(|points| points.iter().map(|(_, point)| *point).collect());
        range
            .get()
            .and_then(|range| draw(&points, range))
            .unwrap_or_default()
    };
    let at = move || {
        let (low, high) = range.get()?;
        let read = choice.read.get()?;
        points.with(|points| {
            let (_, point) = points.iter().find(|(place, _)| *place == read)?;
            let (right, up) = (
                logarithmic(point.measured, low, high),
                logarithmic(point.predicted, low, high),
            );
            Some(format!("left:{}%;bottom:{}%", right * 100.0, up * 100.0))
        })
    };
    let ring = move || at().map(|style| view! { <span class="runs-ring" style=style></span> });
    let on_pointer = move |event: PointerEvent| {
        let Some((area, (low, high))) = target(&event).zip(range.get_untracked()) else {
            return;
        };
        let place = area.get_bounding_client_rect();
        let right = (f64::from(event.client_x()) - place.left()) / place.width();
        let up = 1.0 - (f64::from(event.client_y()) - place.top()) / place.height();
        let distance = |point: &Point| {
            let (own_right, own_up) = (
                logarithmic(point.measured, low, high),
                logarithmic(point.predicted, low, high),
            );
            (own_right - right).hypot(own_up - up)
        };
        let nearest = points.with_untracked(|points| {
            let near = points
                .iter()
                .min_by(|left, right| distance(&left.1).total_cmp(&distance(&right.1)));
            near.map(|(place, _)| *place)
        });
        choice.read.set(nearest);
    };
    let on_key = move |event: KeyboardEvent| {
        let step = match event.key().as_str() {
            "ArrowRight" | "ArrowUp" => 1,
            "ArrowLeft" | "ArrowDown" => -1,
            _ => return,
        };
        event.prevent_default();
        points.with_untracked(|points| {
            let read = choice.read.get_untracked();
            let now = points.iter().position(|(place, _)| Some(*place) == read);
            let next = match now {
                Some(now) => now
                    .saturating_add_signed(step)
                    .min(points.len().saturating_sub(1)),
                None => 0,
            };
            choice.read.set(points.get(next).map(|(place, _)| *place));
        });
    };
    let save = move || {
        let plots = form.plots.get()?;
        let picture = picture(form, choice, &points.get(), range.get()?)?;
        Some((plots.save)(picture))
    };
    form.plots.load();
    view! {
        <figure class="runs-figure" id=SCATTER aria-labelledby="runs-figure-title" aria-describedby="runs-figure-description">
            <figcaption class="plot-head">
                <div>
                    <h3 id="runs-figure-title">{TITLE}</h3>
                    <p class="runs-caption" id="runs-figure-description">{move || description(choice)}</p>
                </div>
                {save}
            </figcaption>
            <div
                class="runs-drawing"
                tabindex="0"
                role="group"
                aria-label="Predicted against measured. Arrow keys go from run to run; the table has the same figures."
                on:pointermove=on_pointer
                on:keydown=on_key
            >
                <div class="plot-drawing" inner_html=drawing></div>
                {move || range.get().map(scatter_labels::labels)}
                {ring}
            </div>
            <ul class="legend" aria-hidden="true">
                <li><span class="swatch runs-inside"></span>"inside the stated interval"</li>
                <li><span class="swatch runs-outside"></span>"outside"</li>
            </ul>
            <p class="runs-read" role="status">{move || read_out(form, choice)}</p>
        </figure>
    }
}

/// Id of the drawing.
const SCATTER: &str = "runs-figure";
const TITLE: &str = "Predicted against measured";

fn description(choice: Choice) -> String {
    format!(
        "Measured to the right, predicted upwards, in {}. On the line both are equal.",
        unit(choice)
    )
}

/// The drawing as it is saved; nothing without points.
fn picture(form: Form, choice: Choice, points: &[(usize, Point)], range: (i32, i32)) -> Option<Picture> {
    let points: Vec<Point> = points.iter().map(|(_, point)| *point).collect();
    let drawing = draw(&points, range).filter(|_| !points.is_empty())?;
    let ticks: Vec<Tick> = scatter_labels::ticks(range)
        .map(|(at, label)| Tick { at, label })
        .collect();
    let own = form.runs.cases.with(Vec::len);
    Some(Picture {
        id: SCATTER,
        title: TITLE.to_owned(),
        description: format!("{} {} of {} values.", description(choice), points.len(), own),
        drawing,
        left: ticks.clone(),
        bottom: ticks,
        axes: (format!("measured, {}", unit(choice)), "predicted".to_owned()),
        limit: None,
        mark: None,
        legend: vec![
            ("runs-inside".to_owned(), "inside the stated interval".to_owned()),
            ("runs-outside".to_owned(), "outside".to_owned()),
        ],
        stops: Vec::new(),
        start: 0,
    })
}

/// The element that listens.
fn target(event: &PointerEvent) -> Option<Element> {
    event.current_target()?.dyn_into().ok()
}

fn point(case: &Case) -> Option<Point> {
    let line = &case.line;
    let (_, one) = line.quantity.unit();
    let measured = line.measured?.get() as f64 / one;
    let predicted = line.predicted.expected.get() as f64 / one;
    (measured > 0.0 && predicted > 0.0).then_some(Point {
        measured,
        predicted,
        inside: line.inside() == Some(true),
    })
}

fn unit(choice: Choice) -> &'static str {
    let key = choice.quantity.get();
    let quantity = Quantity::ALL.into_iter().find(|quantity| quantity.key() == key);
    quantity.map_or("GiB", |quantity| quantity.unit().0)
}

/// What is said of the run under the pointer.
fn read_out(form: Form, choice: Choice) -> String {
    let Some(place) = choice.read.get() else {
        return "Point at a run, or use the arrow keys.".to_owned();
    };
    form.runs.cases.with(|cases| {
        let Some(case) = cases.get(place) else {
            return String::new();
        };
        let Figures {
            measured,
            predicted,
            range,
        } = figures(case);
        let error = case
            .line
            .error_percent()
            .map_or_else(String::new, |error| format!(", error {} %", decimal(error)));
        format!(
            "{} ({}): measured {measured}, predicted {predicted} ({range}){error}.",
            case.model, case.line.id
        )
    })
}

/// A run's figures in the quantity's unit.
struct Figures {
    measured: String,
    predicted: String,
    range: String,
}

fn figures(case: &Case) -> Figures {
    let (name, one) = case.line.quantity.unit();
    let shown = |bytes: crate::units::Bytes| {
        let value = bytes.get() as f64 / one;
        match name {
            "GiB" => format!("{value:.3}"),
            _ => grouped(bytes.get()),
        }
    };
    let measured = case
        .line
        .measured
        .map_or_else(|| "failed for memory".to_owned(), shown);
    let own = case.line.predicted;
    Figures {
        measured,
        predicted: shown(own.expected),
        range: format!("{} – {}", shown(own.low), shown(own.high)),
    }
}

fn table(form: Form, choice: Choice, chosen: Memo<Vec<usize>>) -> impl IntoView {
    let rows = move || {
        let places = chosen.get();
        form.runs.cases.with(|cases| {
            places
                .iter()
                .take(choice.rows.get())
                .filter_map(|place| cases.get(*place))
                .map(|case| row(form, case))
                .collect_view()
        })
    };
    let more = move || {
        let left = chosen.with(Vec::len).saturating_sub(choice.rows.get());
        (left > 0).then(|| {
            view! {
                <button type="button" class="button" id="runs-more" on:click=move |_| choice.rows.update(|rows| *rows += ROWS)>
                    {format!("Show more ({left} left)")}
                </button>
            }
        })
    };
    view! {
        <div class="runs-list">
            <div class="table-frame" tabindex="0" role="region" aria-label="Measured runs, the largest error first">
                <table class="plain-table" id="runs-table">
                    <thead>
                        <tr>
                            <th scope="col">"Run"</th>
                            <th scope="col">"Engine"</th>
                            <th scope="col" class="number">{move || format!("Measured, {}", unit(choice))}</th>
                            <th scope="col" class="number">"Predicted, low – high"</th>
                            <th scope="col" class="number">"Error"</th>
                            <th scope="col"><span class="visually-hidden">"Open"</span></th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
            {more}
        </div>
    }
}

fn row(form: Form, case: &Case) -> AnyView {
    let Figures {
        measured,
        predicted,
        range,
    } = figures(case);
    let error = case
        .line
        .error_percent()
        .map(|error| format!("{} %", decimal(error)));
    let outside = case.line.inside() == Some(false);
    let source = match case.source.starts_with("http") {
        true => view! { <a href=case.source.clone() rel="noreferrer">"source"</a> }.into_any(),
        false => view! { <span class="soft">{case.source.clone()}</span> }.into_any(),
    };
    let trains = case.line.engine.trains();
    let open = case.question.clone().map(|question| {
        let name = format!("Open {} as a question", case.line.id);
        let go = move |_| {
            form.replace(question.clone());
            form.page
                .tab()
                .set(if trains { Tab::Training } else { Tab::Inference });
        };
        view! {
            <button type="button" class="button button-small" aria-label=name on:click=go>"Open"</button>
        }
    });
    view! {
        <tr class:runs-missed=outside>
            <th scope="row">
                {case.model.clone()} <span class="runs-source"><code>{case.line.id.clone()}</code> " " {source}</span>
            </th>
            <td>{words(case.line.engine.key())}</td>
            <td class="number">{measured}</td>
            <td class="number">{predicted} <span class="runs-range">{range}</span></td>
            <td class="number">{error}</td>
            <td>{open}</td>
        </tr>
    }
    .into_any()
}
