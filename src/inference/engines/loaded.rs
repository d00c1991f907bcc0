//! Weights of a rank for engines whose layers are built as vLLM's are: projections fused, heads, experts and vocabulary
//! divided, scales beside packed weights. SGLang, TensorRT-LLM and TGI took these layers over or build the same shapes; what
//! each of them holds besides is its own affair.

use super::super::job::{CacheType, InferenceJob};
use super::super::vllm::release::newest;
use super::super::vllm::{Adapters, CacheFormat, Device, Job, Mesh, Speculation};
use super::vllm::kernel;
use crate::model::Network;

/// How a rank's weights differ from those of a plain start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loading {
    /// Ranks among which attention is divided where they are fewer than the tensor parallel ones.
    pub attention: Option<u64>,
    /// Whole experts on each rank.
    pub experts: bool,
    /// LoRA slots.
    pub adapters: Option<Adapters>,
    /// Whether the model's own next-token layers are loaded.
    pub next_token: bool,
    /// Rows of the rotary tables where the model states none.
    pub positions: u64,
}

/// The start on paper whose weights are the same; `None` without a table of releases.
pub(super) fn start<'a>(asked: &'a InferenceJob, network: &'a Network, loading: Loading) -> Option<Job<'a>> {
    let card = &asked.device;
    let device = Device {
        total: card.total,
        in_use: card.total.expected.saturating_sub(card.usable),
        name: card.name.to_lowercase(),
        capability: card.nvidia.then_some(card.capability),
        amd: !card.nvidia,
        unified: card.unified,
    };
    let mut job = Job::new(network, newest()?, device, loading.positions);
    job.mesh = Mesh {
        tensor: asked.tensor,
        pipeline: asked.pipeline,
        attention: loading.attention,
        expert: loading.experts,
        ..Mesh::default()
    };
    job.newer_runner = false;
    job.dtype = asked.compute;
    job.weights = kernel(asked.weights.format, card.capability, card.nvidia);
    job.left_out = &asked.weights.left_out;
    job.cache = match asked.cache {
        CacheType::Fp8 => CacheFormat::Fp8,
        _ => CacheFormat::Auto,
    };
    job.adapters = loading.adapters;
    job.speculation = Speculation {
        layers: u64::from(loading.next_token),
        ..Speculation::default()
    };
    job.encoder_tokens = (!network.towers.is_empty()).then_some(0);
    Some(job)
}
