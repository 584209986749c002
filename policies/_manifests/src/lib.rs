//! Manifests as text, without reading any file: the objects in them, the pods that these make, what has to be beside those,
//! and the text as admission would leave it.
//!
//! ```text
//! text ──documents──▶ objects: a request each ──▶ pods: the request for a pod of it ──▶ beside: what it lacks
//!                        └──▶ rendered: the text with what the policies change        written: the value that is meant
//! ```
//!
//! The command line and the playground say the same of the same text, for both ask here.

pub mod beside;
mod object_name;
mod objects;
mod pods;
mod rendered;
mod written;

pub use object_name::ObjectName;
pub use objects::{Unreadable, each};
pub use pods::Pods;
pub use rendered::{edited, rendered};
pub use written::Written;
