//! Typed, lazy views of Kubernetes objects on top of `Field`. All policies share them.
//!
//! | module | content |
//! |---|---|
//! | [`workloads`] | kinds that create pods, their pod templates, owners of pods |
//! | [`pod`], [`container`], [`image`] | containers in the three lists of a pod, ports, image references |
//! | [`selector`] | labels and label selectors |
//! | [`namespace`] | the labels of a namespace |
//! | [`service`] | the pods that a Service selects, and its target ports |
//! | [`network_policy`] | the pods that a NetworkPolicy isolates, and the peers and ports that it allows |
//! | [`route`] | Gateways, routes and Ingresses, and the Services behind them |
//! | [`inventory`] | the objects of a complete manifest set and their relations |
//! | [`monitor`] | ServiceMonitors and PodMonitors: the ports that Prometheus scrapes |
//! | [`reachability`] | whether NetworkPolicies allow Prometheus to reach a port |
//! | [`exporters`] | Prometheus exporters: image, port, series, sidecar |
//! | [`scopes`] | the scopes that several policies share |
//!
//! A view copies nothing and reads a field on access. Labels, selectors, NetworkPolicies and the inventory are read once, because
//! they are used many times. If a value is not valid, the result is an error that names the field, never a default.

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
