//! What an evaluation between two steps needs beside what training holds: the working set of a pass without gradients and
//! the cache of generated sequences, which are those of inference with the same model. No formula lives here.

use super::resolve::Card;
use crate::inference::InferenceJob;
use crate::inference::engines::Engine;
use crate::inference::engines::transformers::{Attention, CacheKind, Experts, Options, Sampling, evaluate};
use crate::inference::job::CacheType;
use crate::inference::weights::{Quantisation, WeightFormat};
use crate::memory::{Entry, Group, InstantId, Ledger};
use crate::training::{AttentionKernel, BaseFormat, Evaluation, TrainingJob, caches_in_fp32};
use crate::units::{Bytes, sort_by_key};

const LAYERS: [InstantId; 2] = [InstantId::PrefillAttention, InstantId::PrefillFeedForward];
const STEPS: [InstantId; 3] = [
    InstantId::PrefillHead,
    InstantId::DecodeLayer,
    InstantId::DecodeHead,
];

/// Places of what is added.
const EVALUATION: &str = "evaluation";
const REFERENCE: &str = "reference";

/// Adds to the instants of a pass without gradients, an evaluation's or a reference's, what a layer works with and what the cache holds.
pub fn add_working_sets(job: &TrainingJob, card: &Card, ledger: &mut Ledger) {
    if ledger
        .instants
        .iter()
        .any(|instant| instant.id == InstantId::ReferenceLayers)
    {
        let batch = Evaluation {
            batch: None,
            length: job.sequence_length,
            generated: None,
        };
        let pass = pass(job, batch, card, CacheKind::None);
        add(
            (job, REFERENCE),
            &pass,
            &LAYERS,
            InstantId::ReferenceLayers,
            ledger,
        );
        sort_by_key(&mut ledger.entries, |entry| entry.group);
    }
    let Some(evaluation) = job.evaluation else {
        return;
    };
    let generates = evaluation.generated.is_some();
    let cache = if generates {
        CacheKind::Dynamic
    } else {
        CacheKind::None
    };
    let pass = pass(job, evaluation, card, cache);
    add(
        (job, EVALUATION),
        &pass,
        &LAYERS,
        InstantId::EvaluationForward,
        ledger,
    );
    if generates {
        add(
            (job, EVALUATION),
            &pass,
            &STEPS,
            InstantId::EvaluationGeneration,
            ledger,
        );
    }
    sort_by_key(&mut ledger.entries, |entry| entry.group);
}

/// The pass as inference sees it.
fn pass(training: &TrainingJob, evaluation: Evaluation, card: &Card, cache: CacheKind) -> Ledger {
    let options = Options {
        attention: match training.attention {
            AttentionKernel::Eager => Attention::Eager,
            AttentionKernel::Masked | AttentionKernel::Flash => Attention::Sdpa,
            AttentionKernel::Package => Attention::Flash,
        },
        padding: training.attention == AttentionKernel::Masked,
        cache,
        chunk: None,
        all_logits: false,
        beams: 1,
        sampling: Sampling::Greedy,
        output_scores: false,
        experts: Experts::Default,
        assistant: None,
        drafts: 0,
    };
    let inference = InferenceJob {
        network: training.network.clone(),
        engine: Engine::Transformers(options.clone()),
        weights: Quantisation::by_default(match training.adapter.map(|adapter| adapter.base) {
            Some(BaseFormat::Nf4 { double }) => WeightFormat::BitsAndBytes4 { double },
            Some(BaseFormat::Int8) => WeightFormat::Int8Channel,
            Some(BaseFormat::Gptq { bits, group }) => WeightFormat::Gptq {
                bits: u64::from(bits),
                group,
            },
            Some(BaseFormat::Awq { group }) => WeightFormat::Awq { group },
            Some(BaseFormat::Plain) | None => WeightFormat::Plain,
        }),
        compute: training.precision.compute(),
        cache: CacheType::Compute,
        sequences: evaluation.sequences(training),
        prompt: evaluation.length,
        new_tokens: evaluation.generated.unwrap_or(1),
        shared_prefix: 0,
        tensor: 1,
        pipeline: 1,
        device: super::inference::device(card),
    };
    evaluated(&inference, &options)
}

/// What such a pass holds.
type Evaluated = fn(&InferenceJob, &Options) -> Ledger;

const EVALUATED: Evaluated = |job, options| evaluate(job, options).ledger;

brought!(evaluator: Evaluated = EVALUATED);

fn evaluated(job: &InferenceJob, options: &Options) -> Ledger {
    evaluator().map_or_else(Ledger::default, |evaluated| evaluated(job, options))
}

/// Takes over the tightest of these instants, without the weights.
fn add(
    (job, place): (&TrainingJob, &str),
    pass: &Ledger,
    instants: &[InstantId],
    at: InstantId,
    ledger: &mut Ledger,
) {
    let working = |entry: &&Entry| entry.group != Group::ModelParams;
    let needs = |instant: InstantId| -> Bytes {
        let entries = pass.entries.iter().filter(working);
        entries.map(|entry| entry.at(instant)).sum()
    };
    let Some(tightest) = instants.iter().copied().max_by_key(|instant| needs(*instant)) else {
        return;
    };
    let wide = caches_in_fp32(job);
    let mut found: Vec<Entry> = pass.entries.iter().filter(working).cloned().collect();
    found.retain(|entry| entry.at(tightest) > Bytes::ZERO);
    for entry in &mut found {
        if entry.group == Group::Cache && wide {
            entry.unit = entry.unit * 2;
            entry.formula = "4·kv·B·length for keys and for values, summed over layers";
        }
    }
    for mut entry in found {
        let times = entry.held.get(tightest.index()).copied().unwrap_or(0).max(1);
        let same =
            |other: &&mut Entry| other.id == entry.id && other.unit == entry.unit && other.place == place;
        let earlier = ledger.entries.iter_mut().find(same);
        let slot = match earlier {
            Some(earlier) => earlier.held.get_mut(at.index()),
            None => {
                entry.held = [0; InstantId::ALL.len()];
                entry.place = place.to_owned();
                ledger.entries.push(entry);
                ledger
                    .entries
                    .last_mut()
                    .and_then(|entry| entry.held.get_mut(at.index()))
            }
        };
        if let Some(slot) = slot {
            *slot += times;
        }
    }
}
