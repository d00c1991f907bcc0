//! What a node needs outside its GPUs: memory and disk, against what it has where that is stated.

use leptos::prelude::*;

use super::super::format::{exact, gib, gib_number};
use crate::api::{HostNeed, Range};
use crate::units::Bytes;

/// The need of a node, or nothing.
pub fn host(need: Option<&HostNeed>) -> Option<AnyView> {
    let need = need?;
    let reason = need
        .reason
        .clone()
        .map(|reason| view! { <p class="host-reason">{reason}</p> });
    let places = [
        ("Host memory", need.memory_per_node, need.memory_bytes),
        ("Disk", need.disk_per_node, need.disk_bytes),
    ];
    let lines = places
        .into_iter()
        .filter(|(_, range, _)| range.high_bytes > Bytes::ZERO)
        .map(|(label, range, stated)| line(label, range, stated))
        .collect_view();
    let title = match need.ranks_per_node {
        1 => "Outside the GPUs".to_owned(),
        ranks => format!("Outside the GPUs, per node of {ranks} ranks"),
    };
    Some(
        view! {
            <section class="host-need" id="host-need" aria-labelledby="host-title">
                <h3 id="host-title">{title}</h3>
                <dl>{lines}</dl>
                {reason}
            </section>
        }
        .into_any(),
    )
}

fn line(label: &'static str, range: Range, stated: Option<Bytes>) -> AnyView {
    let Range {
        low_bytes: low,
        expected_bytes: expected,
        high_bytes: high,
    } = range;
    let span = if low == high {
        gib(expected)
    } else {
        format!("{} ({} – {})", gib(expected), gib_number(low), gib_number(high))
    };
    let of = stated.map_or_else(
        || " (size not stated)".to_owned(),
        |stated| format!(" of {}", gib(stated)),
    );
    view! {
        <dt>{label}</dt>
        <dd title=exact(expected)>{span} {of}</dd>
    }
    .into_any()
}
