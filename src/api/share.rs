//! Share links: the given values of a request as the fragment of an address, and back.
//!
//! `m=llama-3.1-8b&b=4&en=fsdp`: the short keys of the registry, only what was given, in its order. Numbers, truth values
//! and text stand as they are; objects, and text that could be mistaken for something else, stand as JSON behind a `~`,
//! so that every request comes back exactly.

//! A link may begin with a preset, whose values hold where the link gives none: `preset=llama2-7b&b=4`.
//!
//! Links are kept in documents for years, so every one that was ever written is read. The form above is version 1, which a
//! link need not name; a later one would be named in front, as `version=2`, and read beside it. `tests/links` holds links of each.

use serde_json::Value;

use super::presets::preset_request;
use crate::request::{INPUTS, Input, Request, json_invalid};
use crate::warn::Issue;

/// The version of the links that are written.
const VERSION: u32 = 1;

/// Keys of a link that are no input.
const VERSION_KEY: &str = "version";
const PRESET_KEY: &str = "preset";

/// The fragment (without `#`) that stands for the request. Unknown keys are not carried.
pub fn to_fragment(request: &Request) -> String {
    let mut parts = Vec::new();
    for input in INPUTS {
        if let Some(value) = request.get(input.id) {
            parts.push(format!("{}={}", input.url, escape(&write(value))));
        }
    }
    parts.join("&")
}

/// The request for which a fragment (with or without `#`) stands. Keys that are not known are reported and left out.
pub fn from_fragment(fragment: &str) -> (Request, Vec<Issue>) {
    let mut request = Request::new();
    let mut issues = Vec::new();
    for part in fragment
        .trim_start_matches('#')
        .split('&')
        .filter(|part| !part.is_empty())
    {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        if key == VERSION_KEY {
            issues.extend(version_issue(value));
            continue;
        }
        if key == PRESET_KEY {
            match preset_request(&unescape(value)) {
                Ok(preset) => request = over(preset, &request),
                Err(issue) => issues.push(Issue::warning(issue.code, PRESET_KEY, issue.message)),
            }
            continue;
        }
        let Some(input) = Input::by_url(key) else {
            issues.push(Issue::warning(
                "unknown_field",
                key,
                format!("{key} in the link is not known and was not used."),
            ));
            continue;
        };
        match read(input, &unescape(value)) {
            Ok(value) => request.set(input.id, value),
            Err(issue) => issues.push(issue),
        }
    }
    (request, issues)
}

/// What is wrong with the version that a link names.
fn version_issue(value: &str) -> Option<Issue> {
    let known = value
        .parse::<u32>()
        .is_ok_and(|version| (1..=VERSION).contains(&version));
    (!known).then(|| {
        Issue::warning(
            "link_version",
            VERSION_KEY,
            format!("This link is of version {value}, which this calculator does not know; it may be newer. It was read as version {VERSION}."),
        )
    })
}

/// One question with the values of another over its own.
fn over(mut request: Request, other: &Request) -> Request {
    for input in INPUTS {
        if let Some(value) = other.get(input.id) {
            request.set(input.id, value.clone());
        }
    }
    request
}

fn write(value: &Value) -> String {
    match value {
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::String(text) if !text.starts_with('~') && scalar(text).is_none() => text.clone(),
        other => format!("~{other}"),
    }
}

fn read(input: &Input, text: &str) -> Result<Value, Issue> {
    match text.strip_prefix('~') {
        Some(json) => serde_json::from_str(json).map_err(|error| json_invalid(input.key, &error)),
        None => Ok(scalar(text).unwrap_or_else(|| Value::from(text))),
    }
}

/// The number or truth value that a text is, where it is written as JSON writes it.
fn scalar(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    let printed = value.to_string();
    ((value.is_number() || value.is_boolean()) && printed == text).then_some(value)
}

/// Characters that a fragment may hold unescaped, less those that mean something here.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$'()*,;:@/?[]{}".contains(&byte)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        if let (Some(byte), Some(next)) = (hex, after.get(2..)) {
            bytes.push(byte);
            rest = next;
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::request::InputId;

    #[test]
    fn a_link_is_short_and_readable() {
        let request = Request::new()
            .with(InputId::ModelId, "llama-3.1-8b")
            .with(InputId::BatchSize, 4)
            .with(InputId::EngineType, "fsdp");
        let fragment = to_fragment(&request);
        assert_eq!(fragment, "m=llama-3.1-8b&b=4&en=fsdp");
        assert_eq!(from_fragment(&format!("#{fragment}")), (request, vec![]));
    }

    #[test]
    fn unknown_and_broken_parts_are_reported() {
        let (request, issues) = from_fragment("zzz=1&b=~{&s=4096");
        assert_eq!(request.get(InputId::SeqLength), Some(&json!(4096)));
        let codes: Vec<_> = issues.iter().map(|issue| issue.code).collect();
        assert_eq!(codes, ["unknown_field", "json_invalid"]);
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            prop::sample::select(vec!["4", "true", "~1", "null", "1e5", "-0", "{}"]).prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e12..1e12f64).prop_map(|number| json!((number * 16.0).round() / 16.0)),
            ".{0,12}".prop_map(Value::from),
            Just(json!({"hidden_size": 64, "text_config": {"a": ["b", "ü", null, "~&=#%+"]}})),
        ]
    }

    proptest! {
        #[test]
        fn every_request_comes_back(values in prop::collection::vec((0..INPUTS.len(), value()), 0..12)) {
            let mut request = Request::new();
            for (index, value) in values {
                request.set(INPUTS[index].id, value);
            }
            let (back, issues) = from_fragment(&to_fragment(&request));
            prop_assert_eq!(back, request.clone());
            prop_assert_eq!(issues, vec![]);
            prop_assert_eq!(Request::from_json(&request.to_json()).unwrap(), request);
        }

        #[test]
        fn no_fragment_panics(fragment in ".{0,80}") {
            let _ = from_fragment(&fragment);
        }
    }
}
