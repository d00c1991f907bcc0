//! Walks the operations of every schedule, rank by rank, under what one rank must wait for from another, and counts what is
//! alive: the closed forms must say the same.

use super::Schedule;
use std::collections::{BTreeMap, HashSet, VecDeque};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Forward,
    /// Gradients of the inputs.
    Backward,
    /// Gradients of the weights.
    Weights,
}

type Operation = (Kind, u64, u64);

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
fn order(schedule: Schedule, ranks: u64, rank: u64, batches: u64) -> Vec<Operation> {
    let mut order = Order::default();
    match schedule {
        Schedule::GPipe => {
            (0..batches).for_each(|_| order.forward(0));
            (0..batches).for_each(|_| order.backward(0));
        }
        Schedule::OneForwardOneBackward => {
            let warm_up = (ranks - rank - 1).min(batches);
            (0..warm_up).for_each(|_| order.forward(0));
            for _ in warm_up..batches {
                order.forward(0);
                order.backward(0);
            }
            (0..warm_up).for_each(|_| order.backward(0));
        }
        Schedule::ZeroBubble => {
            let warm_up = (ranks - rank - 1).min(batches);
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
                let end = batches.min(begun + group);
                for chunk in 0..chunks {
                    table.extend((begun..end).map(|batch| (chunk, batch)));
                }
                begun = end;
            }
            let all = table.len() as u64;
            let warm_up = all.min(2 * (ranks - rank - 1) + (chunks - 1) * group);
            let step = |at: u64| {
                table
                    .get(usize::try_from(at).expect("small"))
                    .copied()
                    .expect("a step")
            };
            let forward = |at| (Kind::Forward, step(at).0, step(at).1);
            let backward = |at| {
                let (chunk, batch) = step(at);
                [Kind::Backward, Kind::Weights].map(|kind| (kind, chunks - 1 - chunk, batch))
            };
            let mut list: Vec<Operation> = (0..warm_up).map(forward).collect();
            for done in 0..all {
                if warm_up + done < all {
                    list.push(forward(warm_up + done));
                }
                list.extend(backward(done));
            }
            return list;
        }
        Schedule::ZeroBubbleV => return zero_bubble_v(ranks, rank, batches),
        Schedule::DualPipeV => return dual_pipe_v(ranks, rank, batches),
        Schedule::DualPipe => {
            let near = rank.min(ranks - rank - 1);
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
    let most = batches.max(2 * ranks - 1);
    let (mut first, mut second) = (0, 0);
    for _ in 0..2 * (ranks - rank) - 1 {
        order.forward(0);
        first += 1;
    }
    for _ in 0..rank {
        order.forward(1);
        order.forward(0);
        first += 1;
        second += 1;
    }
    for _ in 0..ranks - rank {
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
    for _ in 0..ranks - rank {
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
    for _ in 0..2 * (ranks - rank - 1) {
        order.forward(0);
    }
    for _ in 0..=rank {
        order.forward(0);
        order.forward(1);
    }
    for _ in 0..ranks - rank - 1 {
        order.inputs(1);
        order.weights();
        order.forward(1);
    }
    for _ in 0..batches + rank + 1 - 2 * ranks {
        order.forward(0);
        order.backward(1);
        order.forward(1);
        order.backward(0);
    }
    for _ in 0..ranks - rank - 1 {
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
    for _ in 0..ranks - rank - 1 {
        order.weights();
        order.inputs(0);
    }
    while !order.waiting.is_empty() {
        order.weights();
    }
    order.list
}

/// The most that is alive on each rank: by chunk until the gradients of weights are computed. Fails where ranks wait for each
/// other for ever, or an operation is missing.
fn walk(schedule: Schedule, ranks: u64, batches: u64) -> Vec<u64> {
    let mut queues: Vec<VecDeque<Operation>> = (0..ranks)
        .map(|rank| order(schedule, ranks, rank, batches).into())
        .collect();
    let stages = schedule.stages(ranks);
    let mut done: HashSet<(Kind, u64, bool, u64)> = HashSet::new();
    let mut alive: Vec<u64> = (0..ranks).map(|_| 0).collect();
    let mut most = alive.clone();
    let mut left: usize = queues.iter().map(VecDeque::len).sum();
    while left > 0 {
        let before = left;
        for (rank, queue) in queues.iter_mut().enumerate() {
            while let Some((kind, chunk, batch)) = queue.front().copied() {
                let reverse = schedule == Schedule::DualPipe && chunk == 1;
                let place = schedule.stage(ranks, rank as u64, chunk);
                let ready = match kind {
                    Kind::Forward => place == 0 || done.contains(&(kind, place - 1, reverse, batch)),
                    Kind::Backward => {
                        done.contains(&(Kind::Forward, place, reverse, batch))
                            && (place + 1 == stages || done.contains(&(kind, place + 1, reverse, batch)))
                    }
                    Kind::Weights => done.contains(&(Kind::Backward, place, reverse, batch)),
                };
                if !ready {
                    break;
                }
                queue.pop_front();
                left -= 1;
                assert!(done.insert((kind, place, reverse, batch)), "{schedule:?}: twice");
                let held = alive.get_mut(rank).expect("a rank");
                match kind {
                    Kind::Forward => *held += 1,
                    Kind::Backward => {}
                    Kind::Weights => *held -= 1,
                }
                let largest = most.get_mut(rank).expect("a rank");
                *largest = (*largest).max(*held);
            }
        }
        assert!(
            left < before,
            "{schedule:?} on {ranks} ranks with {batches} waits for ever"
        );
    }
    assert!(alive.iter().all(|held| *held == 0));
    let wanted = if schedule == Schedule::DualPipe {
        batches / 2 * ranks * 2
    } else {
        batches * stages
    };
    assert_eq!(
        done.len() as u64,
        3 * wanted,
        "{schedule:?}: an operation is missing"
    );
    most
}

#[track_caller]
fn agrees(schedule: Schedule, ranks: u64, batches: u64) {
    let closed: Vec<u64> = (0..ranks)
        .map(|rank| {
            let found = schedule.in_flight(ranks, rank, batches);
            found.total() + found.delayed
        })
        .collect();
    assert_eq!(
        walk(schedule, ranks, batches),
        closed,
        "{schedule:?}, {ranks} ranks, {batches} micro-batches"
    );
}

#[test]
fn counts_of_one_chunk_per_rank_are_those_of_a_walk() {
    for ranks in 1..=16 {
        for batches in 1..=64 {
            for schedule in [
                Schedule::GPipe,
                Schedule::OneForwardOneBackward,
                Schedule::ZeroBubble,
            ] {
                agrees(schedule, ranks, batches);
            }
        }
    }
}

#[test]
fn counts_of_interleaved_chunks_are_those_of_a_walk() {
    for ranks in 2..=16 {
        for chunks in 2..=4 {
            // Megatron refuses groups that leave a smaller last one than a pipeline is deep.
            for batches in (ranks..=64).filter(|batches| batches % ranks == 0) {
                agrees(Schedule::Interleaved { chunks, group: ranks }, ranks, batches);
                agrees(
                    Schedule::Interleaved {
                        chunks,
                        group: batches,
                    },
                    ranks,
                    batches,
                );
            }
        }
    }
}

#[test]
fn counts_of_two_directions_are_those_of_a_walk() {
    for ranks in 1..=16 {
        for batches in 1..=64 {
            agrees(Schedule::ZeroBubbleV, ranks, batches);
            if batches >= Schedule::DualPipeV.fewest(ranks) {
                agrees(Schedule::DualPipeV, ranks, batches);
            }
            let even = ranks % 2 == 0 && batches % 2 == 0;
            if even && batches >= Schedule::DualPipe.fewest(ranks) {
                agrees(Schedule::DualPipe, ranks, batches);
            }
        }
    }
}
