//! Published speeds against the roofline: tokens per second, step times and utilization of training, throughput and latencies of
//! serving. A record has its whole question beside the measured value; which of two calls answers follows from the quantity.

use serde::Serialize;
use serde_json::{Value, json};

use super::record::{Format, Record};
use crate::api;
use crate::request::{Figures, Request};
use crate::warn::Issue;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpeedQuantity {
    /// Training: tokens per second of a GPU.
    TokensPerGpu,
    /// Training: utilization in percent.
    Utilization,
    /// Serving: new tokens per second of a copy, prompts included.
    OutputTokens,
    /// Serving: milliseconds to the first token.
    FirstToken,
    /// Serving: milliseconds per token.
    PerToken,
}

impl SpeedQuantity {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::TokensPerGpu,
        Self::Utilization,
        Self::OutputTokens,
        Self::FirstToken,
        Self::PerToken,
    ];

    /// The key in records.
    pub const fn key(self) -> &'static str {
        match self {
            Self::TokensPerGpu => "tokens_per_second_per_gpu",
            Self::Utilization => "mfu_percent",
            Self::OutputTokens => "output_tokens_per_second",
            Self::FirstToken => "ttft_ms",
            Self::PerToken => "tpot_ms",
        }
    }

    fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quantity| quantity.key() == key)
    }

    /// What the roofline says to a question.
    fn predict(self, request: &Request) -> Result<Figures, String> {
        let refused = |issues: Vec<Issue>| {
            let first = issues.into_iter().find(Issue::is_error);
            first.map_or_else(
                || "refused".to_owned(),
                |issue| format!("{}: {}", issue.path, issue.message),
            )
        };
        let step = || {
            let answer = api::multi_node(request).map_err(refused)?;
            answer.step.ok_or_else(|| "no time".to_owned())
        };
        let served = || {
            let answer = api::calculate_inference(request).map_err(refused)?;
            answer.speed.ok_or_else(|| "no speed".to_owned())
        };
        Ok(match self {
            Self::TokensPerGpu => step()?.tokens_per_second_per_gpu,
            Self::Utilization => step()?.mfu_percent,
            Self::OutputTokens => served()?.output_tokens_per_second,
            Self::FirstToken => served()?.ttft_ms,
            Self::PerToken => served()?.tpot_ms,
        })
    }
}

/// One record, predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeedLine {
    /// Id of the record.
    pub id: String,
    /// What kind of runs: engine and card.
    pub kind: String,
    /// What was measured.
    pub quantity: SpeedQuantity,
    /// The roofline.
    pub predicted: Figures,
    /// The published value.
    pub measured: f64,
}

impl SpeedLine {
    /// Predicted against measured, in percent; positive where the roofline's number is larger.
    pub fn error_percent(&self) -> f64 {
        100.0 * (self.predicted.expected - self.measured) / self.measured
    }

    /// Whether the measured value lies between the bounds.
    pub fn inside(&self) -> bool {
        (self.predicted.low..=self.predicted.high).contains(&self.measured)
    }

    /// As a line of JSON.
    pub fn object(&self) -> Value {
        json!({"id": self.id, "kind": self.kind, "quantity": self.quantity.key(), "measured": self.measured,
            "predicted": self.predicted, "error_percent": self.error_percent()})
    }
}

/// Records of a kind together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpeedRow {
    /// Engine and card.
    pub kind: String,
    /// What was measured.
    pub quantity: &'static str,
    /// How many.
    pub records: usize,
    /// Median of the errors with their signs: how far the roofline is off as a whole.
    pub bias_percent: f64,
    /// Median of the errors without signs.
    pub median_percent: f64,
    /// What nine of ten are within.
    pub p90_percent: f64,
    /// The largest error.
    pub worst_percent: f64,
    /// How many lie between the bounds.
    pub inside_percent: f64,
}

/// Every record of speeds, predicted; a record that cannot be asked is an error with its reason.
pub fn lines(records: &[Record]) -> Result<Vec<SpeedLine>, String> {
    let speeds = records.iter().filter(|record| record.format == Format::Speed);
    speeds.map(line).collect()
}

fn line(record: &Record) -> Result<SpeedLine, String> {
    let wrong = |what: &str| format!("{}: {what}", record.id);
    let measured = record
        .object("measured_speed")
        .ok_or_else(|| wrong("nothing measured"))?;
    let key = measured
        .get("quantity")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let quantity = SpeedQuantity::from_key(key).ok_or_else(|| wrong(key))?;
    let value = measured.get("value").and_then(Value::as_f64);
    let measured = value
        .filter(|value| *value > 0.0)
        .ok_or_else(|| wrong("no value"))?;
    let question = record
        .object("request")
        .cloned()
        .map(Value::Object)
        .unwrap_or_default();
    let request = Request::from_json(&question).map_err(|issue| wrong(&issue.message))?;
    let predicted = quantity.predict(&request).map_err(|reason| wrong(&reason))?;
    let text = |path: &str| question.pointer(path).and_then(Value::as_str).unwrap_or_default();
    Ok(SpeedLine {
        id: record.id.clone(),
        kind: format!(
            "{}{}, {}",
            text("/engine/type"),
            text("/inference/engine_type"),
            text("/hardware/gpu")
        ),
        quantity,
        predicted,
        measured,
    })
}

/// Statistics per kind and quantity.
pub fn rows(lines: &[SpeedLine]) -> Vec<SpeedRow> {
    let mut kinds: Vec<(&str, SpeedQuantity)> = lines
        .iter()
        .map(|line| (line.kind.as_str(), line.quantity))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
        .into_iter()
        .map(|(kind, quantity)| {
            let own: Vec<&SpeedLine> = lines
                .iter()
                .filter(|line| line.kind == kind && line.quantity == quantity)
                .collect();
            let signed = sorted(own.iter().map(|line| line.error_percent()));
            let sizes = sorted(own.iter().map(|line| line.error_percent().abs()));
            let inside = own.iter().filter(|line| line.inside()).count();
            SpeedRow {
                kind: kind.to_owned(),
                quantity: quantity.key(),
                records: own.len(),
                bias_percent: quantile(&signed, 0.5),
                median_percent: quantile(&sizes, 0.5),
                p90_percent: quantile(&sizes, 0.9),
                worst_percent: sizes.last().copied().unwrap_or_default(),
                inside_percent: 100.0 * inside as f64 / own.len().max(1) as f64,
            }
        })
        .collect()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which a share of sorted values lies.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (share * last as f64).round() as usize;
    sorted.get(at.min(last)).copied().unwrap_or_default()
}

/// The rows as a Markdown table, as the README shows it; nothing where there are no records.
pub fn markdown(records: &[Record]) -> String {
    let found = match lines(records) {
        Ok(lines) => rows(&lines),
        Err(reason) => return format!("\nSpeeds could not be compared: {reason}\n"),
    };
    if found.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n| published speed | quantity | records | bias | median error | 90 % within | worst | inside the interval |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in found {
        text.push_str(&format!(
            "| {} | {} | {} | {:+.0} % | {:.0} % | {:.0} % | {:.0} % | {:.0} % |\n",
            row.kind,
            row.quantity,
            row.records,
            row.bias_percent,
            row.median_percent,
            row.p90_percent,
            row.worst_percent,
            row.inside_percent
        ));
    }
    text
}
