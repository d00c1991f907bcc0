//! The accuracy tab: predicted against measured, per engine and quantity, from the committed evidence.

use leptos::prelude::*;

use super::super::format::{decimal, words};
use crate::accuracy::evidence;
use crate::accuracy::statistics::Row;

/// Engines that the product will answer for and that have no measured run at hand must not look validated.
const NOT_VALIDATED: &str = "not validated";

/// The table.
pub fn accuracy() -> AnyView {
    let table = evidence();
    let (mapped, records) = (table.mapped, table.records);
    // What was compared comes first; what was not is said below it.
    let (compared, rest): (Vec<&Row>, Vec<&Row>) = table.rows.iter().partition(|row| row.mapped > 0);
    let lines = compared.into_iter().chain(rest).map(line).collect_view();
    view! {
        <div class="panel accuracy">
            <h2 id="accuracy-title">"Predicted against measured"</h2>
            <p class="accuracy-intro">
                {format!(
                    "{mapped} of {records} measured runs were predicted by the calculator of this page and compared. \
                     The error is the absolute difference in percent of the measured value. \
                     Measured values are never an input of a prediction."
                )}
            </p>
            <div class="table-frame" tabindex="0" role="region" aria-labelledby="accuracy-title">
                <table class="plain-table" id="accuracy-table">
                    <thead>
                        <tr>
                            <th scope="col">"Engine"</th>
                            <th scope="col">"Quantity"</th>
                            <th scope="col" class="number">"Records"</th>
                            <th scope="col" class="number">"Predicted"</th>
                            <th scope="col" class="number">"Median"</th>
                            <th scope="col" class="number">"90 % within"</th>
                            <th scope="col" class="number">"95 % within"</th>
                            <th scope="col" class="number">"Worst"</th>
                            <th scope="col" class="number">"Inside the interval"</th>
                            <th scope="col" class="number">"Interval width"</th>
                        </tr>
                    </thead>
                    <tbody>{lines}</tbody>
                </table>
            </div>
        </div>
    }
    .into_any()
}

fn line(row: &Row) -> AnyView {
    let head = view! {
        <th scope="row">{words(&row.engine)}</th>
        <td>{words(&row.quantity)}</td>
        <td class="number">{row.records}</td>
        <td class="number" title=reasons(row)>{row.mapped}</td>
    };
    let cells = if row.mapped == 0 {
        view! { <td class="soft" colspan="6">{NOT_VALIDATED}</td> }.into_any()
    } else {
        [
            row.median_percent,
            row.p90_percent,
            row.p95_percent,
            row.worst_percent,
            row.inside_percent,
            row.median_width_percent,
        ]
        .map(|value| view! { <td class="number">{percent(value)}</td> })
        .collect_view()
        .into_any()
    };
    view! { <tr data-engine=row.engine.clone() data-quantity=row.quantity.clone()>{head} {cells}</tr> }
        .into_any()
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{} %", decimal(value)))
}

/// Why records were not predicted.
fn reasons(row: &Row) -> String {
    let reasons = row
        .not_mapped
        .iter()
        .map(|(reason, count)| format!("{count} not predicted: {reason}"));
    reasons.collect::<Vec<_>>().join("; ")
}
