//! Which tensor is on which device: layers by `--n-gpu-layers`, `--split-mode` and `--tensor-split`, single tensors by
//! `--n-cpu-moe` and `--override-tensor` (ggml-org/llama.cpp `src/llama-model.cpp`, load_tensors; `common/arg.cpp`).

use super::mix::Class;
use super::pattern::Pattern;
use super::tensors::GgufTensor;

/// A place for tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Device {
    /// Memory of the machine.
    Host,
    /// A GPU by its number.
    Gpu(usize),
}

/// How a model is divided among GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitMode {
    /// All on the first.
    None,
    /// Whole layers.
    Layer,
    /// Rows of each matrix; everything else is on the first.
    Row,
}

/// What is chosen about the places of tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceChoice {
    /// GPUs.
    pub gpus: usize,
    /// Layers on GPUs, the output counted as one; `None` for all.
    pub layers: Option<u64>,
    /// Whether the output is the first that goes to a GPU (from build 7400 on) or the last.
    pub output_first: bool,
    /// How the model is divided.
    pub split: SplitMode,
    /// Shares of the GPUs; empty for equal ones.
    pub shares: Vec<f32>,
    /// First layers whose experts stay on the host.
    pub cpu_moe: u64,
    /// Places by name, the first that matches.
    pub overrides: Vec<(Pattern, Device)>,
}

/// Where the layers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The device of each.
    pub layers: Vec<Device>,
    /// The device of the output.
    pub output: Device,
}

/// The device of each layer: a layer goes to the GPU in whose share its place among the offloaded ones lies.
pub fn layers(depth: u64, choice: &PlaceChoice) -> Layers {
    let all = depth.saturating_add(1);
    let asked = choice.layers.unwrap_or(all);
    let offloaded = if choice.gpus == 0 { 0 } else { asked.min(all) };
    let counted = if choice.output_first { all } else { depth };
    let first = counted.saturating_sub(asked);
    let bounds = bounds(choice);
    let place = |layer: u64| -> Device {
        if layer < first || layer.saturating_sub(first) >= offloaded {
            return Device::Host;
        }
        if choice.split != SplitMode::Layer {
            return Device::Gpu(0);
        }
        // The engine divides in single precision.
        let at = layer.saturating_sub(first) as f32 / offloaded as f32;
        let gpu = bounds.iter().take_while(|bound| **bound <= at).count();
        Device::Gpu(gpu.min(choice.gpus.saturating_sub(1)))
    };
    Layers {
        layers: (0..depth).map(place).collect(),
        output: place(depth),
    }
}

/// The ends of the GPUs' shares of one.
fn bounds(choice: &PlaceChoice) -> Vec<f32> {
    let equal = vec![1.0; choice.gpus];
    let shares: Vec<f32> = match choice.shares.iter().sum::<f32>() > 0.0 {
        true => (0..choice.gpus)
            .map(|gpu| choice.shares.get(gpu).copied().unwrap_or(0.0))
            .collect(),
        false => equal,
    };
    let sum = shares.iter().sum::<f32>();
    let mut reached = 0.0_f32;
    shares
        .iter()
        .map(|share| {
            reached += *share;
            if sum > 0.0 { reached / sum } else { 1.0 }
        })
        .collect()
}

/// Where a tensor is. The token embedding stays on the host; a tied one is copied for the output.
pub fn tensor(tensor: &GgufTensor, layers: &Layers, choice: &PlaceChoice) -> Device {
    let by_name = choice
        .overrides
        .iter()
        .find(|(pattern, _)| pattern.matches(&tensor.name));
    if let Some((_, device)) = by_name {
        return match device {
            Device::Gpu(number) if *number >= choice.gpus => Device::Host,
            other => *other,
        };
    }
    match tensor.layer {
        Some(layer) if tensor.routed && layer < choice.cpu_moe => Device::Host,
        Some(layer) => usize::try_from(layer)
            .ok()
            .and_then(|layer| layers.layers.get(layer).copied())
            .unwrap_or(Device::Host),
        None if is_input(tensor) => Device::Host,
        None => layers.output,
    }
}

/// Whether a tensor belongs to the input, which is never offloaded.
pub fn is_input(tensor: &GgufTensor) -> bool {
    let name = tensor.name.as_str();
    let inputs = [
        "wpe",
        "embed_positions",
        "position_embd",
        "token_types",
        "token_embd_norm",
    ];
    tensor.class == Class::TokenEmbedding || inputs.iter().any(|input| name.starts_with(input))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(gpus: usize, layers: Option<u64>) -> PlaceChoice {
        PlaceChoice {
            gpus,
            layers,
            output_first: true,
            split: SplitMode::Layer,
            shares: Vec::new(),
            cpu_moe: 0,
            overrides: Vec::new(),
        }
    }

    #[track_caller]
    fn counts(depth: u64, choice: &PlaceChoice, expected: &[usize], host: usize, output: Device) {
        let found = layers(depth, choice);
        let on = |device: Device| found.layers.iter().filter(|one| **one == device).count();
        let gpus: Vec<usize> = (0..choice.gpus).map(|gpu| on(Device::Gpu(gpu))).collect();
        assert_eq!((gpus.as_slice(), on(Device::Host)), (expected, host));
        assert_eq!(found.output, output);
    }

    #[test]
    fn layers_are_divided_as_the_engine_divides_them() {
        // 94 layers on three GPUs: 32, 32 and 30 with the output (gguf-013 of tests/measured/serving.jsonl).
        counts(94, &choice(3, None), &[32, 32, 30], 0, Device::Gpu(2));
        counts(32, &choice(1, Some(0)), &[0], 32, Device::Host);
        counts(32, &choice(1, Some(1)), &[0], 32, Device::Gpu(0));
        counts(32, &choice(1, Some(10)), &[9], 23, Device::Gpu(0));
        let old = PlaceChoice {
            output_first: false,
            ..choice(1, Some(10))
        };
        counts(32, &old, &[10], 22, Device::Host);
        let row = PlaceChoice {
            split: SplitMode::Row,
            ..choice(2, None)
        };
        counts(32, &row, &[32, 0], 0, Device::Gpu(0));
        let shares = PlaceChoice {
            shares: vec![3.0, 1.0],
            ..choice(2, None)
        };
        counts(31, &shares, &[24, 7], 0, Device::Gpu(1));
    }
}
