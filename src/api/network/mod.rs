//! The multi-node question: a training job becomes a workload on a machine, three cases are calculated, and the answer tells
//! traffic, time, cost, and changes that would save time.

mod answer;
mod machine;
mod suggest;
mod workload;

pub(super) use answer::step_parts;
pub(super) use workload::workload_of;

pub(super) use machine::{inside, machine};

use super::given::Given;
use super::job::{Job, Strictness, job};
use super::plan::{plan, without_options};
use crate::network::{Case, Machine, StepTimes, Workload, step};
use crate::request::{InputId, MultiNodeAnswer, NetworkOverhead, Request};
use crate::warn::Issue;

/// What a step of a job sends and how long it takes: fast, expected, slow.
pub struct Estimate {
    /// What runs.
    pub work: Workload,
    /// On what.
    pub machine: Machine,
    /// The rates of the card are known; all times of arithmetic mean nothing otherwise.
    pub timed: bool,
    /// The cases.
    pub cases: [StepTimes; 3],
}

/// Estimates a job.
pub fn estimate(job: &Job) -> Estimate {
    let work = workload::workload(job);
    let (machine, timed) = machine(job);
    let cases = Case::ALL.map(|case| step(&work, &machine.rates(case)));
    Estimate {
        work,
        machine,
        timed,
        cases,
    }
}

/// Calculates a multi-node question: the answer, or every issue by field.
pub fn multi_node(request: &Request) -> Result<MultiNodeAnswer, Vec<Issue>> {
    multi_node_with(request, Strictness::default())
}

/// As [`multi_node`], as strictly as asked.
pub fn multi_node_with(request: &Request, strictness: Strictness) -> Result<MultiNodeAnswer, Vec<Issue>> {
    let given = Given::read(request, &mut Vec::new());
    if given.toggle(InputId::AutoOptimize) != Some(true) {
        return answer::answer(request, job(request, strictness)?);
    }
    let own = without_options(request);
    let mut answer = answer::answer(&own, job(&own, strictness)?)?;
    answer.plans = Some(plan(request)?.plans);
    Ok(answer)
}

/// What leaves a node, where there is more than one.
pub fn overhead(job: &Job) -> Option<NetworkOverhead> {
    job.nodes.as_ref()?;
    leaving().map(|overhead| overhead(job))
}

const OVERHEAD: fn(&Job) -> NetworkOverhead = |job| answer::overhead(&estimate(job));

// What leaves a node comes a moment after the first answer.
brought!(leaving: fn(&Job) -> NetworkOverhead = OVERHEAD);
