//! The pods through which traffic enters: those of Gateways, and of the controller of Ingresses.

use std::collections::BTreeSet;

use policy_kubernetes::{Labels, WorkloadName};

use crate::topology::Topology;
use crate::workload::Workload;

/// The namespace that the controller of Ingresses is said to be in, for nobody knows where it is.
pub(crate) const INGRESS_NAMESPACE: &str = "ingress-controller-ns";

/// The controller of Ingresses has no name and no kind.
pub(crate) const INGRESS_CONTROLLER: WorkloadName<'static> =
    WorkloadName { namespace: INGRESS_NAMESPACE, name: "", kind: "" };

/// The pods where traffic enters: of each Gateway that has a route, and the controller of Ingresses if there is one.
pub(crate) fn entering<'a>(topology: &Topology<'a>) -> impl Iterator<Item = Workload<'a>> {
    let mut names = BTreeSet::new();
    for backends in topology.backends() {
        names.extend(backends.gateways.iter().map(|(namespace, name)| WorkloadName {
            namespace,
            name,
            kind: "Gateway",
        }));
        if backends.name.kind == "Ingress" {
            names.insert(INGRESS_CONTROLLER);
        }
    }
    names.into_iter().map(|name| {
        let labels = match name.kind {
            "" => Labels::from_iter([]),
            _ => topology.gateway(name.namespace, name.name).labels,
        };
        Workload { name, labels, ports: Vec::new(), host_network: false }
    })
}
