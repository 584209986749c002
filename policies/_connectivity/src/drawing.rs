//! The map as it is drawn: in boxes, with what Services and Gateways open to the outside, and as a picture.

mod picture;
mod svg;

use std::collections::{BTreeMap, BTreeSet};

use policy_core::path::printable;

use crate::flow::{End, Flow};
use crate::map::Map;
use policy_kubernetes::WorkloadName;
use policy_kubernetes::network_policy::Range;

pub use svg::escaped;

/// The picture of these flows as SVG, without scripts; every name in it is escaped.
pub fn svg(map: &Map<'_, '_>, flows: &[Flow<'_>]) -> String {
    svg::draw(&picture::Picture::of(map, flows))
}

/// What is drawn: the flows, what Services open to the outside, as flows from these, and the ports of Gateways.
pub fn drawn<'a>(map: &Map<'_, 'a>, mut flows: Vec<Flow<'a>>) -> Vec<Flow<'a>> {
    let mut openings: Vec<Flow<'a>> = Vec::new();
    for opening in map.openings() {
        let name = WorkloadName { namespace: opening.namespace, name: opening.service, kind: opening.kind };
        let (from, to) = (End::Workload(name), End::Workload(opening.to));
        match openings.iter_mut().find(|flow| (flow.from, flow.to) == (from, to)) {
            Some(flow) => flow.ports.unite(&opening.ports),
            None => openings.push(Flow { from, to, ports: opening.ports, unknown: false }),
        }
    }
    flows.extend(openings);
    // Anybody may come to a Gateway that is given, as far as anybody knows.
    let led: BTreeSet<End<'a>> = flows.iter().map(|flow| flow.from).collect();
    for (name, ports) in
        map.gateways().filter(|(name, ports)| !ports.is_empty() && led.contains(&End::Workload(*name)))
    {
        let (from, to) = (End::Outside(Range::V4), End::Workload(name));
        flows.push(Flow { from, to, ports: ports.clone(), unknown: false });
    }
    flows
}

/// The ends of flows, and workloads without any, by the box that they are drawn in: a namespace, or the outside.
pub fn boxes<'a>(map: &Map<'_, 'a>, flows: &[Flow<'a>]) -> BTreeMap<&'a str, BTreeSet<End<'a>>> {
    let ends = flows.iter().flat_map(|flow| [flow.from, flow.to]);
    let workloads = map.workloads().into_keys().map(End::Workload);
    let mut boxes: BTreeMap<&str, BTreeSet<End<'_>>> = BTreeMap::new();
    for end in ends.chain(workloads) {
        let namespace = match end {
            End::Workload(name) => name.namespace,
            End::Outside(_) | End::IngressController => "",
        };
        boxes.entry(namespace).or_default().insert(end);
    }
    boxes
}

/// What stands in the box of an end, in two lines.
pub fn label(end: &End<'_>) -> (String, String) {
    match end {
        End::Workload(name) => (printable(name.name).into_owned(), printable(name.kind).into_owned()),
        End::Outside(range) => (range.first.to_string(), format!("to {}", range.last)),
        End::IngressController => ("ingress-controller".to_owned(), "of anybody".to_owned()),
    }
}

/// What a box is called.
pub fn title(namespace: &str) -> &str {
    if namespace.is_empty() { "outside" } else { namespace }
}
