//! Whole files whose text stack is a family of its own: the stack is built by that family, the tower stands beside it.

use super::keys::Keys;
use super::{pixtral, siglip};
use crate::model::import::config::Config;
use crate::model::import::families;
use crate::model::{Network, Role, Split, Tensor, Tower};

/// Builds the text stack by its own `model_type`, or as `usual`.
fn text(c: &Config<'_>, usual: &str, whole_decides: bool) -> Network {
    let inner = c.word(&["model_type"], usual);
    let inner = if c.is_nested() { inner.as_str() } else { usual };
    let whole = c.outer().word(&["model_type"], "");
    let known = families::find(inner).filter(|_| inner != whole);
    let build = known
        .or_else(|| families::find(usual))
        .unwrap_or(families::generic);
    let mut network = build(c);
    let outer = Keys::new(c).outer();
    Keys::new(c).known(&["tie_word_embeddings"]);
    if whole_decides && c.is_nested() && outer.has("tie_word_embeddings") {
        tie(&mut network, outer.flag("tie_word_embeddings", true));
    }
    network
}

/// The whole file decides whether head and embedding are one, whatever its text stack says.
fn tie(network: &mut Network, tied: bool) {
    network.head.tied = tied;
    network.output_tensors.retain(|tensor| tensor.role != Role::Head);
    if !tied {
        let shape = [network.vocabulary, network.hidden_size];
        let head = Tensor::new("lm_head.weight", &shape, Role::Head, Split::Axis(0));
        network.output_tensors.push(head);
    }
}

fn with_towers(c: &Config<'_>, usual: &str, towers: fn(&Keys<'_>, u64) -> Vec<Tower>) -> Network {
    let mut network = text(c, usual, true);
    Keys::new(c).known(&["use_bidirectional_attention"]);
    if c.is_nested() {
        let outer = Keys::new(c).outer();
        network.towers = towers(&outer, network.hidden_size);
    }
    network
}

/// `gemma3`: Gemma 3's text with SigLIP.
pub fn gemma3(c: &Config<'_>) -> Network {
    let mut network = with_towers(c, "gemma3_text", siglip::towers);
    if c.is_nested() {
        prefix(&mut network);
    }
    network
}

/// `mistral3`: Mistral's or Ministral 3's text with Pixtral.
pub fn mistral3(c: &Config<'_>) -> Network {
    let mut network = with_towers(c, "mistral", pixtral::towers);
    if c.is_nested() {
        prefix(&mut network);
    }
    network
}

/// `kimi_k25`: the text is DeepSeek-V3's and decides about tying; the tower is left out, as in the published counts.
pub fn kimi_k25(c: &Config<'_>) -> Network {
    let mut network = text(c, "deepseek_v3", false);
    network.model_type = "kimi_k25".to_owned();
    let outer = Keys::new(c).outer();
    outer.known(&[
        "tie_word_embeddings",
        "use_unified_vision_chunk",
        "projection_hidden_size",
    ]);
    if outer.has("vision_config") {
        outer.warn(
            "vision_config",
            "describes a tower of about half a billion parameters that is not counted",
        );
    }
    network
}

/// Names of the ends inside the whole model.
fn prefix(network: &mut Network) {
    let ends = network
        .input_tensors
        .iter_mut()
        .chain(&mut network.output_tensors);
    for tensor in ends {
        if let Some(rest) = tensor.name.strip_prefix("model.") {
            tensor.name = format!("model.language_model.{rest}");
        }
    }
}
