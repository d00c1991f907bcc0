//! The calls: every function of the calculator by name, with JSON in and JSON out.
//!
//! The JavaScript module, the conformance vectors and the schema of the answers are all made of this one table, so none of
//! them can know a function that the others do not. What a call computes is `api`'s; here arguments are read and answers
//! written.

mod arguments;
mod fault;
mod lists;
mod models;
mod questions;
mod schema;
mod texts;

use serde_json::{Value, json};

pub use arguments::Arguments;
pub use fault::{Fault, FaultKind};
pub use schema::{RESPONSES, VERSION, schema, schema_names};

/// What a call gives.
pub type Outcome = Result<Value, Fault>;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request: an object, or its text as JSON or YAML.
    Request,
    /// Text.
    Text,
    /// True or false.
    Switch,
    /// An object with settings of the call.
    Options,
    /// Any JSON.
    Any,
}

/// One argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
}

const fn one(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        kind,
        optional: false,
    }
}

const fn maybe(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        kind,
        optional: true,
    }
}

const REQUEST: Parameter = one("request", Kind::Request);
const OPTIONS: Parameter = maybe("options", Kind::Options);

/// A function.
pub struct Call {
    /// Its name in JavaScript.
    pub name: &'static str,
    /// Its arguments in order.
    pub parameters: &'static [Parameter],
    /// The type of its answer, as the schema names it.
    pub answer: &'static str,
    run: fn(&Arguments<'_>) -> Outcome,
}

const fn call(
    name: &'static str,
    parameters: &'static [Parameter],
    answer: &'static str,
    run: fn(&Arguments<'_>) -> Outcome,
) -> Call {
    Call {
        name,
        parameters,
        answer,
        run,
    }
}

/// Every function.
pub const CALLS: &[Call] = &[
    call("calculate", &[REQUEST, OPTIONS], "Answer", questions::calculate),
    call(
        "calculateInference",
        &[REQUEST, OPTIONS],
        "InferenceAnswer",
        questions::calculate_inference,
    ),
    call(
        "calculateMultiNode",
        &[REQUEST, OPTIONS],
        "MultiNodeAnswer",
        questions::calculate_multi_node,
    ),
    call("sideBySide", &[REQUEST], "SideBySide", questions::side_by_side),
    call("plan", &[REQUEST], "Planned", questions::plan),
    // The name of the original.
    call(
        "optimizeHybridParallelism",
        &[REQUEST],
        "PlanAnswer",
        questions::plan_training,
    ),
    call(
        "explainFormula",
        &[REQUEST],
        "Explanation",
        questions::explain_formula,
    ),
    call(
        "optimizeBatchSize",
        &[REQUEST],
        "BatchSizeResult",
        questions::optimize_batch_size,
    ),
    call(
        "solve",
        &[REQUEST, one("variable", Kind::Text)],
        "Solution",
        questions::solve,
    ),
    call("smallestCard", &[REQUEST], "Cards", questions::smallest_card),
    call("cheapest", &[REQUEST, OPTIONS], "Cheapest", questions::cheapest),
    call("fixes", &[REQUEST], "Fixes", questions::fixes),
    call("validate", &[REQUEST], "ValidationResult", questions::validate),
    call(
        "exportConfig",
        &[one("format", Kind::Text), REQUEST],
        "ExportResult",
        texts::export_config,
    ),
    call(
        "exportFormats",
        &[maybe("request", Kind::Request)],
        "ExportFormats",
        texts::export_formats,
    ),
    call(
        "importText",
        &[one("text", Kind::Text), maybe("base", Kind::Request)],
        "ImportResult",
        texts::import_text,
    ),
    call(
        "parseConfig",
        &[one("text", Kind::Text)],
        "Request",
        texts::parse_config,
    ),
    call(
        "toConfig",
        &[REQUEST, maybe("format", Kind::Text)],
        "Text",
        texts::to_config,
    ),
    call(
        "shareUrl",
        &[REQUEST, maybe("base", Kind::Text)],
        "Text",
        texts::share_url,
    ),
    call(
        "parseShareUrl",
        &[one("url", Kind::Text)],
        "SharedRequest",
        texts::parse_share_url,
    ),
    call(
        "parseParameterCount",
        &[one("text", Kind::Any)],
        "ParameterCount",
        texts::parse_parameter_count,
    ),
    call(
        "importHfConfig",
        &[one("config", Kind::Any), OPTIONS],
        "HfImport",
        models::import_hf_config,
    ),
    call(
        "modelReport",
        &[REQUEST, OPTIONS],
        "ModelReport",
        models::model_report,
    ),
    call("models", &[maybe("search", Kind::Text)], "Models", models::models),
    call("presets", &[], "Presets", models::presets),
    call("preset", &[one("id", Kind::Text)], "Preset", models::preset),
    call("gpus", &[maybe("search", Kind::Text)], "Gpus", lists::gpus),
    call("nodes", &[], "Nodes", lists::nodes),
    call("links", &[], "Links", lists::links),
    call("engines", &[], "Labels", lists::engines),
    call("inferenceEngines", &[], "Labels", lists::inference_engines),
    call("optimizers", &[], "Labels", lists::optimizers),
    call("dtypes", &[], "Labels", lists::dtypes),
    call("interconnects", &[], "Labels", lists::interconnects),
    call(
        "dtypeBytes",
        &[one("dtype", Kind::Text)],
        "Number",
        lists::dtype_bytes,
    ),
    call("schema", &[one("name", Kind::Text)], "Schema", schema::named),
    call("version", &[], "Text", lists::version),
];

/// Runs the call of this name.
pub fn run(name: &str, arguments: &[Value]) -> Outcome {
    let Some(call) = CALLS.iter().find(|call| call.name == name) else {
        return Err(Fault::not_found("call", format!("There is no function {name}.")));
    };
    let arguments = Arguments::new(call.parameters, arguments)?;
    let answer = (call.run)(&arguments)?;
    match too_large(&answer) {
        Some(path) => Err(Fault::too_large(&path)),
        None => Ok(answer),
    }
}

/// As [`run`], from and to JSON text: `{"answer": ...}` or `{"fault": ...}`.
pub fn run_text(name: &str, arguments: &str) -> String {
    let outcome = match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Array(arguments)) => run(name, &arguments),
        Ok(_) => Err(Fault::wrong_type("", "The arguments of a call are a list.")),
        Err(error) => Err(Fault::from(crate::api::json_invalid("", &error))),
    };
    match outcome {
        Ok(answer) => json!({ "answer": answer }),
        Err(fault) => json!({ "fault": fault }),
    }
    .to_string()
}

/// The first whole number that JavaScript cannot hold exactly.
fn too_large(value: &Value) -> Option<String> {
    const LARGEST: u64 = (1 << 53) - 1;
    match value {
        Value::Number(number) => match number.as_u64().or(number.as_i64().map(i64::unsigned_abs)) {
            Some(whole) if whole > LARGEST => Some(String::new()),
            _ => None,
        },
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(at, item)| too_large(item).map(|path| format!("{at}.{path}"))),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(key, item)| too_large(item).map(|path| format!("{key}.{path}"))),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_call_and_wrong_arguments_are_faults() {
        let kind = |name: &str, arguments: &[Value]| run(name, arguments).unwrap_err().kind;
        assert_eq!(kind("nothing", &[]), FaultKind::NotFound);
        assert_eq!(kind("calculate", &[]), FaultKind::Validation);
        assert_eq!(kind("calculate", &[json!(5)]), FaultKind::Validation);
        assert_eq!(kind("version", &[json!(5)]), FaultKind::Validation);
        assert_eq!(kind("preset", &[json!("nope")]), FaultKind::NotFound);
        assert!(run_text("version", "{").contains("json_invalid"));
        assert!(run_text("version", "{}").contains("wrong_type"));
        assert_eq!(
            run_text("version", "[]"),
            format!("{{\"answer\":\"{}\"}}", env!("CARGO_PKG_VERSION"))
        );
    }

    #[test]
    fn numbers_beyond_those_of_javascript_are_refused() {
        assert_eq!(
            too_large(&json!({"a": [1, {"b": 1u64 << 53}]})),
            Some("a.1.b.".into())
        );
        assert_eq!(too_large(&json!([(1u64 << 53) - 1, 1e300, -1])), None);
    }
}
