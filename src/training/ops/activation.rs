//! Activation functions as the reference classes write them: one fused operation, or several with what each keeps.

use super::{Recorder, names};
use crate::training::tape::{Name, Storage, Var};
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
}
