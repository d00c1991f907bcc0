//! What a program gets of a card: from the totals of logs, the driver's reserve, error correction, a typed limit, and
//! what other programs already hold.

use serde::Serialize;

use super::gpu::{Ecc, Gpu, Span, mib};
use super::unified;
use crate::units::Bytes;

/// What the user knows about the memory of his card beyond its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemorySetup {
    /// Error correction on or off, on boards that have the switch; as usual for the board when absent.
    pub ecc: Option<bool>,
    /// The total that `torch.cuda.mem_get_info` prints: overrides everything else.
    pub torch_total: Option<Bytes>,
    /// The part of unified memory that the GPU may use.
    pub unified_limit: Option<Bytes>,
    /// Memory that other programs hold on each GPU.
    pub in_use: Bytes,
}

/// Where a capacity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Typed by the user.
    Typed,
    /// Torch's total in a log of this card.
    TorchTotal,
    /// Torch's total of a sister board or of memory, without a log of this card.
    TorchTotalBelieved,
    /// The driver's total of a log less the usual reserve.
    DriverTotal,
    /// The number on the box.
    Marketing,
    /// The usual share of unified memory.
    UnifiedShare,
    /// What `nvidia-smi mig -lgip` prints for the profile.
    SliceProfile,
}

/// What a program can have of one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Capacity {
    /// Lower bound.
    pub low: Bytes,
    /// The value to calculate with.
    pub expected: Bytes,
    /// Upper bound.
    pub high: Bytes,
    /// Where it comes from.
    pub basis: Basis,
    /// Whether no log of this card in this state is known.
    pub estimated: bool,
}

impl Capacity {
    fn exact(bytes: Bytes, basis: Basis) -> Self {
        Self::span(
            Span {
                low: bytes,
                high: bytes,
            },
            basis,
            false,
        )
    }

    /// A range of which the low end is calculated with.
    pub(super) fn span(span: Span, basis: Basis, estimated: bool) -> Self {
        Self {
            low: span.low,
            expected: span.low,
            high: span.high,
            basis,
            estimated,
        }
    }

    /// A range of which the middle is calculated with.
    pub(super) fn middle(span: Span, basis: Basis, estimated: bool) -> Self {
        let expected = Bytes::from_mib(u64::midpoint(mib(span.low), mib(span.high)));
        Self {
            expected,
            ..Self::span(span, basis, estimated)
        }
    }

    fn without(self, in_use: Bytes) -> Self {
        Self {
            low: self.low.saturating_sub(in_use),
            expected: self.expected.saturating_sub(in_use),
            high: self.high.saturating_sub(in_use),
            ..self
        }
    }
}

impl Gpu {
    /// What a program gets of this card. Torch's total (low end of a range), else the driver's total less the usual
    /// reserve, else an estimate from the number on the box; less what is already in use.
    pub fn capacity(&self, setup: &MemorySetup) -> Capacity {
        self.whole_capacity(setup).without(setup.in_use)
    }

    fn whole_capacity(&self, setup: &MemorySetup) -> Capacity {
        if let Some(total) = setup.torch_total {
            return Capacity::exact(total, Basis::Typed);
        }
        if let (true, Some(limit)) = (self.unified, setup.unified_limit) {
            return Capacity::exact(limit, Basis::Typed);
        }
        if self.slice.is_some()
            && let Some(span) = self.torch_visible
        {
            return Capacity::span(span, Basis::SliceProfile, self.estimated);
        }
        if let Some(span) = self.torch_visible {
            return self.torch_capacity(span, setup.ecc);
        }
        if self.unified {
            return unified::default_capacity(self);
        }
        let ecc = setup.ecc.or(self.ecc.map(|ecc| ecc.usual)).unwrap_or(true);
        if let Some(total) = self.driver_visible_with_ecc(ecc) {
            return Capacity::middle(self.less_reserve(total, total), Basis::DriverTotal, false);
        }
        self.marketing_capacity(ecc)
    }

    /// Torch's total, moved by what switching error correction moves the driver's total.
    fn torch_capacity(&self, span: Span, ecc: Option<bool>) -> Capacity {
        let basis = match (self.id.as_str(), self.torch_logged) {
            ("custom", _) => Basis::Typed,
            (_, true) => Basis::TorchTotal,
            (_, false) => Basis::TorchTotalBelieved,
        };
        let usual = Capacity::span(span, basis, !self.torch_logged);
        let (Some(Ecc { usual: state }), Some(wanted)) = (self.ecc, ecc) else {
            return usual;
        };
        let (Some(now), Some(then)) = (self.driver_visible, self.driver_visible_with_ecc(wanted)) else {
            return usual;
        };
        if state == wanted {
            return usual;
        }
        let moved = |bytes: Bytes| (bytes + then).saturating_sub(now);
        Capacity::span(
            Span {
                low: moved(span.low),
                high: moved(span.high),
            },
            basis,
            true,
        )
    }

    /// The driver keeps back 245-551 MiB on boards up to 80 GB, 469-615 on the 94 GB Hopper boards, and 586-728 from
    /// 96 GB on; 16 MiB on AMD.
    fn less_reserve(&self, low: Bytes, high: Bytes) -> Span {
        let (least, most) = match (self.vendor.as_str(), self.marketing_gb) {
            ("AMD", _) => (16, 16),
            (_, gb) if gb <= 80.0 => (245, 551),
            (_, gb) if gb < 96.0 => (469, 615),
            _ => (586, 728),
        };
        Span {
            low: low.saturating_sub(Bytes::from_mib(most)),
            high: high.saturating_sub(Bytes::from_mib(least)),
        }
    }

    /// The box counts GiB up to Hopper and on AMD, less up to 0.6 % that the driver never shows, and GB from 192 on;
    /// elsewhere the unit is unknown and the interval spans both readings.
    fn marketing_capacity(&self, ecc: bool) -> Capacity {
        let (gib, gb) = (
            Bytes::from_gib(self.marketing_gb),
            Bytes::from_gib(self.marketing_gb * 1e9 / (1u64 << 30) as f64),
        );
        let span = match self.vendor.as_str() {
            "NVIDIA" => {
                let total = if self.marketing_gb >= 192.0 { gb } else { gib };
                let total = match (self.ecc, ecc) {
                    (Some(_), true) => total.scaled(15.0 / 16.0),
                    _ => total,
                };
                self.less_reserve(total.scaled(0.994), total)
            }
            "AMD" => self.less_reserve(gib, gib),
            _ => Span { low: gb, high: gib },
        };
        Capacity::middle(span, Basis::Marketing, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::find;

    fn usual(id: &str) -> Capacity {
        find(id).expect(id).capacity(&MemorySetup::default())
    }

    #[track_caller]
    fn torch(id: &str, low: u64, high: u64) {
        let capacity = usual(id);
        assert_eq!((mib(capacity.expected), mib(capacity.high)), (low, high), "{id}");
        assert_eq!(capacity.low, capacity.expected);
    }

    #[test]
    fn torch_totals_of_logs_are_taken_at_their_low_end() {
        torch("h100-sxm-80gb", 81_079, 81_090);
        torch("h100-pcie-80gb", 81_008, 81_008);
        torch("h200-sxm-141gb", 143_156, 143_156);
        torch("b200-sxm", 182_631, 182_642);
        torch("t4", 15_079, 15_109);
        torch("rtx-5090", 32_102, 32_123);
        torch("v100-sxm2-32gb", 32_488, 32_512);
        torch("instinct-mi300x", 196_592, 196_592);
        torch("dgx-spark-gb10", 122_502, 124_546);
        assert_eq!(usual("h100-sxm-80gb").basis, Basis::TorchTotal);
        assert!(!usual("h100-sxm-80gb").estimated);
    }

    #[test]
    fn believed_totals_say_so() {
        torch("a100-sxm-80gb", 81_037, 81_251);
        torch("rtx-4090", 24_081, 24_217);
        assert!(usual("a100-sxm-80gb").estimated);
        assert_eq!(usual("a100-sxm-80gb").basis, Basis::TorchTotalBelieved);
    }

    #[test]
    fn the_drivers_reserve_is_an_interval_with_its_middle_as_default() {
        let l4 = usual("l4");
        assert_eq!(
            (mib(l4.low), mib(l4.expected), mib(l4.high)),
            (22_483, 22_636, 22_789)
        );
        assert!(!l4.estimated);
        let gb300 = usual("gb300-nvl72-per-gpu");
        assert_eq!((mib(gb300.low), mib(gb300.high)), (283_480, 283_622));
        let nvl = usual("h100-nvl-94gb");
        assert_eq!((mib(nvl.low), mib(nvl.high)), (95_215, 95_361));
    }

    #[test]
    fn the_box_is_gib_or_gb_by_generation() {
        let b100 = usual("b100-sxm");
        assert!(b100.estimated && b100.basis == Basis::Marketing);
        assert!(b100.high.to_gb() < 192.0);
        let mi355 = usual("instinct-mi355x");
        assert_eq!(mib(mi355.expected), 288 * 1024 - 16);
        assert!(mi355.estimated);
        let l40 = usual("l40");
        assert!(mib(l40.high) <= 46_080 - 245 && mib(l40.low) >= 45_000);
    }

    #[test]
    fn ecc_takes_a_sixteenth_of_gddr6_and_nothing_of_hbm() {
        let a40 = find("a40").expect("a40");
        assert_eq!(a40.driver_visible_with_ecc(true).map(mib), Some(46_068));
        assert_eq!(a40.driver_visible_with_ecc(false).map(mib), Some(49_140));
        let a6000 = find("rtx-a6000").expect("a6000");
        assert_eq!(a6000.driver_visible_with_ecc(true).map(mib), Some(46_068));
        assert_eq!(a6000.driver_visible_with_ecc(false).map(mib), Some(49_140));
        let on = a6000.capacity(&MemorySetup {
            ecc: Some(true),
            ..MemorySetup::default()
        });
        assert_eq!(mib(on.expected), 48_676 - (49_140 - 46_068));
        assert!(on.estimated);
        let a5000 = find("rtx-a5000").expect("a5000");
        assert_eq!(a5000.driver_visible_with_ecc(true).map(mib), Some(23_028));
        let t4 = find("t4").expect("t4");
        assert_eq!(t4.driver_visible_with_ecc(false).map(mib), Some(16_384));
        let h100 = find("h100-sxm-80gb").expect("h100");
        assert!(h100.ecc.is_none());
    }

    #[test]
    fn typed_totals_and_memory_in_use_override_and_reduce() {
        let h100 = find("h100-sxm-80gb").expect("h100");
        let setup = MemorySetup {
            torch_total: Some(Bytes::from_mib(80_000)),
            in_use: Bytes::from_mib(1_000),
            ..MemorySetup::default()
        };
        let capacity = h100.capacity(&setup);
        assert_eq!((mib(capacity.expected), capacity.basis), (79_000, Basis::Typed));
        let mac = find("m3-max-128gb").expect("mac");
        let limit = MemorySetup {
            unified_limit: Some(Bytes::from_gib(100.0)),
            ..MemorySetup::default()
        };
        assert_eq!(mac.capacity(&limit).expected, Bytes::from_gib(100.0));
        assert_eq!(
            h100.capacity(&limit).expected,
            Bytes::from_mib(81_079),
            "only unified memory has a limit"
        );
        let typed = Gpu::custom(Bytes::from_gib(24.0)).capacity(&MemorySetup::default());
        assert_eq!(
            (typed.expected, typed.basis),
            (Bytes::from_gib(24.0), Basis::Typed)
        );
    }

    #[test]
    fn every_card_has_a_capacity_below_the_number_on_its_box() {
        for gpu in crate::hardware::gpus() {
            let capacity = gpu.capacity(&MemorySetup::default());
            assert!(
                capacity.low <= capacity.expected && capacity.expected <= capacity.high,
                "{}",
                gpu.id
            );
            assert!(capacity.expected > Bytes::ZERO, "{}", gpu.id);
            assert!(capacity.high.to_gib() <= gpu.marketing_gb * 1.004, "{}", gpu.id);
            assert!(capacity.low.to_gib() >= gpu.marketing_gb * 0.6, "{}", gpu.id);
        }
    }
}
