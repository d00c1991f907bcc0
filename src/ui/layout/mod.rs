//! The frame of the page: the bar at the top, its buttons, the foot.

mod footer;
mod header;
mod help;
mod share;
mod theme;

pub use footer::Footer;
pub use header::Header;
