//! Other engines on the same GPU: what each needs, which share of the card it must be given, and in which order they start.

use std::sync::Arc;

use super::super::given::Given;
use super::super::read::Typed;
use super::super::resolve::Report;
use super::division::indivisible;
use crate::inference::engines::llama_cpp;
use crate::inference::engines::vllm::{Options, tenant};
use crate::inference::vllm::share::{Share, Tenant, shares};
use crate::inference::weights::Quantisation;
use crate::inference::{Engine, InferenceJob};
use crate::memory::Interval;
use crate::model::catalogue::{self, Entry};
use crate::request::{InputId, ShareRow, Sharing};
use crate::units::Bytes;
use crate::warn::Issue;

/// What another engine on the GPU is.
#[derive(Clone, Debug)]
enum Neighbour {
    /// A budget that is known.
    Budget(Bytes),
    /// A model of the catalogue, with its sequences and the tokens of each where they are given; by this engine or by llama.cpp.
    Model(&'static Entry, Option<(u64, u64)>, bool),
}

/// Divides the GPU among the asked engine and those beside it. The asked engine gets its share and what is free at its start,
/// where its share was not given.
pub fn divide(given: &Given, job: &mut InferenceJob, report: &mut Report) -> Option<Sharing> {
    let Some(Typed::List(words)) = given.get(InputId::OtherEngines) else {
        return None;
    };
    let Engine::Vllm(options) = job.engine.clone() else {
        return None;
    };
    let mut names = vec!["this engine".to_string()];
    let mut tenants = vec![tenant(job, &options)];
    for word in words {
        let found = read(word).and_then(|neighbour| needed(&neighbour, job, &options));
        match found {
            Ok(needs) => {
                names.push(word.clone());
                tenants.push(needs);
            }
            Err(why) => report.add(
                Issue::error("unknown_value", InputId::OtherEngines.key(), why).with_value(word.as_str()),
            ),
        }
    }
    let total = job.device.total.expected;
    let in_use = total.saturating_sub(job.device.usable);
    let counted = options.release.counts_others && options.v1;
    let found = shares(total, in_use, counted, &tenants);
    let sharing = told(&found, &names, &tenants, total);
    if !sharing.starts {
        report.warn(
            "does_not_start",
            InputId::OtherEngines,
            "Not all of these engines start beside each other on one GPU: see the order of their starts.",
        );
    }
    own(&found, &options, job, report);
    Some(sharing)
}

/// What the asked engine gets.
fn own(found: &[Share], options: &Options, job: &mut InferenceJob, report: &mut Report) {
    let Some(share) = found.iter().find(|share| share.tenant == 0) else {
        return;
    };
    let [_, expected, _] = share.utilization;
    job.device.usable = share.free;
    if options.utilization.is_none() && options.cache_memory.is_none() {
        let key = InputId::GpuMemoryUtilization.key();
        report.assumed.retain(|assumed| assumed.path != key);
        report.assume(
            InputId::GpuMemoryUtilization,
            expected,
            "what this engine needs beside the others",
        );
        job.engine = Engine::Vllm(Options {
            utilization: Some(expected.min(1.0)),
            ..options.clone()
        });
    }
}

fn told(found: &[Share], names: &[String], tenants: &[Tenant], total: Bytes) -> Sharing {
    let rows = found
        .iter()
        .enumerate()
        .filter_map(|(order, share)| {
            let needs = tenants.get(share.tenant)?;
            let [low, expected, high] = share.utilization;
            Some(ShareRow {
                order: order as u64 + 1,
                engine: names.get(share.tenant)?.clone(),
                asked: share.tenant == 0,
                gpu_memory_utilization: expected,
                utilization_low: low,
                utilization_high: high,
                budget_bytes: needs.budget.expected,
                outside_bytes: needs.outside,
                free_before_bytes: share.free,
                starts: share.starts,
            })
        })
        .collect();
    let taken: Bytes = found
        .iter()
        .filter(|share| share.starts)
        .filter_map(|share| tenants.get(share.tenant))
        .map(|needs| needs.budget.expected + needs.outside)
        .sum();
    let first = found.first().map_or(total, |share| share.free);
    Sharing {
        rows,
        starts: found.iter().all(|share| share.starts),
        left_bytes: first.saturating_sub(taken),
    }
}

/// `20 GiB`, `qwen2.5-7b`, `qwen2.5-7b@8x4096`, `llama.cpp:qwen2.5-7b@8x4096`.
fn read(word: &str) -> Result<Neighbour, String> {
    let of_file = ["llama.cpp:", "llama_cpp:"]
        .iter()
        .find_map(|engine| word.strip_prefix(engine));
    let word = of_file.unwrap_or(word).trim();
    let lower = word.to_ascii_lowercase();
    let (number, unit) = match (lower.strip_suffix("gib"), lower.strip_suffix("gb")) {
        (Some(number), _) => (number, 1.0),
        (_, Some(number)) => (number, 1e9 / Bytes::from_gib(1.0).get() as f64),
        _ => (lower.as_str(), 1.0),
    };
    if let Ok(size) = number.trim().parse::<f64>() {
        return if size.is_finite() && size > 0.0 {
            Ok(Neighbour::Budget(Bytes::from_gib(size * unit)))
        } else {
            Err(format!("{word:?} is no size of a budget."))
        };
    }
    let (name, requests) = match word.split_once('@') {
        None => (word, None),
        Some((name, text)) => {
            let parts = text.split_once(['x', 'X']);
            let numbers = parts.and_then(|(sequences, tokens)| {
                Some((sequences.trim().parse().ok()?, tokens.trim().parse().ok()?))
            });
            let in_range = numbers.filter(|(sequences, tokens): &(u64, u64)| {
                (1..=1 << 20).contains(sequences) && (2..=1 << 30).contains(tokens)
            });
            if in_range.is_none() {
                return Err(format!(
                    "{text:?} is not a number of sequences and their tokens, as in 8x4096."
                ));
            }
            (name, in_range)
        }
    };
    catalogue::find(name)
        .map(|entry| Neighbour::Model(entry, requests, of_file.is_some()))
        .ok_or_else(|| {
            format!(
                "{name:?} is neither a model of the catalogue nor the size of a budget. Write qwen2.5-7b@8x4096, llama.cpp:qwen2.5-7b@8x4096 or 20 GiB."
            )
        })
}

/// The same engine with another model and nothing set but what all share: version, entry point, ranks.
fn needed(neighbour: &Neighbour, asked: &InferenceJob, options: &Options) -> Result<Tenant, String> {
    let (entry, requests, of_file) = match neighbour {
        Neighbour::Budget(bytes) => {
            return Ok(Tenant {
                budget: Interval::exact(*bytes),
                outside: crate::memory::meters::context().expected,
            });
        }
        Neighbour::Model(entry, requests, of_file) => (entry, requests, *of_file),
    };
    let imported = entry
        .import()
        .ok_or_else(|| format!("{} cannot be read.", entry.id))?;
    if !of_file && let Some(why) = indivisible(&imported.network, asked.tensor, true) {
        return Err(format!("{}: {why}", entry.id));
    }
    let weights = entry
        .config
        .get("quantization_config")
        .and_then(|config| Quantisation::from_config(config).ok())
        .unwrap_or_else(Quantisation::none);
    let limit = imported.network.max_positions.unwrap_or(4096).max(2);
    let (sequences, tokens) = requests.unwrap_or((1, limit));
    let job = InferenceJob {
        network: Arc::new(imported.network),
        engine: Engine::Vllm(options.clone()),
        weights,
        compute: imported.torch_dtype.unwrap_or(asked.compute),
        sequences,
        prompt: tokens.saturating_sub(1).max(1),
        new_tokens: 1,
        shared_prefix: 0,
        ..asked.clone()
    };
    if of_file {
        return Ok(llama_cpp::tenant(&InferenceJob {
            weights: Quantisation::none(),
            ..job
        }));
    }
    let options = Options {
        utilization: None,
        cache_memory: None,
        max_model_len: None,
        batched_tokens: None,
        sequences: None,
        block_size: None,
        chunked_prefill: None,
        sampler: None,
        adapters: None,
        drafts: 0,
        drafter: None,
        ..options.clone()
    };
    Ok(tenant(&job, &options))
}
