//! A start of the engine: weights, dummy pass, budget, cache, graphs, in this order, with what is printed
//! (vllm `v1/worker/gpu_worker.py` determine_available_memory, `v1/core/kv_cache_utils.py`; V0 `worker/worker.py`).
//!
//!   requested = total x utilization;   cache = requested - weights - activations - non-torch - graphs in the budget

use super::cache::{Layout, Pool};
use super::job::{Job, Settings};
use super::log;
use super::profile::{Profile, profile};
use super::tensors::{Weights, all_weights, stages};
use crate::memory::Interval;
use crate::memory::meters::{communicator, context};
use crate::units::Bytes;

/// Why the engine does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Less memory is free than the engine wants to use.
    NotFree,
    /// The weights alone do not fit on the card.
    OutOfMemory,
    /// Nothing is left for the cache.
    NoBlocks,
    /// One sequence of the longest context does not fit.
    TooLong,
}

/// What one GPU of the tightest pipeline stage holds, and what is left for the cache. The longest context changes it only
/// through the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// The arguments after defaults.
    pub settings: Settings,
    /// What the engine may use of the total.
    pub requested: Bytes,
    /// Weights, with their bounds.
    pub weights: Interval,
    /// Weights by part.
    pub weight_parts: Weights,
    /// Weights of each pipeline stage, as its first rank prints them.
    pub stages: Vec<Bytes>,
    /// The activation peak.
    pub profile: Profile,
    /// What is held outside torch since the first snapshot.
    pub non_torch: Interval,
    /// Captured graphs; inside the budget where the release says so.
    pub graphs: Interval,
    /// The cache in bytes: low, expected, high; negative where nothing is left.
    pub cache: [i64; 3],
    /// The division of the cache.
    pub layout: Layout,
}

impl Budget {
    /// The expected cache; zero where nothing is left.
    pub fn cache_bytes(&self) -> u64 {
        u64::try_from(self.cache[1]).unwrap_or(0)
    }

    /// Blocks of the expected cache.
    pub fn blocks(&self) -> u64 {
        self.cache_bytes() / self.layout.block_bytes.max(1)
    }
}

/// A start: its budget, what the pool gives at the longest context, and what the log says.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// What the tightest GPU holds.
    pub budget: Budget,
    /// Blocks, tokens and concurrency of the expected cache.
    pub pool: Pool,
    /// The longest sequence that the expected pool holds.
    pub longest: u64,
    /// Why it does not start.
    pub failure: Option<Failure>,
    /// The log's lines on memory; the last one is the error where it does not start.
    pub log: Vec<String>,
}

impl std::ops::Deref for Start {
    type Target = Budget;

    fn deref(&self) -> &Budget {
        &self.budget
    }
}

/// GiB as intervals in a table read better than in code.
fn gib(low: f64, expected: f64, high: f64) -> Interval {
    Interval::new(
        Bytes::from_gib(low),
        Bytes::from_gib(expected),
        Bytes::from_gib(high),
    )
}

/// Held outside torch after the first snapshot: kernels as they are loaded, NCCL and custom all-reduce. One GPU under V1:
/// 0.13 GiB on Hopper (vllm-202 to vllm-205), 0.02 before it (vllm-012, vllm-058); under V0 a median of 0.11 over twelve
/// profiles; 0.66 on MI300X. Several ranks: 0.55 on Hopper (vllm-204), 0.15 to 0.19 on A100 (vllm-004, vllm-006), 0.2 with
/// sixteen (vllm-184). Unified memory also counts what the host allocates: 1.4 to 4 GiB beside weights and cache.
fn non_torch(job: &Job<'_>) -> Interval {
    let hopper = job.device.capability.is_some_and(|capability| capability >= 90)
        || ["h100", "h200", "h800", "h20"]
            .iter()
            .any(|part| job.device.name.contains(part));
    let device = &job.device;
    // From 0.14 on ranks connect before the first snapshot.
    let ranks = match job.release.ranks_before_snapshot && job.v1 {
        true => 1,
        false => job.mesh.tensor.saturating_mul(job.mesh.pipeline),
    };
    match (ranks, device.amd, device.unified) {
        (_, _, true) => gib(0.1, 1.0, 3.0),
        (_, true, _) => gib(0.2, 0.66, 1.0),
        (0 | 1, ..) => match (job.v1, hopper) {
            (true, true) => gib(0.02, 0.13, 0.35),
            (true, false) => gib(0.0, 0.02, 0.2),
            (false, _) => gib(0.02, 0.11, 0.35),
        },
        _ if hopper => gib(0.15, 0.55, 1.0),
        _ => gib(0.05, 0.18, 0.6),
    }
}

/// What the first releases of V1 subtract besides: the context of the process and what other programs hold.
fn counted(job: &Job<'_>) -> Interval {
    match job.release.counts_others && job.v1 {
        true => context() + Interval::exact(job.device.in_use),
        false => Interval::default(),
    }
}

/// What lies outside the budget: the context, and what connects ranks before the first snapshot.
pub fn outside(job: &Job<'_>) -> Interval {
    if job.release.counts_others && job.v1 {
        return Interval::default();
    }
    let connected = job.mesh.tensor.saturating_mul(job.mesh.pipeline) > 1;
    match job.release.ranks_before_snapshot && job.v1 && connected {
        true => context() + communicator(),
        false => context(),
    }
}

/// Captured graphs: measured only. Each captured size has a node per kernel, so that they grow with the layers: V1 takes 0.012 to 0.021
/// GiB per layer on one GPU (most of 30 starts from 0.5B to 32B) and 0.020 to 0.058 where ranks reduce (vllm-004, 095, 098, 141, 146, 168), V0 0.18
/// GiB over ten starts. Releases that estimate them (0.21) capture fewer sizes at once and print 0.1 to 0.9. The capture can also return
/// cached blocks.
fn graphs(job: &Job<'_>, settings: &Settings) -> Interval {
    if job.eager {
        return Interval::exact(Bytes::ZERO);
    }
    let layers = f64::from(u32::try_from(job.network.depth()).unwrap_or(u32::MAX));
    let doublings = f64::from(job.mesh.tensor.max(1).ilog2());
    let (expected, most) = match (job.v1, settings.sequences, job.mesh.tensor) {
        (true, 1, _) => (0.14, 0.0),
        _ if job.release.graphs_in_budget && job.v1 => (0.5 + 0.15 * doublings, 0.05 * layers),
        (true, _, 0 | 1) => (0.017 * layers, 0.05 * layers),
        (true, _, _) => (0.026 * layers, 0.06 * layers),
        (false, ..) => (0.18 + 0.1 * doublings, 0.0),
    };
    gib(0.0, expected, expected.max(most).max(1.7))
}

/// Signed difference in bytes.
fn signed(bytes: Bytes) -> i64 {
    i64::try_from(bytes.get()).unwrap_or(i64::MAX)
}

/// Starts the engine on paper.
pub fn start(job: &Job<'_>) -> Start {
    start_with(job, &all_weights(job))
}

/// The same with the weights of its stages, which lengths and numbers of sequences do not change.
pub fn start_with(job: &Job<'_>, loaded: &[Weights]) -> Start {
    let budget = budget(job, loaded);
    let pool = budget.layout.pool(budget.cache_bytes(), job);
    let longest = budget.layout.longest(pool.blocks, job.max_model_len);
    let failure = failure(job, &budget);
    let mut found = Start {
        budget,
        pool,
        longest,
        failure,
        log: Vec::new(),
    };
    found.log = log::lines(job, &found);
    found
}

/// The budget of the tightest pipeline stage, on which all stages agree.
pub fn budget(job: &Job<'_>, loaded: &[Weights]) -> Budget {
    let settings = Settings::of(job);
    let sizes = stages(job.network.order.len(), job.mesh.pipeline);
    let count = sizes.len();
    let mut from = 0;
    let mut tightest: Option<Budget> = None;
    let mut weights = Vec::with_capacity(count);
    for (stage, size) in sizes.into_iter().enumerate() {
        let range = from..from + size;
        from += size;
        let parts = loaded.get(stage).copied().unwrap_or_default();
        let one = stage_budget(job, settings, range, parts, stage + 1 == count);
        weights.push(one.weights.expected);
        tightest = Some(match tightest {
            Some(other) if other.blocks() <= one.blocks() && other.cache[1] <= one.cache[1] => other,
            Some(other) if other.blocks() < one.blocks() => other,
            _ => one,
        });
    }
    let mut found = tightest.unwrap_or_else(|| stage_budget(job, settings, 0..0, Weights::default(), true));
    found.stages = weights;
    found
}

/// Why a start with this budget fails at the longest context of a job.
pub fn failure(job: &Job<'_>, budget: &Budget) -> Option<Failure> {
    let free = job.device.total.expected.saturating_sub(job.device.in_use);
    let checked = !job.release.counts_others || !job.v1;
    if checked && free < budget.requested && job.cache_memory.is_none() {
        Some(Failure::NotFree)
    } else if budget.weights.expected > free {
        Some(Failure::OutOfMemory)
    } else if budget.layout.block_bytes == 0 {
        None
    } else if budget.cache[1] <= 0 || budget.blocks() == 0 {
        Some(Failure::NoBlocks)
    } else if budget.layout.blocks_per_sequence(job.max_model_len) > budget.blocks() {
        Some(Failure::TooLong)
    } else {
        None
    }
}

fn stage_budget(
    job: &Job<'_>,
    settings: Settings,
    range: std::ops::Range<usize>,
    weight_parts: Weights,
    last: bool,
) -> Budget {
    let weights = weights(job, weight_parts);
    let profile = profile(job, &settings, last);
    let layout = Layout::of(job, &settings, range, last);
    let non_torch = non_torch(job) + counted(job);
    let graphs = graphs(job, &settings);
    let of_total = |total: Bytes| total.scaled(settings.utilization);
    let in_budget = match job.release.graphs_in_budget && job.v1 {
        true => graphs,
        false => Interval::exact(Bytes::ZERO),
    };
    let requested = of_total(job.device.total.expected);
    let left = |requested: Bytes, held: [Bytes; 4]| {
        held.into_iter()
            .fold(signed(requested), |left, part| left.saturating_sub(signed(part)))
    };
    let cache = match job.cache_memory {
        Some(bytes) => [signed(bytes); 3],
        None => [
            left(
                of_total(job.device.total.low),
                [weights.high, profile.peak.high, non_torch.high, in_budget.high],
            ),
            left(
                requested,
                [
                    weights.expected,
                    profile.peak.expected,
                    non_torch.expected,
                    in_budget.expected,
                ],
            ),
            left(
                of_total(job.device.total.high),
                [weights.low, profile.peak.low, non_torch.low, in_budget.low],
            ),
        ],
    };
    Budget {
        settings,
        requested,
        weights,
        weight_parts,
        stages: Vec::new(),
        profile,
        non_torch,
        graphs,
        cache,
        layout,
    }
}

/// Kernels that HIP loads before the second reading, in GiB (vllm-166: 15.3047 printed, 14.9902 in segments).
const HIP_KERNELS: f64 = 0.31;

/// Weights with a drafter of their own and their bounds: 0.05 % over 90 % of the published figures; from 0.17 on up to 0.12
/// GiB more, because another counter is read. On ROCm the counter is the driver's, so segments and loaded kernels are in it
/// (vllm `platforms/rocm.py` get_current_memory_usage).
fn weights(job: &Job<'_>, parts: Weights) -> Interval {
    let drafter = job.speculation.weights;
    if job.device.amd {
        let expected = parts.reserved + Bytes::from_gib(HIP_KERNELS) + drafter;
        return Interval::new(parts.allocated + drafter, expected, expected.scaled(1.01));
    }
    let expected = parts.allocated + drafter;
    let more = match job.release.printed_decimals {
        0..=2 => Bytes::from_gib(0.12),
        _ => expected.scaled(0.0005),
    };
    // With expandable segments no block keeps a tail (vllm-153). Where kernels repack a matrix its new blocks may keep any.
    let low = expected.scaled(0.9995).min(parts.raw + drafter);
    let high = match job.weights.repacked() {
        true => (expected + more).max(parts.most + drafter),
        false => expected + more,
    };
    Interval::new(low, expected, high)
}
