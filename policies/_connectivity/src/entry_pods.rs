//! The pods through which traffic enters the cluster: those of Gateways, and of the ingress controller.

use std::collections::BTreeSet;

use policy_kubernetes::{Labels, WorkloadName};

use crate::topology::Topology;
use crate::workload::Workload;

/// A placeholder for the namespace of the ingress controller, because the manifests do not specify it.
pub(crate) const INGRESS_NAMESPACE: &str = "ingress-controller-ns";

/// The ingress controller, which has no name and no kind.
pub(crate) const INGRESS_CONTROLLER: WorkloadName<'static> =
    WorkloadName { namespace: INGRESS_NAMESPACE, name: "", kind: "" };

/// The pods of each Gateway that has a route, and those of the ingress controller if the topology has an Ingress.
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
