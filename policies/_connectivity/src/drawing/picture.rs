//! Where everything is drawn: namespaces in columns from who calls to who is called, workloads in them, and a place at both
//! ends of every flow, so that no label hides another.

mod layout;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use super::{boxes, label};
use crate::flow::{End, Flow};
use crate::map::{Isolation, Map};

/// What the boxes of addresses are called.
const FROM_OUTSIDE: &str = "from outside";
const TO_OUTSIDE: &str = "to outside";
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

impl Node {
    fn of(end: &End<'_>, standing: Option<&Isolation>, in_box: usize) -> Self {
        let note = standing.map_or("", |standing| match standing {
            one if one.host_network => "on the network of its node: what policies do to it is not known",
            one if !one.isolated_ingress && !one.isolated_egress => "isolated by no NetworkPolicy",
            one if !one.isolated_ingress => "not isolated for ingress",
            one if !one.isolated_egress => "not isolated for egress",
            _ => "",
        });
        let (title, kind) = label(end);
        let letters = title.chars().count().max(kind.chars().count()) as f64;
        Node {
            name: end.to_string(),
            title,
            kind,
            note: note.to_owned(),
            isolated: note.is_empty(),
            x: 0.0,
            y: 0.0,
            width: (letters * LETTER + 28.0).max(110.0),
            height: 0.0,
            in_box,
            column: 0,
        }
    }
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
        let calls_in = picture.boxes.iter().position(|one| one.title == FROM_OUTSIDE);
        let called_out = picture.boxes.iter().position(|one| one.title == TO_OUTSIDE);
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
        let callers: BTreeSet<End<'a>> = flows.iter().map(|flow| flow.from).collect();
        let called: BTreeSet<End<'a>> = flows.iter().map(|flow| flow.to).collect();
        let mut numbers: BTreeMap<(End<'a>, bool), usize> = BTreeMap::new();
        for (namespace, ends) in boxes(map, flows) {
            let sides: &[(&str, bool)] = match namespace {
                "" => &[(FROM_OUTSIDE, true), (TO_OUTSIDE, false)],
                namespace => &[(namespace, true)],
            };
            for (title, calls) in sides {
                let is_here = |end: &&End<'a>| {
                    !namespace.is_empty() || if *calls { &callers } else { &called }.contains(*end)
                };
                let here: Vec<&End<'a>> = ends.iter().filter(is_here).collect();
                for end in &here {
                    numbers.insert((**end, *calls), self.nodes.len());
                    let standing = match end {
                        End::Workload(name) => standings.get(name),
                        End::Outside(_) | End::IngressController => None,
                    };
                    self.nodes.push(Node::of(end, standing, self.boxes.len()));
                }
                if !here.is_empty() {
                    let title = (*title).to_owned();
                    self.boxes.push(Boxed { title, x: 0.0, y: 0.0, width: 0.0, height: 0.0, column: 0 });
                }
            }
        }
        let number = |end, calls| numbers.get(&(end, calls)).or_else(|| numbers.get(&(end, true))).copied();
        for flow in flows {
            let (Some(from), Some(to)) = (number(flow.from, true), number(flow.to, false)) else { continue };
            self.edges.push(Edge {
                from,
                to,
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
