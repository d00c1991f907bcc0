//! The form: fields, menus and groups made from the input registry, and the searchable choice of models and GPUs.

mod combobox;
mod control;
mod field;
mod gpu;
mod group;
mod mesh;
mod messages;
mod method;

pub use combobox::{Choice, Combobox};
pub use control::from_model;
pub use field::{control_id, described_by, field, framed, label, reveal_input};
pub use gpu::gpu;
pub use group::{Settings, groups, is_open, load as load_settings};
pub use messages::{fixes, message, plain};
pub use method::method;
