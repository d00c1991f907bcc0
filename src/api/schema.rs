//! JSON Schema of the request, generated from the registry.

use serde_json::{Map, Value, json};

use super::given::default_of;
use crate::request::{Availability, INPUTS, Input, InputDefault, InputKind, Section};

/// Names of the schemas that there are.
pub const SCHEMAS: [&str; 1] = ["request"];

/// The schema of this name: `request` (JSON Schema 2020-12).
pub fn schema(name: &str) -> Option<Value> {
    (name == "request").then(request_schema)
}

fn request_schema() -> Value {
    let mut sections = Map::new();
    for section in Section::ALL {
        let mut fields = Map::new();
        for input in INPUTS.iter().filter(|input| input.section == section) {
            fields.insert(input.name().to_string(), field(input));
            for alias in input.aliases {
                if let Some((_, name)) = alias.rsplit_once('.') {
                    let other = json!({"$ref": format!("#/properties/{}/properties/{}", section.key(), input.name()),
                        "description": format!("Another name of {}.", input.name())});
                    fields.insert(name.to_string(), other);
                }
            }
        }
        sections.insert(
            section.key().to_string(),
            json!({"type": ["object", "null"], "properties": fields}),
        );
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:gpu-mem-calc:schema:1:request",
        "title": "GPU Memory Calculator: request",
        "description": "What can be asked. Every section and every field is optional; null means not given.",
        "type": "object",
        "properties": sections,
    })
}

fn field(input: &Input) -> Value {
    let mut found = Map::new();
    found.insert("title".into(), input.label.into());
    found.insert("description".into(), input.words().help.into());
    for (key, value) in kind(input.kind) {
        found.insert(key.into(), value);
    }
    match input.default {
        InputDefault::Fixed(_) => {
            if let Some(default) = default_of(input) {
                found.insert("default".into(), default.to_json());
            }
        }
        InputDefault::Derived(from) => {
            found.insert("x-default".into(), from.into());
        }
        InputDefault::None => {}
    }
    if let Some(unit) = input.unit {
        found.insert("x-unit".into(), unit.into());
    }
    found.insert("x-flag".into(), input.flag.into());
    found.insert("x-link".into(), input.url.into());
    match input.availability {
        Availability::Built => {}
        Availability::Planned => {
            found.insert("x-availability".into(), "planned".into());
        }
        Availability::ExportsOnly => {
            found.insert("x-availability".into(), "exports_only".into());
        }
    }
    Value::Object(found)
}

fn kind(kind: InputKind) -> Vec<(&'static str, Value)> {
    let number = "^\\s*[+-]?[0-9][0-9_]*(\\.[0-9]*)?([eE][+-]?[0-9]+)?\\s*$";
    match kind {
        InputKind::Integer { min, max } => vec![
            ("type", json!(["integer", "string", "null"])),
            ("minimum", json!(min)),
            ("maximum", json!(max)),
            ("pattern", json!(number)),
        ],
        InputKind::Count { min, max } => vec![
            ("type", json!(["number", "string", "null"])),
            ("minimum", json!(min)),
            ("maximum", json!(max)),
        ],
        InputKind::Number { min, max, positive } => vec![
            ("type", json!(["number", "string", "null"])),
            (if positive { "exclusiveMinimum" } else { "minimum" }, json!(min)),
            ("maximum", json!(max)),
        ],
        InputKind::Toggle => vec![("type", json!(["boolean", "string", "null"]))],
        InputKind::Choice(choices) => {
            let values: Vec<&str> = choices.iter().map(|choice| choice.value).collect();
            let examples: Vec<&str> = choices
                .iter()
                .flat_map(|choice| choice.aliases.iter().copied())
                .collect();
            vec![
                ("type", json!(["string", "integer", "null"])),
                ("x-values", json!(values)),
                ("x-aliases", json!(examples)),
            ]
        }
        InputKind::Text { max_len } => vec![
            ("type", json!(["string", "null"])),
            ("minLength", json!(1)),
            ("maxLength", json!(max_len)),
        ],
        InputKind::List { max_len } => vec![
            ("type", json!(["array", "string", "null"])),
            ("items", json!({"type": "string"})),
            ("maxItems", json!(max_len)),
        ],
        InputKind::Json => vec![("type", json!(["object", "string", "null"]))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_is_in_the_schema_with_its_help() {
        let schema = schema("request").unwrap();
        for input in INPUTS {
            let field = &schema["properties"][input.section.key()]["properties"][input.name()];
            assert_eq!(
                field["description"],
                input.words().help,
                "{}: not in the schema",
                input.key
            );
            assert_eq!(field["x-flag"], input.flag, "{}", input.key);
            assert_eq!(field["x-link"], input.url, "{}", input.key);
        }
        assert!(super::schema("nothing").is_none());
    }
}
