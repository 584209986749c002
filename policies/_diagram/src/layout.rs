//! Layout: groups in columns, nodes in rows, and a slot at both ends of every edge, so that labels do not overlap.

mod place;

use crate::order;
use crate::{Diagram, Layer};

/// The width of a letter.
const LETTER: f64 = 6.8;
/// The maximum length of a label; longer labels are truncated.
const LONGEST: usize = 26;

/// A drawing, in pixels from the top left.
pub(crate) struct Layout {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) groups: Vec<PlacedGroup>,
    pub(crate) nodes: Vec<PlacedNode>,
    pub(crate) edges: Vec<PlacedEdge>,
}

/// A group and its position.
#[derive(Default)]
pub(crate) struct PlacedGroup {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// The column of the group.
    column: usize,
}

/// A node and its position.
pub(crate) struct PlacedNode {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) group: usize,
    /// The column of the node; a column of groups can have several columns of nodes.
    column: usize,
}

/// An edge and its position.
pub(crate) struct PlacedEdge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The start, two control points, and the end.
    pub(crate) curve: [(f64, f64); 4],
    /// The label, shortened.
    pub(crate) label: String,
    sides: (Side, Side),
}

/// The side of a node at which an edge starts or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl PlacedEdge {
    /// Whether it arrives from the left.
    pub(crate) fn enters_left(&self) -> bool {
        self.sides.1 == Side::Left
    }
}

impl Layout {
    pub(crate) fn of(diagram: &Diagram) -> Self {
        let mut layout = Layout::sized(diagram);
        let links: Vec<(usize, usize)> = layout.group_links();
        let of_layer = |layer| diagram.groups.iter().position(|group| group.layer == layer);
        let ends = order::Ends { first: of_layer(Layer::First), last: of_layer(Layer::Last) };
        let columns = order::columns(layout.groups.len(), &links, ends);
        for (group, column) in layout.groups.iter_mut().zip(columns) {
            group.column = column;
        }
        layout.choose_columns();
        layout.choose_sides();
        layout.size();
        let order = layout.arrange();
        layout.lay_out(&order);
        layout.draw_edges();
        layout
    }

    /// Everything at the origin, nodes as wide as their text.
    fn sized(diagram: &Diagram) -> Self {
        let node = |node: &crate::Node| {
            let letters = node.title.chars().count().max(node.subtitle.chars().count()) as f64;
            let width = (letters * LETTER + 28.0).max(110.0);
            PlacedNode { x: 0.0, y: 0.0, width, height: 0.0, group: node.group, column: 0 }
        };
        let edge = |edge: &crate::Edge| PlacedEdge {
            from: edge.from,
            to: edge.to,
            curve: [(0.0, 0.0); 4],
            label: shortened(&edge.label),
            sides: (Side::Right, Side::Left),
        };
        Layout {
            width: 0.0,
            height: 0.0,
            groups: diagram.groups.iter().map(|_| PlacedGroup::default()).collect(),
            nodes: diagram.nodes.iter().map(node).collect(),
            edges: diagram.edges.iter().map(edge).collect(),
        }
    }

    /// The edges between groups.
    fn group_links(&self) -> Vec<(usize, usize)> {
        let group = |node: usize| self.nodes.get(node).map(|node| node.group);
        let pairs = self.edges.iter().filter_map(|edge| group(edge.from).zip(group(edge.to)));
        pairs.filter(|(from, to)| from != to).collect()
    }
}

fn shortened(label: &str) -> String {
    match label.chars().count() > LONGEST {
        true => label.chars().take(LONGEST - 1).chain(['…']).collect(),
        false => label.to_owned(),
    }
}
