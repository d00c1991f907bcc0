//! Classes of ranks that hold different amounts, the fullest first; nothing where all hold the same.

use leptos::prelude::*;

use super::super::format::{exact, gib};
use crate::api::RankRow;

/// One line per class.
pub fn ranks(rows: &[RankRow]) -> Option<AnyView> {
    if rows.len() < 2 {
        return None;
    }
    let lines = rows
        .iter()
        .map(|row| {
            view! {
                <dt>{format!("Ranks {} to {}", row.first, row.last)}</dt>
                <dd title=exact(row.peak_allocated_bytes)>
                    {format!("{}, {} less, at {}", gib(row.peak_allocated_bytes), gib(row.less_bytes), row.instant)}
                </dd>
            }
        })
        .collect_view();
    Some(
        view! {
            <section class="host-need" id="rank-classes" aria-labelledby="ranks-title">
                <h3 id="ranks-title">"Ranks that share the states, the fullest first"</h3>
                <dl>{lines}</dl>
            </section>
        }
        .into_any(),
    )
}
