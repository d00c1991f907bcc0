//! Names, shapes and sizes of the tensors on a tape. The formula of a size is text that belongs to its axis, so the page
//! can show it with its symbols.

use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::units::{Bytes, DType};

/// What a tensor is called, and what its gradient is called.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    /// Stable key.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// Key of its gradient.
    pub gradient_id: &'static str,
    /// Its gradient, for a person.
    pub gradient_label: &'static str,
    /// Group of the breakdown.
    pub group: Group,
}

/// What the last axes of a tensor hold together.
#[derive(Debug, PartialEq, Eq)]
pub struct Axis {
    /// As it stands in formulas.
    pub symbol: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Bytes with one row per token.
    pub per_token: &'static str,
    /// Bytes with one row per routed token.
    pub per_routed: &'static str,
    /// Bytes with one row per patch.
    pub per_patch: &'static str,
    /// Bytes of one row.
    pub alone: &'static str,
}

/// How many rows a tensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// One per token of the micro-batch.
    Tokens(u64),
    /// One per token and chosen expert.
    Routed(u64),
    /// One per patch of the micro-batch's images, or per token that patches become.
    Patches(u64),
    /// A single one: weights.
    One,
}

impl Rows {
    /// The number.
    pub const fn count(self) -> u64 {
        match self {
            Self::Tokens(rows) | Self::Routed(rows) | Self::Patches(rows) => rows,
            Self::One => 1,
        }
    }
}

/// Rows of so many elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What a row holds.
    pub axis: &'static Axis,
    /// Elements of a row.
    pub width: u64,
    /// Rows.
    pub rows: Rows,
}

impl Shape {
    /// All elements.
    pub const fn elements(self) -> u64 {
        self.width.saturating_mul(self.rows.count())
    }
}

/// One tensor in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// What it is.
    pub name: &'static Name,
    /// Whether it is the gradient of what the name says.
    pub gradient: bool,
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
}

impl Storage {
    /// A tensor of the forward pass.
    pub const fn new(name: &'static Name, shape: Shape, dtype: DType) -> Self {
        Self {
            name,
            gradient: false,
            shape,
            dtype,
        }
    }

    /// The gradient of such a tensor.
    pub const fn gradient(name: &'static Name, shape: Shape, dtype: DType) -> Self {
        Self {
            name,
            gradient: true,
            shape,
            dtype,
        }
    }

    /// The bytes of its block.
    pub const fn bytes(&self) -> Bytes {
        let elements = self.shape.elements();
        block(Bytes::new(elements.saturating_mul(self.dtype.bits()).div_ceil(8)))
    }

    /// Its key.
    pub const fn id(&self) -> &'static str {
        if self.gradient {
            self.name.gradient_id
        } else {
            self.name.id
        }
    }

    /// Its label.
    pub const fn label(&self) -> &'static str {
        if self.gradient {
            self.name.gradient_label
        } else {
            self.name.label
        }
    }

    /// Its group: gradients of weights are gradients, those of activations are temporaries.
    pub fn group(&self) -> Group {
        match (self.gradient, self.name.group) {
            (false, group) => group,
            (true, Group::ModelParams) => Group::Gradients,
            (true, _) => Group::Overhead,
        }
    }

    /// Its formula.
    pub const fn formula(&self) -> &'static str {
        match self.shape.rows {
            Rows::Tokens(_) => self.shape.axis.per_token,
            Rows::Routed(_) => self.shape.axis.per_routed,
            Rows::Patches(_) => self.shape.axis.per_patch,
            Rows::One => self.shape.axis.alone,
        }
    }

    /// The symbols of its formula.
    pub fn symbols(&self) -> Vec<Symbol> {
        let mut symbols = vec![
            Symbol {
                name: "β",
                meaning: "bytes per element",
                value: self.dtype.bits() / 8,
            },
            Symbol {
                name: self.shape.axis.symbol,
                meaning: self.shape.axis.meaning,
                value: self.shape.width,
            },
        ];
        match self.shape.rows {
            Rows::Tokens(value) => symbols.push(Symbol {
                name: "T",
                meaning: "tokens per micro-batch",
                value,
            }),
            Rows::Routed(value) => symbols.push(Symbol {
                name: "R",
                meaning: "tokens times chosen experts",
                value,
            }),
            Rows::Patches(value) => symbols.push(Symbol {
                name: "P",
                meaning: "patches of the micro-batch's images, or the tokens that they become",
                value,
            }),
            Rows::One => {}
        }
        symbols
    }
}
