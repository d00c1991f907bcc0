//! A number of elements (parameters, values of an activation). Products saturate, as sums of bytes do.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

use serde::{Deserialize, Serialize};

/// A non-negative number of elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Count(u64);

impl Count {
    /// No elements.
    pub const ZERO: Self = Self(0);

    /// From a number of elements.
    pub const fn new(elements: u64) -> Self {
        Self(elements)
    }

    /// The product of a shape; one for an empty shape (a scalar).
    pub fn of_shape(shape: &[u64]) -> Self {
        Self(
            shape
                .iter()
                .fold(1, |product, axis| product.saturating_mul(*axis)),
        )
    }

    /// The number of elements.
    pub const fn get(self) -> u64 {
        self.0
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
}

impl Add for Count {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<u64> for Count {
    type Output = Self;
    fn mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}
