//! In and out of the page: the box that takes anything at hand, and the menu of exports. Two parts of the module of their own; what
//! they recognise and write is `api`'s.

mod export;
mod figure;
mod files;
mod hub;
mod import;
mod listing;
mod measured;
mod save;

pub use export::load as load_export;
pub use import::load as load_import;
pub use save::download;
