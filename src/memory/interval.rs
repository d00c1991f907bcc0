//! A quantity with its spread: low, expected, high.

use std::ops::Add;

use serde::Serialize;

use crate::units::Bytes;

/// An expected number of bytes with the bounds between which it is stated to lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Interval {
    /// Lower bound.
    pub low: Bytes,
    /// Expected value.
    pub expected: Bytes,
    /// Upper bound.
    pub high: Bytes,
}

impl Interval {
    /// An exactly known quantity.
    pub const fn exact(bytes: Bytes) -> Self {
        Self {
            low: bytes,
            expected: bytes,
            high: bytes,
        }
    }

    /// Low, expected and high; the bounds are widened where needed so that they enclose the expected value.
    pub fn new(low: Bytes, expected: Bytes, high: Bytes) -> Self {
        Self {
            low: low.min(expected),
            expected,
            high: high.max(expected),
        }
    }
}

impl Interval {
    /// So many times the quantity.
    pub fn times(self, count: u64) -> Self {
        Self {
            low: self.low * count,
            expected: self.expected * count,
            high: self.high * count,
        }
    }
}

impl Add for Interval {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            low: self.low + other.low,
            expected: self.expected + other.expected,
            high: self.high + other.high,
        }
    }
}
