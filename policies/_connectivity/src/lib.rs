//! NetworkPolicy semantics (networking.k8s.io/v1): whom a policy isolates, what it lets through, and who can talk to whom.
//!
//! ```text
//! NetworkPolicy ──read──▶ policy ─┐
//! Pod, Deployment … ─────▶ workload ─┴─▶ world ──▶ map ──▶ flows: who, to whom, on which ports
//! Service, Gateway, route ──▶ entry ─┘             ├────▶ why: the policies and rules that decide
//!                                                  └────▶ drawing: boxes, and the picture
//! ```
//!
//! Sources: kubernetes.io/docs/concepts/services-networking/network-policies, `pkg/apis/networking/validation` of
//! kubernetes/kubernetes. What a network plugin does beyond that is not known here: pods on the network of their node are
//! marked as unknown, and policies of other kinds are named, not read.

mod address;
mod compile;
mod door;
mod drawing;
mod entry;
mod flow;
mod index;
mod map;
mod policy;
mod ports;
mod rule;
mod why;
mod workload;
mod world;

pub use address::{Block, Range};
pub use door::Opening;
pub use drawing::{boxes, drawn, escaped, label, svg, title};
pub use flow::{End, Flow};
pub use map::{Map, Ranges, Standing};
pub use policy::{Direction, NetworkPolicy, Side};
pub use ports::{Ports, Protocol};
pub use rule::{NamedPort, Peer, Port, Rule, port_number};
pub use why::{Asked, Cited, Reasons, Why};
pub use workload::{Name, Workload};
pub use world::{NAMESPACE_NAME, World};
