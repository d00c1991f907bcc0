//! The tape played backwards with tensors of a few blocks.

use super::blocks;
use crate::training::tape::{
    Edge, NodeId, Played, Stage, Start, Storage, Tape, Target, Var, WeightGradients,
};

/// A tape whose input has one block.
fn tape() -> (Tape, Var) {
    Tape::new(blocks(1), true)
}

fn gradient(count: u64) -> Storage {
    Storage {
        gradient: true,
        ..blocks(count)
    }
}

fn to(node: Option<NodeId>, made: Option<Storage>) -> Edge {
    Edge {
        target: Target::Node(node.expect("a node")),
        made,
    }
}

fn weight(count: u64) -> Edge {
    Edge {
        target: Target::Weight,
        made: Some(gradient(count)),
    }
}

fn play(tape: &Tape, node: Option<NodeId>, weights: WeightGradients) -> Played {
    let start = Start {
        node,
        gradient: gradient(1),
        held: false,
    };
    tape.play(start, weights, &[])
}

#[track_caller]
fn peak(tape: &Tape, node: Option<NodeId>, expected: u64) {
    assert_eq!(play(tape, node, WeightGradients::Stay).body.bytes, 512 * expected);
}

#[test]
fn a_node_needs_what_it_keeps_its_gradients_and_its_temporaries() {
    let (mut tape, input) = tape();
    let kept = tape.store(blocks(10));
    let node = tape.node(&[to(input.node, Some(gradient(2)))], &[Some(kept)], &[blocks(3)]);
    // 10 kept, 1 came, 2 made, 3 beside.
    peak(&tape, node, 16);
    assert_eq!(tape.alive_after_forward(), [kept]);
}

#[test]
fn what_a_node_kept_is_gone_when_the_next_one_runs() {
    let (mut tape, input) = tape();
    let early = tape.store(blocks(10));
    let first = tape.node(&[to(input.node, Some(gradient(20)))], &[Some(early)], &[]);
    let late = tape.store(blocks(100));
    let second = tape.node(&[to(first, Some(gradient(1)))], &[Some(late)], &[]);
    // At the second node 110 kept and 2 gradients; at the first 10 kept, its gradient and the one it makes.
    peak(&tape, second, 112);
    let shared = tape.node(&[to(second, None)], &[Some(early), Some(early)], &[]);
    assert_eq!(tape.alive_after_forward(), [early, late]);
    peak(&tape, shared, 112);
}

#[test]
fn an_edge_without_a_tensor_hands_on_the_gradient_itself() {
    let (mut tape, input) = tape();
    let one = tape.node(&[to(input.node, Some(gradient(5)))], &[], &[]);
    let view = tape.node(&[to(one, None)], &[], &[]);
    peak(&tape, view, 1 + 5);
}

/// Two branches meet at a node that then makes one block: the second gradient is added to the first.
fn branches(first: Option<Storage>, second: Option<Storage>) -> (Tape, Option<NodeId>) {
    let (mut tape, input) = tape();
    let meeting = tape.node(&[to(input.node, Some(gradient(1)))], &[], &[]);
    let top = tape.node(&[to(meeting, first), to(meeting, second)], &[], &[]);
    (tape, top)
}

#[test]
fn a_second_gradient_is_added_in_place_where_the_first_is_nobody_elses() {
    let (tape, top) = branches(Some(gradient(4)), Some(gradient(4)));
    // The gradient that came and both that were made; afterwards one of them.
    peak(&tape, top, 9);
    let (tape, top) = branches(Some(gradient(1)), None);
    peak(&tape, top, 2);
}

#[test]
fn a_second_gradient_is_added_out_of_place_where_the_first_is_shared() {
    let (mut tape, input) = tape();
    let other = tape.node(&[to(input.node, Some(gradient(1)))], &[], &[]);
    let meeting = tape.node(&[to(other, Some(gradient(1)))], &[], &[]);
    // The incoming gradient goes as it is to `meeting` and to `other`, and a new one to `meeting`.
    let top = tape.node(
        &[to(meeting, None), to(other, None), to(meeting, Some(gradient(1)))],
        &[],
        &[],
    );
    peak(&tape, top, 3);
    let alone = {
        let (mut tape, input) = self::tape();
        let meeting = tape.node(&[to(input.node, Some(gradient(1)))], &[], &[]);
        let top = tape.node(&[to(meeting, None), to(meeting, Some(gradient(1)))], &[], &[]);
        (tape, top)
    };
    peak(&alone.0, alone.1, 2);
}

#[test]
fn gradients_of_views_are_collected_until_their_node_runs() {
    for (collects, expected) in [(false, 17), (true, 22)] {
        let (mut tape, input) = tape();
        let split = tape.node(&[to(input.node, Some(gradient(1)))], &[], &[blocks(5)]);
        if collects {
            tape.collect(split);
        }
        let view = tape.node(&[to(split, Some(gradient(8)))], &[], &[]);
        let top = tape.node(
            &[to(split, Some(gradient(8))), to(view, Some(gradient(1)))],
            &[],
            &[],
        );
        // Both parts meet at 17; added up they leave 8, collected 16, beside the 5 + 1 of the split itself.
        peak(&tape, top, expected);
    }
}

#[test]
fn weight_gradients_stay_or_are_added_and_freed() {
    let (mut tape, input) = tape();
    let first = tape.node(&[to(input.node, Some(gradient(1))), weight(30)], &[], &[]);
    let second = tape.node(&[to(first, Some(gradient(1))), weight(20)], &[], &[]);
    for (weights, expected) in [(WeightGradients::Stay, 52), (WeightGradients::Added, 32)] {
        assert_eq!(
            play(&tape, second, weights).body.bytes,
            512 * expected,
            "{weights:?}"
        );
    }
}

#[test]
fn a_gradient_that_is_summed_exists_at_full_size_for_a_moment() {
    let (mut tape, input) = tape();
    let summed = Edge {
        target: Target::Summed,
        made: Some(gradient(7)),
    };
    let first = tape.node(&[to(input.node, Some(gradient(1)))], &[], &[]);
    let second = tape.node(&[to(first, Some(gradient(1))), summed], &[], &[]);
    peak(&tape, second, 9);
}

#[test]
fn every_stage_has_its_own_tightest_moment() {
    let (mut tape, input) = tape();
    let body = tape.node(&[to(input.node, Some(gradient(1)))], &[], &[blocks(3)]);
    tape.enter(Stage::Head);
    let head = tape.node(&[to(body, Some(gradient(1)))], &[], &[blocks(20)]);
    tape.enter(Stage::Loss);
    let loss = tape.node(&[to(head, Some(gradient(1)))], &[], &[blocks(7)]);
    let played = play(&tape, loss, WeightGradients::Stay);
    let peaks = [&played.body, &played.head, &played.loss].map(|peak| peak.bytes / 512);
    assert_eq!(peaks, [5, 22, 9]);
    for peak in [&played.body, &played.head, &played.loss] {
        let alive: u64 = peak
            .alive
            .iter()
            .map(|id| played.storages[*id as usize].bytes().get())
            .sum();
        assert_eq!(alive, peak.bytes, "the list of what is alive");
    }
}

#[test]
fn what_is_held_beside_the_tape_stays_to_the_end() {
    let (mut tape, input) = tape();
    let held = tape.store(blocks(40));
    let first = tape.node(&[to(input.node, Some(gradient(9)))], &[], &[]);
    let second = tape.node(&[to(first, Some(gradient(1)))], &[Some(held)], &[]);
    let start = Start {
        node: second,
        gradient: gradient(1),
        held: false,
    };
    let played = tape.play(start, WeightGradients::Stay, &[held]);
    assert_eq!(played.body.bytes, 512 * (40 + 1 + 9));
}

#[test]
fn operations_keep_the_first_and_every_second_product_once() {
    let (mut tape, _) = tape();
    let counted: Vec<bool> = (0..5).map(|_| tape.count_product()).collect();
    assert_eq!(counted, [true, false, true, false, true]);
    let (one, other) = (tape.store(blocks(1)), tape.store(blocks(2)));
    for storage in [Some(other), None, Some(one), Some(other)] {
        tape.keep(storage);
    }
    assert_eq!(tape.kept_by_operations(), [other, one]);
}

#[test]
fn a_graph_keeps_every_product_that_is_read() {
    let (mut tape, _) = tape();
    let ids: Vec<_> = (1..=4).map(|size| tape.store(blocks(size))).collect();
    for id in &ids[..3] {
        tape.keep_product(Some(*id));
    }
    tape.unread(Some(ids[0]));
    tape.keep_in_graph(Some(ids[3]));
    assert_eq!(tape.kept_by_operations(), [ids[0], ids[2]]);
    assert_eq!(tape.kept_by_products(), [ids[1], ids[2], ids[3]]);
    assert!(tape.kept_by_choice().is_empty());
}

#[test]
fn without_a_wanted_gradient_there_is_no_node_and_nothing_is_kept() {
    let (mut tape, input) = Tape::new(blocks(1), false);
    assert_eq!(input.node, None);
    let kept = tape.store(blocks(10));
    let unwanted = Edge {
        target: Target::Discarded,
        made: None,
    };
    let frozen = tape.node(&[unwanted], &[Some(kept)], &[]);
    assert_eq!(frozen, None);
    assert!(tape.alive_after_forward().is_empty());
    let trained = tape.node(&[unwanted, weight(3)], &[Some(kept)], &[]);
    assert_eq!(tape.alive_after_forward(), [kept]);
    // The gradient that came, what is kept, and the weight's.
    peak(&tape, trained, 1 + 10 + 3);
    peak(&tape, None, 0);
}
