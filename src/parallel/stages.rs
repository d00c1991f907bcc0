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
    /// Every stage written out (`pipeline_model_parallel_layout`).
    pub written: Option<Written>,
    /// Whether stages may differ by a layer, the first ones having more (DeepSpeed runtime/utils.py, `partition_balanced`).
    pub balanced: bool,
    /// Whether embedding and head weigh a layer each and the first stages have what does not divide (pytorch/torchtitan
    /// distributed/pipeline_parallel.py, `generate_llm_fqn_per_model_part`).
    pub weighed: bool,
}

/// Most stages of a written layout.
const MOST: usize = 256;

/// The layers of every stage, in the order of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Written {
    count: usize,
    layers: [u8; MOST],
    /// Layers for further tokens on the last stage.
    pub further: u64,
}

/// Why a layout cannot be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unreadable {
    /// A letter that means nothing, or a star or bracket at the wrong place.
    #[error(
        "The layout has {0:?} at a place where it means nothing: E, t, m and L are embedding, layer, further-token layer and loss, | ends a stage, (…)*n repeats."
    )]
    Letter(char),
    /// Embedding first, loss last, and nothing of the kind between them.
    #[error(
        "The layout begins with the embedding (E) and ends with the loss (L), each once; layers for further tokens (m) stand right before the loss, on its stage."
    )]
    Ends,
    /// More stages or layers than are answered.
    #[error("The layout has more than {MOST} stages, or more than 255 layers on one.")]
    TooMany,
}

impl Written {
    /// Reads a layout such as `Et*3|(tt|)*6mL` (core/transformer/pipeline_parallel_layer_layout.py, `parse_str_to_list`).
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let plain: Vec<char> = text
            .chars()
            .filter(|letter| !letter.is_whitespace() && *letter != ',')
            .collect();
        let flat = expand(&plain)?;
        let body = flat
            .strip_prefix('E')
            .and_then(|rest| rest.strip_suffix('L'))
            .ok_or(Unreadable::Ends)?;
        let mut layers = [0_u8; MOST];
        let mut count = 0;
        let mut further = 0_u64;
        let stages: Vec<&str> = body.split('|').collect();
        for (at, stage) in stages.iter().enumerate() {
            let decoder = stage.chars().filter(|letter| *letter == 't').count();
            let others = stage.chars().count() - decoder;
            if others > 0 {
                let tail = stage.trim_start_matches('t');
                if at + 1 != stages.len() || tail.chars().any(|letter| letter != 'm') {
                    return Err(Unreadable::Ends);
                }
                further = others as u64;
            }
            let slot = layers.get_mut(at).ok_or(Unreadable::TooMany)?;
            *slot = u8::try_from(decoder).map_err(|_| Unreadable::TooMany)?;
            count = at + 1;
        }
        Ok(Self {
            count,
            layers,
            further,
        })
    }

    /// Stages of the layout.
    pub const fn stages(&self) -> u64 {
        self.count as u64
    }

    /// Layers of every stage.
    pub fn sizes(&self) -> impl Iterator<Item = u64> {
        self.layers.into_iter().take(self.count).map(u64::from)
    }
}

/// Letters longer than this are more than any stage holds.
const LONGEST: usize = 65_536;

/// `x*n` and `(…)*n` written out.
fn expand(letters: &[char]) -> Result<String, Unreadable> {
    let mut flat = String::new();
    let mut rest = letters;
    while let Some((letter, after)) = rest.split_first() {
        let (unit, after) = match letter {
            '(' => {
                let end = after
                    .iter()
                    .position(|letter| *letter == ')')
                    .ok_or(Unreadable::Letter('('))?;
                let (inner, tail) = after.split_at(end);
                (expand(inner)?, tail.get(1..).unwrap_or_default())
            }
            'E' | 't' | 'm' | 'L' | '|' => (letter.to_string(), after),
            other => return Err(Unreadable::Letter(*other)),
        };
        let (times, after) = match after.split_first() {
            Some(('*', tail)) => {
                let digits: String = tail.iter().take_while(|letter| letter.is_ascii_digit()).collect();
                let times = digits.parse::<usize>().map_err(|_| Unreadable::Letter('*'))?;
                (times, tail.get(digits.len()..).unwrap_or_default())
            }
            _ => (1, after),
        };
        if unit.len().saturating_mul(times).saturating_add(flat.len()) > LONGEST {
            return Err(Unreadable::TooMany);
        }
        flat.push_str(&unit.repeat(times));
        rest = after;
    }
    Ok(flat)
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
    /// A written layout has other stages than the ranks and chunks.
    #[error(
        "The layout has {written} stages, which are not those of {ranks} pipeline ranks with as many chunks each."
    )]
    OtherStages {
        /// Stages of the layout.
        written: u64,
        /// Pipeline ranks.
        ranks: u64,
    },
    /// A written layout has other layers than the model.
    #[error("The layout has {written} layers, the model {layers}.")]
    OtherLayers {
        /// Layers of the layout.
        written: u64,
        /// Layers of the model.
        layers: u64,
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
    let sizes: Vec<u64> = if let Some(written) = split.written {
        let sizes: Vec<u64> = written.sizes().collect();
        let all: u64 = sizes.iter().fold(0, |sum, size| sum.saturating_add(*size));
        if sizes.len() as u64 != count {
            return Err(Uneven::OtherStages {
                written: sizes.len() as u64,
                ranks,
            });
        }
        if all != layers {
            return Err(Uneven::OtherLayers { written: all, layers });
        }
        sizes
    } else if split.balanced && !(split.embedding || split.loss) && count > 0 {
        let (each, more) = (layers / count, layers % count);
        (0..count).map(|stage| each + u64::from(stage < more)).collect()
    } else if split.weighed && ends.iter().all(Option::is_none) && count > 1 {
        let all = layers.saturating_add(2);
        let (each, more) = (all / count, all % count);
        let weight = |stage: u64| u64::from(stage == 0) + u64::from(stage + 1 == count);
        let size = |stage| (each + u64::from(stage < more)).checked_sub(weight(stage));
        let sizes: Option<Vec<u64>> = (0..count).map(size).collect();
        sizes.ok_or(Uneven::Indivisible {
            layers,
            stages: count,
        })?
    } else if ends.iter().any(Option::is_some) && ranks > 1 {
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
    fn written_layouts_are_read() {
        // gpt3_moe_mcore_te_tp2_pp2_ep4_etp1_fine_grained_offloading of Megatron-LM's functional tests.
        let layout = Written::read("Et*3|(tt|)*6mL").expect("a layout");
        assert_eq!((layout.stages(), layout.further), (8, 1));
        let split = Split {
            written: Some(layout),
            ..Split::default()
        };
        let schedule = Schedule::Interleaved { chunks: 4, group: 2 };
        assert_eq!(sizes(15, split, schedule, 2), Ok(vec![3, 2, 2, 2, 2, 2, 2, 0]));
        assert_eq!(
            sizes(14, split, schedule, 2),
            Err(Uneven::OtherLayers {
                written: 15,
                layers: 14
            })
        );
        assert_eq!(Written::read("Etx|L"), Err(Unreadable::Letter('x')));
        assert_eq!(Written::read("tt|L"), Err(Unreadable::Ends));
        assert_eq!(Written::read("Em|tL"), Err(Unreadable::Ends));
        assert_eq!(Written::read("E(t|)*9999L"), Err(Unreadable::TooMany));
    }

    #[test]
    fn torchtitan_weighs_the_ends() {
        let split = Split {
            weighed: true,
            ..Split::default()
        };
        // Stages 3 and 7 of record titan-1616-dsv3-16b-pp4: layers 11 to 14, layers 25 and 26 with the head.
        let two = Schedule::Interleaved { chunks: 2, group: 4 };
        assert_eq!(sizes(27, split, two, 4), Ok(vec![3, 4, 4, 4, 4, 3, 3, 2]));
        let plain = Schedule::OneForwardOneBackward;
        assert_eq!(sizes(32, split, plain, 4), Ok(vec![8, 9, 8, 7]));
    }

    #[test]
    fn balanced_stages_differ_by_a_layer() {
        let split = Split {
            balanced: true,
            ..Split::default()
        };
        let plain = Schedule::OneForwardOneBackward;
        assert_eq!(sizes(10, split, plain, 4), Ok(vec![3, 3, 2, 2]));
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
