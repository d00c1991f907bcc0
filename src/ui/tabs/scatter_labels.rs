//! The words beside the drawing of the accuracy tab: the powers of ten along both axes.

use leptos::prelude::*;

/// Powers of ten along both axes.
pub fn labels((low, high): (i32, i32)) -> AnyView {
    let span = f64::from(high - low).max(1.0);
    let ticks = (low..=high)
        .map(|power| {
            let at = f64::from(power - low) / span * 100.0;
            let text = number(power);
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
