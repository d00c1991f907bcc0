//! The header of a GGUF file, read from its first bytes: what its metadata say, and name, shape and type of every tensor. The layout
//! is that of ggml-org/ggml `docs/gguf.md`, versions 1 to 3. A header is data from anywhere: lengths are checked against
//! what is there before anything is kept, and nothing of the long lists (tokens, merges) is copied.

use std::collections::BTreeMap;

use crate::inference::engines::llama_cpp::types::GgmlType;
use crate::warn::Issue;

/// First bytes of every such file.
pub const MAGIC: &[u8] = b"GGUF";
/// Longest list of numbers that is kept: one for each layer.
const LONGEST_LIST: u64 = 4_096;
/// Longest name that is kept.
const LONGEST_NAME: u64 = 65_536;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Meta {
    /// A whole number that is not negative, or a truth value.
    Whole(u64),
    /// Another number.
    Real(f64),
    /// A text.
    Text(String),
    /// Whole numbers, as one for each layer.
    Wholes(Vec<u64>),
    /// A list of which only its length is kept.
    Long(u64),
}

/// A tensor of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its sizes, that of a row first.
    pub shape: Vec<u64>,
    /// Its type.
    pub kind: GgmlType,
}

impl Listed {
    /// Length of a row.
    pub fn row(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.shape
            .iter()
            .skip(1)
            .fold(1, |rows, size| rows.saturating_mul(*size))
    }

    /// How many weights it has.
    pub fn elements(&self) -> u64 {
        self.row().saturating_mul(self.rows())
    }

    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.kind.size(self.row(), self.rows())
    }
}

/// A header.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Version of the layout.
    pub version: u32,
    /// Metadata by key.
    pub metadata: BTreeMap<String, Meta>,
    /// Every tensor of this file.
    pub tensors: Vec<Listed>,
}

/// Why bytes are no header.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// They end inside of it.
    CutOff,
    /// They are something else; in words.
    Wrong(String),
}

impl Problem {
    /// As an issue of an import.
    pub fn issue(self) -> Issue {
        match self {
            Self::CutOff => Issue::error(
                "header_cut_off",
                "",
                "The header of this file is longer than what was read of it.",
            ),
            Self::Wrong(words) => Issue::error("not_readable", "", words),
        }
    }
}

impl Header {
    /// A text of the metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key) {
            Some(Meta::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A whole number of the metadata; of a list the largest.
    pub fn whole(&self, key: &str) -> Option<u64> {
        match self.metadata.get(key) {
            Some(Meta::Whole(number)) => Some(*number),
            Some(Meta::Wholes(list)) => list.iter().copied().max(),
            _ => None,
        }
    }

    /// A whole number under the prefix of the architecture.
    pub fn own(&self, key: &str) -> Option<u64> {
        self.whole(&format!("{}.{key}", self.architecture()))
    }

    /// The architecture: `llama`, `qwen3moe`.
    pub fn architecture(&self) -> &str {
        self.text("general.architecture").unwrap_or_default()
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&Listed> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Weights of all tensors.
    pub fn elements(&self) -> u64 {
        self.tensors
            .iter()
            .map(Listed::elements)
            .fold(0, u64::saturating_add)
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors
            .iter()
            .map(Listed::bytes)
            .fold(0, u64::saturating_add)
    }

    /// Number of tensors and bytes of each type, those with most bytes first.
    pub fn by_type(&self) -> Vec<(&'static str, u64, u64)> {
        let mut sums: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
        for tensor in &self.tensors {
            let (count, bytes) = sums.entry(tensor.kind.name).or_default();
            *count = count.saturating_add(1);
            *bytes = bytes.saturating_add(tensor.bytes());
        }
        let mut found: Vec<_> = sums
            .into_iter()
            .map(|(name, (count, bytes))| (name, count, bytes))
            .collect();
        found.sort_by_key(|(name, _, bytes)| (std::cmp::Reverse(*bytes), *name));
        found
    }
}

/// Reads the header at the start of a file.
pub fn read(bytes: &[u8]) -> Result<Header, Problem> {
    let mut reader = Reader {
        left: bytes,
        wide: true,
        swapped: false,
    };
    if reader.take(4)? != MAGIC {
        return Err(Problem::Wrong("This is no GGUF file.".into()));
    }
    let mut version = reader.number32()?;
    // Files for processors of the other order start with a version of more than 65,535 read in this one.
    if version > 0xffff {
        reader.swapped = true;
        version = version.swap_bytes();
    }
    if !(1..=3).contains(&version) {
        return Err(Problem::Wrong(format!(
            "GGUF version {version} is not known: versions 1 to 3 are."
        )));
    }
    reader.wide = version > 1;
    let tensors = reader.length()?;
    let pairs = reader.length()?;
    let mut metadata = BTreeMap::new();
    for _ in 0..pairs {
        let key = reader.text()?;
        let kind = reader.number32()?;
        let value = reader.value(kind)?;
        metadata.insert(key, value);
    }
    let mut list = Vec::new();
    for _ in 0..tensors {
        list.push(reader.tensor()?);
    }
    Ok(Header {
        version,
        metadata,
        tensors: list,
    })
}

/// What is left to read.
struct Reader<'a> {
    left: &'a [u8],
    /// Whether lengths have 64 bits.
    wide: bool,
    swapped: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], Problem> {
        let count = usize::try_from(count).map_err(|_| Problem::CutOff)?;
        let (taken, left) = self.left.split_at_checked(count).ok_or(Problem::CutOff)?;
        self.left = left;
        Ok(taken)
    }

    /// So many bytes as a number, with its sign left aside.
    fn number(&mut self, count: u64) -> Result<u64, Problem> {
        let taken = self.take(count)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Ok(if self.swapped {
            taken.iter().fold(0, add)
        } else {
            taken.iter().rev().fold(0, add)
        })
    }

    fn number32(&mut self) -> Result<u32, Problem> {
        let number = self.number(4)?;
        u32::try_from(number).map_err(|_| Problem::CutOff)
    }

    fn length(&mut self) -> Result<u64, Problem> {
        self.number(if self.wide { 8 } else { 4 })
    }

    fn text(&mut self) -> Result<String, Problem> {
        let length = self.length()?;
        let taken = self.take(length)?;
        let kept = usize::try_from(length.min(LONGEST_NAME)).unwrap_or(0);
        Ok(String::from_utf8_lossy(taken.get(..kept).unwrap_or_default()).into_owned())
    }

    /// A value of a type of gguf_metadata_value_type.
    fn value(&mut self, kind: u32) -> Result<Meta, Problem> {
        Ok(match kind {
            6 => Meta::Real(f64::from(f32::from_bits(self.number32()?))),
            8 => Meta::Text(self.text()?),
            9 => self.list()?,
            12 => Meta::Real(f64::from_bits(self.number(8)?)),
            other => {
                let width = width(other)?;
                let number = self.number(width)?;
                let signed = matches!(other, 1 | 3 | 5 | 11);
                let sign = 1_u64.checked_shl(u32::try_from(width * 8 - 1).unwrap_or(63));
                if signed && sign.is_some_and(|sign| number & sign != 0) {
                    Meta::Real(-1.0)
                } else {
                    Meta::Whole(number)
                }
            }
        })
    }

    fn list(&mut self) -> Result<Meta, Problem> {
        let kind = self.number32()?;
        let count = self.length()?;
        if kind == 8 {
            for _ in 0..count {
                let length = self.length()?;
                self.take(length)?;
            }
            return Ok(Meta::Long(count));
        }
        let width = width(kind)?;
        if matches!(kind, 6 | 12) || count > LONGEST_LIST {
            self.take(count.checked_mul(width).ok_or(Problem::CutOff)?)?;
            return Ok(Meta::Long(count));
        }
        let mut list = Vec::new();
        for _ in 0..count {
            match self.value(kind)? {
                Meta::Whole(number) => list.push(number),
                _ => list.push(0),
            }
        }
        Ok(Meta::Wholes(list))
    }

    fn tensor(&mut self) -> Result<Listed, Problem> {
        let name = self.text()?;
        let dimensions = self.number32()?;
        if dimensions > 8 {
            return Err(Problem::Wrong(format!(
                "The tensor {name} has {dimensions} dimensions: this is no list of tensors."
            )));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(self.length()?);
        }
        let id = self.number32()?;
        let kind = GgmlType::of_id(id)
            .ok_or_else(|| Problem::Wrong(format!("The tensor {name} has type {id}, which is not known.")))?;
        self.number(8)?;
        Ok(Listed { name, shape, kind })
    }
}

/// Bytes of a number of this type.
fn width(kind: u32) -> Result<u64, Problem> {
    Ok(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        other => {
            return Err(Problem::Wrong(format!(
                "The metadata have a value of type {other}, which is not known."
            )));
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Writes headers for tests.
    pub struct Writer {
        bytes: Vec<u8>,
    }

    impl Writer {
        pub fn new(tensors: u64, pairs: u64) -> Self {
            let mut bytes = b"GGUF\x03\0\0\0".to_vec();
            bytes.extend(tensors.to_le_bytes());
            bytes.extend(pairs.to_le_bytes());
            Self { bytes }
        }

        fn words(&mut self, text: &str) {
            self.bytes.extend((text.len() as u64).to_le_bytes());
            self.bytes.extend(text.as_bytes());
        }

        pub fn text(mut self, key: &str, value: &str) -> Self {
            self.words(key);
            self.bytes.extend(8_u32.to_le_bytes());
            self.words(value);
            self
        }

        pub fn whole(mut self, key: &str, value: u32) -> Self {
            self.words(key);
            self.bytes.extend(4_u32.to_le_bytes());
            self.bytes.extend(value.to_le_bytes());
            self
        }

        pub fn texts(mut self, key: &str, values: &[&str]) -> Self {
            self.words(key);
            self.bytes.extend(9_u32.to_le_bytes());
            self.bytes.extend(8_u32.to_le_bytes());
            self.bytes.extend((values.len() as u64).to_le_bytes());
            for value in values {
                self.words(value);
            }
            self
        }

        pub fn tensor(mut self, name: &str, kind: u32, shape: &[u64]) -> Self {
            self.words(name);
            self.bytes
                .extend(u32::try_from(shape.len()).unwrap_or(0).to_le_bytes());
            for size in shape {
                self.bytes.extend(size.to_le_bytes());
            }
            self.bytes.extend(kind.to_le_bytes());
            self.bytes.extend(0_u64.to_le_bytes());
            self
        }

        pub fn bytes(self) -> Vec<u8> {
            self.bytes
        }
    }

    fn small() -> Vec<u8> {
        Writer::new(2, 3)
            .text("general.architecture", "llama")
            .whole("llama.block_count", 1)
            .texts("tokenizer.ggml.tokens", &["a", "b", "c"])
            .tensor("token_embd.weight", 14, &[256, 3])
            .tensor("blk.0.attn_q.weight", 12, &[256, 256])
            .bytes()
    }

    #[test]
    fn metadata_and_tensors_are_read() {
        let header = read(&small()).expect("a header");
        assert_eq!(header.architecture(), "llama");
        assert_eq!(header.own("block_count"), Some(1));
        assert_eq!(header.metadata.get("tokenizer.ggml.tokens"), Some(&Meta::Long(3)));
        assert_eq!(header.elements(), 256 * 3 + 256 * 256);
        assert_eq!(header.bytes(), 3 * 210 + 256 * 144);
        assert_eq!(header.by_type(), [("q4_k", 1, 256 * 144), ("q6_k", 1, 3 * 210)]);
    }

    #[test]
    fn every_beginning_is_cut_off_and_nothing_panics() {
        let bytes = small();
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Err(Problem::CutOff), "{end}");
        }
    }

    #[test]
    fn any_change_of_a_byte_is_read_or_refused() {
        let bytes = small();
        for place in 0..bytes.len() {
            for value in [0_u8, 1, 8, 9, 127, 128, 255] {
                let mut other = bytes.clone();
                if let Some(byte) = other.get_mut(place) {
                    *byte = value;
                }
                // Either answer is fine; a panic or an endless list is not.
                drop(read(&other));
            }
        }
    }

    #[test]
    fn a_promise_of_endless_lists_ends_at_the_last_byte() {
        let bytes = Writer::new(u64::MAX, u64::MAX).text("a", "b").bytes();
        assert_eq!(read(&bytes), Err(Problem::CutOff));
    }

    #[test]
    fn other_files_and_versions_are_named() {
        assert!(matches!(read(b"PK\x03\x04...."), Err(Problem::Wrong(_))));
        let mut newer = small();
        newer[4] = 9;
        assert!(matches!(read(&newer), Err(Problem::Wrong(words)) if words.contains('9')));
    }
}
