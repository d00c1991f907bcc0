//! Lists: what the form offers, the hardware, and the version.

use serde::Serialize;
use serde_json::{Map, Value};

use super::arguments::written;
use super::{Arguments, Fault, Outcome};
use crate::api::{self, Choice, Gpu, InputId, Issue, Link, MemorySetup, NodeShape};
use crate::units::Bytes;

/// Ids with the names that people read, in the order of the form.
fn labels(id: InputId) -> Outcome {
    let choices = id.input().kind.choices().iter();
    let label = |choice: &Choice| (choice.value.to_owned(), Value::from(choice.label));
    Ok(Value::Object(choices.map(label).collect::<Map<_, _>>()))
}

pub fn engines(_: &Arguments<'_>) -> Outcome {
    labels(InputId::EngineType)
}

pub fn inference_engines(_: &Arguments<'_>) -> Outcome {
    labels(InputId::ServerType)
}

pub fn optimizers(_: &Arguments<'_>) -> Outcome {
    labels(InputId::Optimizer)
}

pub fn dtypes(_: &Arguments<'_>) -> Outcome {
    labels(InputId::Dtype)
}

pub fn interconnects(_: &Arguments<'_>) -> Outcome {
    labels(InputId::InterconnectType)
}

/// Bytes of one element. What scales and zero points of 4-bit formats add depends on the format and is in the answers.
pub fn dtype_bytes(given: &Arguments<'_>) -> Outcome {
    let wanted = given.text(0).to_ascii_lowercase();
    let choices = InputId::Dtype.input().kind.choices();
    let known = choices
        .iter()
        .find(|choice| choice.value == wanted || choice.aliases.contains(&wanted.as_str()));
    let bytes = match known.map(|choice| choice.value) {
        Some("fp32") => 4.0,
        Some("fp16" | "bf16") => 2.0,
        Some("int8" | "fp8") => 1.0,
        Some("int4") => 0.5,
        _ => {
            let words = format!("{} is not an element type.", given.text(0));
            let allowed = choices.iter().map(|choice| choice.value);
            return Err(Fault::from(
                Issue::error("unknown_value", "dtype", words).with_allowed(allowed),
            ));
        }
    };
    Ok(Value::from(bytes))
}

/// A GPU with what a program gets of it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GpuRow {
    /// The card.
    #[serde(flatten)]
    pub gpu: &'static Gpu,
    /// Memory that a program gets.
    pub usable_bytes: Bytes,
    /// Whether that is estimated from the box, for want of a log.
    pub usable_estimated: bool,
}

/// GPUs of the table.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Gpus(pub Vec<GpuRow>);

pub fn gpus(given: &Arguments<'_>) -> Outcome {
    let wanted = given.text(0).to_lowercase();
    let rows = api::gpus().iter().filter(|gpu| {
        let names = format!("{} {}", gpu.id, gpu.name).to_lowercase();
        wanted.split_whitespace().all(|word| names.contains(word))
    });
    written(Gpus(
        rows.map(|gpu| {
            let capacity = gpu.capacity(&MemorySetup::default());
            GpuRow {
                gpu,
                usable_bytes: capacity.expected,
                usable_estimated: capacity.estimated,
            }
        })
        .collect(),
    ))
}

/// Shapes of nodes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Nodes(pub &'static [NodeShape]);

pub fn nodes(_: &Arguments<'_>) -> Outcome {
    written(Nodes(api::nodes()))
}

/// Links between GPUs and between nodes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Links(pub &'static [Link]);

pub fn links(_: &Arguments<'_>) -> Outcome {
    written(Links(api::links()))
}

pub fn version(_: &Arguments<'_>) -> Outcome {
    Ok(Value::from(env!("CARGO_PKG_VERSION")))
}
