//! Files as a visitor gives them. Of a large one only as much is read as its header takes: a slice of a file costs no more than
//! itself, whatever the size of the whole.

use js_sys::Uint8Array;
use js_sys::futures::JsFuture;
use leptos::web_sys::{Blob, File};

use crate::api;

/// What a first look takes.
const FIRST: u64 = 65_536;

/// Most of a text that is read.
const TEXT: u64 = 8_000_000;

/// Most of a header that is read: those of published models, with all their words, have less than a tenth of it.
const HEADER: u64 = 268_435_456;

/// What was read of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Its name.
    pub name: String,
    /// Bytes of the whole.
    pub size: u64,
    /// Its beginning: all of it, the header of a model file, or as much of a text as is read.
    pub bytes: Vec<u8>,
}

impl Given {
    /// Whether there is more of it.
    pub fn partly(&self) -> bool {
        (self.bytes.len() as u64) < self.size
    }

    /// The text that it is, where it is one.
    pub fn text(&self) -> Option<String> {
        (!binary(&self.bytes)).then(|| String::from_utf8_lossy(&self.bytes).into_owned())
    }
}

/// Reads as much of a file as is needed; nothing where the browser refuses.
pub async fn read(file: &File) -> Option<Given> {
    let size = whole(file.size());
    let mut bytes = slice(file, FIRST.min(size)).await?;
    if !binary(&bytes) {
        bytes = slice(file, TEXT.min(size)).await?;
    }
    let most = HEADER.min(size);
    while (bytes.len() as u64) < most && api::header_cut_off(&bytes) {
        bytes = slice(file, (bytes.len() as u64 * 4).min(most)).await?;
    }
    Some(Given {
        name: file.name(),
        size,
        bytes,
    })
}

/// Whether it is no text: in one there is no zero.
fn binary(bytes: &[u8]) -> bool {
    bytes.contains(&0)
}

async fn slice(blob: &Blob, end: u64) -> Option<Vec<u8>> {
    let part = blob.slice_with_f64_and_f64(0.0, end as f64).ok()?;
    let buffer = JsFuture::from(part.array_buffer()).await.ok()?;
    Some(Uint8Array::new(&buffer).to_vec())
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the size of a file is a whole number of bytes"
)]
fn whole(size: f64) -> u64 {
    size.max(0.0) as u64
}
