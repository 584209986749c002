//! The network map: which workloads can connect to which, on which ports, and why.
//!
//! ```text
//! NetworkPolicies, pods, Services, routes ──▶ topology ──▶ map ──▶ flows: who, to whom, on which ports
//!                                                           ├───▶ explain: the policies and rules that decide
//!                                                           └───▶ drawing: boxes, and the picture
//! ```
//!
//! What a NetworkPolicy means is in `policy-kubernetes`; here its rules are compiled into sets of pods, so that every pair of
//! thousands of pods is decided at once. What a network plugin does beyond the API is not known: pods on the network of their node
//! are marked as unknown, and policies of other kinds are named, not read.

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
