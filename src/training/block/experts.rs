//! Mixtures of experts as transformers 5.23 trains them: tokens sorted by expert, grouped matrix products over all experts
//! at once (integrations/moe.py, `grouped_mm_experts_forward`). Routing is taken as even.

use super::Layout;
use super::split::Group;
use crate::model::{Dense, Moe};
use crate::training::names;
use crate::training::ops::{Recorder, promoted};
use crate::training::tape::{Edge, Rows, Shape, Storage, Target, Var};
use crate::units::DType;

impl Layout<'_> {
    pub(super) fn experts(&mut self, moe: &Moe, input: Var) -> Var {
        let choice = self.router(moe, input);
        let mut output = self.routed(moe, input, choice);
        if let Some(shared) = &moe.shared {
            let dense = Dense {
                width: shared.width,
                gated: moe.gated,
                activation: moe.activation.clone(),
                fused_gate_up: false,
            };
            let mut beside = self.dense_of(Group::Shared, &dense, input, &names::SHARED);
            if shared.gate {
                let gate = self.project(input, &names::ONE, 1, &names::OUTPUT_GATE);
                let open = self.recorder.keeping_result(gate, &names::OUTPUT_GATE);
                beside = self.weigh(beside, open);
            }
            output = self.recorder.add(output, beside, &names::BLOCK_OUTPUT);
        }
        if let Some(dense) = &moe.dense {
            let beside = self.dense(dense, input);
            output = self.recorder.add(output, beside, &names::BLOCK_OUTPUT);
        }
        output
    }

    /// The router: logits, probabilities in fp32, the chosen experts with their weights.
    fn router(&mut self, moe: &Moe, input: Var) -> Var {
        let logits = if moe.router_fp32 {
            let wide = self.recorder.cast(input, DType::Fp32, &names::ROUTER_INPUT);
            let shape = self.shape(&names::EXPERTS, moe.experts);
            if self.recorder.types.autocast.is_some() && !self.setting.reference.router_outside_autocast {
                let weights = moe.experts.saturating_mul(input.shape.width);
                self.recorder.product(wide, weights, shape, &names::ROUTER_LOGITS)
            } else {
                let edge = self.recorder.new_gradient(wide, &names::ROUTER_INPUT);
                let node = self.recorder.tape.node(&[edge], &[wide.storage], &[]);
                self.recorder
                    .output(&names::ROUTER_LOGITS, shape, DType::Fp32, node)
            }
        } else {
            self.project(input, &names::EXPERTS, moe.experts, &names::ROUTER_LOGITS)
        };
        self.recorder.tape.keep_in_graph(logits.storage);
        if self.setting.chosen.router {
            self.recorder.tape.keep_chosen(logits.storage);
        }
        let scores = self.recorder.softmax(
            logits,
            DType::Fp32,
            [&names::ROUTER_LOGITS, &names::ROUTER_SCORES],
        );
        // Chosen weights, their sum, indices, sorted order and its inverse: five integers or so per choice.
        let shape = self.shape(&names::CHOICES, moe.top_k.saturating_mul(5));
        let indices = self
            .recorder
            .tape
            .store(Storage::new(&names::ROUTER_INDEX, shape, DType::Int64));
        let edge = self.recorder.new_gradient(scores, &names::ROUTER_SCORES);
        let node = self.recorder.tape.node(&[edge], &[Some(indices)], &[]);
        let dtype = if self.setting.reference.wide_choice || moe.router_fp32 {
            DType::Fp32
        } else {
            input.dtype
        };
        let shape = Shape {
            axis: &names::ONE,
            width: 1,
            rows: Rows::Routed(self.routed_rows(moe)),
        };
        self.recorder.output(&names::ROUTER_CHOICE, shape, dtype, node)
    }

    fn routed_rows(&self, moe: &Moe) -> u64 {
        let each = if self.setting.reference.every_expert {
            moe.experts
        } else {
            moe.top_k
        };
        self.setting.tokens.saturating_mul(each)
    }

    fn routed(&mut self, moe: &Moe, input: Var, choice: Var) -> Var {
        if self.setting.looped_experts && !self.setting.reference.every_expert {
            return self.looped(moe, input, choice);
        }
        let rows = Rows::Routed(self.routed_rows(moe));
        let row = |axis, width| Shape { axis, width, rows };
        let (model, width) = (moe.model_width, moe.width);
        let hidden = row(&names::WIDTH, model);
        let experts = moe.experts.div_ceil(self.setting.expert_ranks.max(1));
        let weights = |inner: u64| experts.saturating_mul(inner).saturating_mul(model);

        let edge = self.recorder.new_gradient(input, &names::ROUTED_INPUT);
        let node = self.recorder.tape.node(&[edge], &[], &[]);
        let mut sorted = self
            .recorder
            .output(&names::ROUTED_INPUT, hidden, input.dtype, node);
        if self.setting.reference.every_expert {
            sorted = self.weigh(sorted, choice);
        }
        let sorted = self
            .recorder
            .cast(sorted, self.recorder.types.weights, &names::ROUTED_INPUT);
        let inner = if moe.gated {
            let shape = row(&names::EXPERT_PAIR, 2 * width);
            let both = self.grouped(sorted, weights(2 * width), shape, &names::ROUTED_GATE_UP);
            if self.setting.reference.clamped_experts {
                self.clamped(both, width)
            } else {
                let both = self.recorder.split(both, &names::ROUTED_GATE_UP);
                let gate = self.recorder.part(both, &names::EXPERT, width);
                let up = self.recorder.part(both, &names::EXPERT, width);
                let activated = self
                    .recorder
                    .activation(gate, &moe.activation, &names::ROUTED_ACTIVATED);
                self.recorder.multiply(activated, up, &names::ROUTED_PRODUCT)
            }
        } else {
            let up = self.grouped(
                sorted,
                weights(width),
                row(&names::EXPERT, width),
                &names::ROUTED_GATE_UP,
            );
            self.recorder
                .activation(up, &moe.activation, &names::ROUTED_ACTIVATED)
        };
        let output = self.grouped(inner, weights(width), hidden, &names::ROUTED_OUTPUT);
        if self.setting.expert_ranks > 1 {
            // Rows that came from other ranks, and those that came back (torchtitan distributed/activation_checkpoint.py,
            // `_get_save_ops`: `all_to_all_single`).
            self.recorder.tape.keep_in_graph(sorted.storage);
            self.recorder.tape.keep_in_graph(output.storage);
        }
        if self.setting.reference.every_expert {
            // Summed over the experts: the gradient is copied once for each.
            let edge = self.recorder.new_gradient(output, &names::ROUTED_OUTPUT);
            let node = self.recorder.tape.node(&[edge], &[], &[]);
            return self
                .recorder
                .output(&names::BLOCK_OUTPUT, input.shape, input.dtype, node);
        }
        let weighted = self.weigh(output, choice);
        // Back in token order: the gradient is scattered into zeros from a contiguous copy.
        let edge = self.recorder.new_gradient(weighted, &names::ROUTED_WEIGHTED);
        let copy = Storage::gradient(&names::ROUTED_WEIGHTED, weighted.shape, weighted.dtype);
        let node = self.recorder.tape.node(&[edge], &[], &[copy]);
        let summed = self
            .recorder
            .output(&names::ROUTED_WEIGHTED, input.shape, weighted.dtype, node);
        self.recorder.cast(summed, input.dtype, &names::BLOCK_OUTPUT)
    }

    /// One expert after another, as transformers 4 ran them (models/mixtral/modeling_mixtral.py, `MixtralSparseMoeBlock`):
    /// its tokens are indexed out of the input, whose gradient is a tensor of zeros of all tokens each time, and what it
    /// makes of them is added to the output by index.
    fn looped(&mut self, moe: &Moe, input: Var, choice: Var) -> Var {
        let experts = moe.experts.max(1);
        let rows = Rows::Routed(self.routed_rows(moe).div_ceil(experts));
        let row = |axis, width| Shape { axis, width, rows };
        let weights = moe.width.saturating_mul(moe.model_width);
        let hidden = row(&names::WIDTH, moe.model_width);
        let mut sum = Var { node: None, ..input };
        for _ in 0..experts {
            let edge = self.recorder.new_gradient(input, &names::ROUTED_INPUT);
            let node = self.recorder.tape.node(&[edge], &[], &[]);
            let own = self
                .recorder
                .output(&names::ROUTED_INPUT, hidden, input.dtype, node);
            let shape = row(&names::EXPERT, moe.width);
            let gate = self.recorder.product(own, weights, shape, &names::ROUTED_GATE_UP);
            let activated = self
                .recorder
                .activation(gate, &moe.activation, &names::ROUTED_ACTIVATED);
            let inner = if moe.gated {
                let up = self.recorder.product(own, weights, shape, &names::ROUTED_GATE_UP);
                self.recorder.multiply(activated, up, &names::ROUTED_PRODUCT)
            } else {
                activated
            };
            let output = self
                .recorder
                .product(inner, weights, hidden, &names::ROUTED_OUTPUT);
            let small = Var {
                shape: Shape { rows, ..choice.shape },
                ..choice
            };
            let weighted = self.weigh(output, small);
            let edges = [
                Recorder::same_gradient(sum),
                self.recorder.new_gradient(weighted, &names::ROUTED_WEIGHTED),
            ];
            sum.node = self.recorder.tape.node(&edges, &[], &[]);
        }
        self.recorder
            .output(&names::BLOCK_OUTPUT, input.shape, input.dtype, sum.node)
    }

    /// `(up + 1) · gate · sigmoid(α·gate)` with both clamped (transformers 5.23, modeling_gpt_oss.py, `_apply_gate`).
    fn clamped(&mut self, both: Var, width: u64) -> Var {
        let recorder = &mut self.recorder;
        let mut clamped = || {
            let part = recorder.slice(both, &names::EXPERT, width, &names::ROUTED_GATE_UP);
            recorder.activation(part, "clamp", &names::ROUTED_CLAMPED)
        };
        let (gate, up) = (clamped(), clamped());
        let scaled = recorder.scale(gate, None, &names::ROUTED_CLAMPED);
        let open = recorder.keeping_result(scaled, &names::ROUTED_ACTIVATED);
        let gated = recorder.multiply(gate, open, &names::ROUTED_ACTIVATED);
        let up = recorder.offset(up, up.dtype, &names::ROUTED_CLAMPED);
        recorder.multiply(up, gated, &names::ROUTED_PRODUCT)
    }

    /// A grouped product: not under autocast's rules, in the type of the weights.
    fn grouped(
        &mut self,
        input: Var,
        weights: u64,
        shape: Shape,
        name: &'static crate::training::tape::Name,
    ) -> Var {
        if self.setting.reference.every_expert {
            // Batched products, which run under those rules.
            return self.recorder.product(input, weights, shape, name);
        }
        let autocast = self.recorder.types.autocast.take();
        let output = self.recorder.product(input, weights, shape, name);
        self.recorder.types.autocast = autocast;
        output
    }

    /// Rows times one weight each, both kept; the weight's gradient exists at full size before it is summed.
    fn weigh(&mut self, rows: Var, weight: Var) -> Var {
        let dtype = promoted(rows.dtype, weight.dtype);
        let edge = self.recorder.new_gradient(rows, &names::ROUTED_OUTPUT);
        let full = Storage::gradient(&names::ROUTED_WEIGHTED, rows.shape, dtype);
        let small = Edge {
            target: weight.node.map_or(Target::Discarded, Target::Node),
            made: Some(Storage::gradient(
                &names::ROUTER_CHOICE,
                weight.shape,
                weight.dtype,
            )),
        };
        let mut temporaries = vec![full];
        if dtype != rows.dtype {
            temporaries.push(full);
        }
        let node = self
            .recorder
            .tape
            .node(&[edge, small], &[rows.storage, weight.storage], &temporaries);
        self.recorder
            .output(&names::ROUTED_WEIGHTED, rows.shape, dtype, node)
    }
}
