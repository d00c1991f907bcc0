//! Into how many ranks tensor parallelism can divide a model, as the engines themselves refuse: heads, widths of feed-forwards
//! and experts, states, rows of the vocabulary, and the groups and blocks of quantised matrices.
//!
//! Read in vllm 0.33.0 `distributed/utils.py` divide, `model_executor/layers/{linear,vocab_parallel_embedding}.py`,
//! `layers/mamba/mamba_mixer2.py`, `layers/quantization/{auto_gptq,auto_awq,moe_wna16,mxfp4}.py`,
//! `layers/quantization/utils/fp8_utils.py` validate_fp8_block_shape; sglang 0.5.23 `srt/layers/quantization/fp8.py`;
//! huggingface/text-generation-inference db931fc `models/custom_modeling/flash_llama_modeling.py`, `utils/weights.py`.

use crate::inference::weights::{Quantisation, WeightFormat};
use crate::inference::{Engine, InferenceJob};
use crate::model::{FeedForward, Layer, Mixer, Network, Split, Tensor};
use crate::request::ServerId;

/// A block of FP8 weights is as wide and as high.
const BLOCK: u64 = 128;
/// Engines that took vLLM's embedding over pad its rows to a multiple of this before they divide them.
const VOCABULARY: u64 = 64;
/// Groups of experts' scales are halved until they divide a rank's width, down to this (`moe_wna16.py`).
const LEAST_GROUP: u64 = 32;

/// How a model is divided.
#[derive(Clone, Copy, Debug)]
pub struct Division<'a> {
    /// The engine.
    pub engine: Option<ServerId>,
    /// Ranks among which matrices are divided.
    pub tensor: u64,
    /// Ranks among which attention is divided where they are fewer.
    pub attention: u64,
    /// Ranks among which the width of an expert is divided; one where ranks hold whole experts.
    pub experts: u64,
    /// How matrices are stored.
    pub stored: &'a Quantisation,
}

impl<'a> Division<'a> {
    /// The division of a job.
    pub fn of(job: &'a InferenceJob, engine: Option<ServerId>) -> Self {
        let tensor = job.tensor.max(1);
        let (attention, experts) = match &job.engine {
            Engine::Vllm(options) if options.expert => (tensor, 1),
            Engine::Vllm(options) => (tensor, tensor.saturating_mul(options.data.max(1))),
            Engine::Sglang(options) => {
                let attention = tensor / options.attention_copies.max(1);
                (attention, if options.experts { 1 } else { tensor })
            }
            Engine::TensorRtLlm(options) if options.experts => (tensor, 1),
            _ => (tensor, tensor),
        };
        Self {
            engine,
            tensor,
            attention: attention.max(1),
            experts,
            stored: &job.weights,
        }
    }

    /// The same among another number of ranks.
    pub fn among(self, tensor: u64) -> Self {
        let scaled = |ranks: u64| (ranks.saturating_mul(tensor) / self.tensor.max(1)).max(1);
        Self {
            tensor,
            attention: scaled(self.attention),
            experts: if self.experts == 1 && self.tensor > 1 {
                1
            } else {
                scaled(self.experts)
            },
            ..self
        }
    }

    /// Why the model cannot be divided so.
    pub fn refused(&self, network: &Network) -> Option<String> {
        if let Some(why) = indivisible(network, self.attention, copies(self.engine)) {
            return Some(why);
        }
        if self.engine == Some(ServerId::Huggingface) {
            return None;
        }
        let rows = network.vocabulary.div_ceil(VOCABULARY).saturating_mul(VOCABULARY);
        if self.engine != Some(ServerId::Tgi) && !rows.is_multiple_of(self.tensor.max(1)) {
            return Some(format!(
                "The {rows} rows of the padded vocabulary cannot be divided among {} GPUs.",
                self.tensor
            ));
        }
        network.kinds.iter().find_map(|layer| {
            self.width(&layer.feed_forward)
                .or_else(|| self.state(&layer.mixer))
                .or_else(|| self.quantised(layer))
        })
    }

    /// Widths of feed-forwards and experts.
    fn width(&self, feed_forward: &FeedForward) -> Option<String> {
        let among = |width: u64, what: &str, ranks: u64| {
            (!width.is_multiple_of(ranks.max(1)))
                .then(|| format!("{what} of width {width} cannot be divided among {ranks} GPUs."))
        };
        let odd = |width: u64, what: &str| among(width, what, self.tensor);
        match feed_forward {
            FeedForward::Dense(dense) => odd(dense.width, "A feed-forward"),
            FeedForward::Moe(moe) => {
                let shared = moe.shared.as_ref().map_or(0, |shared| shared.width);
                let dense = moe.dense.as_ref().map_or(0, |dense| dense.width);
                among(moe.width, "Experts", self.experts)
                    .or_else(|| odd(shared, "A shared expert"))
                    .or_else(|| odd(dense, "A feed-forward"))
            }
            FeedForward::Several(parts) => parts.iter().find_map(|part| self.width(part)),
            FeedForward::None => None,
        }
    }

    /// Heads and groups of recurrent mixers.
    fn state(&self, mixer: &Mixer) -> Option<String> {
        let ranks = self.attention.max(1);
        let odd = |count: u64, what: &str| {
            (!count.is_multiple_of(ranks))
                .then(|| format!("{count} {what} cannot be divided among {ranks} GPUs."))
        };
        match mixer {
            Mixer::Mamba1 { inner, .. } => odd(*inner, "channels of a state"),
            Mixer::Mamba2 { heads, groups, .. } => odd(*heads, "heads of a state").or_else(|| {
                // One group is copied; several are divided.
                odd(*groups, "groups of a state").filter(|_| *groups > 1)
            }),
            Mixer::GatedDelta {
                key_heads,
                value_heads,
                ..
            } => odd(*key_heads, "key heads").or_else(|| odd(*value_heads, "value heads")),
            Mixer::Lightning { heads, .. } => odd(*heads, "heads"),
            Mixer::ShortConvolution { width, .. } => odd(*width, "channels of a convolution"),
            Mixer::Several(parts) => parts.iter().find_map(|part| self.state(part)),
            Mixer::None | Mixer::Attention(_) | Mixer::Latent(_) => None,
        }
    }

    /// Groups and blocks of a layer's matrices.
    fn quantised(&self, layer: &Layer) -> Option<String> {
        let covered = |tensor: &&Tensor| self.stored.covers(tensor);
        layer.tensors.iter().filter(covered).find_map(|tensor| {
            let experts = tensor.role == crate::model::Role::RoutedExpert;
            if experts {
                return self.expert(layer.moe()?.width);
            }
            let [rows, columns] = *tensor.shape.as_slice() else {
                return None;
            };
            match tensor.split {
                Split::Axis(1) => self.inputs(columns),
                Split::Axis(_) => self.outputs(layer, tensor, rows),
                Split::Replicated => None,
            }
        })
    }

    /// Weights per scale along the inputs; `None` where a scale covers all of them.
    const fn group(&self) -> Option<u64> {
        match self.stored.format {
            WeightFormat::Gptq { group, .. }
            | WeightFormat::Awq { group }
            | WeightFormat::Compressed { group, .. }
            | WeightFormat::TorchaoInt4 { group } => Some(group),
            WeightFormat::Fp8Block => Some(BLOCK),
            WeightFormat::Mxfp8 => Some(32),
            WeightFormat::Nvfp4 { .. } => Some(16),
            _ => None,
        }
    }

    /// The inputs of a matrix whose columns are divided.
    fn inputs(&self, columns: u64) -> Option<String> {
        let group = self.group().filter(|group| *group < columns)?;
        let local = columns / self.tensor.max(1);
        (self.tensor > 1 && !local.is_multiple_of(group.max(1))).then(|| {
            format!(
                "{columns} inputs divided among {} GPUs are {local} each, which is no multiple of the {group} weights of a scale.",
                self.tensor
            )
        })
    }

    /// The outputs of a matrix whose rows are divided: blocks of FP8 must be whole.
    fn outputs(&self, layer: &Layer, tensor: &Tensor, rows: u64) -> Option<String> {
        if self.stored.format != WeightFormat::Fp8Block || self.tensor < 2 {
            return None;
        }
        let ranks = self.attention.max(1);
        let local = match (&layer.mixer, tensor.role) {
            (Mixer::Attention(attention), crate::model::Role::Mixer)
                if tensor.name.contains("k_proj") || tensor.name.contains("v_proj") =>
            {
                let heads = attention.kv_heads.max(1);
                (rows / heads).saturating_mul((heads / ranks).max(1))
            }
            // Of several tensors in one each is looked at by itself; their sum says little.
            (_, crate::model::Role::Mixer) if tensor.name.contains("qkv") => return None,
            (_, crate::model::Role::Mixer) => rows / ranks,
            _ => rows / self.tensor.max(1),
        };
        (local % BLOCK != 0).then(|| {
            format!(
                "{rows} outputs divided among {} GPUs are {local} each, which is no multiple of a block of {BLOCK}.",
                self.tensor
            )
        })
    }

    /// The width of an expert on a rank.
    fn expert(&self, width: u64) -> Option<String> {
        let group = self.group()?;
        let local = width / self.experts.max(1);
        let halved = matches!(
            self.stored.format,
            WeightFormat::Gptq { .. } | WeightFormat::Awq { .. }
        );
        let least = if halved { group.min(LEAST_GROUP) } else { group };
        (!local.is_multiple_of(least.max(1))).then(|| {
            format!(
                "Experts of width {width} are {local} wide on each of {} GPUs, which is no multiple of the {least} weights of a scale.",
                self.experts
            )
        })
    }
}

/// Whether an engine copies key and value heads where there are more ranks: Transformers' plans and TGI do not.
pub fn copies(engine: Option<ServerId>) -> bool {
    engine.is_some_and(|engine| !matches!(engine, ServerId::Huggingface | ServerId::Tgi))
}

/// Why the heads cannot be divided among so many ranks. `copies`: the engine copies key and value heads.
pub fn indivisible(network: &Network, tensor: u64, copies: bool) -> Option<String> {
    fn heads(mixer: &Mixer) -> Vec<(u64, Option<u64>)> {
        match mixer {
            Mixer::Attention(attention) => vec![(attention.heads, Some(attention.kv_heads))],
            Mixer::Latent(latent) => vec![(latent.heads, None)],
            Mixer::Several(parts) => parts.iter().flat_map(heads).collect(),
            _ => Vec::new(),
        }
    }
    let all = network.kinds.iter().flat_map(|layer| heads(&layer.mixer));
    for (queries, keys) in all {
        if queries % tensor.max(1) != 0 {
            return Some(format!(
                "{queries} attention heads cannot be divided among {tensor} GPUs."
            ));
        }
        let Some(keys) = keys.filter(|keys| keys % tensor.max(1) != 0) else {
            continue;
        };
        if !copies || !tensor.is_multiple_of(keys.max(1)) {
            return Some(format!(
                "{keys} key and value heads cannot be divided among {tensor} GPUs."
            ));
        }
    }
    None
}
