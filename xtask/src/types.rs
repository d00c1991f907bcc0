//! TypeScript types of the data that the calls take and give, made of their JSON Schemas.
//!
//! Only what those schemas use is understood: objects, lists, maps, choices and references. Anything else fails, so that no
//! type is silently `unknown`.

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, and nothing else is indexed"
)]

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// The text of `data.d.ts`.
pub fn declarations(request: &Value, responses: &Value) -> Result<String> {
    let mut text =
        String::from("// Made of the types of the calculator by `cargo xtask package`; do not edit.\n");
    text.push_str(&request_types(request)?);
    let definitions = responses["$defs"].as_object().context("$defs")?;
    for (name, schema) in definitions {
        // Types of other names: the request is made of its own schema.
        if name == "Request" {
            continue;
        }
        let body = type_of(schema, 0).with_context(|| format!("the type {name}"))?;
        text.push_str(&format!("\n{}", comment(schema, 0)));
        let is_object = schema["type"] == "object" && body.starts_with('{') && schema.get("allOf").is_none();
        if is_object && !body.contains("} & ") {
            text.push_str(&format!("export interface {name} {body}\n"));
        } else {
            text.push_str(&format!("export type {name} = {body};\n"));
        }
    }
    Ok(text)
}

/// The request: an interface of sections, each of its fields.
fn request_types(request: &Value) -> Result<String> {
    let sections = request["properties"].as_object().context("sections")?;
    let mut root = String::from(
        "\n/** A request. Every section and every field is optional; null means not given. */\nexport interface Request {\n",
    );
    let mut text = String::new();
    for (key, section) in sections {
        let name: String = format!("{key}_section").split('_').map(capital).collect();
        root.push_str(&format!("  {key}?: {name} | null;\n"));
        text.push_str(&format!(
            "\n/** Section `{key}` of a request. */\nexport interface {name} {{\n"
        ));
        let fields = section["properties"].as_object().context("fields")?;
        for (field, schema) in fields {
            let target = match schema["$ref"].as_str() {
                Some(path) => path.rsplit('/').next().and_then(|name| fields.get(name)),
                None => Some(schema),
            };
            let target = target.with_context(|| format!("{key}.{field}"))?;
            text.push_str(&comment(schema, 2));
            text.push_str(&format!("  {}?: {};\n", property(field), input(target)));
        }
        text.push_str("}\n");
    }
    root.push_str("  /** Keys that are not known are named in a warning. */\n  [key: string]: unknown;\n}\n");
    Ok(root + &text)
}

/// What a field of the request takes.
fn input(schema: &Value) -> String {
    let types = schema["type"].as_array().cloned().unwrap_or_default();
    let mut parts: Vec<String> = Vec::new();
    for kind in types.iter().filter_map(Value::as_str) {
        let part = match kind {
            "integer" | "number" => "number",
            "array" => "readonly string[]",
            "object" => "object",
            "string" => match schema["x-values"].as_array() {
                Some(values) => {
                    parts.extend(values.iter().map(Value::to_string));
                    "(string & {})"
                }
                None => "string",
            },
            other => other,
        };
        if !parts.iter().any(|known| known == part) {
            parts.push(part.to_owned());
        }
    }
    parts.join(" | ")
}

fn type_of(schema: &Value, depth: usize) -> Result<String> {
    let Some(fields) = schema.as_object() else {
        return Ok("unknown".to_owned());
    };
    if let Some(path) = schema["$ref"].as_str() {
        return Ok(path.rsplit('/').next().unwrap_or(path).to_owned());
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[key].as_array() {
            let own = fields
                .contains_key("properties")
                .then(|| object(fields, depth))
                .transpose()?;
            let choices = choices
                .iter()
                .map(|choice| type_of(choice, depth))
                .collect::<Result<Vec<_>>>()?
                .join(" | ");
            return Ok(match own {
                Some(own) => format!("{own} & ({choices})"),
                None => choices,
            });
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts = parts
            .iter()
            .map(|part| type_of(part, depth))
            .collect::<Result<Vec<_>>>()?;
        return Ok(parts.join(" & "));
    }
    if let Some(value) = schema.get("const") {
        return Ok(value.to_string());
    }
    if let Some(values) = schema["enum"].as_array() {
        return Ok(values
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join(" | "));
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            let each = kinds.iter().map(|kind| {
                let mut one = fields.clone();
                one.insert("type".to_owned(), kind.clone());
                type_of(&Value::Object(one), depth)
            });
            Ok(each.collect::<Result<Vec<_>>>()?.join(" | "))
        }
        Value::String(kind) => match kind.as_str() {
            "string" | "boolean" | "null" => Ok(kind.clone()),
            "integer" | "number" => Ok("number".to_owned()),
            "array" => list(schema, depth),
            "object" => object(fields, depth),
            other => bail!("a type {other} is not understood"),
        },
        _ if fields
            .keys()
            .all(|key| matches!(key.as_str(), "description" | "title" | "default")) =>
        {
            Ok("unknown".to_owned())
        }
        _ => bail!("{schema} is not understood"),
    }
}

fn list(schema: &Value, depth: usize) -> Result<String> {
    if let Some(items) = schema["prefixItems"].as_array() {
        let items = items
            .iter()
            .map(|item| type_of(item, depth))
            .collect::<Result<Vec<_>>>()?;
        return Ok(format!("[{}]", items.join(", ")));
    }
    let item = type_of(schema.get("items").unwrap_or(&Value::Bool(true)), depth)?;
    Ok(match item.contains(['|', '&']) {
        true => format!("({item})[]"),
        false => format!("{item}[]"),
    })
}

fn object(schema: &Map<String, Value>, depth: usize) -> Result<String> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        let values = match schema.get("additionalProperties") {
            Some(values) => type_of(values, depth)?,
            None => "unknown".to_owned(),
        };
        return Ok(format!("Record<string, {values}>"));
    };
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    let mut text = String::from("{\n");
    for (name, property_schema) in properties {
        text.push_str(&comment(property_schema, depth + 2));
        let mark = if is_required(name) { "" } else { "?" };
        let kind = type_of(property_schema, depth + 2)?;
        text.push_str(&format!(
            "{}{}{mark}: {kind};\n",
            " ".repeat(depth + 2),
            property(name)
        ));
    }
    text.push_str(&format!("{}}}", " ".repeat(depth)));
    Ok(text)
}

fn comment(schema: &Value, indent: usize) -> String {
    let Some(words) = schema["description"].as_str() else {
        return String::new();
    };
    let words = words.replace("*/", "* /").replace('\n', " ");
    format!("{}/** {words} */\n", " ".repeat(indent))
}

/// A name as a property: quoted where it is no identifier.
fn property(name: &str) -> String {
    let plain = name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
    if plain && !name.starts_with(|first: char| first.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_become_types() {
        let kind = |schema: Value| type_of(&schema, 0).unwrap_or_default();
        assert_eq!(kind(json!({"type": ["integer", "null"]})), "number | null");
        assert_eq!(
            kind(json!({"type": "array", "items": {"enum": ["a", "b"]}})),
            "(\"a\" | \"b\")[]"
        );
        assert_eq!(
            kind(json!({"type": "object", "additionalProperties": {"type": "string"}})),
            "Record<string, string>"
        );
        assert_eq!(
            kind(json!({"type": "object", "properties": {"a-b": {"$ref": "#/$defs/X"}}, "required": []})),
            "{\n  \"a-b\"?: X;\n}"
        );
        assert!(type_of(&json!({"type": "strange"}), 0).is_err());
        assert!(type_of(&json!({"not": {}}), 0).is_err());
    }
}
