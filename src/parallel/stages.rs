//! Which layers a pipeline stage has: evenly, with a number of their own for the first and the last stage, or with embedding
//! and loss counted as layers (NVIDIA/Megatron-LM core/transformer/transformer_block.py, `get_num_layers_to_build`).

use super::Schedule;
use std::ops::Range;
use thiserror::Error;

/// How layers are dealt out to stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Split {
    /// Layers of the first rank, where they are not as many as those of the others (`decoder_first_pipeline_num_layers`).
    pub first: Option<u64>,
    /// Layers of the last rank (`decoder_last_pipeline_num_layers`).
    pub last: Option<u64>,
    /// Whether the embedding counts as a layer (`account_for_embedding_in_pipeline_split`).
    pub embedding: bool,
    /// Whether the loss counts as a layer (`account_for_loss_in_pipeline_split`).
    pub loss: bool,
}

/// Why layers cannot be dealt out.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Uneven {
    /// A number of layers does not divide.
    #[error("{layers} layers cannot be dealt out evenly to {stages} stages.")]
    Indivisible {
        /// Layers, with what counts as one.
        layers: u64,
        /// Stages.
        stages: u64,
    },
    /// The ends take more than there is.
    #[error("The first and the last stage would take {taken} of {layers} layers.")]
    TooMany {
        /// Layers of the ends.
        taken: u64,
        /// All layers.
        layers: u64,
    },
}

/// The layers of every stage, in the order of the model; a stage is a chunk of a rank.
pub fn stages(layers: u64, split: Split, schedule: Schedule, ranks: u64) -> Result<Vec<Range<u64>>, Uneven> {
    let count = schedule.stages(ranks);
    let chunks = (count / ranks.max(1)).max(1);
    let ends = [split.first, split.last];
    let sizes: Vec<u64> = if ends.iter().any(Option::is_some) && ranks > 1 {
        let taken: u64 = ends.iter().flatten().fold(0, |sum, end| sum.saturating_add(*end));
        let rest = layers
            .checked_sub(taken)
            .ok_or(Uneven::TooMany { taken, layers })?;
        let others = ranks - ends.iter().flatten().count() as u64;
        let each = shared(rest, others)?;
        let of_rank = |rank: u64| match rank {
            0 => split.first.unwrap_or(each),
            last if last + 1 == ranks => split.last.unwrap_or(each),
            _ => each,
        };
        let mut sizes = Vec::new();
        for stage in 0..count {
            sizes.push(shared(of_rank(stage % ranks), chunks)?);
        }
        sizes
    } else {
        let counted = layers
            .saturating_add(u64::from(split.embedding))
            .saturating_add(u64::from(split.loss));
        let each = shared(counted, count)?;
        (0..count)
            .map(|stage| {
                let ends =
                    u64::from(split.embedding && stage == 0) + u64::from(split.loss && stage + 1 == count);
                each.saturating_sub(ends)
            })
            .collect()
    };
    let mut begin = 0;
    Ok(sizes
        .into_iter()
        .map(|size| {
            let range = begin..begin + size;
            begin += size;
            range
        })
        .collect())
}

fn shared(layers: u64, stages: u64) -> Result<u64, Uneven> {
    if stages == 0 && layers == 0 {
        return Ok(0);
    }
    if stages == 0 || !layers.is_multiple_of(stages) {
        return Err(Uneven::Indivisible { layers, stages });
    }
    Ok(layers / stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(layers: u64, split: Split, schedule: Schedule, ranks: u64) -> Result<Vec<u64>, Uneven> {
        let ranges = stages(layers, split, schedule, ranks)?;
        Ok(ranges.iter().map(|range| range.end - range.start).collect())
    }

    #[test]
    fn layers_are_dealt_out_as_megatron_does() {
        let plain = Schedule::OneForwardOneBackward;
        let uneven = Split {
            first: Some(2),
            last: Some(2),
            ..Split::default()
        };
        assert_eq!(sizes(12, uneven, plain, 4), Ok(vec![2, 4, 4, 2]));
        let counted = Split {
            embedding: true,
            loss: true,
            ..Split::default()
        };
        let two = Schedule::Interleaved { chunks: 2, group: 4 };
        assert_eq!(sizes(14, counted, two, 4), Ok(vec![1, 2, 2, 2, 2, 2, 2, 1]));
        assert_eq!(sizes(8, Split::default(), Schedule::DualPipe, 4), Ok(vec![2; 4]));
        assert_eq!(sizes(8, Split::default(), Schedule::DualPipeV, 2), Ok(vec![2; 4]));
    }

    #[test]
    fn what_does_not_divide_is_refused() {
        let plain = Schedule::OneForwardOneBackward;
        assert_eq!(
            sizes(13, Split::default(), plain, 4),
            Err(Uneven::Indivisible {
                layers: 13,
                stages: 4
            })
        );
        let all = Split {
            first: Some(9),
            last: Some(9),
            ..Split::default()
        };
        assert_eq!(
            sizes(12, all, plain, 4),
            Err(Uneven::TooMany {
                taken: 18,
                layers: 12
            })
        );
    }
}
