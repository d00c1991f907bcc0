//! Which type each tensor of a file has: the rules of `llama-quantize` for its named mixes (ggml-org/llama.cpp c392e5094
//! `src/llama-quant.cpp`, llama_tensor_get_type), and types that are given by name.

use super::types::{BF16, F16, F32, GgmlType, Q8_0};

/// What a tensor is for the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `token_embd`.
    TokenEmbedding,
    /// `output`.
    Output,
    /// `attn_q`.
    Query,
    /// `attn_k`.
    Key,
    /// `attn_v`.
    Value,
    /// `attn_qkv`.
    Fused,
    /// `attn_output`.
    AttentionOutput,
    /// `ffn_gate` and those of experts.
    Gate,
    /// `ffn_up` and those of experts.
    Up,
    /// `ffn_down` and those of experts.
    Down,
    /// Another matrix.
    Matrix,
    /// Norms, biases, routers, positions: never quantised.
    Kept,
}

/// What the rules ask about a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Layers.
    pub layers: u64,
    /// Query heads per key and value head.
    pub groups: u64,
    /// Experts of a layer; zero without.
    pub experts: u64,
    /// Whether an importance matrix was used.
    pub imatrix: bool,
    /// Whether the family is Falcon.
    pub falcon: bool,
    /// Whether embedding and head are one.
    pub tied: bool,
}

/// A named mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Its name as `llama-quantize` takes it.
    pub name: &'static str,
    /// The type of everything that no rule is about.
    base: &'static str,
}

const fn mix(name: &'static str, base: &'static str) -> Mix {
    Mix { name, base }
}

/// The mixes (ggml-org/llama.cpp `src/llama-quant.cpp`, llama_model_quantize_impl).
pub const MIXES: &[Mix] = &[
    mix("F32", "f32"),
    mix("F16", "f16"),
    mix("BF16", "bf16"),
    mix("Q8_0", "q8_0"),
    mix("Q6_K", "q6_k"),
    mix("Q5_K_M", "q5_k"),
    mix("Q5_K_S", "q5_k"),
    mix("Q5_1", "q5_1"),
    mix("Q5_0", "q5_0"),
    mix("Q4_K_M", "q4_k"),
    mix("Q4_K_S", "q4_k"),
    mix("Q4_1", "q4_1"),
    mix("Q4_0", "q4_0"),
    mix("IQ4_NL", "iq4_nl"),
    mix("IQ4_XS", "iq4_xs"),
    mix("Q3_K_L", "q3_k"),
    mix("Q3_K_M", "q3_k"),
    mix("Q3_K_S", "q3_k"),
    mix("IQ3_M", "iq3_s"),
    mix("IQ3_S", "iq3_s"),
    mix("IQ3_XS", "iq3_s"),
    mix("IQ3_XXS", "iq3_xxs"),
    mix("Q2_K", "q2_k"),
    mix("Q2_K_S", "q2_k"),
    mix("IQ2_M", "iq2_s"),
    mix("IQ2_S", "iq2_xs"),
    mix("IQ2_XS", "iq2_xs"),
    mix("IQ2_XXS", "iq2_xxs"),
    mix("IQ1_M", "iq1_m"),
    mix("IQ1_S", "iq1_s"),
    mix("TQ1_0", "tq1_0"),
    mix("TQ2_0", "tq2_0"),
    mix("MXFP4_MOE", "q8_0"),
];

impl Mix {
    /// The mix that people use most.
    pub const USUAL: Self = mix("Q4_K_M", "q4_k");

    /// The mix of this name in any case.
    pub fn find(name: &str) -> Option<Self> {
        MIXES
            .iter()
            .copied()
            .find(|mix| mix.name.eq_ignore_ascii_case(name.trim()))
    }

    fn base(self) -> GgmlType {
        GgmlType::find(self.base).unwrap_or(F16)
    }

    fn is(self, names: &[&str]) -> bool {
        names.contains(&self.name)
    }

    /// The type of a tensor of layer `layer` with rows of this length; `routed`: it holds experts.
    pub fn choose(self, facts: Facts, class: Class, routed: bool, (layer, row): (u64, u64)) -> GgmlType {
        let base = self.base();
        if class == Class::Kept {
            return F32;
        }
        if !base.is_quantised() {
            return base;
        }
        if self.name == "MXFP4_MOE" {
            return if routed {
                fitting(named("mxfp4"), row)
            } else {
                fitting(Q8_0, row)
            };
        }
        let found = self.rule(facts, class, layer, row).unwrap_or(base);
        fitting(found, row)
    }

    /// The first rule that is about the tensor.
    fn rule(self, facts: Facts, class: Class, layer: u64, row: u64) -> Option<GgmlType> {
        let low = self.is(&["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"]);
        match class {
            Class::Output => self.output(facts, row),
            Class::TokenEmbedding if facts.tied => self.output(facts, row),
            Class::TokenEmbedding => match self.name {
                "IQ1_S" | "IQ1_M" | "IQ2_XXS" | "IQ2_XS" => Some(named("q2_k")),
                "IQ2_S" | "IQ2_M" | "IQ3_XXS" => Some(named("iq3_s")),
                "TQ1_0" | "TQ2_0" => Some(named("q4_k")),
                _ => None,
            },
            _ if low => self.low(facts, class, layer),
            Class::Value => self.value(facts, layer),
            Class::Key | Class::Query
                if self.name == "IQ3_XXS" && !(class == Class::Key && facts.experts == 8) =>
            {
                Some(named("iq2_s"))
            }
            Class::Key if facts.experts == 8 => Some(Q8_0),
            Class::Key | Class::Query if self.name == "IQ3_XS" => Some(named("iq3_xxs")),
            Class::Down => self.down(facts, layer),
            Class::AttentionOutput => self.attention_output(facts),
            Class::Fused => match self.name {
                "Q3_K_M" | "Q3_K_L" | "IQ3_M" => Some(named("q4_k")),
                "Q4_K_M" => Some(named("q5_k")),
                "Q5_K_M" => Some(named("q6_k")),
                _ => None,
            },
            Class::Gate | Class::Up => {
                let middle = layer >= facts.layers / 8 && layer < facts.layers.saturating_mul(7) / 8;
                (self.name == "IQ3_XS" && middle).then(|| named("iq3_xxs"))
            }
            Class::Key | Class::Query | Class::Matrix | Class::Kept => None,
        }
    }

    fn output(self, facts: Facts, row: u64) -> Option<GgmlType> {
        let base = self.base();
        if facts.falcon || !base.divides(row) {
            return Some(Q8_0);
        }
        if self.is(&["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS"]) {
            return Some(named("q5_k"));
        }
        (base != Q8_0).then(|| named("q6_k"))
    }

    /// The mixes of about two bits and less.
    fn low(self, facts: Facts, class: Class, layer: u64) -> Option<GgmlType> {
        let better = self.is(&["IQ2_S", "IQ2_M"]);
        let some = if better { "iq3_s" } else { "q2_k" };
        match class {
            Class::Value if facts.groups >= 4 || facts.experts >= 4 => Some(named("q4_k")),
            Class::Value => Some(named(some)),
            Class::Key if facts.experts == 8 => Some(named("q4_k")),
            Class::Down if layer < facts.layers / 8 => Some(named(some)),
            Class::AttentionOutput if facts.experts == 8 => Some(named("q5_k")),
            Class::AttentionOutput if self.is(&["IQ1_S", "IQ1_M"]) => Some(named("iq2_xxs")),
            Class::AttentionOutput if better => Some(named("iq3_s")),
            _ => None,
        }
    }

    fn value(self, facts: Facts, layer: u64) -> Option<GgmlType> {
        let grouped = facts.groups >= 4;
        let first = match self.name {
            "Q2_K" => Some(if grouped { "q4_k" } else { "q3_k" }),
            "Q2_K_S" | "IQ3_XS" | "IQ3_S" if grouped => Some("q4_k"),
            "IQ3_XXS" if grouped => Some("q4_k"),
            "IQ3_XXS" if !facts.imatrix => Some("iq3_s"),
            "IQ3_M" => Some("q4_k"),
            "Q3_K_M" => Some(if layer < 2 { "q5_k" } else { "q4_k" }),
            "Q3_K_L" => Some("q5_k"),
            "IQ4_NL" | "IQ4_XS" if grouped => Some("q5_k"),
            "Q4_K_M" | "Q5_K_M" if more(layer, facts.layers) => Some("q6_k"),
            "Q4_K_S" if layer < 4 => Some("q5_k"),
            _ => None,
        }
        .map(named);
        if facts.experts == 8 {
            return Some(Q8_0);
        }
        // 70B: eight value heads share their keys, so that more bits cost little.
        let kept = first.unwrap_or_else(|| self.base());
        if facts.layers == 80 && ["q3_k", "q4_k"].contains(&kept.name) {
            return Some(named("q5_k"));
        }
        first
    }

    fn down(self, facts: Facts, layer: u64) -> Option<GgmlType> {
        let early = layer < facts.layers / 8;
        let more = more(layer, facts.layers);
        let name = match self.name {
            "Q2_K" => "q3_k",
            "Q2_K_S" if early => "q4_k",
            "IQ3_XXS" if !facts.imatrix => {
                if early {
                    "q4_k"
                } else {
                    "q3_k"
                }
            }
            "Q3_K_M" if layer < facts.layers / 16 => "q5_k",
            "Q3_K_M" if !facts.falcon || more => "q4_k",
            "IQ3_M" if early || facts.experts == 8 && more => "q4_k",
            "Q3_K_L" => {
                if facts.falcon {
                    "q4_k"
                } else {
                    "q5_k"
                }
            }
            "Q4_K_M" if facts.falcon && layer < facts.layers / 16 => "q6_k",
            "Q4_K_M" if facts.falcon && more => "q5_k",
            "Q4_K_M" if !facts.falcon && more => "q6_k",
            "IQ4_NL" | "IQ4_XS" if early && !facts.imatrix => "q5_k",
            "Q5_K_M" if more => "q6_k",
            "Q4_K_S" if early && !facts.falcon => "q5_k",
            "Q4_0" if early && facts.imatrix => "q4_1",
            "Q5_0" if early && facts.imatrix => "q5_1",
            _ => return None,
        };
        Some(named(name))
    }

    fn attention_output(self, facts: Facts) -> Option<GgmlType> {
        if facts.falcon {
            return (self.name == "Q3_K_L").then(|| named("q4_k"));
        }
        let of_eight = [
            "Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M",
            "IQ4_XS",
        ];
        if facts.experts == 8 {
            return self.is(&of_eight).then(|| named("q5_k"));
        }
        let name = match self.name {
            "Q2_K" => "q3_k",
            "IQ3_XXS" => "iq3_s",
            "Q3_K_M" | "IQ3_M" => "q4_k",
            "Q3_K_L" => "q5_k",
            _ => return None,
        };
        Some(named(name))
    }
}

/// A type that is in the table.
fn named(name: &'static str) -> GgmlType {
    GgmlType::find(name).unwrap_or(BF16)
}

/// Whether a layer gets more bits: the first and last eighth, and every third between them (use_more_bits).
const fn more(layer: u64, layers: u64) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= layers.saturating_mul(7) / 8 || layer.saturating_sub(eighth) % 3 == 2
}

/// What stands in where rows are no whole number of blocks.
pub fn fitting(wanted: GgmlType, row: u64) -> GgmlType {
    if wanted.divides(row) {
        return wanted;
    }
    let instead = match wanted.name {
        "q4_k" => "q5_0",
        "q5_k" => "q5_1",
        "q6_k" => "q8_0",
        "tq1_0" | "tq2_0" => "q4_0",
        _ if wanted.block == 256 => "iq4_nl",
        _ => "f16",
    };
    let instead = named(instead);
    if instead.divides(row) { instead } else { F16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_with_more_bits_by_hand() {
        let of = |layers: u64| -> Vec<u64> { (0..layers).filter(|layer| more(*layer, layers)).collect() };
        assert_eq!(
            of(48),
            [
                0, 1, 2, 3, 4, 5, 8, 11, 14, 17, 20, 23, 26, 29, 32, 35, 38, 41, 42, 43, 44, 45, 46, 47
            ]
        );
        assert_eq!(of(32), [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]);
    }

    #[test]
    fn rows_that_are_no_whole_blocks_fall_back() {
        for (wanted, row, expected) in [
            ("q4_k", 1408, "q5_0"),
            ("q6_k", 1408, "q8_0"),
            ("q2_k", 128, "iq4_nl"),
            ("iq4_xs", 2880, "iq4_nl"),
            ("tq2_0", 96, "q4_0"),
            ("q4_k", 100, "f16"),
            ("q4_k", 256, "q4_k"),
        ] {
            assert_eq!(fitting(named(wanted), row).name, expected, "{wanted} {row}");
        }
    }

    #[test]
    fn every_mix_has_a_type_of_the_table() {
        for mix in MIXES {
            assert!(GgmlType::find(mix.base).is_some(), "{}", mix.name);
        }
    }
}
