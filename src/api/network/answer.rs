//! Three cases become an answer: traffic by collective and link, the step with its parts and its timeline, rates and cost.

use super::super::answer::range;
use super::super::job::Job;
use super::super::measure::measure;
use super::{Estimate, estimate, suggest};
use crate::network::{Case, Collective, Exposed, StepTimes, Window, model_flops_per_token};
use crate::request::{
    Figures, MultiNodeAnswer, NetworkOverhead, RateRow, Request, RunBudget, Segment, StepAnswer, TimePart,
    TrafficRow,
};
use crate::units::{Bytes, Seconds};
use crate::warn::Issue;

/// The answer to a multi-node question.
pub fn answer(request: &Request, job: Job) -> Result<MultiNodeAnswer, Vec<Issue>> {
    let outcome = measure(&job, job.training.micro_batch).map_err(|issue| vec![issue])?;
    let found = estimate(&job);
    let alternatives = suggest::alternatives(request, &job, &found, outcome.need.expected);
    let communicators = outcome.outside.iter().filter(|part| part.id == "nccl");
    Ok(MultiNodeAnswer {
        network_overhead: overhead(&found),
        gpus_used: job.mesh.gpus,
        traffic: rows(&job, &found),
        step: found.timed.then(|| step(&job, &found)),
        step_missing: (!found.timed).then(|| {
            format!(
                "The rate of {} is not in the table: type it to get times.",
                job.card.gpu.name
            )
        }),
        suggestions: alternatives.iter().map(suggest::words).collect(),
        alternatives,
        verdict: outcome.verdict,
        need: range(outcome.need),
        communicator_bytes: communicators.map(|part| part.bytes).sum(),
        multi_node_info: job.nodes,
        assumed: job.assumed,
        plans: None,
        warnings: job.warnings,
    })
}

/// Fast, expected and slow as low, expected and high.
fn figures([fast, expected, slow]: [f64; 3]) -> Figures {
    Figures {
        low: fast.min(expected).min(slow),
        expected,
        high: fast.max(expected).max(slow),
    }
}

fn over(found: &Estimate, of: impl Fn(&StepTimes) -> f64) -> Figures {
    let [fast, expected, slow] = &found.cases;
    figures([of(fast), of(expected), of(slow)])
}

/// Bytes that leave a node, in the mean over the nodes.
fn node_bytes(found: &Estimate, one: &Exposed) -> f64 {
    let [_, cluster, _] = &found.machine.clusters;
    one.transfer.between_nodes(found.work.mesh.gpus()) / cluster.nodes.max(1) as f64
}

/// All that leaves a node per step.
pub fn node_traffic(found: &Estimate) -> f64 {
    let [_, expected, _] = &found.cases;
    expected.transfers.iter().map(|one| node_bytes(found, one)).sum()
}

/// What leaves a node, by collective.
pub fn overhead(found: &Estimate) -> NetworkOverhead {
    let [_, expected, _] = &found.cases;
    let sum = |accept: &dyn Fn(&Exposed) -> bool| -> Bytes {
        let kept = expected.transfers.iter().filter(|one| accept(one));
        Bytes::nearest(kept.map(|one| node_bytes(found, one)).sum())
    };
    let tensor = |one: &Exposed| one.transfer.purpose.is_tensor();
    let of = |collective: Collective| sum(&|one| !tensor(one) && one.transfer.collective == collective);
    let allreduce = of(Collective::AllReduce);
    let allgather = of(Collective::AllGather);
    let reducescatter = of(Collective::ReduceScatter);
    let all_to_all = of(Collective::AllToAll);
    let point_to_point = of(Collective::PointToPoint);
    let pipeline = sum(&|one| one.transfer.purpose == crate::network::Purpose::Pipeline);
    let tensor_parallel = sum(&tensor);
    let total = allreduce + allgather + reducescatter + all_to_all + point_to_point + tensor_parallel;
    let latency: Seconds = expected
        .transfers
        .iter()
        .map(|one| one.call.latency * one.transfer.calls)
        .sum();
    NetworkOverhead {
        allreduce_gb: allreduce.to_gib(),
        allreduce_bytes: allreduce,
        allgather_gb: allgather.to_gib(),
        allgather_bytes: allgather,
        reducescatter_gb: reducescatter.to_gib(),
        reducescatter_bytes: reducescatter,
        all_to_all_gb: all_to_all.to_gib(),
        all_to_all_bytes: all_to_all,
        point_to_point_gb: point_to_point.to_gib(),
        point_to_point_bytes: point_to_point,
        pipeline_gb: pipeline.to_gib(),
        pipeline_bytes: pipeline,
        tensor_parallel_gb: tensor_parallel.to_gib(),
        tensor_parallel_bytes: tensor_parallel,
        total_overhead_gb: total.to_gib(),
        total_overhead_bytes: total,
        estimated_overhead_ms_per_step: expected.exposed().to_millis(),
        communication_time_ms_per_step: expected.communication().to_millis(),
        latency_overhead_ms: latency.to_millis(),
    }
}

fn rows(job: &Job, found: &Estimate) -> Vec<TrafficRow> {
    let [fast, expected, slow] = &found.cases;
    let all = fast
        .transfers
        .iter()
        .zip(&expected.transfers)
        .zip(&slow.transfers);
    let rows = all.map(|((fast, one), slow)| {
        let transfer = &one.transfer;
        let millis =
            |of: fn(&Exposed) -> Seconds| figures([of(fast), of(one), of(slow)].map(Seconds::to_millis));
        let between = transfer.group.nodes() > 1;
        let link = match (&job.nodes, between) {
            (Some(nodes), true) => nodes.interconnect_type.clone(),
            _ => job.card.gpu.link.clone().unwrap_or_else(|| "PCIe".to_owned()),
        };
        let micro_batches = found.work.micro_batches.max(1) as f64;
        let each = if transfer.each_micro_batch {
            transfer.sent() / micro_batches
        } else {
            0.0
        };
        TrafficRow {
            id: transfer.purpose.key(),
            label: transfer.purpose.label(),
            collective: transfer.collective.key(),
            ranks: transfer.group.ranks,
            nodes: transfer.group.nodes(),
            link,
            payload_bytes: Bytes::nearest(transfer.payload),
            calls_per_step: transfer.calls,
            factor: transfer.collective.factor(),
            bytes_per_micro_batch: Bytes::nearest(each),
            bytes_per_step: Bytes::nearest(transfer.sent()),
            node_bytes_per_step: Bytes::nearest(node_bytes(found, one)),
            algorithm: one.call.algorithm.key(),
            time_ms: millis(|one| one.time),
            exposed_ms: millis(|one| one.exposed),
            latency_ms: (one.call.latency * transfer.calls).to_millis(),
            beside: transfer.window.label(),
            source: transfer.purpose.source(),
        }
    });
    rows.collect()
}

/// What a part of a step is called, and its time.
type Part = (&'static str, &'static str, fn(&StepTimes) -> Seconds);

const PARTS: [Part; 7] = [
    ("forward", "forward", |times| times.forward),
    ("backward", "backward", |times| {
        times.backward - times.recomputation
    }),
    ("recomputation", "recomputation", |times| times.recomputation),
    (
        "communication",
        "communication that nothing hides",
        StepTimes::exposed,
    ),
    ("bubble", "pipeline bubble", |times| times.bubble),
    ("update", "optimizer", |times| times.update),
    ("offload", "host memory and the step there", |times| times.offload),
];

/// The parts of a step in milliseconds.
pub fn step_parts(times: &StepTimes) -> Vec<(&'static str, f64)> {
    PARTS
        .into_iter()
        .map(|(_, label, of)| (label, of(times).to_millis()))
        .collect()
}

fn step(job: &Job, found: &Estimate) -> StepAnswer {
    let work = &found.work;
    let gpus = work.mesh.gpus().max(1) as f64;
    let tokens = work.tokens_per_step();
    let flops = model_flops_per_token(&work.network, work.sequence);
    let seconds = |times: &StepTimes| times.total().get().max(1e-9);
    let rate = |times: &StepTimes| tokens / seconds(times);
    let model_rate = |times: &StepTimes| flops * rate(times) / gpus / 1e12;
    let stated = found.machine.stated_peak.get() / 1e12;
    let parts = PARTS
        .into_iter()
        .map(|(id, label, of)| TimePart {
            id,
            label,
            ms: over(found, |times| of(times).to_millis()),
        })
        .filter(|part| part.ms.high > 0.0)
        .collect();
    let hours = |tokens: f64| over(found, |times| tokens / rate(times) * gpus / 3600.0);
    let priced = |hours: Figures| {
        job.speed.price.map(|price| Figures {
            low: hours.low * price,
            expected: hours.expected * price,
            high: hours.high * price,
        })
    };
    let budget = job.speed.token_budget.map(|budget| {
        let gpu_hours = hours(budget as f64);
        RunBudget {
            tokens: budget,
            steps: (budget as f64 / tokens.max(1.0)).ceil(),
            days: over(found, |times| budget as f64 / rate(times) / 86_400.0),
            gpu_hours,
            cost: priced(gpu_hours),
        }
    });
    StepAnswer {
        step_ms: over(found, |times| times.total().to_millis()),
        parts,
        timeline: timeline(found),
        model_flops_per_token: flops,
        mfu_percent: over(found, |times| 100.0 * model_rate(times) / stated),
        model_tflops_per_gpu: over(found, model_rate),
        tokens_per_step: tokens,
        tokens_per_second: over(found, rate),
        tokens_per_second_per_gpu: over(found, |times| rate(times) / gpus),
        tokens_per_day: over(found, |times| rate(times) * 86_400.0),
        budget,
        cost_per_billion_tokens: priced(hours(1e9)),
        rates: rates(job, found),
    }
}

fn rates(job: &Job, found: &Estimate) -> Vec<RateRow> {
    let of = |rate: &dyn Fn(Case) -> f64| figures(Case::ALL.map(rate));
    let machine = &found.machine;
    let mut rows = vec![
        RateRow {
            label: "matrix products",
            value: of(&|case| machine.rates(case).products.get() / 1e12),
            unit: "TFLOP/s",
            source: machine.efficiency.source.to_owned(),
        },
        RateRow {
            label: "attention",
            value: of(&|case| machine.rates(case).attention.get() / 1e12),
            unit: "TFLOP/s",
            source: "FlashAttention-2 and 3 (arXiv 2307.08691, 2407.08608)".to_owned(),
        },
        RateRow {
            label: "memory",
            value: of(&|case| machine.rates(case).memory.to_gb()),
            unit: "GB/s",
            source: "80 to 92 % of the nominal bandwidth (ai-dynamo/aiconfigurator@095f58a51: 80 %)"
                .to_owned(),
        },
    ];
    if job.mesh.gpus > 1 {
        rows.push(RateRow {
            label: "between GPUs of a node",
            value: of(&|case| machine.rates(case).cluster.inside.rate.to_gb()),
            unit: "GB/s",
            source: job.card.gpu.scale_up().map_or_else(
                || "76 to 82 % of one direction; half to all of a copy without a fabric".to_owned(),
                |link| link.sources.join("; "),
            ),
        });
    }
    if job.nodes.is_some() {
        rows.push(RateRow {
            label: "out of a node",
            value: of(&|case| machine.rates(case).cluster.between.to_gb()),
            unit: "GB/s",
            source: "ports times rate times network efficiency".to_owned(),
        });
    }
    rows
}

/// The expected step as shares of its length: arithmetic one after another, communication where its window begins.
fn timeline(found: &Estimate) -> Vec<Segment> {
    let [_, times, _] = &found.cases;
    let total = times.total();
    let micro_batches = found.work.micro_batches.max(1) as f64;
    let share = |time: Seconds| time.share_of(total);
    let mut segments = Vec::new();
    let mut at = Seconds::ZERO;
    let mut place = |label, length: Seconds, exposed: bool, communication: bool| {
        if length > Seconds::ZERO {
            segments.push(Segment {
                communication,
                label,
                start: share(at),
                length: share(length),
                exposed: if exposed { share(length) } else { 0.0 },
            });
        }
        at += length;
    };
    place("forward", times.forward, false, false);
    place("backward", times.backward, false, false);
    place("pipeline bubble", times.bubble, false, false);
    place("visible communication", times.exposed(), true, false);
    place("host memory and the step there", times.offload, false, false);
    place("optimizer", times.update, false, false);
    let computed = times.forward + times.backward;
    for one in &times.transfers {
        let start = match one.transfer.window {
            Window::Forward | Window::Products | Window::Attention | Window::Steady | Window::NextForward => {
                Seconds::ZERO
            }
            Window::Backward | Window::WeightGradients => times.forward,
            Window::LastBackward => computed - times.backward * (1.0 / micro_batches),
            Window::Nothing => computed + times.bubble,
        };
        segments.push(Segment {
            communication: true,
            label: one.transfer.purpose.label(),
            start: share(start).min(1.0),
            length: share(one.time).min(1.0),
            exposed: share(one.exposed).min(1.0),
        });
    }
    segments
}
