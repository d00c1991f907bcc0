//! The types of ggml and of its fork: how many weights share a block, and how many bytes that block has. What a file makes of
//! them is in `mix`.

/// A type of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GgmlType {
    /// Its name in logs and arguments, in lower case.
    pub name: &'static str,
    /// Weights of a block.
    pub block: u64,
    /// Bytes of a block.
    pub bytes: u64,
    /// Bytes beside each row: a scale of its own.
    pub row: u64,
}

const fn of(name: &'static str, block: u64, bytes: u64) -> GgmlType {
    GgmlType {
        name,
        block,
        bytes,
        row: 0,
    }
}

const fn scaled(name: &'static str, block: u64, bytes: u64, row: u64) -> GgmlType {
    GgmlType {
        name,
        block,
        bytes,
        row,
    }
}

/// 32-bit floats.
pub const F32: GgmlType = of("f32", 1, 4);
/// 16-bit floats.
pub const F16: GgmlType = of("f16", 1, 2);
/// 16 bits with the exponent of 32.
pub const BF16: GgmlType = of("bf16", 1, 2);
/// 8 bits with a 16-bit scale per 32.
pub const Q8_0: GgmlType = of("q8_0", 32, 34);

/// Every type of ggml-org/ggml `src/ggml-common.h` (2026-08-21) and of ikawrakow/ik_llama.cpp `ggml/src/ggml-common.h`: name,
/// weights of a block, bytes of a block, bytes per row. Two types of the fork interleave four rows: a block of one row is a
/// quarter of theirs.
pub const TYPES: &[GgmlType] = &[
    F32,
    F16,
    BF16,
    Q8_0,
    of("q4_0", 32, 18),
    of("q4_1", 32, 20),
    of("q5_0", 32, 22),
    of("q5_1", 32, 24),
    of("q2_k", 256, 84),
    of("q3_k", 256, 110),
    of("q4_k", 256, 144),
    of("q5_k", 256, 176),
    of("q6_k", 256, 210),
    of("iq1_s", 256, 50),
    of("iq1_m", 256, 56),
    of("iq2_xxs", 256, 66),
    of("iq2_xs", 256, 74),
    of("iq2_s", 256, 82),
    of("iq3_xxs", 256, 98),
    of("iq3_s", 256, 110),
    of("iq4_nl", 32, 18),
    of("iq4_xs", 256, 136),
    of("tq1_0", 256, 54),
    of("tq2_0", 256, 66),
    of("mxfp4", 32, 17),
    of("nvfp4", 64, 36),
    of("q6_0", 32, 26),
    of("iq2_k", 256, 76),
    of("iq3_k", 256, 110),
    of("iq4_k", 256, 144),
    of("iq5_k", 256, 176),
    of("iq6_k", 256, 212),
    scaled("iq2_ks", 256, 70, 2),
    scaled("iq2_kl", 256, 86, 2),
    scaled("iq3_ks", 256, 102, 2),
    scaled("iq4_ks", 256, 136, 4),
    scaled("iq4_kss", 256, 128, 4),
    scaled("iq5_ks", 256, 168, 4),
    scaled("iq1_kt", 256, 56, 4),
    scaled("iq2_kt", 256, 68, 4),
    scaled("iq3_kt", 256, 100, 4),
    scaled("iq4_kt", 256, 128, 4),
    scaled("iq1_s_r4", 32, 6, 2),
    scaled("iq1_m_r4", 32, 7, 2),
    of("q1_0", 128, 18),
    of("q2_0", 64, 18),
];

/// Types that a file may hold and that nobody asks for by name.
const UNNAMED: &[GgmlType] = &[
    of("q8_1", 32, 36),
    of("q8_k", 256, 292),
    of("i8", 1, 1),
    of("i16", 1, 2),
    of("i32", 1, 4),
    of("i64", 1, 8),
    of("f64", 1, 8),
];

/// Types by their number in a file: `ggml_type` of ggml-org/ggml `include/ggml.h` (2026-08-21); from 133 on those of
/// ikawrakow/ik_llama.cpp `ggml/include/ggml.h` (8337e4c).
const IDS: &[(u32, &str)] = &[
    (0, "f32"),
    (1, "f16"),
    (2, "q4_0"),
    (3, "q4_1"),
    (6, "q5_0"),
    (7, "q5_1"),
    (8, "q8_0"),
    (9, "q8_1"),
    (10, "q2_k"),
    (11, "q3_k"),
    (12, "q4_k"),
    (13, "q5_k"),
    (14, "q6_k"),
    (15, "q8_k"),
    (16, "iq2_xxs"),
    (17, "iq2_xs"),
    (18, "iq3_xxs"),
    (19, "iq1_s"),
    (20, "iq4_nl"),
    (21, "iq3_s"),
    (22, "iq2_s"),
    (23, "iq4_xs"),
    (24, "i8"),
    (25, "i16"),
    (26, "i32"),
    (27, "i64"),
    (28, "f64"),
    (29, "iq1_m"),
    (30, "bf16"),
    (34, "tq1_0"),
    (35, "tq2_0"),
    (39, "mxfp4"),
    (40, "nvfp4"),
    (41, "q1_0"),
    (42, "q2_0"),
    (133, "q6_0"),
    (137, "iq2_k"),
    (138, "iq3_k"),
    (139, "iq4_k"),
    (140, "iq5_k"),
    (141, "iq6_k"),
    (144, "iq4_ks"),
    (145, "iq2_ks"),
    (146, "iq4_kss"),
    (152, "iq5_ks"),
    (153, "iq2_kt"),
    (154, "iq3_kt"),
    (155, "iq4_kt"),
    (156, "iq3_ks"),
    (157, "iq2_kl"),
    (158, "iq1_kt"),
];

/// The fork numbers row-interleaved copies 200 above what they are copies of.
const INTERLEAVED: u32 = 200;

impl GgmlType {
    /// The type of this name in any case. Row-interleaved copies of the fork (`q8_0_r8`, `iq4_k_r4`) are as large as what
    /// they are copies of.
    pub fn find(name: &str) -> Option<Self> {
        let lower = name.trim().to_ascii_lowercase();
        let known = |wanted: &str| TYPES.iter().copied().find(|one| one.name == wanted);
        known(&lower).or_else(|| {
            let plain = ["_r4", "_r8", "_r16"]
                .iter()
                .find_map(|end| lower.strip_suffix(end))?;
            known(plain)
        })
    }

    /// The type with this number in a file.
    pub fn of_id(id: u32) -> Option<Self> {
        let known = |wanted: u32| IDS.iter().find(|(own, _)| *own == wanted).map(|(_, name)| *name);
        let copied = || match id.checked_sub(INTERLEAVED)? {
            19 => Some("iq1_s_r4"),
            29 => Some("iq1_m_r4"),
            plain => known(plain),
        };
        let name = known(id).or_else(copied)?;
        let unnamed = || UNNAMED.iter().copied().find(|one| one.name == name);
        Self::find(name).or_else(unnamed)
    }

    /// Whether blocks share scales: every type but the floats.
    pub const fn is_quantised(self) -> bool {
        self.block > 1
    }

    /// Whether only the fork has it.
    pub fn of_fork(self) -> bool {
        let own = ["q6_0", "iq2_k", "iq3_k", "iq4_k", "iq5_k", "iq6_k"];
        let ends = ["_ks", "_kss", "_kl", "_kt", "_r4"];
        own.contains(&self.name)
            || self.name.starts_with("iq") && ends.iter().any(|end| self.name.ends_with(end))
    }

    /// Whether rows of this length are whole blocks.
    pub const fn divides(self, row: u64) -> bool {
        row.is_multiple_of(self.block)
    }

    /// Bytes of so many rows of this length; a row that is no whole number of blocks counts its last block in full.
    pub const fn size(self, row: u64, rows: u64) -> u64 {
        let blocks = row.div_ceil(self.block);
        blocks
            .saturating_mul(self.bytes)
            .saturating_add(self.row)
            .saturating_mul(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn size(name: &str, bytes: u64) {
        let found = GgmlType::find(name).map(|kind| kind.size(4096, 14_336));
        assert_eq!(found, Some(bytes), "{name}");
    }

    #[test]
    fn one_matrix_in_every_type_by_hand() {
        size("q8_0", 62_390_272);
        size("Q6_K", 48_168_960);
        size("q5_K", 40_370_176);
        size("q4_K", 33_030_144);
        size("q4_0", 33_030_144);
        size("iq4_nl", 33_030_144);
        size("iq4_xs", 31_195_136);
        size("q3_K", 25_231_360);
        size("q2_K", 19_267_584);
        size("iq3_s", 25_231_360);
        size("iq3_xxs", 22_478_848);
        size("iq2_s", 18_808_832);
        size("iq2_xs", 16_973_824);
        size("iq2_xxs", 15_138_816);
        size("iq1_m", 12_845_056);
        size("iq1_s", 11_468_800);
        size("bf16", 117_440_512);
    }

    #[test]
    fn every_number_has_a_type() {
        for (id, name) in IDS {
            assert_eq!(GgmlType::of_id(*id).map(|kind| kind.name), Some(*name));
        }
        assert_eq!(GgmlType::of_id(208), Some(Q8_0));
        assert_eq!(GgmlType::of_id(337).map(|kind| kind.name), Some("iq2_k"));
        assert_eq!(GgmlType::of_id(219).map(|kind| kind.name), Some("iq1_s_r4"));
        assert_eq!(GgmlType::of_id(4), None);
    }

    #[test]
    fn interleaved_copies_are_as_large_and_strangers_are_not_known() {
        assert_eq!(GgmlType::find("q8_0_r8"), Some(Q8_0));
        assert_eq!(
            GgmlType::find("iq4_ks_r4").map(|kind| (kind.bytes, kind.row)),
            Some((136, 4))
        );
        assert_eq!(GgmlType::find("iq1_s_r4").map(|kind| kind.size(32, 4)), Some(32));
        assert_eq!(GgmlType::find("q9_0"), None);
    }
}
