//! Walks the operations of every schedule, rank by rank, under what one rank must wait for from another, and counts what is
//! alive: the closed forms must say the same.

use super::Schedule;
use super::order::{Kind, Operation, order, timetable};
use std::collections::{HashSet, VecDeque};

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
            // Megatron refuses groups that leave a smaller last one than a pipeline is deep, and takes all others, whether
            // or not the micro-batches are a multiple of the ranks.
            for batches in ranks..=64 {
                let mut groups = vec![ranks, ranks + 1, ranks + ranks / 2, 2 * ranks, batches];
                groups.sort_unstable();
                groups.dedup();
                let whole =
                    |group: &u64| *group <= batches && (batches % group == 0 || batches % group >= ranks);
                for group in groups.into_iter().filter(whole) {
                    agrees(Schedule::Interleaved { chunks, group }, ranks, batches);
                }
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

#[test]
fn a_timetable_runs_every_operation_and_has_the_counts_of_the_walk() {
    for (schedule, ranks, batches) in [
        (Schedule::OneForwardOneBackward, 4, 8),
        (Schedule::Interleaved { chunks: 2, group: 4 }, 4, 8),
        (Schedule::ZeroBubble, 4, 8),
        (Schedule::ZeroBubbleV, 4, 9),
        (Schedule::DualPipe, 4, 8),
        (Schedule::DualPipeV, 4, 8),
    ] {
        let rows = timetable(schedule, ranks, batches).expect("no rank waits for ever");
        let most: Vec<u64> = rows
            .iter()
            .map(|row| row.iter().map(|cell| cell.in_flight).max().unwrap_or(0))
            .collect();
        assert_eq!(most, walk(schedule, ranks, batches), "{schedule:?}");
        for row in &rows {
            assert!(row.windows(2).all(|pair| pair[0].start < pair[1].start));
            assert_eq!(row.last().map(|cell| cell.in_flight), Some(0));
        }
    }
    // The first forward of the last rank waits for one step of each rank before it.
    let rows = timetable(Schedule::OneForwardOneBackward, 4, 4).expect("a timetable");
    assert_eq!(rows[3][0].start, 3);
}
