//! How numbers are shown: always with their unit, GiB for memory, dots for decimals, commas between thousands.

use crate::units::Bytes;

/// Memory in GiB, with more decimals for small amounts: "61.84 GiB", "0.031 GiB".
pub fn gib(bytes: Bytes) -> String {
    format!("{} GiB", gib_number(bytes))
}

/// Memory in GiB without the unit, for tables whose head names it.
pub fn gib_number(bytes: Bytes) -> String {
    let gib = bytes.to_gib();
    if bytes == Bytes::ZERO {
        "0".to_owned()
    } else if gib >= 1000.0 {
        grouped_decimal(gib, 1)
    } else if gib >= 0.095 {
        format!("{gib:.2}")
    } else if gib >= 0.0005 {
        format!("{gib:.3}")
    } else {
        "<0.001".to_owned()
    }
}

/// How a need changed: "+1.20 GiB", "−3.10 GiB"; nothing where it is the same.
pub fn difference(before: Bytes, now: Bytes) -> Option<String> {
    if now > before {
        Some(format!("+{}", gib(now.saturating_sub(before))))
    } else if before > now {
        Some(format!("\u{2212}{}", gib(before.saturating_sub(now))))
    } else {
        None
    }
}

/// An exact number of bytes: "1,073,741,824 B".
pub fn exact(bytes: Bytes) -> String {
    format!("{} B", grouped(bytes.get()))
}

/// A whole number with commas between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of parameters as people say it: "30.5 B", "494 M".
pub fn parameters(count: u64) -> String {
    let count = count as f64;
    for (size, letter) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")] {
        if count >= size {
            let scaled = count / size;
            return if scaled >= 100.0 {
                format!("{scaled:.0} {letter}")
            } else {
                format!("{scaled:.3} {letter}")
            };
        }
    }
    format!("{count}")
}

/// A share in percent of the whole, one decimal.
pub fn percent(part: Bytes, whole: Bytes) -> String {
    if whole == Bytes::ZERO {
        return "–".to_owned();
    }
    format!("{:.1} %", part.to_gib() / whole.to_gib() * 100.0)
}

/// The share of a scale, bounded to it, as a CSS percentage.
pub fn share(part: Bytes, scale: Bytes) -> String {
    let whole = scale.to_gib().max(f64::MIN_POSITIVE);
    format!("{:.3}%", (part.to_gib() / whole * 100.0).clamp(0.0, 100.0))
}

/// A small number: one decimal, two below one.
pub fn decimal(number: f64) -> String {
    if number.abs() < 1.0 {
        format!("{number:.2}")
    } else {
        format!("{number:.1}")
    }
}

/// A key of JSON in words: `data_parallel_size` becomes "data parallel size".
pub fn words(key: &str) -> String {
    key.replace('_', " ")
}

/// A formula with numbers put in, its numbers grouped.
pub fn readable(formula: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for letter in formula.chars().chain(['\0']) {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        match digits.parse() {
            // Decimals are no number of their own.
            Ok(number) if !out.ends_with('.') => out.push_str(&grouped(number)),
            _ => out.push_str(&digits),
        }
        digits.clear();
        if letter != '\0' {
            out.push(letter);
        }
    }
    out
}

fn grouped_decimal(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    match text.split_once('.') {
        Some((whole, rest)) => match whole.parse() {
            Ok(whole) => format!("{}.{rest}", grouped(whole)),
            Err(_) => text,
        },
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_formula_are_grouped_and_everything_else_stays() {
        assert_eq!(readable("2·768·32768"), "2·768·32,768");
        assert_eq!(readable("2.00 + 12345.0625"), "2.00 + 12,345.0625");
        assert_eq!(readable("block(⌈2048/16⌉) + 512"), "block(⌈2,048/16⌉) + 512");
    }

    #[test]
    fn amounts_keep_their_unit_and_their_size() {
        assert_eq!(gib(Bytes::from_gib(61.84)), "61.84 GiB");
        assert_eq!(gib(Bytes::new(1)), "<0.001 GiB");
        let (less, more) = (Bytes::from_gib(1.0), Bytes::from_gib(4.1));
        assert_eq!(difference(less, more).as_deref(), Some("+3.10 GiB"));
        assert_eq!(difference(more, less).as_deref(), Some("\u{2212}3.10 GiB"));
        assert_eq!(difference(more, more), None);
        assert_eq!(exact(Bytes::from_gib(1.0)), "1,073,741,824 B");
        assert_eq!(parameters(30_532_122_624), "30.532 B");
        assert_eq!(percent(Bytes::ZERO, Bytes::ZERO), "–");
    }
}
