//! What a map is made of: flows, their ends, and how they are gathered.

use std::fmt;

use policy_kubernetes::WorkloadName;
use policy_kubernetes::network_policy::Range;
use policy_kubernetes::ports::Ports;

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowEnd<'a> {
    /// The pods of a workload; of the kind `Gateway` those of which a Gateway is made.
    Workload(WorkloadName<'a>),
    /// Addresses outside of the cluster.
    Outside(Range),
    /// Whoever serves Ingresses.
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

/// Connections that are possible.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow<'a> {
    /// Who opens them.
    pub from: FlowEnd<'a>,
    /// Who is called.
    pub to: FlowEnd<'a>,
    /// On which ports.
    pub ports: Ports,
    /// Whether an end is on the network of its node, so that it may be otherwise.
    pub unknown: bool,
}

/// `shop/web[Deployment] => shop/api[Deployment] : TCP 8080`.
impl fmt::Display for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} => {} : {}", self.from, self.to, self.ports)
    }
}
