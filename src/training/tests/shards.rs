//! The shards of all ranks add up to the whole: FSDP2 by rows, FSDP1 and ZeRO by padded flat buffers, tensor parallelism by
//! the plan of each matrix.

use crate::model::catalogue;
use crate::model::{Role, Split, Tensor};
use crate::parallel::{Division, Plan, PlanKind};
use crate::training::states::{Piece, first_axis, local_elements, rank_elements, steps};
use crate::units::DType;

/// A few thousand sizes without a pattern (xorshift).
fn sizes(mut seed: u64, most: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        Some(1 + seed % most)
    })
}

fn matrix(rows: u64, columns: u64) -> Tensor {
    Tensor::new("weight", &[rows, columns], Role::Mixer, Split::Replicated)
}

#[test]
fn rows_of_all_ranks_are_the_rows_of_the_tensor() {
    let (mut rows, mut columns, mut ranks) = (sizes(7, 5000), sizes(11, 300), sizes(13, 200));
    for _ in 0..4000 {
        let (Some(rows), Some(columns), Some(ranks)) = (rows.next(), columns.next(), ranks.next()) else {
            return;
        };
        let tensor = matrix(rows, columns);
        let own: Vec<u64> = (0..ranks)
            .map(|rank| rank_elements(&tensor, ranks, rank))
            .collect();
        assert_eq!(own.iter().sum::<u64>(), rows * columns, "{rows} on {ranks}");
        let room = local_elements(&tensor, ranks);
        assert!(own.iter().all(|elements| *elements <= room));
        assert!(room * ranks >= rows * columns && (room - columns) * ranks < rows * columns);
        // Between two steps all ranks hold the same.
        let steps = steps([first_axis(&tensor)], ranks);
        for (rank, pair) in own.windows(2).enumerate() {
            let changes = pair.first() != pair.get(1);
            assert_eq!(
                changes,
                steps.contains(&(rank as u64 + 1)),
                "{rows} on {ranks}: {own:?}"
            );
        }
    }
}

#[test]
fn flat_parameters_of_all_ranks_are_the_whole_and_less_than_a_row_of_padding() {
    let (mut rows, mut ranks) = (sizes(17, 90_000), sizes(19, 200));
    for _ in 0..2000 {
        let (Some(rows), Some(ranks)) = (rows.next(), ranks.next()) else {
            return;
        };
        let tensor = matrix(rows, 3);
        let piece = Piece::flat([&tensor], ranks);
        let held: u64 = piece.local_sizes().iter().sum::<u64>() * ranks;
        assert!(held >= rows * 3 && held - rows * 3 < ranks, "{rows} on {ranks}");
        assert!(piece.local(DType::Fp32).get() * ranks >= 4 * rows * 3);
    }
}

#[test]
fn parts_of_all_tensor_parallel_ranks_are_the_whole() {
    for (id, ranks) in [
        ("llama-3-8b", 8),
        ("qwen2.5-1.5b", 2),
        ("pythia-410m", 16),
        ("mixtral-8x7b", 4),
    ] {
        let entry = catalogue::find(id).expect("a model of the catalogue");
        let network = entry.network().expect("a network");
        let plan = Plan::of(PlanKind::Transformers, &network).expect("a plan");
        let parts: Vec<_> = (0..ranks)
            .map(|rank| Division { plan, ranks, rank }.local(&network))
            .collect();
        let tensors = |network: &crate::model::Network| -> Vec<u64> {
            let layers = network.kinds.iter().flat_map(|layer| layer.tensors.clone());
            let ends = network
                .input_tensors
                .iter()
                .chain(&network.output_tensors)
                .cloned();
            layers.chain(ends).map(|tensor| tensor.elements().get()).collect()
        };
        let whole = tensors(&network);
        let parts: Vec<Vec<u64>> = parts.iter().map(tensors).collect();
        for (place, elements) in whole.iter().enumerate() {
            let held: u64 = parts.iter().filter_map(|part| part.get(place)).sum();
            // Divided, or the same on every rank.
            assert!(
                held == *elements || held == elements * ranks,
                "{id}: tensor {place}"
            );
        }
        assert!(parts.iter().flatten().sum::<u64>() < whole.iter().sum::<u64>() * ranks);
    }
}
