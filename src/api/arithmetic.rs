//! Formulas with numbers put in: a small language of whole numbers that a reader and a program evaluate alike.
//!
//! `a·b`, `a×b`, `a/b`, `a + b`, `a − b`, `(a)`, `⌈a⌉` (rounded up), `max(a, b)`, `min(a, b)`, `block(a)`: the block that the
//! caching allocator hands out for so many bytes. Quotients are exact fractions; a result that is not whole has no value.

use crate::memory::allocator;
use crate::units::Bytes;

/// The value of a formula without symbols; `None` where it is not one, is not whole, or is beyond what can be counted.
pub fn evaluate(text: &str) -> Option<u64> {
    let mut reader = Reader {
        rest: text.trim(),
        depth: 0,
    };
    let value = reader.sum()?;
    reader.rest.trim_start().is_empty().then_some(())?;
    value.whole()
}

/// A fraction.
#[derive(Clone, Copy)]
struct Value {
    over: u128,
    under: u128,
}

impl Value {
    const fn new(over: u128) -> Self {
        Self { over, under: 1 }
    }

    fn whole(self) -> Option<u64> {
        let exact = self.over.is_multiple_of(self.under);
        exact
            .then(|| u64::try_from(self.over / self.under).ok())
            .flatten()
    }

    fn less_than(self, other: Self) -> Option<bool> {
        Some(self.over.checked_mul(other.under)? < other.over.checked_mul(self.under)?)
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: u8,
}

impl Reader<'_> {
    fn eat(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn sum(&mut self) -> Option<Value> {
        let mut all = self.product()?;
        loop {
            let plus = self.eat("+");
            if !plus && !self.eat("−") {
                return Some(all);
            }
            let next = self.product()?;
            let (one, other) = (
                all.over.checked_mul(next.under)?,
                next.over.checked_mul(all.under)?,
            );
            all = Value {
                over: if plus {
                    one.checked_add(other)?
                } else {
                    one.checked_sub(other)?
                },
                under: all.under.checked_mul(next.under)?,
            };
        }
    }

    fn product(&mut self) -> Option<Value> {
        let mut all = self.atom()?;
        loop {
            if self.eat("·") || self.eat("×") {
                let next = self.atom()?;
                all.over = all.over.checked_mul(next.over)?;
                all.under = all.under.checked_mul(next.under)?;
            } else if self.eat("/") {
                let next = self.atom()?;
                all.over = all.over.checked_mul(next.under)?;
                all.under = all.under.checked_mul(next.over).filter(|under| *under > 0)?;
            } else {
                return Some(all);
            }
        }
    }

    fn inside(&mut self, end: &str) -> Option<Value> {
        self.depth = self.depth.checked_add(1).filter(|depth| *depth < 32)?;
        let value = self.sum()?;
        self.depth -= 1;
        self.eat(end).then_some(value)
    }

    fn pair(&mut self) -> Option<(Value, Value)> {
        Some((self.inside(",")?, self.inside(")")?))
    }

    fn atom(&mut self) -> Option<Value> {
        if self.eat("(") {
            return self.inside(")");
        }
        if self.eat("⌈") {
            let value = self.inside("⌉")?;
            return Some(Value::new(value.over.div_ceil(value.under)));
        }
        if self.eat("block(") {
            let bytes = self.inside(")")?.whole()?;
            return Some(Value::new(allocator::block(Bytes::new(bytes)).get().into()));
        }
        for (word, wants_less) in [("min(", true), ("max(", false)] {
            if self.eat(word) {
                let (one, other) = self.pair()?;
                return Some(if one.less_than(other)? == wants_less {
                    one
                } else {
                    other
                });
            }
        }
        let rest = self.rest.trim_start();
        let end = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(rest.len());
        let (digits, after) = rest.split_at_checked(end)?;
        self.rest = after;
        digits.parse().ok().map(Value::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn gives(text: &str, expected: u64) {
        assert_eq!(evaluate(text), Some(expected), "{text}");
    }

    #[test]
    fn products_bind_tighter_than_sums() {
        gives("2·14336·8192", 234_881_024);
        gives("2·3 + 4×5 − 1", 25);
        gives("2·(3 + 4)", 14);
        gives("7", 7);
    }

    #[test]
    fn quotients_are_exact_until_they_are_rounded_up() {
        gives("2·⌈7/2⌉", 8);
        gives("7/2·2", 7);
        gives("max(3, 7/2)·2", 7);
        gives("min(3, 7/2)", 3);
        assert_eq!(evaluate("7/2"), None);
    }

    #[test]
    fn blocks_are_those_of_the_allocator() {
        gives("block(1)", 512);
        gives("3·block(40960000)", 3 * 41_943_040);
    }

    #[test]
    fn what_is_no_formula_has_no_value() {
        for text in [
            "",
            "β·n",
            "2·",
            "(1",
            "1)",
            "1/0",
            "1 − 2",
            "⌈1",
            "max(1)",
            "2 of the tensors",
        ] {
            assert_eq!(evaluate(text), None, "{text}");
        }
        assert_eq!(evaluate(&"(".repeat(1000)), None);
        assert_eq!(evaluate("18446744073709551615·2"), None);
    }
}
