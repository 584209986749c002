//! Where everything is drawn: namespaces in columns from who calls to who is called, workloads in them, and a place at both
//! ends of every flow, so that no label hides another.

mod layout;
mod order;

use std::collections::BTreeMap;

use policy_connectivity::{End, Flow, Map};

use super::forms::{boxes, label, title};

/// The width of a letter.
const LETTER: f64 = 6.8;
/// The longest label that is drawn whole.
const LONGEST: usize = 26;

/// A drawing, in pixels from the top left.
pub(super) struct Picture {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) boxes: Vec<Boxed>,
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

/// A namespace, or the outside.
pub(super) struct Boxed {
    pub(super) title: String,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Among boxes.
    column: usize,
}

/// A workload, or a range of addresses.
pub(super) struct Node {
    /// As the text has it.
    pub(super) name: String,
    pub(super) title: String,
    pub(super) kind: String,
    /// What is special, for whoever points at it; empty if nothing.
    pub(super) note: String,
    /// Whether something isolates it both ways.
    pub(super) isolated: bool,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    in_box: usize,
    /// Among nodes: that of its box and further ones within.
    column: usize,
}

/// A flow.
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// From where, over which two points, to where.
    pub(super) curve: [(f64, f64); 4],
    /// The ports, shortened.
    pub(super) label: String,
    /// The whole flow, for whoever points at it.
    pub(super) whole: String,
    pub(super) unknown: bool,
    sides: (Side, Side),
}

/// The side of a node at which a flow begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Edge {
    /// Whether it comes to its end from the left.
    pub(super) fn enters_left(&self) -> bool {
        self.sides.1 == Side::Left
    }
}

impl Picture {
    /// The drawing of a map.
    pub(super) fn of<'a>(map: &Map<'_, 'a>, flows: &[Flow<'a>]) -> Self {
        let mut picture =
            Picture { width: 0.0, height: 0.0, boxes: Vec::new(), nodes: Vec::new(), edges: Vec::new() };
        picture.place_ends(map, flows);
        let links: Vec<(usize, usize)> = picture.links(|node| node.in_box);
        let calls_in = picture.boxes.iter().position(|one| one.title == "from outside");
        let called_out = picture.boxes.iter().position(|one| one.title == "to outside");
        let columns = order::columns(picture.boxes.len(), &links, calls_in, called_out);
        for (one, column) in picture.boxes.iter_mut().zip(columns) {
            one.column = column;
        }
        picture.choose_columns();
        picture.choose_sides();
        picture.size();
        let order = picture.arrange();
        picture.lay_out(&order);
        picture.draw_edges();
        picture
    }

    /// The ends of flows, each in its box, and the flows between them. Addresses from which flows come and to which they go
    /// are apart.
    fn place_ends<'a>(&mut self, map: &Map<'_, 'a>, flows: &[Flow<'a>]) {
        let standings = map.workloads();
        let mut numbers: BTreeMap<(End<'a>, bool), usize> = BTreeMap::new();
        for (namespace, ends) in boxes(map, flows) {
            for comes_in in [true, false] {
                let is_outside = |end: &End<'_>| matches!(end, End::Outside(_) | End::IngressController);
                let used = |end: &&End<'a>| match comes_in {
                    _ if !is_outside(end) => comes_in,
                    true => flows.iter().any(|flow| flow.from == **end),
                    false => flows.iter().any(|flow| flow.to == **end),
                };
                let here: Vec<&End<'a>> = ends.iter().filter(used).collect();
                if here.is_empty() {
                    continue;
                }
                let title = match (title(namespace), comes_in) {
                    ("outside", true) if namespace.is_empty() => "from outside",
                    ("outside", false) if namespace.is_empty() => "to outside",
                    (title, _) => title,
                };
                for end in here {
                    let standing = match end {
                        End::Workload(name) => standings.get(name),
                        End::Outside(_) | End::IngressController => None,
                    };
                    let note = standing.map(|standing| match standing {
                        one if one.host_network => {
                            "on the network of its node: what policies do to it is not known"
                        }
                        one if !one.isolated_ingress && !one.isolated_egress => {
                            "isolated by no NetworkPolicy"
                        }
                        one if !one.isolated_ingress => "not isolated for ingress",
                        one if !one.isolated_egress => "not isolated for egress",
                        _ => "",
                    });
                    let note = note.unwrap_or_default().to_owned();
                    numbers.insert((*end, comes_in), self.nodes.len());
                    let (first, second) = label(end);
                    let letters = first.chars().count().max(second.chars().count()) as f64;
                    self.nodes.push(Node {
                        name: end.to_string(),
                        title: first,
                        kind: second,
                        isolated: note.is_empty(),
                        note,
                        x: 0.0,
                        y: 0.0,
                        width: (letters * LETTER + 28.0).max(110.0),
                        height: 0.0,
                        in_box: self.boxes.len(),
                        column: 0,
                    });
                }
                self.boxes.push(Boxed {
                    title: title.to_owned(),
                    x: 0.0,
                    y: 0.0,
                    width: 0.0,
                    height: 0.0,
                    column: 0,
                });
            }
        }
        let number = |end: End<'a>, comes_in: bool| {
            numbers.get(&(end, comes_in)).or_else(|| numbers.get(&(end, true))).copied().unwrap_or_default()
        };
        for flow in flows {
            self.edges.push(Edge {
                from: number(flow.from, true),
                to: number(flow.to, !matches!(flow.to, End::Outside(_))),
                curve: [(0.0, 0.0); 4],
                label: shortened(&flow.ports.to_string()),
                whole: flow.to_string(),
                unknown: flow.unknown,
                sides: (Side::Right, Side::Left),
            });
        }
    }

    /// The number of a flow's colour: that of the box that it comes from.
    pub(super) fn colour(&self, edge: &Edge) -> usize {
        self.nodes.get(edge.from).map(|node| node.in_box).unwrap_or_default()
    }

    /// The flows between what nodes are in.
    fn links<T: PartialEq>(&self, of: impl Fn(&Node) -> T) -> Vec<(T, T)> {
        let pairs = self
            .edges
            .iter()
            .filter_map(|edge| Some((of(self.nodes.get(edge.from)?), of(self.nodes.get(edge.to)?))));
        pairs.filter(|(from, to)| from != to).collect()
    }
}

fn shortened(label: &str) -> String {
    match label.chars().count() > LONGEST {
        true => label.chars().take(LONGEST - 1).chain(['…']).collect(),
        false => label.replace(" Connections", ""),
    }
}
