//! The roofline of an inference question: bytes of its estimate over rates of its card, and the machines that a traffic needs.

use super::job::Question;
use crate::hardware::Gpu;
use crate::inference::weights::WeightFormat;
use crate::inference::{Engine, Estimate, PartId};
use crate::network::{AttentionKernels, Bounded, Case, Choice, Cluster, Machine, Rates, Serving, efficiency};
use crate::request::{Figures, ServerId, ServingSpeed, Sizing};
use crate::units::{Bytes, BytesPerSecond, FlopsPerSecond, Seconds};

/// The traffic that is asked, with its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Requests per second.
    pub requests: Option<f64>,
    /// Requests at once.
    pub users: Option<u64>,
    /// Long prompt and long answer.
    pub p95: (Option<u64>, Option<u64>),
    /// Limits on the first token and on each, in milliseconds.
    pub limits: (Option<f64>, Option<f64>),
    /// Share of the memory's bandwidth, where it was typed.
    pub bandwidth: Option<f64>,
    /// Price of a GPU-hour, where it was typed.
    pub price: Option<f64>,
}

fn bytes(estimate: &Estimate, id: PartId) -> f64 {
    let parts = estimate.parts.iter().filter(|part| part.id == id);
    parts.map(|part| part.bytes.expected).sum::<Bytes>().get() as f64
}

/// The rate of products for how weights are stored: 8-bit floats and integers with inputs to match run on the 8-bit units, all
/// others are expanded to 16 bits.
fn peak(gpu: &Gpu, format: WeightFormat) -> Option<f64> {
    let eight = matches!(
        format,
        WeightFormat::Fp8Tensor { .. }
            | WeightFormat::Fp8Channel
            | WeightFormat::Fp8Block
            | WeightFormat::Int8Channel
    );
    gpu.fp8_tflops.filter(|_| eight).or(gpu.bf16_tflops)
}

/// The generation of fused attention: engines that serve bring kernels of the newest, Transformers has torch's.
const fn attention(engine: ServerId) -> AttentionKernels {
    match engine {
        ServerId::Huggingface => AttentionKernels::Second,
        _ => AttentionKernels::Third,
    }
}

/// Engines that share the experts of each layer.
fn engines(question: &Question) -> u64 {
    match &question.job.engine {
        Engine::Vllm(options) if question.job.network.has_experts() => options.data.max(1),
        _ => 1,
    }
}

fn machine(question: &Question) -> Option<Machine> {
    let gpu = &question.card.gpu;
    let peak = FlopsPerSecond::from_tera(peak(gpu, question.job.weights.format)?);
    let mut shares = efficiency(gpu, None, attention(question.engine));
    if let Some(typed) = question.traffic.bandwidth {
        shares.memory = [typed; 3];
    }
    // One node, as far as a copy and the engines that share its experts go.
    let copy = question.gpus_per_copy().saturating_mul(engines(question));
    let clusters = Case::ALL.map(|case| Cluster {
        gpus_per_node: copy,
        nodes: 1,
        inside: super::super::network::inside(gpu, case),
        between: BytesPerSecond::ZERO,
        hop: Seconds::ZERO,
        switch: gpu
            .scale_up()
            .and_then(|link| link.switch_gb_per_s)
            .map(BytesPerSecond::from_gb),
        fabric_reduces: false,
    });
    Some(Machine {
        peak,
        stated_peak: peak,
        memory: BytesPerSecond::from_gb(gpu.bandwidth_gb_per_s?),
        efficiency: shares,
        clusters,
        choice: Choice::Auto,
        host: (BytesPerSecond::ZERO, BytesPerSecond::ZERO),
    })
}

fn serving(question: &Question, estimate: &Estimate) -> Serving {
    let job = &question.job;
    let sequences = job.sequences.max(1) as f64;
    let cached = job.length().saturating_sub(1).max(1) as f64;
    Serving {
        network: job.network.clone(),
        weights: bytes(estimate, PartId::Weights),
        cache_per_token: bytes(estimate, PartId::KvCache) / sequences / cached,
        state: bytes(estimate, PartId::State) / sequences,
        prompt: job.prompt as f64,
        cached: job.shared_prefix.min(job.prompt.saturating_sub(1)) as f64,
        new_tokens: job.new_tokens as f64,
        tensor: job.tensor,
        pipeline: job.pipeline,
        engines: engines(question),
        element: job.compute.bits() as f64 / 8.0,
    }
}

fn figures(of: impl Fn(Case) -> f64) -> Figures {
    let [fast, expected, slow] = Case::ALL.map(of);
    Figures {
        low: fast.min(expected).min(slow),
        expected,
        high: fast.max(expected).max(slow),
    }
}

/// What a plan is ranked by, all expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// New tokens per second and GPU while so many are served all the time, prompts included.
    pub rate: f64,
    /// Milliseconds per token.
    pub per_token: f64,
    /// Milliseconds to the first token of a prompt that waits for nobody.
    pub first: f64,
}

/// The pace of the asked sequences; nothing where [`speed`] says nothing.
pub fn pace(question: &Question, estimate: &Estimate) -> Option<Pace> {
    if question.engine == ServerId::LlamaCpp {
        return None;
    }
    let rates = machine(question)?.rates(Case::Expected);
    let copy = serving(question, estimate);
    let sequences = question.job.sequences.max(1) as f64;
    let first = copy.step(1.0, &rates, Case::Expected).time + copy.prefill(&rates, Case::Expected).time;
    Some(Pace {
        rate: copy.output_rate(sequences, &rates, Case::Expected) / question.gpus_per_copy().max(1) as f64,
        per_token: copy.step(sequences, &rates, Case::Expected).time.to_millis(),
        first: first.to_millis(),
    })
}

/// The speeds; nothing where a rate of the card is not known, and for llama.cpp, whose layers may run on the host.
pub fn speed(question: &Question, estimate: &Estimate, most: u64) -> Option<ServingSpeed> {
    if question.engine == ServerId::LlamaCpp {
        return None;
    }
    let machine = machine(question)?;
    let copy = serving(question, estimate);
    let rates = |case| machine.rates(case);
    let sequences = question.job.sequences.max(1) as f64;
    let prefill = |case| copy.prefill(&rates(case), case);
    let step = |case| copy.step(sequences, &rates(case), case);
    let first = |case| copy.step(1.0, &rates(case), case).time + prefill(case).time;
    let per_token = |time: Bounded| 1.0 / time.time.get().max(1e-9);
    let prompt = (copy.prompt - copy.cached).max(1.0);
    let (sizing, sizing_missing) = match sizing(question, &copy, &machine, most) {
        Some(Ok(sizing)) => (Some(sizing), None),
        Some(Err(reason)) => (None, Some(reason)),
        None => (None, None),
    };
    Some(ServingSpeed {
        kind: "roofline",
        ttft_ms: figures(|case| first(case).to_millis()),
        tpot_ms: figures(|case| step(case).time.to_millis()),
        prefill_tokens_per_second: figures(|case| {
            prompt * per_token(prefill(case)) * copy.pipeline.max(1) as f64
        }),
        decode_tokens_per_second_per_sequence: figures(|case| per_token(step(case))),
        decode_tokens_per_second: figures(|case| sequences * per_token(step(case))),
        output_tokens_per_second: figures(|case| copy.output_rate(sequences, &rates(case), case)),
        cost_per_million_tokens: question.traffic.price.map(|price| {
            let gpus = question.gpus_per_copy().max(1) as f64;
            figures(|case| {
                let rate = copy.output_rate(sequences, &rates(case), case);
                price * gpus * 1e6 / rate.max(1e-9) / 3600.0
            })
        }),
        prefill_bound: prefill(Case::Expected).bound.key(),
        decode_bound: step(Case::Expected).bound.key(),
        sizing,
        sizing_missing,
    })
}

/// The most sequences up to `most` whose step is no longer than a limit.
fn within(copy: &Serving, most: u64, limit: Option<f64>, rates: &Rates, case: Case) -> u64 {
    let Some(limit) = limit else {
        return most;
    };
    let fits = |sequences: u64| copy.step(sequences as f64, rates, case).time.to_millis() <= limit;
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// Machines for the asked traffic: nothing where none is asked, the reason where its limits cannot be met.
fn sizing(
    question: &Question,
    copy: &Serving,
    machine: &Machine,
    most: u64,
) -> Option<Result<Sizing, String>> {
    let asked = question.traffic;
    if asked.requests.is_none() && asked.users.is_none() {
        return None;
    }
    let job = &question.job;
    let long = Serving {
        prompt: asked.p95.0.map_or(copy.prompt, |prompt| prompt as f64),
        new_tokens: asked.p95.1.map_or(copy.new_tokens, |tokens| tokens as f64),
        ..copy.clone()
    };
    // The cache holds so many of the asked length, and fewer of the long one.
    let share = job.length().max(1) as f64 / (long.prompt + long.new_tokens).max(1.0);
    let room = Bytes::nearest(most as f64 * share.min(1.0)).get();
    if room == 0 {
        return Some(Err(
            "Not even one sequence of the p95 length fits the cache of a copy.".to_owned(),
        ));
    }
    let first = |case| {
        let rates = machine.rates(case);
        (long.prefill(&rates, case).time + long.step(1.0, &rates, case).time).to_millis()
    };
    if let Some(limit) = asked.limits.0.filter(|limit| first(Case::Fast) > *limit) {
        return Some(Err(format!(
            "The first token of a prompt of {} tokens takes {:.0} ms at best, more than {limit} ms: more GPUs per copy or a faster card.",
            long.prompt,
            first(Case::Fast)
        )));
    }
    let at_once = |case| within(&long, room, asked.limits.1, &machine.rates(case), case);
    if at_once(Case::Fast) == 0 {
        let one = long.step(1.0, &machine.rates(Case::Fast), Case::Fast);
        return Some(Err(format!(
            "A token takes {:.1} ms at best even for one sequence: more GPUs per copy or a faster card.",
            one.time.to_millis()
        )));
    }
    let sequences = |case| at_once(case).max(1) as f64;
    let rate =
        |case| copy.output_rate(sequences(case), &machine.rates(case), case) / copy.new_tokens.max(1.0);
    let replicas = |case| {
        let by_rate = asked
            .requests
            .map_or(0.0, |requests| (requests / rate(case)).ceil());
        let by_users = asked
            .users
            .map_or(0.0, |users| (users as f64 / sequences(case)).ceil());
        by_rate.max(by_users).max(1.0)
    };
    let gpus = question.gpus_per_copy().max(1) as f64;
    let limit = if at_once(Case::Expected) < room {
        "time_per_token"
    } else {
        let step = copy.step(
            sequences(Case::Expected),
            &machine.rates(Case::Expected),
            Case::Expected,
        );
        match asked.users {
            Some(_) => "kv_cache",
            None => step.bound.key(),
        }
    };
    Some(Ok(Sizing {
        sequences_per_copy: figures(sequences),
        requests_per_second_per_copy: figures(rate),
        replicas: figures(replicas),
        gpus: figures(|case| replicas(case) * gpus),
        limit,
    }))
}
