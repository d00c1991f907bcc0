//! Parameter counts as people write them: `7B`, `124M`, `7_000_000_000`, `1.5e3B`.
//!
//! `text = [sign] number [exponent] [space] [suffix]` after full-width characters are mapped to ASCII and white space is
//! cut at both ends. The arithmetic is exact; the result is whole, at least 1 and at most 10^15.

use super::Count;
use super::decimal::{Decimal, Whole, to_ascii};

/// Largest count.
const LIMIT: u64 = 1_000_000_000_000_000;
const EXAMPLE: &str = "for example 7B, 124M or 7000000000";

/// A parameter count that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedCount {
    /// The count.
    pub count: Count,
    /// What is suspicious about it.
    pub warning: Option<String>,
}

/// Why a text is no parameter count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountError {
    /// From the fixed list: `empty`, `comma`, `not_whole` ...
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

impl CountError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Reads a parameter count from text.
pub fn parse_count(text: &str) -> Result<ParsedCount, CountError> {
    let ascii = to_ascii(text);
    read(ascii.trim(), &format!("{:?}", text.trim()), false)
}

/// Reads a parameter count from a number, given as it prints.
pub fn parse_count_number(number: &str) -> Result<ParsedCount, CountError> {
    read(number, number, true)
}

fn read(text: &str, shown: &str, is_number: bool) -> Result<ParsedCount, CountError> {
    if text.is_empty() {
        return Err(CountError::new(
            "empty",
            format!("A parameter count is required, {EXAMPLE}."),
        ));
    }
    let bare = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if matches!(bare.as_str(), "nan" | "inf" | "infinity") {
        return Err(CountError::new(
            "not_a_number",
            format!("{shown} is not a finite number. Give a parameter count, {EXAMPLE}."),
        ));
    }
    if text.contains(',') {
        return Err(CountError::new(
            "comma",
            format!(
                "{shown} contains a comma, which can mean a decimal point or a thousands mark. Write 7.5B, or 7_500_000_000, without commas."
            ),
        ));
    }
    let not_a_number = || {
        CountError::new(
            "not_a_number",
            format!(
                "{shown} is not a parameter count. Write a number with an optional K, M, B or T, {EXAMPLE}."
            ),
        )
    };
    let Some((value, has_exponent, rest)) = Decimal::read(text) else {
        return Err(if powers(text).is_some() {
            CountError::new(
                "missing_number",
                format!("{shown} has no number. Write one before the suffix, {EXAMPLE}."),
            )
        } else {
            not_a_number()
        });
    };
    let suffix = rest.trim_start();
    let shift = match (suffix, powers(suffix)) {
        ("", _) => 0,
        (_, Some(powers)) => powers,
        _ if is_expert_product(&value, suffix) => {
            return Err(CountError::new(
                "expert_product",
                format!(
                    "{shown} names a mixture of experts, not a count: shared layers are counted once. Enter the total (Mixtral 8x7B has 46.7B) or import the model."
                ),
            ));
        }
        _ if suffix.eq_ignore_ascii_case("g") => {
            return Err(CountError::new(
                "unknown_suffix",
                format!(
                    "{shown}: G is not a parameter suffix. Use B for 10^9 parameters; for a size in gigabytes use the memory field."
                ),
            ));
        }
        _ if suffix.chars().all(char::is_alphabetic) => {
            return Err(CountError::new(
                "unknown_suffix",
                format!(
                    "{shown}: unknown suffix \"{suffix}\". Use K (10^3), M (10^6), B (10^9) or T (10^12)."
                ),
            ));
        }
        _ => return Err(not_a_number()),
    };
    let count = judge(&value.shifted(shift), shown, suffix.is_empty(), is_number)?;
    let warning = (suffix.is_empty() && !has_exponent && count < 1_000_000).then(|| suspicious(count, shown));
    Ok(ParsedCount {
        count: Count::new(count),
        warning,
    })
}

fn judge(value: &Decimal, shown: &str, bare: bool, is_number: bool) -> Result<u64, CountError> {
    let bound = if is_number { "1 or more" } else { "more than 0" };
    let not_positive = || {
        CountError::new(
            "not_positive",
            format!("{shown} is not a parameter count: it must be {bound}."),
        )
    };
    if value.is_zero() {
        return Err(not_positive());
    }
    let too_large = || {
        CountError::new(
            "too_large",
            format!("{shown} is more than the limit of 1000T (1e15) parameters."),
        )
    };
    match value.whole() {
        Whole::Negative => Err(not_positive()),
        Whole::TooLarge => Err(too_large()),
        Whole::Is(count) if count > LIMIT => Err(too_large()),
        Whole::Is(count) => Ok(count),
        Whole::Fraction => {
            let advice = if bare {
                format!("Did you mean {}B?", shown.trim_matches('"'))
            } else {
                "Write the exact count, or fewer decimals.".to_string()
            };
            Err(CountError::new(
                "not_whole",
                format!("{shown} is not a whole number of parameters. {advice}"),
            ))
        }
    }
}

fn suspicious(count: u64, shown: &str) -> String {
    let noun = if count == 1 { "parameter" } else { "parameters" };
    if count < 1000 {
        return format!("{shown} means {count} {noun}. Did you mean {count}B?");
    }
    format!(
        "{shown} means {},{:03} {noun}. Is a suffix (K, M, B or T) missing?",
        count / 1000,
        count % 1000
    )
}

fn powers(suffix: &str) -> Option<i64> {
    match suffix {
        "K" | "k" => Some(3),
        "M" | "m" => Some(6),
        "B" | "b" => Some(9),
        "T" | "t" => Some(12),
        _ => None,
    }
}

/// `8x7B`: a number of experts times a size; but `0x7` is only a mistake.
fn is_expert_product(value: &Decimal, suffix: &str) -> bool {
    suffix
        .strip_prefix(['x', 'X', '×', '*'])
        .is_some_and(|rest| !value.is_zero() && rest.trim_start().starts_with(|c: char| c.is_ascii_digit()))
}
