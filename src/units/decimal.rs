//! Exact decimal numbers as people write them. `16.4B` is exactly 16,400,000,000; binary floats never come in between.

/// A decimal number: digits times a power of ten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Without leading and trailing zeros; empty for zero.
    digits: String,
    exponent: i64,
}

/// A decimal number read as a whole, non-negative one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// It is whole and this large.
    Is(u64),
    /// It has a fraction.
    Fraction,
    /// It is below zero.
    Negative,
    /// It is larger than 64 bits hold.
    TooLarge,
}

impl Decimal {
    /// Reads `[sign] number [exponent]` from the start: the value, whether there was an exponent, and the rest.
    pub fn read(text: &str) -> Option<(Self, bool, &str)> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = digits(text);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(after) => digits(after),
            None => (String::new(), rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (exponent, rest) = exponent(rest);
        let scale = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let value = Self::new(
            negative,
            &format!("{whole}{fraction}"),
            exponent.unwrap_or(0).saturating_sub(scale),
        );
        Some((value, exponent.is_some(), rest))
    }

    /// The number that the whole text is, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let text = to_ascii(text);
        let (value, _, rest) = Self::read(text.trim())?;
        rest.is_empty().then_some(value)
    }

    fn new(negative: bool, digits: &str, exponent: i64) -> Self {
        let digits = digits.trim_start_matches('0');
        let kept = digits.trim_end_matches('0');
        let dropped = i64::try_from(digits.len() - kept.len()).unwrap_or(i64::MAX);
        Self {
            negative: negative && !kept.is_empty(),
            digits: kept.to_string(),
            exponent: exponent.saturating_add(dropped),
        }
    }

    /// Times a power of ten.
    #[must_use]
    pub fn shifted(mut self, powers: i64) -> Self {
        self.exponent = self.exponent.saturating_add(powers);
        self
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// As a whole number.
    pub fn whole(&self) -> Whole {
        if self.is_zero() {
            return Whole::Is(0);
        }
        if self.negative {
            return Whole::Negative;
        }
        let length = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        if length.saturating_add(self.exponent) > 20 {
            return Whole::TooLarge;
        }
        if self.exponent < 0 {
            return Whole::Fraction;
        }
        let zeros = usize::try_from(self.exponent).unwrap_or(0);
        match format!("{}{}", self.digits, "0".repeat(zeros)).parse() {
            Ok(value) => Whole::Is(value),
            Err(_) => Whole::TooLarge,
        }
    }

    /// The nearest float, which may be infinite.
    pub fn to_f64(&self) -> f64 {
        if self.is_zero() {
            return 0.0;
        }
        let sign = if self.negative { -1.0 } else { 1.0 };
        // The reader of JSON rounds correctly, too, and is there anyway: the standard library's brings a table of 10 kB.
        let number = format!("{}e{}", self.digits, self.exponent);
        sign * serde_json::from_str(&number).unwrap_or(f64::INFINITY)
    }
}

/// Digits with single underscores between them, and the rest.
fn digits(text: &str) -> (String, &str) {
    let mut found = String::new();
    let mut rest = text;
    loop {
        let mut chars = rest.chars();
        match chars.next() {
            Some(digit) if digit.is_ascii_digit() => {
                found.push(digit);
                rest = chars.as_str();
            }
            Some('_') if !found.is_empty() && chars.as_str().starts_with(|c: char| c.is_ascii_digit()) => {
                rest = chars.as_str();
            }
            _ => return (found, rest),
        }
    }
}

/// An exponent, where the text starts with one.
fn exponent(text: &str) -> (Option<i64>, &str) {
    let Some(after) = text.strip_prefix(['e', 'E']) else {
        return (None, text);
    };
    let (negative, after) = match after.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, after.strip_prefix('+').unwrap_or(after)),
    };
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let (number, rest) = after.split_at(end);
    if number.is_empty() {
        return (None, text);
    }
    // An exponent beyond 32 bits is only ever "far too large" or "far too small".
    let value = number
        .parse::<i64>()
        .unwrap_or(i64::from(i32::MAX))
        .min(i64::from(i32::MAX));
    (Some(if negative { -value } else { value }), rest)
}

/// Full-width characters become ASCII.
pub fn to_ascii(text: &str) -> String {
    text.chars()
        .map(|letter| match u32::from(letter) {
            code @ 0xFF01..=0xFF5E => char::from_u32(code - 0xFEE0).unwrap_or(letter),
            _ => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Option<Whole> {
        Decimal::parse(text).map(|value| value.whole())
    }

    #[test]
    fn reads_whole_numbers_exactly() {
        assert_eq!(whole("32"), Some(Whole::Is(32)));
        assert_eq!(whole(" 7.0 "), Some(Whole::Is(7)));
        assert_eq!(whole("18446744073709551615"), Some(Whole::Is(u64::MAX)));
        assert_eq!(whole("18446744073709551616"), Some(Whole::TooLarge));
        assert_eq!(whole("1e400"), Some(Whole::TooLarge));
        assert_eq!(whole("1.5"), Some(Whole::Fraction));
        assert_eq!(whole("1e-9999999999"), Some(Whole::Fraction));
        assert_eq!(whole("-1"), Some(Whole::Negative));
        assert_eq!(whole("-0"), Some(Whole::Is(0)));
        assert_eq!(whole("1_000"), Some(Whole::Is(1000)));
        assert_eq!(whole("７"), Some(Whole::Is(7)));
        assert_eq!(whole("7e"), None);
        assert_eq!(whole(""), None);
        assert_eq!(whole("."), None);
        assert_eq!(whole("3 2"), None);
    }

    #[test]
    fn reads_floats() {
        let float = |text: &str| Decimal::parse(text).map(|value| value.to_f64());
        assert_eq!(float("79.25"), Some(79.25));
        assert_eq!(float("-0.5"), Some(-0.5));
        assert_eq!(float("1e308"), Some(1e308));
        assert_eq!(float("1e309"), Some(f64::INFINITY));
        assert_eq!(float("-1e309"), Some(f64::NEG_INFINITY));
        assert_eq!(float("1e-400"), Some(0.0));
        assert_eq!(float("2.2250738585072014e-308"), Some(f64::MIN_POSITIVE));
        assert_eq!(float(".1"), Some(0.1));
        assert_eq!(float("NaN"), None);
    }
}
