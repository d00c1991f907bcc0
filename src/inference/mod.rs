//! What serving holds on a GPU: weights as an engine stores them, the cache of keys and values, activations of one step,
//! captured graphs, and what lies outside the allocator.

pub mod vllm;
