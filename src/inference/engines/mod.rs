//! The engines, one folder each. An engine turns a job into an [`Estimate`] of the fullest GPU.

pub mod llama_cpp;
mod loaded;
mod pooled;
mod rows;
pub mod sglang;
pub mod tensorrt_llm;
pub mod tgi;
pub mod transformers;
pub mod vllm;

use super::estimate::Estimate;
use super::job::InferenceJob;

/// An engine with what only it reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Engine {
    /// `generate` of Hugging Face Transformers.
    Transformers(transformers::Options),
    /// vLLM.
    Vllm(vllm::Options),
    /// SGLang.
    Sglang(sglang::Options),
    /// TensorRT-LLM.
    TensorRtLlm(tensorrt_llm::Options),
    /// Text Generation Inference.
    Tgi(tgi::Options),
    /// llama.cpp.
    LlamaCpp(Box<llama_cpp::Options>),
}

/// What the fullest GPU holds.
pub fn evaluate(job: &InferenceJob) -> Estimate {
    match &job.engine {
        Engine::Transformers(options) => transformers::evaluate(job, options),
        Engine::Vllm(options) => vllm::evaluate(job, options),
        Engine::Sglang(options) => sglang::evaluate(job, options),
        Engine::TensorRtLlm(options) => tensorrt_llm::evaluate(job, options),
        Engine::Tgi(options) => tgi::evaluate(job, options),
        Engine::LlamaCpp(options) => llama_cpp::evaluate(job, options),
    }
}
