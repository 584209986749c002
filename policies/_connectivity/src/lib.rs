//! The network map: which connections between workloads are allowed, on which ports, and why.
//!
//! ```text
//! NetworkPolicies, pods, Services, routes ──▶ topology ──▶ map ──▶ flows: source, destination, ports
//!                                                           ├───▶ explain: the deciding policies and rules
//!                                                           └───▶ drawing: boxes and SVG
//! ```
//!
//! The semantics of a single NetworkPolicy are in `policy-kubernetes`. This crate compiles the rules into sets of pods, so that
//! it can evaluate all pairs of thousands of pods quickly. It follows the NetworkPolicy API only: pods on the host network are
//! marked as unknown, because plugins differ, and policies of other kinds are listed in the notes but not evaluated.

mod collector;
mod compile;
mod drawing;
mod entry_pods;
mod explain;
mod exposure;
mod flow;
mod index;
mod map;
mod ranges;
mod service;
mod topology;
mod workload;

pub use drawing::{boxes, drawn, label, svg, title};
pub use explain::{DirectionVerdict, Explanation, ProtocolPort, QueryEnd, RuleMatch};
pub use exposure::ExposedPort;
pub use flow::{Flow, FlowEnd};
pub use map::{Isolation, Map};
pub use ranges::AddressRanges;
pub use topology::Topology;
pub use workload::Workload;
