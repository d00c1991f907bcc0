//! Memory that CPU and GPU share: which part the GPU gets unless the user types it.
//!
//! Apple: two thirds of small memories, about three quarters of large ones, 0.78 on newer chips of 32 and 36 GB; the
//! shares come from logs of `recommendedMaxWorkingSetSize`, and `sysctl iogpu.wired_limit_mb` raises them until reboot.

use super::capacity::{Basis, Capacity};
use super::gpu::{Gpu, Span};
use crate::units::Bytes;

/// Low, default and high share of the memory on the box.
fn share(gpu: &Gpu) -> (f64, f64, f64) {
    let generation = gpu
        .id
        .strip_prefix('m')
        .and_then(|rest| rest.get(..1))
        .and_then(|digit| digit.parse::<u8>().ok());
    match (gpu.vendor.as_str(), gpu.marketing_gb) {
        ("Apple", gb) if gb <= 16.0 => (2.0 / 3.0, 2.0 / 3.0, 0.75),
        ("Apple", gb) if gb >= 64.0 => (0.74, 0.75, 0.78),
        ("Apple", _) if generation.is_some_and(|number| number >= 3) => (2.0 / 3.0, 0.78, 0.78),
        ("Apple", _) => (2.0 / 3.0, 2.0 / 3.0, 0.78),
        _ => (0.93, 0.95, 0.97),
    }
}

/// The capacity of a card with unified memory of which no torch total is known.
pub(super) fn default_capacity(gpu: &Gpu) -> Capacity {
    if let Some(total) = gpu.driver_visible {
        let span = Span {
            low: total.scaled(0.95),
            high: total,
        };
        return Capacity::middle(span, Basis::UnifiedShare, true);
    }
    let whole = Bytes::from_gib(gpu.marketing_gb);
    let (low, usual, high) = share(gpu);
    Capacity {
        expected: whole.scaled(usual),
        ..Capacity::span(
            Span {
                low: whole.scaled(low),
                high: whole.scaled(high),
            },
            Basis::UnifiedShare,
            true,
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::hardware::{Basis, MemorySetup, find};

    #[track_caller]
    fn gib(id: &str) -> f64 {
        let capacity = find(id).expect(id).capacity(&MemorySetup::default());
        capacity.expected.to_gib()
    }

    #[test]
    fn apple_defaults_follow_size_and_generation() {
        assert!((gib("m1-16gb") - 10_923.0 / 1024.0).abs() < 0.01);
        assert!((gib("m3-pro-18gb") / 18.0 - 0.74).abs() < 0.005);
        assert!((gib("m4-32gb") / 32.0 - 0.78).abs() < 0.005);
        assert!((gib("m2-max-32gb") - 21.33).abs() < 0.01);
        assert!((gib("m4-pro-64gb") - 48.0).abs() < 0.01);
        assert!((gib("m5-32gb") / 32.0 - 0.78).abs() < 0.001);
    }

    #[test]
    fn a_default_share_is_an_estimate_and_a_log_is_not() {
        let usual = |id: &str| find(id).expect(id).capacity(&MemorySetup::default());
        assert!(usual("m1-max-64gb").estimated);
        assert_eq!(usual("m1-max-64gb").basis, Basis::UnifiedShare);
        assert!(!usual("m4-32gb").estimated);
        let strix = usual("strix-halo");
        assert!(strix.high.to_gib() - strix.low.to_gib() > 20.0);
    }
}
