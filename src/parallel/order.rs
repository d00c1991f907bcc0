//! The operations of a pipeline schedule, rank by rank, in the order in which a rank runs them, and when each of them runs where
//! every pass takes one step of time. Sources are those of `schedule`, whose closed forms tests hold against a walk of these.

use super::Schedule;
use std::collections::{BTreeMap, VecDeque};

/// What an operation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A forward pass.
    Forward,
    /// Gradients of the inputs.
    Backward,
    /// Gradients of the weights.
    Weights,
}

/// What, of which chunk, for which micro-batch.
pub type Operation = (Kind, u64, u64);

/// Forward, backward and weights in pairs of one chunk, micro-batches counted up.
#[derive(Default)]
struct Order {
    list: Vec<Operation>,
    next: BTreeMap<(u64, u8), u64>,
    waiting: VecDeque<(u64, u64)>,
}

impl Order {
    fn count(&mut self, chunk: u64, kind: u8) -> u64 {
        let next = self.next.entry((chunk, kind)).or_default();
        *next += 1;
        *next - 1
    }

    fn forward(&mut self, chunk: u64) {
        let batch = self.count(chunk, 0);
        self.list.push((Kind::Forward, chunk, batch));
    }

    fn backward(&mut self, chunk: u64) {
        self.inputs(chunk);
        if let Some((chunk, batch)) = self.waiting.pop_back() {
            self.list.push((Kind::Weights, chunk, batch));
        }
    }

    fn inputs(&mut self, chunk: u64) {
        let batch = self.count(chunk, 1);
        self.list.push((Kind::Backward, chunk, batch));
        self.waiting.push_back((chunk, batch));
    }

    fn weights(&mut self) {
        if let Some((chunk, batch)) = self.waiting.pop_front() {
            self.list.push((Kind::Weights, chunk, batch));
        }
    }
}

/// The operations of a rank in their order.
pub fn order(schedule: Schedule, ranks: u64, rank: u64, batches: u64) -> Vec<Operation> {
    let mut order = Order::default();
    match schedule {
        Schedule::GPipe => {
            (0..batches).for_each(|_| order.forward(0));
            (0..batches).for_each(|_| order.backward(0));
        }
        Schedule::OneForwardOneBackward => {
            let warm_up = ranks.saturating_sub(rank + 1).min(batches);
            (0..warm_up).for_each(|_| order.forward(0));
            for _ in warm_up..batches {
                order.forward(0);
                order.backward(0);
            }
            (0..warm_up).for_each(|_| order.backward(0));
        }
        Schedule::ZeroBubble => {
            let warm_up = ranks.saturating_sub(rank + 1).min(batches);
            (0..warm_up).for_each(|_| order.forward(0));
            for done in 0..batches {
                if warm_up + done < batches {
                    order.forward(0);
                }
                order.inputs(0);
                if done >= rank {
                    order.weights();
                }
            }
            (0..rank.min(batches)).for_each(|_| order.weights());
        }
        Schedule::Interleaved { chunks, group } => {
            let mut table = Vec::new();
            let mut begun = 0;
            while begun < batches {
                let end = batches.min(begun + group.max(1));
                for chunk in 0..chunks {
                    table.extend((begun..end).map(|batch| (chunk, batch)));
                }
                begun = end;
            }
            let all = table.len() as u64;
            let behind = ranks.saturating_sub(rank + 1);
            let warm_up = behind
                .saturating_mul(2)
                .saturating_add(chunks.saturating_sub(1).saturating_mul(group))
                .min(all);
            let mut ahead = table.iter().copied();
            let mut list: Vec<Operation> = Vec::new();
            let mut forward = |list: &mut Vec<Operation>| {
                list.extend(ahead.next().map(|(chunk, batch)| (Kind::Forward, chunk, batch)));
            };
            (0..warm_up).for_each(|_| forward(&mut list));
            for (chunk, batch) in &table {
                forward(&mut list);
                let last = chunks.saturating_sub(1);
                list.extend([Kind::Backward, Kind::Weights].map(|kind| (kind, last - chunk, *batch)));
            }
            return list;
        }
        Schedule::ZeroBubbleV => return zero_bubble_v(ranks, rank, batches),
        Schedule::DualPipeV => return dual_pipe_v(ranks, rank, batches),
        Schedule::DualPipe => {
            let near = rank.min(ranks.saturating_sub(rank + 1));
            let list = dual_pipe_v(ranks / 2, near, batches / 2);
            // Seen from the second half, the near direction is the other one.
            let swap = rank >= ranks / 2;
            return list
                .into_iter()
                .map(|(kind, chunk, batch)| (kind, chunk ^ u64::from(swap), batch))
                .collect();
        }
    }
    order.list
}

fn zero_bubble_v(ranks: u64, rank: u64, batches: u64) -> Vec<Operation> {
    let mut order = Order::default();
    let behind = ranks.saturating_sub(rank);
    let most = batches.max((2 * ranks).saturating_sub(1));
    let (mut first, mut second) = (0, 0);
    for _ in 0..(2 * behind).saturating_sub(1) {
        order.forward(0);
        first += 1;
    }
    for _ in 0..rank {
        order.forward(1);
        order.forward(0);
        first += 1;
        second += 1;
    }
    for _ in 0..behind {
        order.forward(1);
        order.backward(1);
        second += 1;
    }
    while second < first || first < most {
        if first < most {
            order.forward(0);
            first += 1;
        }
        order.backward(0);
        order.forward(1);
        order.backward(1);
        second += 1;
    }
    for _ in 0..rank {
        order.inputs(0);
        order.inputs(1);
    }
    for _ in 0..behind {
        order.inputs(0);
        order.weights();
    }
    while !order.waiting.is_empty() {
        order.weights();
    }
    order.list.retain(|(_, _, batch)| *batch < batches);
    order.list
}

fn dual_pipe_v(ranks: u64, rank: u64, batches: u64) -> Vec<Operation> {
    let mut order = Order::default();
    let behind = ranks.saturating_sub(rank + 1);
    for _ in 0..2 * behind {
        order.forward(0);
    }
    for _ in 0..=rank {
        order.forward(0);
        order.forward(1);
    }
    for _ in 0..behind {
        order.inputs(1);
        order.weights();
        order.forward(1);
    }
    for _ in 0..(batches + rank + 1).saturating_sub(2 * ranks) {
        order.forward(0);
        order.backward(1);
        order.forward(1);
        order.backward(0);
    }
    for _ in 0..behind {
        order.backward(1);
        order.forward(1);
        order.backward(0);
    }
    let half = rank.div_ceil(2);
    for step in 0..=rank {
        let late = step >= half.max(1);
        for chunk in [1, 0] {
            if late {
                order.inputs(chunk)
            } else {
                order.backward(chunk)
            }
        }
    }
    for _ in 0..behind {
        order.weights();
        order.inputs(0);
    }
    while !order.waiting.is_empty() {
        order.weights();
    }
    order.list
}

/// One operation of a rank in time, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it computes.
    pub kind: Kind,
    /// Of which chunk of the rank.
    pub chunk: u64,
    /// For which micro-batch.
    pub micro_batch: u64,
    /// When it begins.
    pub start: u64,
    /// Forward passes of the rank, over its chunks, whose weights' gradients are not computed yet when it is over.
    pub in_flight: u64,
}

/// Every rank's operations in time, where each takes one step and waits for what it needs from another rank. Nothing where
/// ranks would wait for each other for ever.
pub fn timetable(schedule: Schedule, ranks: u64, batches: u64) -> Option<Vec<Vec<Cell>>> {
    let mut queues: Vec<VecDeque<Operation>> = (0..ranks)
        .map(|rank| order(schedule, ranks, rank, batches).into())
        .collect();
    let stages = schedule.stages(ranks);
    let mut done: BTreeMap<(u8, u64, bool, u64), u64> = BTreeMap::new();
    let mut rows: Vec<Vec<Cell>> = queues.iter().map(|_| Vec::new()).collect();
    let key = |kind: Kind| match kind {
        Kind::Forward => 0,
        Kind::Backward => 1,
        Kind::Weights => 2,
    };
    loop {
        let mut moved = false;
        for ((rank, queue), row) in (0..).zip(&mut queues).zip(&mut rows) {
            while let Some((kind, chunk, micro_batch)) = queue.front().copied() {
                let reverse = schedule == Schedule::DualPipe && chunk == 1;
                let place = schedule.stage(ranks, rank, chunk);
                let over =
                    |kind: Kind, place: u64| done.get(&(key(kind), place, reverse, micro_batch)).copied();
                // Each needs the operation before it in the pipeline, whose step is over, and its own earlier ones.
                let needs = match kind {
                    Kind::Forward if place == 0 => Some(0),
                    Kind::Forward => over(kind, place - 1),
                    Kind::Backward if place + 1 == stages => over(Kind::Forward, place),
                    Kind::Backward => over(Kind::Forward, place).and(over(kind, place + 1)),
                    Kind::Weights => over(Kind::Backward, place),
                };
                let Some(needs) = needs else { break };
                let (free, alive) = row
                    .last()
                    .map_or((0, 0), |cell: &Cell| (cell.start + 1, cell.in_flight));
                let start = free.max(needs);
                done.insert((key(kind), place, reverse, micro_batch), start + 1);
                queue.pop_front();
                moved = true;
                row.push(Cell {
                    kind,
                    chunk,
                    micro_batch,
                    start,
                    in_flight: match kind {
                        Kind::Forward => alive + 1,
                        Kind::Backward => alive,
                        Kind::Weights => alive.saturating_sub(1),
                    },
                });
            }
        }
        if queues.iter().all(VecDeque::is_empty) {
            return Some(rows);
        }
        if !moved {
            return None;
        }
    }
}
