//! Typed, lazy views of Kubernetes objects over `Field`, in Kubernetes' words: each fact about Kubernetes is written here, once.
//!
//! | module | what it answers |
//! |---|---|
//! | [`workloads`] | which kinds make pods, where their template is, who owns a pod |
//! | [`pod`], [`container`], [`image`] | containers in their three lists, ports, image references |
//! | [`selector`] | labels, and which of them a selector matches |
//! | [`namespace`] | the labels of a namespace |
//! | [`service`] | which pods a Service selects, and to which of their ports it leads |
//! | [`network_policy`] | whom a policy isolates, and which peers and ports it allows |
//! | [`route`] | Gateways, routes and Ingresses, and the Services behind them |
//! | [`inventory`] | the objects of a complete manifest set, by what they have to do with each other |
//! | [`monitor`] | ServiceMonitors and PodMonitors: what Prometheus scrapes |
//! | [`reachability`] | whether NetworkPolicies let Prometheus reach a port |
//! | [`exporters`] | Prometheus exporters: image, port, series, sidecar |
//! | [`scopes`] | the scopes that several policies share |
//!
//! A view of a field copies nothing and reads it when it is asked for; what many questions are asked of (labels, selectors,
//! NetworkPolicies, the inventory) is read once. What is not as Kubernetes has it is an error that names the
//! field, never a default.

pub mod container;
pub mod exporters;
pub mod image;
pub mod inventory;
pub mod monitor;
pub mod namespace;
pub mod network_policy;
pub mod pod;
pub mod ports;
pub mod reachability;
pub mod route;
pub mod scopes;
pub mod selector;
pub mod service;
pub mod workloads;

pub use image::ImageReference;
pub use pod::Pod;
pub use selector::{Labels, Selector};
pub use workloads::{PodTemplate, WorkloadKinds, WorkloadName};
