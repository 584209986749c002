//! Flows: the connections on a map, and their ends.

use std::fmt;

use policy_kubernetes::WorkloadName;
use policy_kubernetes::network_policy::Range;
use policy_kubernetes::ports::Ports;

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowEnd<'a> {
    /// The pods of a workload; for the kind `Gateway`, the pods of the Gateway.
    Workload(WorkloadName<'a>),
    /// Addresses outside of the cluster.
    Outside(Range),
    /// The ingress controller.
    IngressController,
}

/// `shop/web[Deployment]`, `10.0.0.0-10.255.255.255[External]`, `{ingress-controller}`.
impl fmt::Display for FlowEnd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlowEnd::Workload(name) => name.fmt(f),
            FlowEnd::Outside(range) => write!(f, "{range}[External]"),
            FlowEnd::IngressController => f.write_str("{ingress-controller}"),
        }
    }
}

/// Allowed connections from one end to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow<'a> {
    /// The source.
    pub from: FlowEnd<'a>,
    /// The destination.
    pub to: FlowEnd<'a>,
    /// The destination ports.
    pub ports: Ports,
    /// Whether an end uses the host network, so that the cluster may behave differently.
    pub unknown: bool,
}

/// `shop/web[Deployment] => shop/api[Deployment] : TCP 8080`.
impl fmt::Display for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} => {} : {}", self.from, self.to, self.ports)
    }
}
