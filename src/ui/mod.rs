//! The page: a thin shell over `api` in Leptos.
//!
//! One store holds the request as typed and the settings of the view; the answer is a memo of it; every view reads
//! slices. Nothing is computed here. Each visual part has its style sheet at the same path below `style/`.

mod answer;
mod app;
mod dialogs;
mod dom;
mod exchange;
mod explain;
mod fields;
mod format;
mod history;
mod language;
mod layout;
mod model;
mod mounted;
mod part;
mod persist;
mod plot;
mod plots;
mod rest;
mod scenarios;
mod state;
mod tabs;

pub use app::{mount, start};
