//! Which sizes of the mesh a question can have, each with the reason where it cannot: every size is asked of the same validation
//! as everybody's question. And the schedule of its pipeline, to be drawn.

use super::job::{Job, Strictness, job, validate};
use crate::parallel::{OperationKind, Schedule, timetable};
use crate::request::{
    EngineId, InputId, MeshHint, MeshSize, Request, ScheduleCell, SchedulePicture, ScheduleRow,
};
use crate::training::Engine;

use super::part::chosen;

/// The inputs of the mesh whose sizes are told.
const SIZES: [InputId; 6] = [
    InputId::TensorParallelSize,
    InputId::PipelineParallelSize,
    InputId::VirtualPipelineSize,
    InputId::ContextParallelSize,
    InputId::ExpertParallelSize,
    InputId::ExpertTensorParallelSize,
];

/// Most sizes that are told of one input.
const MOST: usize = 24;

/// For each input of the mesh that the engine has, the divisors of the number of GPUs, and why they are refused. Replicas of the
/// data follow from the rest of the mesh, whatever was given.
pub fn mesh_hints(request: &Request) -> Vec<MeshHint> {
    let engine = chosen(request, InputId::EngineType).and_then(EngineId::from_key);
    let mut free = request.clone();
    free.clear(InputId::DataParallelSize);
    let gpus = job(&free, Strictness::default())
        .map(|job| job.mesh.gpus)
        .ok()
        .or_else(|| request.get(InputId::NumGpus).and_then(serde_json::Value::as_u64))
        .unwrap_or(1);
    let fixed = free.clone().with(InputId::NumGpus, gpus);
    let holds = |id: InputId| request.get(id).and_then(serde_json::Value::as_u64).unwrap_or(1);
    let mut divisors: Vec<u64> = (1..=gpus.min(4096))
        .filter(|size| gpus.is_multiple_of(*size))
        .collect();
    divisors.truncate(MOST);
    SIZES
        .into_iter()
        .filter(|id| engine.is_some_and(|engine| id.input().engines.to(engine)))
        .map(|id| MeshHint {
            path: id.key(),
            label: id.input().label,
            sizes: divisors
                .iter()
                .map(|size| MeshSize {
                    size: *size,
                    chosen: holds(id) == *size,
                    refused: refused(&fixed.clone().with(id, *size)),
                })
                .collect(),
        })
        .collect()
}

/// The first reason why a question has no answer.
fn refused(request: &Request) -> Option<String> {
    let issues = validate(request);
    issues
        .into_iter()
        .find(crate::warn::Issue::is_error)
        .map(|issue| issue.message)
}

/// The schedule of a question's pipeline; nothing where it has none, or has no answer.
pub fn schedule_picture(request: &Request) -> Option<SchedulePicture> {
    let job = job(request, Strictness::default()).ok()?;
    let (schedule, ranks) = pipeline(&job)?;
    let micro_batches = job.training.accumulation_steps;
    // Whole turns of interleaved chunks, and enough that the steady state shows.
    let turn = match schedule {
        Schedule::Interleaved { group, .. } => group.max(1),
        _ => 2,
    };
    let enough = ranks.saturating_mul(3).max(schedule.fewest(ranks)).max(turn);
    let drawn = if micro_batches <= enough {
        micro_batches
    } else {
        (enough / turn).max(1).saturating_mul(turn)
    };
    let rows = timetable(schedule, ranks, drawn)?;
    let cells = |row: &[crate::parallel::Cell]| -> Vec<ScheduleCell> {
        row.iter()
            .map(|cell| ScheduleCell {
                kind: match cell.kind {
                    OperationKind::Forward => "forward",
                    OperationKind::Backward => "backward",
                    OperationKind::Weights => "weights",
                },
                chunk: cell.chunk,
                micro_batch: cell.micro_batch,
                start: cell.start,
                in_flight: cell.in_flight,
            })
            .collect()
    };
    let ends = rows
        .iter()
        .filter_map(|row| row.last())
        .map(|cell| cell.start + 1);
    Some(SchedulePicture {
        micro_batches,
        drawn,
        steps: ends.max().unwrap_or(0),
        ranks: (0..)
            .zip(&rows)
            .map(|(rank, row)| ScheduleRow {
                rank,
                most_in_flight: row.iter().map(|cell| cell.in_flight).max().unwrap_or(0),
                cells: cells(row),
            })
            .collect(),
    })
}

/// Schedule and ranks of a job's pipeline. Larger ones than can be drawn have no picture.
fn pipeline(job: &Job) -> Option<(Schedule, u64)> {
    let (schedule, ranks) = match (&job.training.engine, job.training.composed.pipeline) {
        (Engine::Megatron(settings), _) => (settings.schedule, settings.pipeline),
        (_, Some(pipeline)) => (pipeline.schedule, pipeline.ranks),
        _ => return None,
    };
    (2..=64).contains(&ranks).then_some((schedule, ranks))
}
