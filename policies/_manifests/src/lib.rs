//! Manifests as text, without file access: their objects, the pods that these create, the objects that the pods require, and
//! the text after admission.
//!
//! ```text
//! text ──documents──▶ objects: one request each ──▶ evaluate: the object, its pods, and their prerequisites
//!                        └──▶ render: the text with the changes of the policies     lines, snippet: the value of a finding
//! ```
//!
//! The command line and the playground report the same findings for the same text, because both use this crate.

mod admitted;
mod evaluate;
mod lines;
mod object_name;
mod objects;
mod render;
mod snippet;

pub use admitted::as_admitted;
pub use evaluate::{EvaluatedObject, ManifestEvaluator, evaluate};
pub use lines::LineIndex;
pub use object_name::ObjectName;
pub use objects::{ManifestError, each, each_decoded};
pub use render::{edited, rendered};
pub use snippet::Snippet;
