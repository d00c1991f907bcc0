//! Collectives against closed forms, and what must hold for any of them.

use proptest::prelude::*;

use super::*;
use crate::units::{BytesPerSecond, Seconds};

fn cluster(nodes: u64, gpus_per_node: u64) -> Cluster {
    Cluster {
        gpus_per_node,
        nodes,
        inside: Wire {
            rate: BytesPerSecond::from_gb(365.0),
            fabric: true,
        },
        between: BytesPerSecond::from_gb(400.0 * 0.85),
        hop: Seconds::ZERO,
        switch: Some(BytesPerSecond::from_gb(480.0)),
        fabric_reduces: false,
    }
}

#[track_caller]
fn near(left: f64, right: f64) {
    assert!(
        (left - right).abs() <= 1e-9 * right.abs().max(1.0),
        "{left} is not {right}"
    );
}

#[test]
fn what_a_rank_sends_is_the_closed_form() {
    for n in [2_u64, 3, 8, 512] {
        let group = Group {
            ranks: n,
            per_node: n,
        };
        let share = (n as f64 - 1.0) / n as f64;
        near(Collective::AllReduce.sent(1e9, group), 2e9 * share);
        near(Collective::AllGather.sent(1e9, group), 1e9 * share);
        near(Collective::ReduceScatter.sent(1e9, group), 1e9 * share);
        near(Collective::AllToAll.sent(1e9, group), 1e9 * share);
        near(Collective::PointToPoint.sent(1e9, group), 1e9);
        near(
            Collective::AllReduce.on_wires(1e9, group),
            Collective::AllGather.on_wires(1e9, group) + Collective::ReduceScatter.on_wires(1e9, group),
        );
    }
}

#[test]
fn one_node_sends_nothing_to_others() {
    for collective in Collective::ALL {
        let group = cluster(1, 8).group(8, 1);
        near(collective.between_nodes(1e9, group), 0.0);
    }
}

#[test]
fn a_group_lies_on_as_few_nodes_as_it_fits() {
    let two = cluster(2, 8);
    assert_eq!(
        two.group(8, 1),
        Group {
            ranks: 8,
            per_node: 8
        }
    );
    assert_eq!(two.group(16, 1).nodes(), 2);
    assert_eq!(
        two.group(2, 8),
        Group {
            ranks: 2,
            per_node: 1
        }
    );
    assert_eq!(
        two.group(4, 4),
        Group {
            ranks: 4,
            per_node: 2
        }
    );
}

#[test]
fn a_large_ring_over_nodes_with_a_port_per_gpu_is_as_fast_as_inside() {
    // 4 nodes of 8 H200, 16 x 200 Gbit/s each: 365 GB/s of bus bandwidth at 4 GiB (stas00/ml-engineering@744d01e).
    let four = Cluster {
        between: BytesPerSecond::from_gb(400.0),
        ..cluster(4, 8)
    };
    let payload = 4.0 * 1024.0_f64.powi(3);
    let group = four.group(32, 1);
    let ring = cost(
        Collective::AllReduce,
        payload,
        group,
        &four,
        Choice::Only(Algorithm::Ring),
    );
    let bus = Collective::AllReduce.sent(payload, group) / ring.time().get() / 1e9;
    assert!((300.0..366.0).contains(&bus), "{bus}");
}

#[test]
fn one_member_per_node_has_one_port() {
    let two = cluster(2, 8);
    let group = two.group(2, 8);
    near(two.ring(group).to_gb(), 340.0 / 8.0);
}

#[test]
fn small_messages_are_bound_by_latency() {
    let eight = cluster(1, 8);
    let group = eight.group(8, 1);
    let small = cost(Collective::AllReduce, 32.0 * 1024.0, group, &eight, Choice::Auto);
    assert!(small.latency > small.volume, "{small:?}");
    // Measured on 8 H200: 1.4 GB/s of bus bandwidth at 32 KiB, 436 at 256 MiB and 482 at 16 GiB.
    let bus = |payload: f64| {
        let time = cost(Collective::AllReduce, payload, group, &eight, Choice::Auto).time();
        Collective::AllReduce.sent(payload, group) / time.get() / 1e9
    };
    assert!((0.7..8.0).contains(&bus(32.0 * 1024.0)), "{}", bus(32.0 * 1024.0));
    assert!((400.0..481.0).contains(&bus(256.0 * 1_048_576.0)));
    assert!((470.0..481.0).contains(&bus(16.0 * 1_073_741_824.0)));
}

#[test]
fn trees_win_small_messages_over_many_nodes() {
    let many = cluster(64, 8);
    let group = many.group(512, 1);
    let small = cost(Collective::AllReduce, 64.0 * 1024.0, group, &many, Choice::Auto);
    assert_eq!(small.algorithm, Algorithm::Tree);
    let ring = cost(
        Collective::AllReduce,
        64.0 * 1024.0,
        group,
        &many,
        Choice::Only(Algorithm::Ring),
    );
    assert!(ring.time() > small.time());
}

#[test]
fn sums_in_the_fabric_halve_what_ports_carry() {
    let plain = cluster(4, 8);
    let fabric = Cluster {
        fabric_reduces: true,
        ..plain
    };
    let group = plain.group(4, 8);
    let only = Choice::Only(Algorithm::InNetwork);
    let with = cost(Collective::AllReduce, 1e9, group, &fabric, only);
    let without = cost(
        Collective::AllReduce,
        1e9,
        group,
        &plain,
        Choice::Only(Algorithm::Ring),
    );
    let ratio = with.volume.get() / without.volume.get();
    assert!((0.6..0.7).contains(&ratio), "{ratio}");
    assert_eq!(
        cost(Collective::AllReduce, 1e9, group, &plain, only).algorithm,
        Algorithm::Ring
    );
}

proptest! {
    #[test]
    fn any_collective_takes_a_finite_time_that_grows_with_its_payload(
        ranks in 1_u64..5000,
        stride in 1_u64..64,
        nodes in 1_u64..1000,
        each in 1_u64..80,
        payload in 0.0_f64..1e14,
    ) {
        let cluster = cluster(nodes, each);
        let group = cluster.group(ranks, stride);
        for collective in Collective::ALL {
            for choice in [
                Choice::Auto,
                Choice::Only(Algorithm::Ring),
                Choice::Only(Algorithm::Tree),
                Choice::Only(Algorithm::Hierarchical),
                Choice::Only(Algorithm::InNetwork),
            ] {
                let one = cost(collective, payload, group, &cluster, choice).time();
                let more = cost(collective, payload * 2.0, group, &cluster, choice).time();
                prop_assert!(one.get().is_finite() && one <= more);
            }
        }
    }

    #[test]
    fn the_same_ranks_on_more_nodes_never_send_less(
        log_ranks in 1_u32..12,
        payload in 1.0_f64..1e12,
    ) {
        let ranks = 1_u64 << log_ranks;
        for collective in Collective::ALL {
            let mut last = (0.0, 0.0);
            for log in 0..=log_ranks {
                let nodes = 1_u64 << log;
                let group = cluster(nodes, ranks / nodes).group(ranks, 1);
                let sent = (collective.on_wires(payload, group), collective.between_nodes(payload, group));
                prop_assert!(sent.0 >= last.0 * (1.0 - 1e-12) && sent.1 >= last.1 * (1.0 - 1e-12));
                prop_assert!(sent.1 <= sent.0 * (1.0 + 1e-9));
                last = sent;
            }
        }
    }

    #[test]
    fn a_sum_over_more_ranks_never_sends_less(ranks in 1_u64..4000, payload in 1.0_f64..1e12) {
        for collective in Collective::ALL {
            let sent = |ranks| collective.on_wires(payload, Group { ranks, per_node: ranks });
            prop_assert!(sent(ranks + 1) >= sent(ranks));
        }
    }
}
