//! Draws the map: flows in boxes by namespace, with the ports that Services and Gateways expose, and as SVG.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::path::printable;
use policy_diagram::{Diagram, Edge, Group, Layer, Node};
use policy_kubernetes::WorkloadName;
use policy_kubernetes::network_policy::Range;

use crate::flow::{Flow, FlowEnd};
use crate::map::{Isolation, Map};

/// The titles of the boxes for addresses.
const FROM_OUTSIDE: &str = "from outside";
const TO_OUTSIDE: &str = "to outside";

const CAPTION: &str = "Lines are connections that NetworkPolicies allow, with the destination ports. All other connections are denied. \
     Dashed red: not isolated in both directions, or on the host network.";

/// Renders these flows as SVG. The SVG contains no scripts, and all names in it are escaped.
pub fn svg(map: &Map<'_, '_>, flows: &[Flow<'_>]) -> String {
    diagram(map, flows).to_svg()
}

/// The diagram of these flows, with each end in the box of its namespace. Source and destination addresses are in separate
/// boxes.
fn diagram<'a>(map: &Map<'_, 'a>, flows: &[Flow<'a>]) -> Diagram {
    let mut diagram = Diagram {
        title: "Allowed connections".to_owned(),
        caption: CAPTION.to_owned(),
        ..Diagram::default()
    };
    let isolations = map.workloads();
    let callers: BTreeSet<FlowEnd<'a>> = flows.iter().map(|flow| flow.from).collect();
    let called: BTreeSet<FlowEnd<'a>> = flows.iter().map(|flow| flow.to).collect();
    let mut numbers: BTreeMap<(FlowEnd<'a>, bool), usize> = BTreeMap::new();
    for (namespace, ends) in boxes(map, flows) {
        let sides: &[(&str, bool, Layer)] = match namespace {
            "" => &[(FROM_OUTSIDE, true, Layer::First), (TO_OUTSIDE, false, Layer::Last)],
            namespace => &[(namespace, true, Layer::ByEdges)],
        };
        for (title, calls, layer) in sides {
            let is_here = |end: &&FlowEnd<'a>| {
                !namespace.is_empty() || if *calls { &callers } else { &called }.contains(*end)
            };
            let here: Vec<&FlowEnd<'a>> = ends.iter().filter(is_here).collect();
            for end in &here {
                numbers.insert((**end, *calls), diagram.nodes.len());
                let isolation = match end {
                    FlowEnd::Workload(name) => isolations.get(name),
                    FlowEnd::Outside(_) | FlowEnd::IngressController => None,
                };
                diagram.nodes.push(node(end, isolation, diagram.groups.len()));
            }
            if !here.is_empty() {
                diagram.groups.push(Group { title: (*title).to_owned(), layer: *layer });
            }
        }
    }
    let number = |end, calls| numbers.get(&(end, calls)).or_else(|| numbers.get(&(end, true))).copied();
    for flow in flows {
        let (Some(from), Some(to)) = (number(flow.from, true), number(flow.to, false)) else { continue };
        let label = flow.ports.to_string().replace(" Connections", "");
        diagram.edges.push(Edge { from, to, label, description: flow.to_string(), dashed: flow.unknown });
    }
    diagram
}

fn node(end: &FlowEnd<'_>, isolation: Option<&Isolation>, group: usize) -> Node {
    let note = isolation.map_or("", |isolation| match isolation {
        one if one.host_network => "uses the host network: NetworkPolicies may not apply",
        one if !one.isolated_ingress && !one.isolated_egress => "not isolated by any NetworkPolicy",
        one if !one.isolated_ingress => "not isolated for ingress",
        one if !one.isolated_egress => "not isolated for egress",
        _ => "",
    });
    let (title, subtitle) = label(end);
    Node { name: end.to_string(), title, subtitle, note: note.to_owned(), group }
}

/// The flows to draw: these flows, flows from exposed Services to their pods, and flows from the outside to Gateways.
pub fn drawn<'a>(map: &Map<'_, 'a>, mut flows: Vec<Flow<'a>>) -> Vec<Flow<'a>> {
    let mut openings: Vec<Flow<'a>> = Vec::new();
    for opening in map.openings() {
        let name = WorkloadName { namespace: opening.namespace, name: opening.service, kind: opening.kind };
        let (from, to) = (FlowEnd::Workload(name), FlowEnd::Workload(opening.to));
        match openings.iter_mut().find(|flow| (flow.from, flow.to) == (from, to)) {
            Some(flow) => flow.ports.unite(&opening.ports),
            None => openings.push(Flow { from, to, ports: opening.ports, unknown: false }),
        }
    }
    flows.extend(openings);
    // The map does not restrict the clients of a Gateway: draw a flow from every address.
    let led: BTreeSet<FlowEnd<'a>> = flows.iter().map(|flow| flow.from).collect();
    for (name, ports) in
        map.gateways().filter(|(name, ports)| !ports.is_empty() && led.contains(&FlowEnd::Workload(*name)))
    {
        let (from, to) = (FlowEnd::Outside(Range::V4), FlowEnd::Workload(name));
        flows.push(Flow { from, to, ports: ports.clone(), unknown: false });
    }
    flows
}

/// The ends of these flows, and workloads without flows, by box: a namespace, or `""` for the outside.
pub fn boxes<'a>(map: &Map<'_, 'a>, flows: &[Flow<'a>]) -> BTreeMap<&'a str, BTreeSet<FlowEnd<'a>>> {
    let ends = flows.iter().flat_map(|flow| [flow.from, flow.to]);
    let workloads = map.workloads().into_keys().map(FlowEnd::Workload);
    let mut boxes: BTreeMap<&str, BTreeSet<FlowEnd<'_>>> = BTreeMap::new();
    for end in ends.chain(workloads) {
        let namespace = match end {
            FlowEnd::Workload(name) => name.namespace,
            FlowEnd::Outside(_) | FlowEnd::IngressController => "",
        };
        boxes.entry(namespace).or_default().insert(end);
    }
    boxes
}

/// The two lines of text of an end.
pub fn label(end: &FlowEnd<'_>) -> (String, String) {
    match end {
        FlowEnd::Workload(name) => (printable(name.name).into_owned(), printable(name.kind).into_owned()),
        FlowEnd::Outside(range) => (range.first.to_string(), format!("to {}", range.last)),
        FlowEnd::IngressController => ("ingress-controller".to_owned(), "any".to_owned()),
    }
}

/// The title of a box.
pub fn title(namespace: &str) -> &str {
    if namespace.is_empty() { "outside" } else { namespace }
}
