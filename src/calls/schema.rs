//! JSON Schema of the request and of every answer. That of the request is made of the registry, those of the answers of
//! their types, by a test that writes them into `assets/schemas/responses.json` and fails where they differ.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::{Arguments, CALLS, Fault, Outcome};
use crate::api::{self, Issue};

/// Version of the shapes: it rises when a field goes away or changes its meaning, not when one is added.
pub const VERSION: u32 = 1;

/// The schema of all answers.
pub const RESPONSES: &str = include_str!("../../assets/schemas/responses.json");

fn responses() -> &'static Value {
    static PARSED: OnceLock<Value> = OnceLock::new();
    PARSED.get_or_init(|| serde_json::from_str(RESPONSES).unwrap_or_default())
}

/// The names of the schemas: the request, all answers, an error, and the answer of each call.
pub fn schema_names() -> Vec<&'static str> {
    let calls = CALLS.iter().map(|call| call.name);
    ["request", "responses", "error"]
        .into_iter()
        .chain(calls)
        .collect()
}

/// The schema of this name, in JSON Schema 2020-12.
pub fn schema(name: &str) -> Option<Value> {
    let answer = match name {
        "request" => return api::schema(name),
        "responses" => return Some(responses().clone()),
        "error" => "Fault",
        _ => CALLS.iter().find(|call| call.name == name)?.answer,
    };
    if answer == "Request" {
        return api::schema("request");
    }
    let all = responses();
    Some(json!({
        "$schema": all["$schema"],
        "$id": format!("urn:gpu-mem-calc:schema:{VERSION}:{name}"),
        "$ref": format!("#/$defs/{answer}"),
        "$defs": all["$defs"],
    }))
}

pub fn named(given: &Arguments<'_>) -> Outcome {
    let name = given.text(0);
    schema(name).ok_or_else(|| {
        let mut fault = Fault::not_found("name", format!("There is no schema {name}."));
        fault.issues = vec![
            Issue::error("not_found", "name", format!("There is no schema {name}."))
                .with_allowed(schema_names()),
        ];
        fault
    })
}

#[cfg(test)]
mod tests {
    use schemars::generate::{SchemaGenerator, SchemaSettings};
    use serde_json::Map;

    use super::super::{fault, lists, models, questions, texts};
    use super::*;

    macro_rules! add {
        ($generator:ident: $($kind:ty),* $(,)?) => { $( $generator.subschema_for::<$kind>(); )* };
    }

    /// The schema of every answer, made of the types.
    fn generated() -> Value {
        let mut generator: SchemaGenerator = SchemaSettings::draft2020_12().for_serialize().into();
        add!(generator:
            api::Answer, api::InferenceAnswer, api::MultiNodeAnswer, api::SideBySide, api::PlanAnswer, api::Planned, api::Cheapest,
            api::Explanation,
            api::BatchSizeResult, api::Solution, api::Cards, api::Fixes, api::ModelReport, api::Preset,
            questions::ValidationResult, texts::ExportResult, texts::ExportFormats, texts::ImportResult,
            texts::SharedRequest, texts::ParameterCount, models::HfImport, models::Models, lists::Gpus, lists::Nodes,
            lists::Links, fault::FaultKind, Issue,
        );
        let mut definitions: Map<String, Value> = generator.take_definitions(true);
        let more = json!({
            "Fault": {
                "description": "Why a call has no answer.",
                "type": "object",
                "properties": {
                    "error": {"$ref": "#/$defs/FaultKind"},
                    "message": {"description": "For a person: the first error.", "type": "string"},
                    "type": {"$ref": "#/$defs/FaultKind"},
                    "errors": {"description": "Every issue, warnings included.", "type": "array", "items": {"$ref": "#/$defs/Issue"}},
                },
                "required": ["error", "message", "type", "errors"],
            },
            "Labels": {"description": "Ids with the names that people read.", "type": "object", "additionalProperties": {"type": "string"}},
            "Presets": {
                "description": "The built-in requests by their ids.",
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {"display_name": {"type": "string"}, "description": {"type": "string"}},
                    "required": ["display_name", "description"],
                },
            },
            "Request": {"description": "A request; its schema is that of the name request.", "type": "object"},
            "Schema": {"description": "A JSON Schema.", "type": "object"},
            "Number": {"type": "number"},
            "Text": {"type": "string"},
        });
        for (name, schema) in more.as_object().unwrap() {
            definitions.insert(name.clone(), schema.clone());
        }
        definitions.sort_keys();
        let calls: Map<String, Value> = CALLS
            .iter()
            .map(|call| {
                let parameters: Vec<Value> = call
                    .parameters
                    .iter()
                    .map(|one| json!({"name": one.name, "kind": format!("{:?}", one.kind), "optional": one.optional}))
                    .collect();
                let answer = json!({"$ref": format!("#/$defs/{}", call.answer)});
                (call.name.to_owned(), json!({"parameters": parameters, "answer": answer}))
            })
            .collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": format!("urn:gpu-mem-calc:schema:{VERSION}:responses"),
            "title": "GPU Memory Calculator: answers",
            "description": "The answer of every call, under $defs; x-calls says which call gives which.",
            "x-version": VERSION,
            "x-calls": calls,
            "$defs": definitions,
        })
    }

    #[test]
    fn the_schema_of_the_answers_is_that_of_their_types() {
        let text = format!("{:#}\n", generated());
        if std::env::var_os("GPU_MEM_CALC_WRITE").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/schemas/responses.json");
            std::fs::write(path, &text).unwrap();
            return;
        }
        let differs = text
            .lines()
            .zip(RESPONSES.lines())
            .find(|(made, kept)| made != kept);
        assert_eq!(differs, None, "run cargo xtask schemas");
        assert_eq!(text.len(), RESPONSES.len(), "run cargo xtask schemas");
    }

    #[test]
    fn every_call_has_a_schema_of_its_answer() {
        for name in schema_names() {
            let schema = schema(name).unwrap();
            let target = schema["$ref"]
                .as_str()
                .and_then(|path| path.strip_prefix("#/$defs/"));
            if let Some(target) = target {
                assert!(schema["$defs"][target].is_object(), "{name}: {target}");
            }
        }
        assert_eq!(schema("nothing"), None);
    }
}
