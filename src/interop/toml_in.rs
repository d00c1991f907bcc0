//! TOML in: tables of scalars and lists, as torchtitan's configurations have them.

use serde_json::{Map, Value};

/// The tables of a text; lines that are none of it are returned as they stand.
pub fn parse(text: &str) -> (Value, Vec<String>) {
    let mut root = Map::new();
    let mut section = String::new();
    let mut strange = Vec::new();
    for raw in text.lines() {
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            if line.contains('=') {
                strange.push(line.to_owned());
                continue;
            }
            section = name.trim().trim_matches(['[', '"']).to_owned();
            root.entry(section.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            continue;
        }
        match line
            .split_once('=')
            .map(|(key, value)| (key.trim(), scalar(value)))
        {
            Some((key, Some(value))) => {
                let table = root
                    .entry(section.clone())
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Some(fields) = table.as_object_mut() {
                    fields.insert(key.trim_matches('"').to_owned(), value);
                }
            }
            _ => strange.push(line.to_owned()),
        }
    }
    (Value::Object(root), strange)
}

/// A value, without the comment behind it.
fn scalar(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('\'') {
        return Some(Value::from(rest.split('\'').next()?));
    }
    if text.starts_with('"') {
        let mut reader = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        return reader.next()?.ok();
    }
    let body = text.split(" #").next()?.trim();
    if body.starts_with('[') {
        let body = body.replace('\'', "\"").replace(",]", "]");
        return serde_json::from_str(&body).ok();
    }
    let plain = body.replace('_', "");
    serde_json::from_str(&plain)
        .ok()
        .filter(|value: &Value| !value.is_object())
}
