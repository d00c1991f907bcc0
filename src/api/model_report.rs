//! The model alone: its architecture, its counts and, on request, every weight tensor.

use serde::Serialize;

use super::answer::model_summary;
use super::given::Given;
use super::resolve::{self, Report};
use crate::model::{FeedForward, Layer, Mixer, Network, Split, Tensor};
use crate::request::{ModelSummary, Request};
use crate::units::Count;
use crate::warn::Issue;

/// Equal layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LayerGroup {
    /// Which layers, counted from zero: "0-2, 5".
    pub layers: String,
    /// How many.
    pub count: u64,
    /// What mixes positions.
    pub mixer: Mixer,
    /// What works on each position.
    pub feed_forward: FeedForward,
    /// Parameters of one layer.
    pub parameters: Count,
    /// Its routed experts.
    pub expert_parameters: Count,
    /// Buffer elements of one layer.
    pub buffer_elements: Count,
}

/// One weight tensor, or equal ones of equal layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TensorRow {
    /// Where: "layers 0-31", "input", "output", the name of a tower, or "next-token layers".
    pub place: String,
    /// Name.
    pub name: String,
    /// Axes.
    pub shape: Vec<u64>,
    /// What it is for.
    pub role: crate::model::Role,
    /// How tensor parallelism divides it.
    pub split: Split,
    /// How many there are in all.
    pub copies: u64,
    /// Elements of all of them.
    pub elements: Count,
}

/// The report on a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ModelReport {
    /// Source, counts and fields.
    #[serde(flatten)]
    pub summary: ModelSummary,
    /// Longest context that the configuration states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_positions: Option<u64>,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Number of layers.
    pub num_layers: u64,
    /// The layers, equal ones together.
    pub layers: Vec<LayerGroup>,
    /// Every weight tensor, on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensors: Option<Vec<TensorRow>>,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
}

/// The report on the model of a request; everything else in the request is left aside.
pub fn model_report(request: &Request, with_tensors: bool) -> Result<ModelReport, Vec<Issue>> {
    let mut report = Report::default();
    let given = Given::read(request, &mut report.issues);
    report
        .issues
        .retain(|issue| issue.path.is_empty() || issue.path.starts_with("model"));
    let model = resolve::model(&given, &mut report);
    resolve::note_released(model.as_ref(), &mut report);
    let Some(model) = model.filter(|_| !report.has_errors()) else {
        return Err(report.issues);
    };
    let network = &model.network;
    Ok(ModelReport {
        summary: model_summary(&model),
        max_positions: network.max_positions,
        tied: network.head.tied,
        num_layers: network.depth(),
        layers: network
            .kinds
            .iter()
            .enumerate()
            .map(|(kind, layer)| group(network, kind, layer))
            .collect(),
        tensors: with_tensors.then(|| tensors(network)),
        warnings: report.issues,
    })
}

fn group(network: &Network, kind: usize, layer: &Layer) -> LayerGroup {
    LayerGroup {
        layers: places(network, kind),
        count: network.layers_of(kind),
        mixer: layer.mixer.clone(),
        feed_forward: layer.feed_forward.clone(),
        parameters: layer.parameters(),
        expert_parameters: layer.parameters_where(|tensor| tensor.role == crate::model::Role::RoutedExpert),
        buffer_elements: layer.buffers,
    }
}

/// The depths of a kind of layer as ranges: "0-2, 5".
fn places(network: &Network, kind: usize) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (depth, index) in network.order.iter().enumerate() {
        if *index != kind {
            continue;
        }
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == depth => *last = depth,
            _ => ranges.push((depth, depth)),
        }
    }
    let words: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    words.join(", ")
}

fn tensors(network: &Network) -> Vec<TensorRow> {
    let row = |place: &str, tensor: &Tensor, layers: u64| TensorRow {
        place: place.to_string(),
        name: tensor.name.clone(),
        shape: tensor.shape.clone(),
        role: tensor.role,
        split: tensor.split,
        copies: tensor.copies.saturating_mul(layers),
        elements: tensor.elements() * layers,
    };
    let mut rows: Vec<TensorRow> = network
        .input_tensors
        .iter()
        .map(|tensor| row("input", tensor, 1))
        .collect();
    for (kind, layer) in network.kinds.iter().enumerate() {
        let place = format!("layers {}", places(network, kind));
        let count = network.layers_of(kind);
        rows.extend(layer.tensors.iter().map(|tensor| row(&place, tensor, count)));
    }
    rows.extend(
        network
            .output_tensors
            .iter()
            .map(|tensor| row("output", tensor, 1)),
    );
    for tower in &network.towers {
        rows.extend(tower.tensors.iter().map(|tensor| row(&tower.name, tensor, 1)));
    }
    rows.extend(
        network
            .next_token_tensors
            .iter()
            .map(|tensor| row("next-token layers", tensor, 1)),
    );
    rows
}
