//! The lines on memory that TGI prints at its start, and the error where it does not start
//! (`server/text_generation_server/models/flash_causal_lm.py`, `backends/v3/src/client/sharded_client.rs`,
//! `launcher/src/main.rs`).

use super::start::{Failure, Start};

/// The lines in the order in which they appear.
pub fn lines(found: &Start) -> Vec<String> {
    let settings = &found.settings;
    let [_, tokens, _] = found.tokens;
    let mut lines = vec![format!(
        "Default `max_batch_prefill_tokens` to {}",
        settings.prefill
    )];
    match found.failure {
        Some(Failure::OutOfMemory) => {
            lines.push("torch.cuda.OutOfMemoryError: CUDA out of memory.".to_string());
            return lines;
        }
        Some(Failure::Warmup) => {
            lines.push(format!(
                "Not enough memory to handle {} prefill tokens. You need to decrease `--max-batch-prefill-tokens`",
                settings.prefill
            ));
            return lines;
        }
        Some(Failure::TooSmall) => {
            lines.push("Not enough memory to handle `max_total_tokens` or the batch's total tokens: decrease `--max-total-tokens`, `--max-batch-total-tokens` or `--max-batch-prefill-tokens`".to_string());
            return lines;
        }
        None => {}
    }
    lines.push(format!(
        "KV-cache blocks: {}, size: {}",
        tokens / settings.block.max(1),
        settings.block
    ));
    if found.graphs.high > crate::units::Bytes::ZERO {
        lines.push("Cuda Graphs are enabled for sizes [32, 16, 8, 4, 2, 1]".to_string());
    }
    lines.push(format!("Setting max batch total tokens to {tokens}"));
    lines
}
