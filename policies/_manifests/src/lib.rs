//! Manifests as text, without reading any file: the objects in them, the pods that these make, what has to be beside those,
//! and the text as admission would leave it.
//!
//! ```text
//! text ──documents──▶ objects: a request each ──▶ evaluate: it, the pods that it makes, what must exist beside them
//!                        └──▶ render: the text with the changes of the policies     lines, snippet: the value that is meant
//! ```
//!
//! The command line and the playground say the same of the same text, for both ask here.

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
