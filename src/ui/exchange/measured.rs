//! What a log or a message measured, beside what is predicted for it: per part a pair of bars, the difference, and why.

use leptos::prelude::*;

use super::super::format::{exact, gib, gib_number, share};
use crate::api::{Compared, Imported, Measured};
use crate::units::Bytes;

/// The section; nothing where nothing was measured.
pub fn measured(imported: &Imported) -> Option<AnyView> {
    let all = &imported.import.measured;
    if all.is_empty() {
        return None;
    }
    let rows = &imported.compared;
    let most = rows
        .iter()
        .flat_map(|row| [row.measured_bytes, row.predicted.high_bytes])
        .max()
        .unwrap_or_default();
    let lines = rows.iter().map(|row| line(row, most)).collect_view();
    let table = (!rows.is_empty()).then(|| {
        view! {
            <ul class="beside" id="import-compared" aria-label="Measured beside predicted">{lines}</ul>
            <p class="beside-key soft" aria-hidden="true">
                <span class="beside-swatch beside-measured"></span>"measured"
                <span class="beside-swatch beside-predicted"></span>"predicted, with its bounds"
            </p>
        }
    });
    let none = rows.is_empty().then(
        || view! { <p class="soft">"The question has no answer yet, so nothing stands beside these."</p> },
    );
    Some(
        view! {
            <div class="import-list">
                <h4>"Measured beside predicted"</h4>
                {table}
                {none}
                {rest(all, rows)}
            </div>
        }
        .into_any(),
    )
}

fn line(row: &Compared, most: Bytes) -> AnyView {
    let range = row.predicted;
    let bounds = format!(
        "left:{};right:calc(100% - {})",
        share(range.low_bytes, most),
        share(range.high_bytes, most)
    );
    let class = if row.inside {
        "beside-difference"
    } else {
        "beside-difference beside-off"
    };
    view! {
        <li data-part=row.part>
            <div class="beside-head">
                <b>{row.label}</b>
                <span title=exact(row.measured_bytes)>{format!("measured {}", gib(row.measured_bytes))}</span>
                <span title=format!("{} – {} GiB", gib_number(range.low_bytes), gib_number(range.high_bytes))>
                    {format!("predicted {}", gib(range.expected_bytes))}
                </span>
                <span class=class>{format!("{:+.1} %", row.difference_percent)}</span>
            </div>
            <div class="beside-bars" aria-hidden="true">
                <span class="beside-measured" style=format!("width:{}", share(row.measured_bytes, most))></span>
                <span class="beside-predicted" style=format!("width:{}", share(range.expected_bytes, most))></span>
                <span class="beside-bounds" style=bounds></span>
            </div>
            <p class="soft">{row.why.clone()}</p>
        </li>
    }
    .into_any()
}

/// What was measured and has no counterpart.
fn rest(all: &[Measured], rows: &[Compared]) -> Option<AnyView> {
    let left: Vec<&Measured> = all
        .iter()
        .filter(|measured| !rows.iter().any(|row| row.part == measured.part))
        .collect();
    if left.is_empty() {
        return None;
    }
    let lines = left
        .iter()
        .map(|measured| view! { <li>{gib(measured.bytes)} " " <code>{measured.from.clone()}</code></li> })
        .collect_view();
    Some(
        view! {
            <details class="beside-rest">
                <summary>"Measured, and no part of the answer"</summary>
                <ul>{lines}</ul>
            </details>
        }
        .into_any(),
    )
}
