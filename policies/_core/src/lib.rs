//! The core types of Pratique, and the data flow between them.
//!
//! ```text
//! AdmissionReview ──decode──▶ Request ──scope──▶ policy.evaluate(&Request, &dyn Cluster, &mut Verdict)
//!                                                               │
//! AdmissionReview ◀──encode── Verdicts ◀───────merge────────────┘
//! ```
//!
//! Modules in the order of that flow: [`review`] (wire format), [`request`] (AdmissionRequest), [`scope`] (requests that a policy
//! matches), [`policy`] (settings and `evaluate`), [`cluster`] (cluster data), [`field`] and [`path`] (a value and its path),
//! [`verdict`] (deny, warn, patch), [`admit`] (merges verdicts) and [`case`] (an example that is also a test). They build on
//! [`value`] (the decoded tree), [`yaml`] (decodes YAML into the tree) and [`settings`] (deserializes settings from the tree).
//! Types for the kinds of Kubernetes are in the crate `policy-kubernetes`.
//!
//! Nothing here does I/O, reads a clock, or panics: bad input is an error or an [`Undecided`].

pub mod admit;
#[cfg(not(target_os = "wasi"))]
pub mod case;
pub mod cluster;
pub mod field;
#[cfg(target_os = "wasi")]
pub mod guest;
pub mod kinds;
pub mod metadata;
pub mod patch;
pub mod path;
pub mod policy;
pub mod request;
pub mod review;
pub mod scope;
pub mod settings;
pub mod value;
pub mod verdict;
pub mod verdicts;
pub mod yaml;

pub use admit::{ConfiguredPolicy, admit};
#[cfg(not(target_os = "wasi"))]
pub use case::Case;
pub use cluster::{Cluster, NoCluster, Objects};
pub use field::{Field, Undecided};
pub use metadata::{Category, Context, ControlMetadata, PolicyMetadata, Severity, WatchedKind};
pub use path::FieldPath;
#[cfg(not(target_os = "wasi"))]
pub use policy::PolicyDefinition;
pub use policy::{Configure, Evaluate, ManifestSet, Policy, SettingsError};
pub use request::{Operation, Request};
pub use review::Review;
pub use scope::Scope;
pub use value::{Arena, Value};
pub use verdict::{Finding, Outcome, Verdict};
pub use verdicts::{AdmissionPhase, Verdicts};

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
