//! Activation functions as the reference classes write them: one fused operation, or several with what each keeps.

use super::{Recorder, names};
use crate::training::tape::{Edge, Name, Storage, Target, Var};
use crate::units::DType;

impl Recorder {
    /// The activation of this name.
    pub fn activation(&mut self, input: Var, function: &str, output: &'static Name) -> Var {
        match function {
            "gelu_new" | "gelu_python_tanh" => self.gelu_new(input, output),
            "relu" => self.keeping_result(input, output),
            "relu2" => {
                let positive = self.keeping_result(input, output);
                self.square(positive, output)
            }
            "xielu" => self.xielu(input, output),
            "quick_gelu" => {
                let scaled = self.scale(input, None, &names::ACTIVATION_PART);
                let sigmoid = self.keeping_result(scaled, &names::ACTIVATION_PART);
                self.multiply(input, sigmoid, output)
            }
            _ => self.keeping_input(input, output),
        }
    }

    /// One operation whose backward needs its input: SiLU, GELU.
    fn keeping_input(&mut self, input: Var, name: &'static Name) -> Var {
        let edge = self.new_gradient(input, name);
        let node = self.tape.node(&[edge], &[input.storage], &[]);
        self.output(name, input.shape, input.dtype, node)
    }

    /// One operation whose backward needs its result: ReLU, tanh, sigmoid, softmax.
    pub fn keeping_result(&mut self, input: Var, name: &'static Name) -> Var {
        let result = self.tape.store(Storage::new(name, input.shape, input.dtype));
        let edge = self.new_gradient(input, name);
        let node = self.tape.node(&[edge], &[Some(result)], &[]);
        Var {
            storage: Some(result),
            node,
            ..input
        }
    }

    /// `pow` with a whole exponent: keeps its input, runs in fp32 under autocast.
    fn square(&mut self, input: Var, name: &'static Name) -> Var {
        let input = match self.types.autocast {
            Some(_) => self.cast(input, DType::Fp32, &names::ACTIVATION_PART),
            None => input,
        };
        let edge = self.new_gradient(input, name);
        let part = Storage::gradient(name, input.shape, input.dtype);
        let node = self.tape.node(&[edge], &[input.storage], &[part]);
        self.output(name, input.shape, input.dtype, node)
    }

    /// `0.5·x·(1 + tanh(c·(x + 0.044715·x³)))` written out, as transformers' NewGELU does.
    fn gelu_new(&mut self, input: Var, name: &'static Name) -> Var {
        let part = &names::ACTIVATION_PART;
        let half = self.scale(input, None, part);
        let cube = self.square(input, part);
        let small = self.scale(cube, None, part);
        let sum = self.add(input, small, part);
        let scaled = self.scale(sum, None, part);
        let tanh = self.keeping_result(scaled, part);
        let edge = Self::same_gradient(tanh);
        let node = self.tape.node(&[edge], &[], &[]);
        let one_more = self.output(part, tanh.shape, tanh.dtype, node);
        self.multiply(half, one_more, name)
    }

    /// xIELU (arXiv 2411.13010) as transformers writes it without its own kernel: `α₊x² + βx` above zero and
    /// `α₋(expm1(min(x, ε)) − x) + βx` below it, both computed everywhere. Each α is a trained tensor of one element that
    /// passed a softplus, which runs in fp32 under autocast as `expm1` does.
    fn xielu(&mut self, input: Var, name: &'static Name) -> Var {
        let part = &names::ACTIVATION_PART;
        let alpha = self.types.autocast.map_or(DType::Bf16, |_| DType::Fp32);
        let scaled = self.by_trained_number(input, alpha);
        let square = self.multiply(scaled, input, part);
        let linear = self.scale(input, None, part);
        let above = self.add(square, linear, part);
        let capped = self.keeping_input(input, part);
        let capped = match self.types.autocast {
            Some(_) => self.cast(capped, DType::Fp32, part),
            None => capped,
        };
        let exponential = self.keeping_result(capped, part);
        let difference = self.add(exponential, input, part);
        let weighed = self.by_trained_number(difference, alpha);
        let linear = self.scale(input, None, part);
        let below = self.add(weighed, linear, part);
        let side = self.tape.store(Storage::new(part, input.shape, DType::Int8));
        let edges = [self.new_gradient(above, name), self.new_gradient(below, name)];
        let node = self.tape.node(&edges, &[Some(side)], &[]);
        self.output(name, input.shape, above.dtype, node)
    }

    /// A product with one trained number: keeps the input, and the number's gradient exists at full size before it is
    /// summed.
    fn by_trained_number(&mut self, input: Var, number: DType) -> Var {
        let part = &names::ACTIVATION_PART;
        let dtype = super::promoted(input.dtype, number);
        if self.adapter.is_some() {
            return self.scale(input, Some(dtype), part);
        }
        let full = Edge {
            target: Target::Summed,
            made: Some(Storage::gradient(part, input.shape, dtype)),
        };
        let edge = self.new_gradient(input, part);
        let node = self.tape.node(&[edge, full], &[input.storage], &[]);
        self.output(part, input.shape, dtype, node)
    }
}
