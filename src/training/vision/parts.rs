//! The operations of a vision tower's pieces, recorded on tapes: patches with their positions, a block, a merger in the
//! middle, the way to the text, and the scattering into the text's embedding. Sizes only; which pieces run is told by
//! [`super::TowerPlan`].

use super::super::images::{Images, TowerTraining};
use super::super::ops::{Eager, Heads, Masking, Recorder, Types};
use super::super::tape::{Edge, Name, Rows, Shape, Storage, Tape, Target, Var};
use super::super::{AttentionKernel, FusedKernels, Precision, Projection, TrainingJob, names};
use crate::model::{NormKind, Vision, VisionClass};
use crate::units::DType;

/// A piece of a tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Patches and their positions.
    Input,
    /// A block.
    Block,
    /// The merger behind a block in the middle.
    Merger,
    /// From the last block to the text.
    Projector,
    /// Into the text's embedding.
    Scatter,
}

impl Piece {
    /// Where it is, in words.
    pub const fn place(self) -> &'static str {
        match self {
            Self::Input => "patches",
            Self::Block => "blocks",
            Self::Merger => "mergers",
            Self::Projector => "projector",
            Self::Scatter => "into the text",
        }
    }
}

/// A piece on its tape.
pub struct Recorded {
    /// The tape; its first storage is the piece's input.
    pub tape: Tape,
    /// Its output.
    pub output: Var,
    /// The gradient that arrives there.
    pub gradient: Storage,
}

/// A tower that looks at the images of a micro-batch.
pub struct Eye<'a> {
    vision: &'a Vision,
    images: Images,
    types: Types,
    kernel: AttentionKernel,
    workspace: bool,
    text: Storage,
    /// No weight trains.
    frozen: bool,
    /// A gradient flows through it all the same.
    flows: bool,
}

impl<'a> Eye<'a> {
    /// Of a job.
    pub fn new(job: &TrainingJob, images: Images, vision: &'a Vision) -> Self {
        let weights = super::weights_type(job);
        let autocast = match job.precision {
            Precision::Autocast(dtype) => Some(dtype),
            Precision::Pure(_) | Precision::Master(_) | Precision::ShardedMixed { .. } => None,
        };
        let text = Shape {
            axis: &names::TEXT_WIDTH,
            width: job.network.hidden_size,
            rows: Rows::Tokens(job.tokens()),
        };
        Self {
            vision,
            images,
            types: Types {
                weights,
                autocast,
                low: job.precision.compute(),
                norms: weights,
            },
            kernel: job.attention,
            workspace: job.torch_version >= (2, 15) && job.compute_capability >= 90,
            text: Storage::new(&names::HIDDEN_STATE, text, weights),
            frozen: false,
            flows: false,
        }
    }

    /// The same tower without gradients.
    pub const fn frozen(&self) -> Self {
        Self {
            frozen: true,
            flows: false,
            ..*self
        }
    }

    /// The same tower whose weights are frozen and through which a gradient flows.
    pub const fn flowing(&self) -> Self {
        Self {
            frozen: true,
            flows: true,
            ..*self
        }
    }

    /// The embedding of the text, which is kept beside what the images were scattered into: a leaf of its own.
    pub const fn embedding(&self) -> Storage {
        self.text
    }

    /// The patches that the convolution makes, a leaf of their own as well.
    pub const fn patches_made(&self) -> Storage {
        let shape = self.of_patches(&names::TOWER_WIDTH, self.vision.hidden);
        Storage::new(&names::PATCHES, shape, self.types.weights)
    }

    /// What trains.
    pub const fn training(&self) -> TowerTraining {
        self.images.training
    }

    const fn patches(&self) -> u64 {
        self.images.count.saturating_mul(self.images.patches)
    }

    const fn tokens(&self) -> u64 {
        self.images.count.saturating_mul(self.images.tokens)
    }

    const fn of_patches(&self, axis: &'static super::super::tape::Axis, width: u64) -> Shape {
        Shape {
            axis,
            width,
            rows: Rows::Patches(self.patches()),
        }
    }

    const fn of_tokens(&self) -> Shape {
        Shape {
            axis: &names::TEXT_WIDTH,
            width: self.text.shape.width,
            rows: Rows::Patches(self.tokens()),
        }
    }

    /// The images as the processor gives them, in fp32.
    pub const fn pixels(&self) -> Storage {
        let shape = self.of_patches(&names::PATCH_VALUES, self.vision.values);
        Storage::new(&names::PIXELS, shape, DType::Fp32)
    }

    /// The tokens that images become, or their gradient.
    pub const fn image_tokens(&self, gradient: bool) -> Storage {
        let one = Storage::new(&names::IMAGE_TOKENS, self.of_tokens(), self.types.weights);
        Storage { gradient, ..one }
    }

    /// The type of the residual stream: that of the convolution, and wider where a table of positions is added to it
    /// without a cast.
    fn stream(&self) -> DType {
        match (self.types.autocast, self.vision.class) {
            (Some(dtype), VisionClass::Qwen) => dtype,
            _ => self.types.weights,
        }
    }

    fn hidden(&self) -> Storage {
        let shape = self.of_patches(&names::TOWER_WIDTH, self.vision.hidden);
        Storage::new(&names::HIDDEN_STATE, shape, self.stream())
    }

    /// Tables of the rotation, in fp32 for each patch, which rotated queries and keys keep.
    pub fn shared(&self, whole: bool) -> Vec<Storage> {
        if !whole || self.vision.class != VisionClass::Qwen {
            return Vec::new();
        }
        let width = self.vision.hidden / self.vision.heads.max(1);
        let table = Storage::new(
            &names::ROTARY_TABLE,
            self.of_patches(&names::ROTATED_PART, width),
            DType::Fp32,
        );
        vec![table; 2]
    }

    fn recorder(&self, tape: Tape, rows: u64) -> Recorder {
        Recorder {
            tape,
            types: self.types,
            tokens: rows,
            kernels: FusedKernels::None,
            adapter: None,
            outside: false,
            sequences: self.images.count,
            passing_workspace: self.workspace,
            ring: (1, false),
            of_patches: true,
            frozen: self.frozen,
        }
    }

    /// Records a piece. Before a projector that trains alone no gradient is wanted.
    pub fn record(&self, piece: Piece) -> Recorded {
        let whole = self.flows || (self.training() == TowerTraining::Whole && !self.frozen);
        let (input, rows, trained) = match piece {
            Piece::Input => (self.pixels(), self.patches(), false),
            Piece::Block | Piece::Merger | Piece::Projector => (self.hidden(), self.patches(), whole),
            Piece::Scatter => (
                self.image_tokens(false),
                self.tokens(),
                self.flows || !self.frozen,
            ),
        };
        let (tape, input) = Tape::new(input, trained);
        let mut recorder = self.recorder(tape, rows);
        let output = match piece {
            Piece::Input => self.input(&mut recorder, input),
            Piece::Block => self.block(&mut recorder, input),
            Piece::Merger => self.merger(&mut recorder, input, true),
            Piece::Projector => match self.vision.class {
                VisionClass::Siglip => self.averaged(&mut recorder, input),
                VisionClass::Qwen => self.merger(&mut recorder, input, false),
            },
            Piece::Scatter => self.scatter(&mut recorder, input),
        };
        let gradient = match piece {
            Piece::Scatter => Storage {
                gradient: true,
                ..self.text
            },
            Piece::Input | Piece::Block => Storage {
                gradient: true,
                ..self.hidden()
            },
            Piece::Merger | Piece::Projector => self.image_tokens(true),
        };
        Recorded {
            tape: recorder.tape,
            output,
            gradient,
        }
    }

    /// A convolution whose stride is its kernel, and the positions. What cuDNN takes besides is not counted.
    fn input(&self, recorder: &mut Recorder, pixels: Var) -> Var {
        let stream = self.types.autocast.unwrap_or(self.types.weights);
        let pixels = recorder.cast(pixels, stream, &names::PIXELS_CAST);
        let weights = self.vision.values.saturating_mul(self.vision.hidden);
        let filter = self.weight(weights);
        let node = recorder.tape.node(&[filter], &[pixels.storage], &[]);
        let shape = recorder.rows(&names::TOWER_WIDTH, self.vision.hidden);
        let patches = recorder.output(&names::PATCHES, shape, stream, node);
        let table = self.weight(self.vision.positions.saturating_mul(self.vision.hidden));
        match self.vision.class {
            VisionClass::Siglip => {
                let node = recorder.tape.node(&[table], &[], &[]);
                let positions = Var {
                    storage: None,
                    node,
                    shape,
                    dtype: self.types.weights,
                };
                recorder.add(patches, positions, &names::HIDDEN_STATE)
            }
            VisionClass::Qwen => {
                // Four rows of the table for each patch, weighed in fp32.
                let four = recorder.rows(&names::TOWER_WIDTH, self.vision.hidden.saturating_mul(4));
                let places = recorder.rows(&names::IDS, 4);
                let rows = recorder
                    .tape
                    .store(Storage::new(&names::POSITIONS, places, DType::Int64));
                let weights = recorder
                    .tape
                    .store(Storage::new(&names::POSITIONS, places, DType::Fp32));
                let node = recorder.tape.node(&[table], &[Some(rows), Some(weights)], &[]);
                let found = recorder.output(&names::POSITIONS, four, self.types.weights, node);
                let weighed = recorder.scale(found, Some(DType::Fp32), &names::POSITIONS);
                // The sum over the four hands its gradient on as a view.
                let summed = Var {
                    shape: Shape {
                        width: self.vision.hidden,
                        ..four
                    },
                    ..weighed
                };
                let positions = recorder.cast(summed, stream, &names::POSITIONS);
                recorder.add(patches, positions, &names::HIDDEN_STATE)
            }
        }
    }

    fn weight(&self, elements: u64) -> Edge {
        let shape = Shape {
            axis: &names::WEIGHTS,
            width: elements,
            rows: Rows::One,
        };
        Edge {
            target: Target::Weight,
            made: Some(Storage::gradient(&names::WEIGHT, shape, self.types.weights)),
        }
    }

    fn linear(recorder: &mut Recorder, input: Var, shape: Shape, name: &'static Name) -> Var {
        recorder.linear(input, shape, name, Projection::Other)
    }

    fn block(&self, recorder: &mut Recorder, input: Var) -> Var {
        let width = recorder.rows(&names::TOWER_WIDTH, self.vision.hidden);
        let normed = recorder.norm(input, NormKind::Layer, 1);
        let attended = match self.vision.class {
            VisionClass::Siglip => {
                let [query, key, value] = [&names::QUERY, &names::KEY, &names::VALUE]
                    .map(|name| Self::linear(recorder, normed, width, name));
                self.attention(recorder, [query, key, value])
            }
            VisionClass::Qwen => self.rotated_attention(recorder, normed),
        };
        let mixed = Self::linear(recorder, attended, width, &names::BLOCK_OUTPUT);
        let stream = recorder.add(input, mixed, &names::RESIDUAL);
        let normed = recorder.norm(stream, NormKind::Layer, 1);
        let inner = recorder.rows(&names::TOWER_INNER, self.vision.inner);
        let up = Self::linear(recorder, normed, inner, &names::UP);
        let activated = recorder.activation(up, &self.vision.activation, &names::ACTIVATED);
        recorder
            .tape
            .pass(&[stream.storage, up.storage, activated.storage], &[]);
        let fed = Self::linear(recorder, activated, width, &names::BLOCK_OUTPUT);
        recorder.add(stream, fed, &names::RESIDUAL)
    }

    const fn heads(&self) -> Heads {
        let width = self.vision.hidden
            / if self.vision.heads == 0 {
                1
            } else {
                self.vision.heads
            };
        Heads {
            queries: self.vision.heads,
            keys: self.vision.heads,
            width,
            value_width: width,
            sequence: self.images.patches,
        }
    }

    /// Attention over the patches of an image, without a mask.
    fn attention(&self, recorder: &mut Recorder, operands: [Var; 3]) -> Var {
        if self.kernel == AttentionKernel::Eager {
            let settings = Eager {
                softcap: false,
                sinks: false,
                fp32_softmax: true,
                dropout: 0.0,
                mask: self.types.weights,
            };
            return recorder.eager_attention(operands, self.heads(), settings);
        }
        recorder.fused_attention(operands, self.heads(), Masking::Causal, false)
    }

    /// Queries and keys rotated in fp32; torch's attention runs image by image, and what it puts out is joined.
    fn rotated_attention(&self, recorder: &mut Recorder, input: Var) -> Var {
        let hidden = self.vision.hidden;
        let all = recorder.rows(&names::QUERIES_KEYS_VALUES, hidden.saturating_mul(3));
        let whole = Self::linear(recorder, input, all, &names::QUERY_KEY_VALUE);
        let whole = recorder.split(whole, &names::QUERY_KEY_VALUE);
        let parts =
            [&names::QUERIES, &names::KEYS, &names::VALUES].map(|axis| recorder.part(whole, axis, hidden));
        let [query, key, value] = parts;
        let query = Self::turned(recorder, query);
        let key = Self::turned(recorder, key);
        if self.kernel == AttentionKernel::Package {
            return self.attention(recorder, [query, key, value]);
        }
        let operands = [
            recorder.split(query, &names::QUERY),
            recorder.split(key, &names::KEY),
            recorder.split(value, &names::VALUE),
        ];
        let each = self.attention(recorder, operands);
        let joined = recorder.concatenate(&[each], each.shape, &names::ATTENTION_COPY);
        recorder.tape.pass(&[input.storage, joined.storage], &[]);
        joined
    }

    /// `x·cos + rotate_half(x)·sin` of an fp32 copy, back in the type of the input.
    fn turned(recorder: &mut Recorder, input: Var) -> Var {
        let half = input.shape.width / 2;
        let wide = recorder.cast(input, DType::Fp32, &names::ROTARY);
        let straight = recorder.scale(wide, None, &names::ROTARY);
        let first = recorder.slice(wide, wide.shape.axis, half, &names::ROTARY);
        let second = recorder.slice(wide, wide.shape.axis, half, &names::ROTARY);
        let negative = recorder.scale(second, None, &names::ROTARY);
        let crossed = recorder.concatenate(&[negative, first], wide.shape, &names::ROTARY);
        let turned = recorder.scale(crossed, None, &names::ROTARY);
        recorder.tape.pass(
            &[
                input.storage,
                wide.storage,
                straight.storage,
                crossed.storage,
                turned.storage,
            ],
            &[],
        );
        let sum = recorder.add(straight, turned, &names::ROTARY);
        recorder.cast(sum, input.dtype, &names::ROTATED)
    }

    /// Norm, patches side by side, two matrices with GELU between them; a merger in the middle norms what is side by side.
    fn merger(&self, recorder: &mut Recorder, input: Var, late_norm: bool) -> Var {
        let square = self.vision.merge.saturating_mul(self.vision.merge);
        let merged = Shape {
            axis: &names::MERGED,
            width: self.vision.hidden.saturating_mul(square),
            rows: Rows::Patches(self.tokens()),
        };
        let beside = |input: Var| Var {
            shape: merged,
            ..input
        };
        let normed = if late_norm {
            recorder.norm(beside(input), NormKind::Layer, 1)
        } else {
            beside(recorder.norm(input, NormKind::Layer, 1))
        };
        recorder.tokens = self.tokens();
        let first = Self::linear(recorder, normed, merged, &names::POOLED);
        let activated = recorder.activation(first, "gelu", &names::ACTIVATED);
        let second = Self::linear(recorder, activated, self.of_tokens(), &names::IMAGE_TOKENS);
        // Images are told apart and joined again.
        recorder.concatenate(&[second], second.shape, &names::IMAGE_TOKENS)
    }

    /// The last norm of the tower, the mean over squares of patches, a norm and one matrix.
    fn averaged(&self, recorder: &mut Recorder, input: Var) -> Var {
        let last = if input.node.is_some() {
            recorder.norm(input, NormKind::Layer, 1)
        } else {
            input
        };
        // Laid out by channels: a copy, which the mean keeps.
        let node = recorder.tape.node(&[Recorder::same_gradient(last)], &[], &[]);
        let channels = recorder.output(&names::POOLED, last.shape, last.dtype, node);
        let edge = recorder.new_gradient(channels, &names::POOLED);
        let node = recorder.tape.node(&[edge], &[channels.storage], &[]);
        let mean = Shape {
            rows: Rows::Patches(self.tokens()),
            ..last.shape
        };
        let pooled = recorder.output(&names::POOLED, mean, last.dtype, node);
        recorder.tokens = self.tokens();
        let normed = recorder.norm(pooled, NormKind::RmsPlusOne, 1);
        Self::linear(recorder, normed, self.of_tokens(), &names::IMAGE_TOKENS)
    }

    /// `masked_scatter` into the embedding. Forward makes the mask of every element and their prefix sums (torch 2.15,
    /// aten/src/ATen/native/cuda/IndexKernel.cpp); backward looks up the places of all elements that came from images, three
    /// integers each, and fills nought into the embedding's gradient (FunctionsManual.cpp, `masked_scatter_backward`).
    fn scatter(&self, recorder: &mut Recorder, input: Var) -> Var {
        let elements = Shape {
            rows: self.text.shape.rows,
            ..self.text.shape
        };
        let mask = Storage::new(&names::PLACES, elements, DType::Int8);
        let sums = Storage::new(&names::PLACES, elements, DType::Int64);
        recorder
            .tape
            .pass(&[input.storage], &[self.text, self.text, mask, sums]);
        let of_images = self.of_tokens();
        let places = Shape {
            width: of_images.width.saturating_mul(3),
            ..of_images
        };
        let edge = recorder.new_gradient(input, &names::IMAGE_TOKENS);
        let filled = Storage {
            gradient: true,
            ..self.text
        };
        let places = Storage::new(&names::PLACES, places, DType::Int64);
        let node = recorder.tape.node(&[edge], &[], &[places, filled]);
        recorder.output(&names::HIDDEN_STATE, self.text.shape, self.text.dtype, node)
    }
}
