//! An exact number of bytes. Sums saturate at 16 EiB, which validation refuses long before, so no sum can wrap.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

use serde::{Deserialize, Serialize};

use super::{Count, DType};

/// An exact, non-negative number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Bytes(u64);

/// Bytes in one GiB.
const GIB: u64 = 1 << 30;
/// Bytes in one MiB.
const MIB: u64 = 1 << 20;

impl Bytes {
    /// No bytes.
    pub const ZERO: Self = Self(0);
    /// The largest representable size (16 EiB - 1); a sum that reaches it has saturated.
    pub const MAX: Self = Self(u64::MAX);

    /// From a number of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// From whole MiB (2^20 bytes).
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.saturating_mul(MIB))
    }

    /// From a decimal number of GiB (2^30 bytes), rounded to the nearest byte. Negative and non-finite values give zero.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn from_gib(gib: f64) -> Self {
        Self((gib * GIB as f64).round() as u64)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// In GiB (2^30 bytes).
    pub fn to_gib(self) -> f64 {
        self.0 as f64 / GIB as f64
    }

    /// In GB (10^9 bytes).
    pub fn to_gb(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The bytes of `count` elements of `dtype`, rounded up to a whole byte.
    pub fn of(count: Count, dtype: DType) -> Self {
        dtype.bytes_of(count)
    }

    /// Rounded up to a multiple of `alignment` bytes; unchanged when the alignment is zero.
    pub const fn align_up(self, alignment: u64) -> Self {
        if alignment == 0 {
            return self;
        }
        Self(self.0.div_ceil(alignment).saturating_mul(alignment))
    }

    /// The difference, or `None` when `other` is larger.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The difference, or zero when `other` is larger.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// An even share among `parts`, rounded up; unchanged for zero parts.
    pub const fn shared_by(self, parts: u64) -> Self {
        if parts == 0 {
            self
        } else {
            Self(self.0.div_ceil(parts))
        }
    }

    /// Scaled by a non-negative factor, rounded to the nearest byte.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor).round() as u64)
    }
}

impl Add for Bytes {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<u64> for Bytes {
    type Output = Self;
    fn mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_upwards() {
        assert_eq!(Bytes::new(1).align_up(512), Bytes::new(512));
        assert_eq!(Bytes::new(1024).align_up(512), Bytes::new(1024));
        assert_eq!(Bytes::ZERO.align_up(512), Bytes::ZERO);
        assert_eq!(Bytes::new(7).align_up(0), Bytes::new(7));
    }

    #[test]
    fn sums_saturate_instead_of_wrapping() {
        assert_eq!(Bytes::MAX + Bytes::new(1), Bytes::MAX);
        assert_eq!(Bytes::MAX * 3, Bytes::MAX);
        assert_eq!(
            [Bytes::new(2), Bytes::new(3)].into_iter().sum::<Bytes>(),
            Bytes::new(5)
        );
    }

    #[test]
    fn gib_and_gb_differ_by_seven_percent() {
        let one = Bytes::from_gib(1.0);
        assert_eq!(one.get(), 1_073_741_824);
        assert!((one.to_gb() - 1.073_741_824).abs() < 1e-12);
    }
}
