//! Durations, rates and amounts of arithmetic. All are finite and not negative: whatever a sum or quotient would make of
//! them, no `NaN` and no infinity gets into an answer.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};

use serde::Serialize;

use super::Bytes;

/// Beyond this, numbers are cut off: no machine and no budget is so large.
const MOST: f64 = 1e30;

fn clean(value: f64) -> f64 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(0.0, MOST)
    }
}

macro_rules! quantity {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            /// None.
            pub const ZERO: Self = Self(0.0);

            /// Of a number; negative ones and what is no number count as none.
            pub fn new(value: f64) -> Self {
                Self(clean(value))
            }

            /// The number.
            pub const fn get(self) -> f64 {
                self.0
            }

            /// The larger of two.
            #[must_use]
            pub fn max(self, other: Self) -> Self {
                Self(self.0.max(other.0))
            }

            /// The smaller of two.
            #[must_use]
            pub fn min(self, other: Self) -> Self {
                Self(self.0.min(other.0))
            }

            /// Which share of `whole` it is; nought of nothing.
            pub fn share_of(self, whole: Self) -> f64 {
                if whole.0 > 0.0 { clean(self.0 / whole.0) } else { 0.0 }
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self::new(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl Sub for $name {
            type Output = Self;
            /// The difference, or none where `other` is larger.
            fn sub(self, other: Self) -> Self {
                Self::new(self.0 - other.0)
            }
        }

        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, times: f64) -> Self {
                Self::new(self.0 * times)
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Add::add)
            }
        }
    };
}

quantity! {
    /// A duration.
    Seconds
}
quantity! {
    /// A rate of transfer, in bytes (10^0) per second.
    BytesPerSecond
}
quantity! {
    /// An amount of arithmetic, in floating-point operations.
    Flops
}
quantity! {
    /// A rate of arithmetic, in floating-point operations per second.
    FlopsPerSecond
}

impl Seconds {
    /// From microseconds.
    pub fn from_micros(micros: f64) -> Self {
        Self::new(micros * 1e-6)
    }

    /// In milliseconds.
    pub const fn to_millis(self) -> f64 {
        self.0 * 1e3
    }
}

impl BytesPerSecond {
    /// From GB/s (10^9 bytes).
    pub fn from_gb(gb: f64) -> Self {
        Self::new(gb * 1e9)
    }

    /// From Gbit/s (10^9 bits).
    pub fn from_gbit(gbit: f64) -> Self {
        Self::new(gbit * 1e9 / 8.0)
    }

    /// In GB/s.
    pub const fn to_gb(self) -> f64 {
        self.0 / 1e9
    }

    /// How long so many bytes take; nothing takes no time, anything over no link takes for ever.
    pub fn time(self, bytes: f64) -> Seconds {
        if bytes > 0.0 {
            Seconds::new(bytes / self.0)
        } else {
            Seconds::ZERO
        }
    }
}

impl FlopsPerSecond {
    /// From TFLOP/s (10^12).
    pub fn from_tera(tera: f64) -> Self {
        Self::new(tera * 1e12)
    }

    /// How long so much arithmetic takes.
    pub fn time(self, flops: Flops) -> Seconds {
        if flops.0 > 0.0 {
            Seconds::new(flops.0 / self.0)
        } else {
            Seconds::ZERO
        }
    }
}

impl Bytes {
    /// The nearest number of whole bytes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn nearest(bytes: f64) -> Self {
        Self::new(clean(bytes).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_quantity_is_negative_or_no_number() {
        for value in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            assert_eq!(Seconds::new(value), Seconds::ZERO);
        }
        assert_eq!(Seconds::new(f64::INFINITY).get(), MOST);
        assert_eq!(Seconds::new(1.0) - Seconds::new(2.0), Seconds::ZERO);
        assert_eq!(BytesPerSecond::ZERO.time(1.0).get(), MOST);
        assert_eq!(BytesPerSecond::ZERO.time(0.0), Seconds::ZERO);
        assert_eq!(Bytes::nearest(f64::NAN), Bytes::ZERO);
    }

    #[test]
    fn bits_and_bytes_are_kept_apart() {
        assert_eq!(BytesPerSecond::from_gbit(200.0), BytesPerSecond::from_gb(25.0));
        assert!((BytesPerSecond::from_gb(25.0).time(50e9).get() - 2.0).abs() < 1e-12);
        assert!((FlopsPerSecond::from_tera(2.0).time(Flops::new(1e12)).to_millis() - 500.0).abs() < 1e-9);
        assert!((Seconds::from_micros(3.0).to_millis() - 0.003).abs() < 1e-12);
        assert!((Flops::new(1.0).share_of(Flops::new(4.0)) - 0.25).abs() < 1e-12);
    }
}
