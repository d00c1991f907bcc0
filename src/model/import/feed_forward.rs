//! Dense feed-forwards and mixtures of experts as the families build them.

use crate::model::import::weights::{Cut, Weights};
use crate::model::{Dense, FeedForward, Moe, Role, SharedExpert, Split};

/// The plan of a dense feed-forward.
#[derive(Clone, Debug)]
pub struct Mlp {
    /// Inner width.
    pub width: u64,
    /// Name of the activation.
    pub activation: String,
    /// Name of the module.
    pub prefix: &'static str,
    /// Name of the gate, where there is one.
    pub gate: Option<&'static str>,
    /// Name of the projection up (of gate and up together when `fused`).
    pub up: &'static str,
    /// Name of the projection down.
    pub down: &'static str,
    /// Whether gate and up are one matrix.
    pub fused: bool,
    /// Biases on all of them.
    pub bias: bool,
}

impl Mlp {
    /// Llama's: `gate_proj`, `up_proj`, `down_proj`.
    pub fn gated(width: u64, activation: impl Into<String>) -> Self {
        Self {
            width,
            activation: activation.into(),
            prefix: "mlp",
            gate: Some("gate_proj"),
            up: "up_proj",
            down: "down_proj",
            fused: false,
            bias: false,
        }
    }

    /// Two matrices of these names.
    pub fn plain(
        width: u64,
        activation: impl Into<String>,
        up: &'static str,
        down: &'static str,
        bias: bool,
    ) -> Self {
        Self {
            gate: None,
            up,
            down,
            bias,
            ..Self::gated(width, activation)
        }
    }

    /// Gate and up in one matrix of this name.
    #[must_use]
    pub fn fused(mut self, up: &'static str) -> Self {
        self.fused = true;
        self.up = up;
        self
    }

    /// What it computes.
    pub fn shape(&self) -> Dense {
        Dense {
            width: self.width,
            gated: self.gate.is_some(),
            activation: self.activation.clone(),
            fused_gate_up: self.fused,
        }
    }

    /// Adds the tensors and returns the feed-forward.
    pub fn build(&self, hidden: u64, weights: &mut Weights) -> FeedForward {
        self.tensors(hidden, Role::FeedForward, weights);
        FeedForward::Dense(self.shape())
    }

    /// Adds the tensors in this role.
    pub fn tensors(&self, hidden: u64, role: Role, weights: &mut Weights) {
        let name = |part: &str| {
            if self.prefix.is_empty() {
                part.to_string()
            } else {
                format!("{}.{part}", self.prefix)
            }
        };
        let mut up = |part, times: u64| {
            let out = self.width * times;
            weights.linear(&name(part), (out, hidden), self.bias, role, Cut::Column);
        };
        match self.gate {
            Some(_) if self.fused => up(self.up, 2),
            Some(gate) => {
                up(gate, 1);
                up(self.up, 1);
            }
            None => up(self.up, 1),
        }
        weights.linear(&name(self.down), (hidden, self.width), self.bias, role, Cut::Row);
    }
}

/// How the routed experts of a layer are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Two tensors for all experts: gate and up (E, 2f, h), down (E, h, f).
    Stacked,
    /// The same with inputs before outputs: (E, h, 2f), (E, f, h), as gpt-oss and Llama 4 do.
    StackedInputFirst,
    /// A module per expert.
    PerExpert,
}

/// The plan of a mixture of experts.
#[derive(Clone, Debug)]
pub struct Experts {
    /// What it computes, without the shared experts' module.
    pub shape: Moe,
    /// Name of the module.
    pub prefix: &'static str,
    /// Name of the router's linear layer.
    pub router: &'static str,
    /// A bias on the router.
    pub router_bias: bool,
    /// Name of the module of the experts.
    pub experts: &'static str,
    /// How they are stored.
    pub storage: Storage,
    /// Biases on the experts' matrices.
    pub bias: bool,
    /// The module of the shared experts.
    pub shared: Option<Mlp>,
    /// Name of the gate that weighs the shared output.
    pub shared_gate: Option<&'static str>,
    /// Elements of the router's correction buffer.
    pub buffers: u64,
}

impl Experts {
    /// Stacked gated experts behind `mlp.gate`.
    pub fn new(experts: u64, top_k: u64, width: u64, hidden: u64, activation: impl Into<String>) -> Self {
        Self {
            shape: Moe {
                experts,
                zero_experts: 0,
                top_k,
                width,
                model_width: hidden,
                gated: true,
                activation: activation.into(),
                router_fp32: false,
                shared: None,
                dense: None,
            },
            prefix: "mlp",
            router: "gate",
            router_bias: false,
            experts: "experts",
            storage: Storage::Stacked,
            bias: false,
            shared: None,
            shared_gate: None,
            buffers: 0,
        }
    }

    /// With shared experts of this width together, in a module of this name.
    #[must_use]
    pub fn with_shared(mut self, width: u64, prefix: &'static str) -> Self {
        if width > 0 {
            self.shared = Some(Mlp {
                prefix,
                ..Mlp::gated(width, self.shape.activation.clone())
            });
        }
        self
    }

    /// Adds the tensors and returns the feed-forward.
    pub fn build(&self, hidden: u64, weights: &mut Weights) -> FeedForward {
        let shape = &self.shape;
        let name = |part: &str| format!("{}.{part}", self.prefix);
        let choices = shape.experts + shape.zero_experts;
        weights.linear(
            &name(self.router),
            (choices, hidden),
            self.router_bias,
            Role::Router,
            Cut::Whole,
        );
        self.routed(&name(self.experts), weights);
        if let Some(shared) = &self.shared {
            shared.tensors(hidden, Role::SharedExpert, weights);
        }
        if let Some(gate) = self.shared_gate {
            weights.linear(&name(gate), (1, hidden), false, Role::Router, Cut::Whole);
        }
        FeedForward::Moe(Moe {
            shared: self.shared.as_ref().map(|mlp| SharedExpert {
                width: mlp.width,
                gate: self.shared_gate.is_some(),
            }),
            ..shape.clone()
        })
    }

    fn routed(&self, name: &str, weights: &mut Weights) {
        let shape = &self.shape;
        let (experts, inner, outer) = (shape.experts, shape.width, shape.model_width);
        let up = if shape.gated { 2 * inner } else { inner };
        let up_name = if shape.gated { "gate_up_proj" } else { "up_proj" };
        let role = Role::RoutedExpert;
        match self.storage {
            Storage::Stacked => {
                weights.tensor(
                    format!("{name}.{up_name}"),
                    &[experts, up, outer],
                    role,
                    Split::Axis(1),
                );
                weights.tensor(
                    format!("{name}.down_proj"),
                    &[experts, outer, inner],
                    role,
                    Split::Axis(2),
                );
            }
            Storage::StackedInputFirst => {
                weights.tensor(
                    format!("{name}.{up_name}"),
                    &[experts, outer, up],
                    role,
                    Split::Axis(2),
                );
                weights.tensor(
                    format!("{name}.down_proj"),
                    &[experts, inner, outer],
                    role,
                    Split::Axis(1),
                );
            }
            Storage::PerExpert => weights.copies(experts, |weights| {
                let expert = Mlp {
                    bias: self.bias,
                    gate: shape.gated.then_some("gate_proj"),
                    prefix: "",
                    ..Mlp::gated(inner, "")
                };
                let mut part = Weights::new();
                expert.tensors(outer, role, &mut part);
                for mut tensor in part.into_tensors() {
                    tensor.name = format!("{name}.*.{}", tensor.name);
                    weights.push(tensor);
                }
            }),
        }
        if self.bias && self.storage != Storage::PerExpert {
            weights.tensor(
                format!("{name}.{up_name}_bias"),
                &[experts, up],
                role,
                Split::Axis(1),
            );
            weights.tensor(
                format!("{name}.down_proj_bias"),
                &[experts, outer],
                role,
                Split::Replicated,
            );
        }
    }
}
