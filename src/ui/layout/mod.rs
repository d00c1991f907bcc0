//! The frame of the page: the bar at the top, its buttons, the foot.

mod embed;
mod footer;
mod header;
mod help;
mod share;
mod theme;
mod tools;

pub use embed::{EmbedDialog, load as load_embed};
pub use footer::Footer;
pub use header::Header;
