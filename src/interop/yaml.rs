//! YAML out: a JSON value as block YAML.
//!
//! An emitter of our own, because values here are JSON (mappings in order, lists, scalars) and a library that also knows
//! anchors, tags and documents would be larger than all exporters together. Text is quoted wherever a YAML 1.1 or 1.2
//! reader could take it for something else.

use serde_json::Value;

/// The value as a YAML document.
pub fn emit(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => mapping(&mut text, value, 0),
        Value::Array(items) if !items.is_empty() => sequence(&mut text, value, 0),
        other => {
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
    text
}

fn mapping(text: &mut String, value: &Value, indent: usize) {
    for (key, value) in value.as_object().into_iter().flatten() {
        text.push_str(&" ".repeat(indent));
        text.push_str(&word(key));
        text.push(':');
        child(text, value, indent);
    }
}

fn sequence(text: &mut String, value: &Value, indent: usize) {
    for item in value.as_array().into_iter().flatten() {
        text.push_str(&" ".repeat(indent));
        text.push('-');
        match item {
            // The first field stands on the line of the dash.
            Value::Object(fields) if !fields.is_empty() => {
                let mut inner = String::new();
                mapping(&mut inner, item, indent + 2);
                text.push(' ');
                text.push_str(inner.trim_start());
            }
            other => child(text, other, indent),
        }
    }
}

/// What stands behind a key or a dash: a scalar on the same line, or a block below it.
fn child(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            mapping(text, value, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            sequence(text, value, indent + 2);
        }
        other => {
            text.push(' ');
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        Value::Number(number) => number_text(number),
        other => other.to_string(),
    }
}

/// A number that YAML 1.1 readers take for one: they want a point and a signed exponent.
fn number_text(number: &serde_json::Number) -> String {
    let text = number.to_string();
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let digits = if digits.contains('.') {
                digits.to_owned()
            } else {
                format!("{digits}.0")
            };
            let exponent = if exponent.starts_with(['-', '+']) {
                exponent.to_owned()
            } else {
                format!("+{exponent}")
            };
            format!("{digits}e{exponent}")
        }
        None => text,
    }
}

/// Text, quoted where it could be read as anything but text.
fn word(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        // A JSON string is a double-quoted YAML scalar.
        Value::from(text).to_string()
    }
}

fn is_plain(text: &str) -> bool {
    let begins = text
        .chars()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_' || first == '/');
    let simple = text
        .chars()
        .all(|char| char.is_ascii_alphanumeric() || "_-./+ ".contains(char));
    begins && simple && !text.ends_with(' ') && !is_reserved(text)
}

/// Words that a reader of either version takes for a truth value, nothing or a number.
fn is_reserved(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "none",
    ];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_values_are_blocks() {
        let value = json!({"a": {"b": 1, "c": [1, "x", {"d": true, "e": [] }]}, "f": null, "g": {}});
        let expected = "a:\n  b: 1\n  c:\n    - 1\n    - x\n    - d: true\n      e: []\nf: null\ng: {}\n";
        assert_eq!(emit(&value), expected);
    }

    #[test]
    fn text_that_looks_like_something_else_is_quoted() {
        for text in [
            "no", "Yes", "1e5", "~", "", "a: b", "# x", "- x", "0x1f", "null", "1:30",
        ] {
            assert_eq!(emit(&json!(text)), format!("{}\n", json!(text)));
        }
        assert_eq!(
            emit(&json!("meta-llama/Llama-3.1-8B")),
            "meta-llama/Llama-3.1-8B\n"
        );
    }

    #[test]
    fn numbers_are_numbers_to_every_reader() {
        assert_eq!(emit(&json!(1e-9)), "1.0e-9\n");
        assert_eq!(emit(&json!(1.5e300)), "1.5e+300\n");
        assert_eq!(emit(&json!(500_000_000u64)), "500000000\n");
    }
}
