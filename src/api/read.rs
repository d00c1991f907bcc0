//! One value as it was written becomes a typed one, or an issue that names the input.
//!
//! Text is accepted where a number is expected if the whole text is a number; booleans are no numbers; letter case and
//! `-` for `_` never matter in a choice.

use serde_json::Value;

use super::nearest::nearest;
use crate::request::{Choice, Input, InputId, InputKind, json_invalid};
use crate::units::{CountError, Decimal, ParsedCount, Whole, parse_count, parse_count_number};
use crate::warn::Issue;

/// A value of the type that the registry states.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed {
    /// A whole number or a parameter count.
    Integer(u64),
    /// A finite number.
    Number(f64),
    /// True or false.
    Toggle(bool),
    /// One of a list.
    Choice(&'static Choice),
    /// Text.
    Text(String),
    /// Words.
    List(Vec<String>),
    /// An object.
    Json(Value),
}

impl Typed {
    /// As canonical JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Integer(value) => Value::from(*value),
            Self::Number(value) => Value::from(*value),
            Self::Toggle(value) => Value::from(*value),
            Self::Choice(choice) => Value::from(choice.value),
            Self::Text(text) => Value::from(text.clone()),
            Self::List(words) => Value::from(words.clone()),
            Self::Json(value) => value.clone(),
        }
    }
}

/// Reads the value of an input; a second issue is a warning.
pub fn read(input: &Input, value: &Value) -> Result<(Typed, Option<Issue>), Issue> {
    let plain = |typed| (typed, None);
    match input.kind {
        InputKind::Integer { min, max } => match thousands(input, value) {
            Some((number, told)) => {
                integer(input, &Value::from(number), min, max).map(|typed| (typed, Some(told)))
            }
            None => integer(input, value, min, max).map(plain),
        },
        InputKind::Count { .. } => count(input, value),
        InputKind::Number { min, max, positive } => number(input, value, min, max, positive).map(plain),
        InputKind::Toggle => toggle(input, value).map(plain),
        InputKind::Choice(choices) => choice(input, value, choices).map(plain),
        InputKind::Text { max_len } => text(input, value, max_len).map(plain),
        InputKind::List { max_len } => list(input, value, max_len).map(plain),
        InputKind::Json => json(input, value).map(plain),
    }
}

/// Reads a parameter count given as JSON.
pub fn read_count(value: &Value) -> Result<ParsedCount, CountError> {
    let wrong = |message: &str| CountError {
        code: "wrong_type",
        message: message.to_string(),
    };
    match value {
        Value::Null => Err(CountError {
            code: "missing",
            message: "A parameter count is required, for example 7B, 124M or 7000000000.".to_string(),
        }),
        Value::Bool(given) => Err(wrong(&format!(
            "{given} is not a parameter count: give a number or text, for example 7B, 124M or 7000000000."
        ))),
        Value::Number(number) => parse_count_number(&number.to_string()),
        Value::String(text) => parse_count(text),
        Value::Array(_) | Value::Object(_) => Err(wrong(
            "Give a number or text, for example 7B, 124M or 7000000000.",
        )),
    }
}

fn count(input: &Input, value: &Value) -> Result<(Typed, Option<Issue>), Issue> {
    match read_count(value) {
        Ok(parsed) => {
            let warning = parsed.warning.map(|message| {
                Issue::warning("missing_suffix", input.key, message).with_value(value.clone())
            });
            Ok((Typed::Integer(parsed.count.get()), warning))
        }
        Err(CountError { code, message }) => {
            Err(Issue::error(code, input.key, message).with_value(value.clone()))
        }
    }
}

fn wrong_type(input: &Input, value: &Value, wanted: &str) -> Issue {
    Issue::error(
        "wrong_type",
        input.key,
        format!("{} takes {wanted}.", input.label),
    )
    .with_value(value.clone())
}

fn outside(input: &Input, value: &Value, range: &str) -> Issue {
    Issue::error(
        "out_of_range",
        input.key,
        format!("{} must be {range}.", input.label),
    )
    .with_value(value.clone())
}

fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => Decimal::parse(&number.to_string()),
        Value::String(text) => Decimal::parse(text),
        _ => None,
    }
}

fn is_not_finite(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        let bare = text.trim().trim_start_matches(['+', '-']).to_ascii_lowercase();
        matches!(bare.as_str(), "nan" | "inf" | "infinity")
    })
}

fn not_finite(input: &Input, value: &Value) -> Issue {
    Issue::error(
        "not_finite",
        input.key,
        format!("{} must be a finite number.", input.label),
    )
    .with_value(value.clone())
}

/// A number written with a k behind it, as lengths and widths are: of 1,024, and of 1,000 where words of a vocabulary are counted.
/// How it was read is told.
fn thousands(input: &Input, value: &Value) -> Option<(u64, Issue)> {
    let text = value.as_str()?.trim();
    let number: u64 = text.strip_suffix(['k', 'K'])?.trim_end().parse().ok()?;
    let times = if input.id == InputId::VocabSize {
        1000
    } else {
        1024
    };
    let read = number.checked_mul(times)?;
    let message = format!("{text} is read as {read}.");
    let told = Issue::warning("assumed", input.key, message).with_value(value.clone());
    Some((read, told))
}

fn integer(input: &Input, value: &Value, min: u64, max: u64) -> Result<Typed, Issue> {
    if is_not_finite(value) {
        return Err(not_finite(input, value));
    }
    let Some(number) = decimal(value) else {
        return Err(wrong_type(input, value, "a whole number"));
    };
    match number.whole() {
        Whole::Is(found) if (min..=max).contains(&found) => Ok(Typed::Integer(found)),
        Whole::Fraction => Err(Issue::error(
            "not_whole",
            input.key,
            format!("{} must be a whole number.", input.label),
        )
        .with_value(value.clone())),
        _ => Err(outside(input, value, &format!("between {min} and {max}"))),
    }
}

fn number(input: &Input, value: &Value, min: f64, max: f64, positive: bool) -> Result<Typed, Issue> {
    if is_not_finite(value) {
        return Err(not_finite(input, value));
    }
    let Some(number) = decimal(value) else {
        return Err(wrong_type(input, value, "a number"));
    };
    let found = number.to_f64();
    let too_small = found < min || (positive && found <= 0.0);
    if too_small || found > max || !found.is_finite() {
        let range = if positive {
            format!("above {min} and at most {max}")
        } else {
            format!("between {min} and {max}")
        };
        return Err(outside(input, value, &range));
    }
    Ok(Typed::Number(found))
}

fn toggle(input: &Input, value: &Value) -> Result<Typed, Issue> {
    if let Some(given) = value.as_bool() {
        return Ok(Typed::Toggle(given));
    }
    let word = value.as_str().map(|text| text.trim().to_ascii_lowercase());
    match word.as_deref() {
        Some("true" | "yes" | "on") => Ok(Typed::Toggle(true)),
        Some("false" | "no" | "off") => Ok(Typed::Toggle(false)),
        _ => Err(wrong_type(input, value, "true or false")),
    }
}

fn same_word(left: &str, right: &str) -> bool {
    let plain = |word: &str| word.trim().to_ascii_lowercase().replace(['-', ' '], "_");
    plain(left) == plain(right)
}

/// The choice that a word means.
pub fn find_choice(choices: &'static [Choice], word: &str) -> Option<&'static Choice> {
    choices.iter().find(|choice| {
        same_word(choice.value, word) || choice.aliases.iter().any(|alias| same_word(alias, word))
    })
}

fn choice(input: &Input, value: &Value, choices: &'static [Choice]) -> Result<Typed, Issue> {
    let allowed = || choices.iter().map(|choice| choice.value);
    let word = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match Decimal::parse(&number.to_string()).map(|value| value.whole()) {
            Some(Whole::Is(whole)) => whole.to_string(),
            Some(Whole::Fraction) => {
                return Err(Issue::error(
                    "not_whole",
                    input.key,
                    format!("{} takes a name or a whole number.", input.label),
                )
                .with_value(value.clone())
                .with_allowed(allowed()));
            }
            _ => number.to_string(),
        },
        // A setting that was a switch once, or is one in a framework.
        Value::Bool(flag) if find_choice(choices, &flag.to_string()).is_some() => flag.to_string(),
        _ => {
            return Err(wrong_type(input, value, "one of the listed values").with_allowed(allowed()));
        }
    };
    if let Some(found) = find_choice(choices, &word) {
        return Ok(Typed::Choice(found));
    }
    let numbered = choices
        .iter()
        .flat_map(|choice| choice.aliases.iter().chain([&choice.value]))
        .any(|name| name.parse::<u64>().is_ok());
    if numbered && Decimal::parse(&word).is_some() {
        return Err(outside(input, value, "one of the listed numbers or names").with_allowed(allowed()));
    }
    let issue = Issue::error(
        "unknown_value",
        input.key,
        format!("{word:?} is not known for {}.", input.label),
    )
    .with_value(value.clone())
    .with_allowed(allowed());
    let names = choices
        .iter()
        .flat_map(|choice| choice.aliases.iter().copied().chain([choice.value]));
    Err(match nearest(&word, names) {
        Some(word) => issue.with_hint(format!("Did you mean {word}?")),
        None => issue,
    })
}

fn text(input: &Input, value: &Value, max_len: usize) -> Result<Typed, Issue> {
    let Some(text) = value.as_str() else {
        return Err(wrong_type(input, value, "text"));
    };
    let text = text.trim();
    if text.is_empty() || text.chars().count() > max_len {
        return Err(outside(input, value, &format!("1 to {max_len} characters")));
    }
    Ok(Typed::Text(text.to_string()))
}

fn list(input: &Input, value: &Value, max_len: usize) -> Result<Typed, Issue> {
    let words: Option<Vec<String>> = match value {
        Value::String(text) => Some(text.split(',').map(|word| word.trim().to_string()).collect()),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(|word| word.trim().to_string()))
            .collect(),
        _ => None,
    };
    let Some(words) = words else {
        return Err(wrong_type(input, value, "a list of words"));
    };
    if words.is_empty() || words.len() > max_len || words.iter().any(String::is_empty) {
        return Err(outside(input, value, &format!("1 to {max_len} words")));
    }
    Ok(Typed::List(words))
}

fn json(input: &Input, value: &Value) -> Result<Typed, Issue> {
    match value {
        Value::Object(_) => Ok(Typed::Json(value.clone())),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(parsed) if parsed.is_object() => Ok(Typed::Json(parsed)),
            Ok(_) => Err(Issue::error(
                "invalid_config",
                input.key,
                format!("{} must be a JSON object.", input.label),
            )),
            Err(error) => Err(json_invalid(input.key, &error)),
        },
        _ => Err(Issue::error(
            "invalid_config",
            input.key,
            format!("{} must be a JSON object.", input.label),
        )),
    }
}
