//! The words beside the drawing of the accuracy tab: the powers of ten along both axes.

use leptos::prelude::*;

/// The powers of ten with their places from 0 to 1.
pub fn ticks((low, high): (i32, i32)) -> impl Iterator<Item = (f64, String)> {
    let span = f64::from(high - low).max(1.0);
    (low..=high).map(move |power| (f64::from(power - low) / span, number(power)))
}

/// Powers of ten along both axes.
pub fn labels(range: (i32, i32)) -> AnyView {
    let ticks = ticks(range)
        .map(|(at, text)| {
            let at = at * 100.0;
            view! {
                <span class="runs-tick-right" style=format!("left:{at}%")>{text.clone()}</span>
                <span class="runs-tick-up" style=format!("bottom:{at}%")>{text}</span>
            }
        })
        .collect_view();
    view! { <div aria-hidden="true">{ticks}</div> }.into_any()
}

/// A power of ten as a number: 0.01, 1, 100, 10⁶.
fn number(power: i32) -> String {
    match power {
        -3..=4 => format!("{}", 10_f64.powi(power)),
        _ => format!("1e{power}"),
    }
}
