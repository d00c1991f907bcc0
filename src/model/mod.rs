//! What a network is: its layers in order, each a mixer and a feed-forward, its ends, and the exact list of its weights.
//!
//! Import of Hugging Face `config.json` and the catalogue live below. Nothing here knows about training, serving or
//! hardware.

pub mod catalogue;
pub mod draft_head;
pub mod import;
pub mod layer;
pub mod network;
pub mod tensor;
pub mod vision;

pub use layer::{
    Attention, Dense, FeedForward, Latent, Layer, Mixer, Moe, Norm, NormKind, QkNorm, Residual, SharedExpert,
    Span,
};
pub use network::{Encoder, Head, LayerKind, Network, Tower};
pub use tensor::{Role, Split, Tensor};
pub use vision::{Vision, VisionClass, VisionPart};
