//! Pipeline stages: which layers each has, what it has in flight, and what it holds, with a bar per stage so that the fullest
//! is seen at once; nothing where there is one.

use leptos::prelude::*;

use super::super::format::{exact, gib};
use crate::api::StageRow;

/// One row per stage.
pub fn stages(rows: &[StageRow]) -> Option<AnyView> {
    if rows.len() < 2 {
        return None;
    }
    let most = rows
        .iter()
        .map(|row| row.peak_allocated_bytes.get())
        .max()
        .unwrap_or(1)
        .max(1);
    let lines = rows
        .iter()
        .map(|row| {
            let layers: Vec<String> = row
                .layers
                .iter()
                .map(|(first, last)| format!("{first}\u{2013}{last}"))
                .collect();
            let flying: Vec<String> = row.in_flight.iter().map(u64::to_string).collect();
            let fullest = row.peak_allocated_bytes.get() == most;
            let share = row.peak_allocated_bytes.get() as f64 / most as f64;
            view! {
                <tr class:binds=fullest>
                    <th scope="row">{row.rank}</th>
                    <td>{layers.join(", ")}</td>
                    <td>{flying.join(" + ")}</td>
                    <td title=exact(row.rest_bytes)>{gib(row.rest_bytes)}</td>
                    <td title=exact(row.peak_allocated_bytes)>
                        {gib(row.peak_allocated_bytes)}
                        <meter min="0" max="1" value=share.to_string() aria-hidden="true"></meter>
                    </td>
                    <td>{row.instant}</td>
                </tr>
            }
        })
        .collect_view();
    Some(
        view! {
            <div class="host-need" id="pipeline-stages">
                <h3 id="stages-title">"Pipeline stages; the answer is of the fullest"</h3>
                <div class="table-frame" tabindex="0" role="region" aria-labelledby="stages-title">
                    <table class="plain-table">
                        <thead>
                            <tr>
                                <th scope="col">"Rank"</th>
                                <th scope="col">"Layers"</th>
                                <th scope="col">"Micro-batches in flight"</th>
                                <th scope="col">"At rest"</th>
                                <th scope="col">"Peak"</th>
                                <th scope="col">"At"</th>
                            </tr>
                        </thead>
                        <tbody>{lines}</tbody>
                    </table>
                </div>
            </div>
        }
        .into_any(),
    )
}
