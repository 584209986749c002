//! The nine words of Pratique, and the flow between them.
//!
//! ```text
//! AdmissionReview ──decode──▶ Request ──scope──▶ policy.evaluate(&Request, &dyn Cluster, &mut Verdict)
//!                                                               │
//! AdmissionReview ◀──encode── Verdicts ◀───────merge────────────┘
//! ```
//!
//! Files are in the order of that flow: [`review`] (the wire), [`request`] (what is asked), [`scope`] (which
//! requests a policy wants), [`policy`] (settings and `evaluate`), [`cluster`] (what else exists), [`field`] and [`path`]
//! (a value and the way to it), [`verdict`] (deny, warn, patch), [`admit`] (the one place that merges them), [`case`] (an
//! example that is a test). [`pod`], [`workload`], [`image`] and [`selector`] read what Kubernetes has in common for many policies. Beneath them lie [`value`] (the decoded tree), [`yaml`] (the other way into it) and
//! [`settings`] (a policy's own struct, read from it).
//!
//! Nothing here does I/O, reads a clock, or panics: bad input is an error or an [`Undecided`].

pub mod admit;
pub mod case;
pub mod cluster;
pub mod field;
#[cfg(target_os = "wasi")]
pub mod guest;
pub mod image;
pub mod patch;
pub mod path;
pub mod pod;
pub mod policy;
pub mod request;
pub mod review;
pub mod scope;
pub mod selector;
pub mod settings;
pub mod value;
pub mod verdict;
pub mod workload;
pub mod yaml;

pub use admit::{Configured, Half, Verdicts, admit};
pub use case::Case;
pub use cluster::{Cluster, NoCluster, Objects};
pub use field::{Field, Undecided};
pub use image::ImageReference;
pub use path::FieldPath;
pub use policy::{About, Configure, Entry, Evaluate, Policy, Read, SettingsError, Severity};
pub use request::{Operation, Request};
pub use review::Review;
pub use scope::Scope;
pub use selector::{Labels, Selector};
pub use value::{Arena, Value};
pub use verdict::{Finding, Outcome, Verdict};

/// Makes a policy crate a Kubewarden guest when it is built for `wasm32-wasip1`; expands to nothing elsewhere, so
/// that the server and the browser can link many policies at once.
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        #[cfg(target_os = "wasi")]
        #[unsafe(no_mangle)]
        extern "C" fn wapc_init() {
            $crate::guest::register::<$policy>();
        }
    };
}
