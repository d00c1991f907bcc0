//! The frame of a plot: title, description, axes and read-out as HTML around a drawing that scales without loss. A cursor follows
//! the pointer; with the keyboard it is a slider. The numbers at the cursor stand below the drawing.

use std::cell::RefCell;

use leptos::ev::{Event, KeyboardEvent, PointerEvent};
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;

use super::super::fields::is_open;
use super::super::format::grouped;
use super::{Offer, save};

/// Most labels on a horizontal axis.
const LABELS: f64 = 8.0;

/// What makes the table of a plot when it is opened.
pub type Table = Box<dyn Fn() -> AnyView + Send + Sync>;

thread_local! {
    /// The plots whose table is open, which outlives their answers.
    static OPENED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// A tick of an axis: its place from 0 to 1, and its label.
#[derive(Clone, Debug)]
pub struct Tick {
    pub at: f64,
    pub label: String,
}

impl Tick {
    /// Labels of a vertical axis that ends at `top`.
    pub fn heights(ticks: &[f64], top: f64) -> Vec<Self> {
        let one = |tick: &f64| Self {
            at: tick / top,
            label: format!("{tick}"),
        };
        ticks.iter().map(one).collect()
    }

    /// Labels of values at their places, without those that are too near to the one before.
    pub fn apart(values: impl Iterator<Item = u64>, place: impl Fn(u64) -> f64) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for value in values {
            let at = place(value);
            let near = all.last().is_some_and(|before| at - before.at < 1.0 / LABELS);
            if !near {
                all.push(Self {
                    at,
                    label: grouped(value),
                });
            }
        }
        all
    }
}

/// A place that can be read.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Its place from left to right, from 0 to 1.
    pub at: f64,
    /// What stands there: "8,192 tokens".
    pub name: String,
    /// What it needs, in words: "needs 55.1 – 61.0 GiB: fits".
    pub words: String,
    /// The parts: class of the colour, name, value.
    pub parts: Vec<(String, String, String)>,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Picture {
    pub id: &'static str,
    pub title: String,
    pub description: String,
    /// The drawing as SVG text.
    pub drawing: String,
    pub left: Vec<Tick>,
    pub bottom: Vec<Tick>,
    /// What is counted on the axes.
    pub axes: (String, String),
    /// A line across: its height from 0 to 1, and its name.
    pub limit: Option<(f64, String)>,
    /// A line downwards: its place from 0 to 1, and its name.
    pub mark: Option<(f64, String)>,
    /// Class of the colour, and name.
    pub legend: Vec<(String, String)>,
    pub stops: Vec<Stop>,
    /// The stop at which the cursor is at first.
    pub start: usize,
}

/// A place from 0 to 1 in percent for the style sheet.
fn percent(place: f64) -> String {
    format!("{:.3}%", place.clamp(0.0, 1.0) * 100.0)
}

impl Picture {
    /// The plot with its table twin; `action` may offer something about the stop at the cursor.
    pub fn view(self, table: Table, action: Offer) -> AnyView {
        let cursor = RwSignal::new(self.start.min(self.stops.len().saturating_sub(1)));
        let id = self.id;
        let buttons = save::buttons(self.clone());
        let Self {
            title,
            description,
            drawing,
            left,
            bottom,
            axes,
            limit,
            mark,
            legend,
            stops,
            ..
        } = self;
        let left = left.into_iter().map(|tick| {
            view! { <span style=format!("bottom:{}", percent(tick.at))>{tick.label}</span> }
        });
        let bottom = bottom.into_iter().map(|tick| {
            view! { <span style=format!("left:{}", percent(tick.at))>{tick.label}</span> }
        });
        let limit = limit.map(|(at, name)| {
            view! { <span class="plot-limit" style=format!("bottom:{}", percent(at))>{name}</span> }
        });
        let mark = mark.map(|(at, name)| {
            let class = if at > 0.6 {
                "plot-mark plot-mark-left"
            } else {
                "plot-mark"
            };
            view! { <span class=class style=format!("left:{}", percent(at))><b>{name}</b></span> }
        });
        let legend = legend
            .into_iter()
            .map(|(class, name)| view! { <li><span class=format!("swatch {class}")></span>{name}</li> })
            .collect_view();
        let stops = StoredValue::new(stops);
        let reader = reader(id, cursor, stops, format!("{}, {}", axes.0, axes.1));
        let told = move || {
            let at = cursor.get();
            stops.with_value(|stops| stops.get(at).map(told))
        };
        view! {
            <figure class="plot" id=id aria-labelledby=format!("{id}-title") aria-describedby=format!("{id}-description")>
                <figcaption class="plot-head">
                    <div>
                        <h3 id=format!("{id}-title")>{title}</h3>
                        <p class="plot-description" id=format!("{id}-description")>{description}</p>
                    </div>
                    {buttons}
                </figcaption>
                <p class="plot-axis-name" aria-hidden="true">{axes.1}</p>
                <div class="plot-frame">
                    <div class="plot-left" aria-hidden="true">{left.collect_view()}</div>
                    <div class="plot-area">
                        <div class="plot-drawing" inner_html=drawing></div>
                        {limit}
                        {mark}
                        {reader}
                    </div>
                    <div class="plot-bottom" aria-hidden="true">{bottom.collect_view()}</div>
                </div>
                <p class="plot-axis-name" aria-hidden="true">{axes.0}</p>
                <ul class="legend" aria-hidden="true">{legend}</ul>
                <div class="plot-told">
                    {told}
                    {move || action(cursor.get())}
                </div>
                {twin(id, table)}
            </figure>
        }
        .into_any()
    }
}

/// The table of a plot, made when it is opened: an edit that nobody reads there costs nothing.
fn twin(id: &'static str, table: Table) -> AnyView {
    let known = OPENED.with_borrow(|opened| opened.contains(&id));
    let opened = RwSignal::new(known);
    let on_toggle = move |event: Event| {
        let open = is_open(&event).unwrap_or(known);
        OPENED.with_borrow_mut(|all| {
            all.retain(|other| *other != id);
            all.extend(open.then_some(id));
        });
        opened.set(open);
    };
    view! {
        <details class="twin" open=known on:toggle=on_toggle>
            <summary>"The same as a table"</summary>
            <div class="table-frame" tabindex="0" role="region" aria-labelledby=format!("{id}-title")>
                {move || opened.get().then(&table)}
            </div>
        </details>
    }
    .into_any()
}

/// What covers the drawing and follows pointer and keys.
fn reader(
    id: &'static str,
    cursor: RwSignal<usize>,
    stops: StoredValue<Vec<Stop>>,
    label: String,
) -> AnyView {
    let count = stops.with_value(Vec::len);
    let place = move || {
        let at = cursor.get();
        stops.with_value(|stops| stops.get(at).map_or(0.0, |stop| stop.at))
    };
    let spoken = move || {
        let at = cursor.get();
        stops.with_value(|stops| stops.get(at).map(|stop| format!("{}: {}", stop.name, stop.words)))
    };
    let follow = move |event: PointerEvent| {
        let Some(element) = event
            .current_target()
            .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
        else {
            return;
        };
        let frame = element.get_bounding_client_rect();
        let share = (f64::from(event.client_x()) - frame.left()) / frame.width().max(1.0);
        let nearest = stops.with_value(|stops| {
            let distance = |stop: &Stop| (stop.at - share).abs();
            stops
                .iter()
                .enumerate()
                .min_by(|(_, one), (_, other)| distance(one).total_cmp(&distance(other)))
                .map(|(index, _)| index)
        });
        if let Some(nearest) = nearest.filter(|nearest| *nearest != cursor.get_untracked()) {
            cursor.set(nearest);
        }
    };
    let keys = move |event: KeyboardEvent| {
        let at = cursor.get_untracked();
        let last = count.saturating_sub(1);
        let to = match event.key().as_str() {
            "ArrowRight" | "ArrowUp" => (at + 1).min(last),
            "ArrowLeft" | "ArrowDown" => at.saturating_sub(1),
            "Home" => 0,
            "End" => last,
            _ => return,
        };
        event.prevent_default();
        cursor.set(to);
    };
    view! {
        <div
            class="plot-reader"
            id=format!("{id}-reader")
            role="slider"
            tabindex="0"
            aria-label=format!("Read the plot: {label}")
            aria-valuemin="0"
            aria-valuemax=count.saturating_sub(1).to_string()
            aria-valuenow=move || cursor.get().to_string()
            aria-valuetext=spoken
            on:pointermove=follow
            on:pointerdown=follow
            on:keydown=keys
        >
            <span class="plot-cursor" style=move || format!("left:{}", percent(place()))></span>
        </div>
    }
    .into_any()
}

/// The numbers at the cursor.
fn told(stop: &Stop) -> AnyView {
    let parts = stop
        .parts
        .iter()
        .map(|(class, name, value)| {
            view! { <li><span class=format!("swatch {class}")></span>{name.clone()} <b>{value.clone()}</b></li> }
        })
        .collect_view();
    view! {
        <p><b>{stop.name.clone()}</b> {format!(": {}", stop.words)}</p>
        <ul class="legend">{parts}</ul>
    }
    .into_any()
}
