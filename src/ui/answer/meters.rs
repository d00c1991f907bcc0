//! The three meters - allocated, reserved, device - as bars on one scale with their intervals and the usable capacity.

use leptos::prelude::*;

use super::super::explain::figure;
use super::super::format::{exact, gib, gib_number, share};
use crate::api::{Meters, Range};
use crate::units::Bytes;

/// One meter as it is shown.
struct Shown {
    key: &'static str,
    label: &'static str,
    meaning: &'static str,
    value: Range,
}

/// The three meters on one scale.
pub fn meters(meters: &Meters, capacity: Bytes) -> AnyView {
    let shown = [
        Shown {
            key: "allocated",
            label: "Allocated",
            meaning: "torch: max_memory_allocated",
            value: meters.allocated,
        },
        Shown {
            key: "reserved",
            label: "Reserved",
            meaning: "torch: max_memory_reserved",
            value: meters.reserved,
        },
        Shown {
            key: "device",
            label: "Device",
            meaning: "what nvidia-smi shows",
            value: meters.device,
        },
    ];
    let most = shown
        .iter()
        .map(|meter| meter.value.high_bytes)
        .max()
        .unwrap_or_default()
        .max(capacity);
    let scale = most.scaled(1.02);
    let bars = shown
        .iter()
        .map(|meter| bar(meter, capacity, scale))
        .collect_view();
    view! {
        <div class="meters" id="meters">
            {bars}
            <details class="meters-scale">
                <summary>"How to read the meters"</summary>
                <p>
                    "Solid to the lower bound, hatched to the upper bound, white mark: expected. Line: "
                    {gib(capacity)} " usable. Reserved and device are those of a roomy card: where memory is short, the \
                     allocator gives back what it only keeps. So the verdict judges the need: allocated, its fragmentation, \
                     and what lies outside the allocator."
                </p>
            </details>
        </div>
    }
    .into_any()
}

fn bar(meter: &Shown, capacity: Bytes, scale: Bytes) -> AnyView {
    let Range {
        low_bytes: low,
        expected_bytes: expected,
        high_bytes: high,
    } = meter.value;
    let spread = high.saturating_sub(low);
    let range = if spread == Bytes::ZERO {
        "exact".to_owned()
    } else {
        format!("{} – {}", gib_number(low), gib_number(high))
    };
    let spoken = format!("{} expected, {range} of {} usable", gib(expected), gib(capacity));
    view! {
        <div class="meter" data-meter=meter.key data-low=low.get().to_string()
            data-expected=expected.get().to_string() data-high=high.get().to_string()>
            <span class="meter-name">{meter.label} <small>{meter.meaning}</small></span>
            <div
                class="meter-track"
                role="meter"
                aria-label=format!("{}: {}", meter.label, meter.meaning)
                aria-valuemin="0"
                aria-valuemax=format!("{:.2}", scale.to_gib())
                aria-valuenow=format!("{:.2}", expected.to_gib())
                aria-valuetext=spoken
            >
                <span class="meter-fill" style=format!("width:{}", share(low, scale))></span>
                {(spread > Bytes::ZERO).then(|| view! {
                    <span
                        class="meter-band"
                        style=format!("left:{};width:{}", share(low, scale), share(spread, scale))
                    ></span>
                    <span class="meter-expected" style=format!("left:{}", share(expected, scale))></span>
                })}
                <span class="capacity-mark" style=format!("left:{}", share(capacity, scale))></span>
            </div>
            <span class="meter-value" title=exact(expected)>
                <b>{figure::figure(format!("meter-{}", meter.key), expected)}</b>
                <small>{range}</small>
            </span>
        </div>
    }
    .into_any()
}
