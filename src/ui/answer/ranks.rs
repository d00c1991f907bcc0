//! Which ranks hold how much, the fullest first, and why.

use leptos::prelude::*;

use super::super::format::{exact, gib};
use crate::api::{Answer, RankRow};
use crate::units::Bytes;

/// One line per class; where all ranks hold the same, that alone, with the reason behind it.
pub fn ranks(answer: &Answer) -> AnyView {
    let rows = answer.ranks.as_slice();
    if rows.len() < 2 {
        let same = (answer.gpus_used > 1).then(|| {
            view! {
                <p class="soft" id="rank-classes" title=answer.ranks_reason>
                    {format!("All {} ranks hold the same.", answer.gpus_used)}
                </p>
            }
        });
        return view! { {same} }.into_any();
    }
    let lines = rows.iter().map(line).collect_view();
    view! {
        <section class="host-need" id="rank-classes" aria-labelledby="ranks-title">
            <h3 id="ranks-title">"Ranks, the fullest first"</h3>
            <dl>{lines}</dl>
            <p>{answer.ranks_reason}</p>
        </section>
    }
    .into_any()
}

fn line(row: &RankRow) -> impl IntoView + use<> {
    let among = if row.among == "tensor" {
        "Tensor-parallel ranks"
    } else {
        "Ranks"
    };
    let name = if row.first == row.last {
        format!("{} {}", among.replace("anks", "ank"), row.first)
    } else {
        format!("{among} {} to {}", row.first, row.last)
    };
    let less = if row.less_bytes == Bytes::ZERO {
        "the fullest".to_string()
    } else if row.less_bytes < Bytes::from_gib(0.01) {
        format!("{} less", exact(row.less_bytes))
    } else {
        format!("{} less", gib(row.less_bytes))
    };
    view! {
        <dt>{name}</dt>
        <dd title=exact(row.peak_allocated_bytes)>
            {format!("{}, {less}, at {}", gib(row.peak_allocated_bytes), row.instant)}
        </dd>
    }
}
