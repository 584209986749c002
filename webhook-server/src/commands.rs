//! The commands of `pratique`, one module each; `serve` is in [`crate::server`].

pub mod check;
pub mod connectivity;
#[cfg(feature = "server")]
pub mod demo;
pub mod explain;
pub mod explain_metric;
pub mod man_pages;
#[cfg(feature = "server")]
pub mod playground;
pub mod policies;
pub mod render;
pub mod test;
