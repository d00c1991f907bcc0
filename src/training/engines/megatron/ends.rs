//! The ends of the network on the pipeline ranks that hold them: embedding, final norm, head and loss over the divided
//! vocabulary (NVIDIA/Megatron-LM core/models/gpt/gpt_model.py, core/tensor_parallel/cross_entropy.py and layers.py).

use super::saved::Setting;
use super::{Megatron, share};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::training::sheet::{Held, Item, Sheet};
use crate::training::{Objective, TrainingJob};
use crate::units::Bytes;

/// Where sizes of the ends come from.
pub const SOURCE: Citation = Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/models/gpt/gpt_model.py, core/tensor_parallel/cross_entropy.py and layers.py, core/pipeline_parallel/schedules.py",
);

/// What the ends hold.
pub struct Ends {
    /// Per micro-batch in flight that began here: token ids and the embedding's dropout mask.
    pub embedded: Held,
    /// In the embedding's backward.
    pub embedding: Held,
    /// A tensor that arrives from another pipeline rank.
    pub received: Item,
    /// At the loss.
    pub loss: Loss,
}

/// What the loss holds, with final norm and head.
pub struct Loss {
    /// While it is computed.
    pub forward: Held,
    /// While the gradient of the logits is computed.
    pub backward: Held,
    /// While the head's gradients are computed.
    pub head: Held,
    /// What it saved for backward.
    pub waiting: Held,
}

impl Ends {
    /// Registers what the ends of a job hold.
    pub fn new((job, settings): (&TrainingJob, &Megatron), setting: &Setting, sheet: &mut Sheet) -> Self {
        let (input, setting) = (setting, &setting.of_decoder());
        let rows = |id, label, (bytes, width, meaning): (u64, u64, &'static str), rows: u64, group| Item {
            id,
            label,
            group,
            dtype: None,
            unit: block(Bytes::new(bytes.saturating_mul(width).saturating_mul(rows))),
            formula: "β·w·T",
            symbols: vec![
                Symbol::new("β", "bytes per element", bytes),
                Symbol::new("w", meaning, width),
                Symbol::new("T", "tokens on the rank", rows),
            ],
            terms: Vec::new(),
            citation: SOURCE,
        };
        let (hidden, tokens, own) = (setting.hidden, setting.tokens, setting.own());
        let act = Group::Activations;
        let stream = |id, label, tokens| rows(id, label, (setting.bytes, hidden, "hidden size"), tokens, act);
        let mut embedded = Held::new();
        let mut sides = vec![input];
        if job.network.encoder.is_some() {
            sides.push(setting);
            // Final norm of the encoder, whose output every layer of the decoder has as an input.
            let of = |id, label| stream(id, label, input.own());
            embedded.push((sheet.item(of("norm.input", "input of a norm"), "encoder"), 1));
            embedded.push((sheet.item(of("norm.output", "output of a norm"), "encoder"), 1));
        }
        for side in sides {
            let ids = rows(
                "token_ids",
                "token ids",
                (8, 1, "one per token"),
                side.tokens,
                act,
            );
            embedded.push((sheet.item(ids, ""), 1));
            if job.network.embedding_dropout > 0.0 {
                let width = (1, hidden, "hidden size");
                let mask = rows("dropout.mask", "dropout mask", width, side.own(), act);
                embedded.push((sheet.item(mask, "embedding"), 1));
            }
        }
        let matrix = |id, label| Item {
            id,
            label,
            group: Group::Gradients,
            dtype: None,
            unit: block(Bytes::new(
                setting
                    .bytes
                    .saturating_mul(share::over_vocabulary(&job.network, settings)),
            )),
            formula: "β·V·h",
            symbols: vec![
                Symbol::new("β", "bytes per element", setting.bytes),
                Symbol::new(
                    "V",
                    "rows of the padded vocabulary on the rank",
                    settings.padded(job.network.vocabulary) / settings.tensor.max(1),
                ),
                Symbol::new("h", "hidden size", hidden),
            ],
            terms: Vec::new(),
            citation: SOURCE,
        };
        // A reward model has one number per token.
        let reward = job.objective == Objective::Reward;
        let vocabulary = if reward {
            1
        } else {
            settings.padded(job.network.vocabulary) / settings.tensor.max(1)
        };
        let logits = |id, label, bytes| {
            let width = (bytes, vocabulary, "rows of the padded vocabulary on the rank");
            rows(id, label, width, tokens, act)
        };
        let narrow = sheet.item(logits("logits", "logits", setting.bytes), "");
        let wide = sheet.item(logits("logits.fp32", "fp32 copy of the logits", 4), "");
        let input = sheet.item(stream("norm.input", "input of a norm", own), "final norm");
        let output = sheet.item(stream("norm.output", "output of a norm", own), "final norm");
        let gathered = sheet.item(stream("head.input", "hidden states of the head", tokens), "");
        let gradient = sheet.item(
            stream("gradient.hidden", "gradient of the head's input", tokens),
            "",
        );
        let mut norm = vec![(input, 1), (output, 1)];
        // BERT's head has a dense layer before it, with an activation and a norm (core/models/bert/bert_lm_head.py).
        let tensors = &job.network.output_tensors;
        if tensors
            .iter()
            .any(|tensor| tensor.name.starts_with("lm_head.dense"))
        {
            let label = "hidden states inside the head";
            norm.push((sheet.item(stream("head.hidden", label, own), ""), 3));
        }
        let copies = settings.loss.fp32_copies();
        // The head's gradient is a tensor of its own unless the product adds it into the main gradient.
        let mut head = vec![(narrow, 1), (gathered, 1), (gradient, 1)];
        head.extend(norm.iter().copied());
        let mut embedding = vec![(gradient, 1)];
        if !settings.fused_accumulation && job.adapter.is_none() && !reward {
            head.push((
                sheet.item(
                    matrix("gradients.head", "gradient of the head before it is added"),
                    "",
                ),
                1,
            ));
        }
        // core/pipeline_parallel/schedules.py, `drain_embedding_wgrad_compute`: gradients of logits and inputs of the head wait.
        let deferred = [(narrow, settings.deferred), (input, settings.deferred)];
        let deferred = if settings.deferred > 0 { &deferred[..] } else { &[] };
        head.extend(deferred);
        let label = "gradient of the embedding before it is added";
        embedding.push((sheet.item(matrix("gradients.embedding", label), ""), 1));
        Self {
            embedded,
            embedding,
            received: stream(
                "pipeline.received",
                "hidden states from and to other pipeline ranks",
                own,
            ),
            loss: Loss {
                forward: [&norm[..], &[(gathered, 1), (narrow, 1), (wide, copies)], deferred].concat(),
                backward: [&norm[..], &[(gathered, 1), (narrow, 1), (wide, 1)], deferred].concat(),
                head,
                waiting: [&norm[..], &[(wide, 1)]].concat(),
            },
        }
    }
}
