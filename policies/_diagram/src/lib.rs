//! Layered graph layout and SVG: groups of nodes in columns, and labelled edges between the nodes. Independent of the meaning
//! of the nodes.
//!
//! ```text
//! Diagram ──layout──▶ columns, rows, sizes, curves ──svg──▶ text
//! ```

mod layout;
mod order;
mod svg;

pub use svg::escaped;

/// A graph to draw.
#[derive(Clone, Debug, Default)]
pub struct Diagram {
    /// The title, for screen readers.
    pub title: String,
    /// A sentence below the drawing.
    pub caption: String,
    /// The groups.
    pub groups: Vec<Group>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The edges.
    pub edges: Vec<Edge>,
}

/// A box around nodes.
#[derive(Clone, Debug)]
pub struct Group {
    /// The text at its top.
    pub title: String,
    /// The column in which it is placed.
    pub layer: Layer,
}

/// The column in which a group is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// After the groups that have edges to it.
    ByEdges,
    /// Before all others.
    First,
    /// After all others.
    Last,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its full name, as a tooltip.
    pub name: String,
    /// The first line in it.
    pub title: String,
    /// The second line in it.
    pub subtitle: String,
    /// A remark that is added to the tooltip; a node with a remark is emphasized.
    pub note: String,
    /// The index of its group.
    pub group: usize,
}

/// An edge.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The index of the node that it starts at.
    pub from: usize,
    /// The index of the node that it leads to.
    pub to: usize,
    /// The text at its end; cut if it is long.
    pub label: String,
    /// The whole text, as a tooltip.
    pub description: String,
    /// Whether the line is dashed.
    pub dashed: bool,
}

impl Diagram {
    /// The drawing as SVG, without scripts; every text in it is escaped.
    pub fn to_svg(&self) -> String {
        svg::draw(self, &layout::Layout::of(self))
    }
}
