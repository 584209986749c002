//! Manifests as text, without reading any file: the objects in them, the pods that these make, what has to be beside those,
//! and the text as admission would leave it.
//!
//! ```text
//! text ──documents──▶ objects: a request each ──▶ judged: it, the pods that it makes, what is missing beside them
//!                        └──▶ rendered: the text with what the policies change      lines, written: the value that is meant
//! ```
//!
//! The command line and the playground say the same of the same text, for both ask here.

mod as_admitted;
pub mod beside;
mod judged;
mod lines;
mod object_name;
mod objects;
mod rendered;
mod written;

pub use as_admitted::as_admitted;
pub use judged::{Judge, Judged, Pods, judged};
pub use lines::Lines;
pub use object_name::ObjectName;
pub use objects::{Unreadable, each};
pub use rendered::{edited, rendered};
pub use written::Written;
