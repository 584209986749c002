//! A diagram as SVG: groups as boxes with nodes in them, and edges as lines with a label at the end.

use std::fmt::Write as _;

use crate::layout::{Layout, PlacedEdge, PlacedGroup, PlacedNode};
use crate::{Diagram, Edge, Node};

/// Edge colours by source group, chosen for red-green colour blindness (P. Tol, "Colour Schemes", 2021: bright).
const COLOURS: [&str; 7] = ["#4477AA", "#228833", "#AA3377", "#EE6677", "#997700", "#0077BB", "#555555"];

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#222}\
.box{fill:#f6f7f9;stroke:#c9ced6}.title{font-weight:600;fill:#555}\
.node rect{fill:#fff;stroke:#7a8594}.node.open rect{stroke:#cc3311;stroke-width:2;stroke-dasharray:5 3}\
.kind{fill:#667;font-size:10.5px}.edge path{fill:none;stroke-width:1.4}\
.edge.unknown path{stroke-dasharray:4 4}.edge text{font-size:11px;paint-order:stroke;stroke:#fff;stroke-width:4px}\
.dim{opacity:.08}";

/// Draws the diagram.
pub(crate) fn draw(diagram: &Diagram, layout: &Layout) -> String {
    let mut svg = String::new();
    let (width, height) = (layout.width.max(880.0), layout.height.max(80.0) + 24.0);
    // Writing to a string does not fail.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\"><title>{}</title><style>{STYLE}</style><defs>",
        escaped(&diagram.title)
    );
    for (i, colour) in COLOURS.iter().enumerate() {
        let _ = write!(
            svg,
            "<marker id=\"arrow{i}\" viewBox=\"0 0 8 8\" refX=\"7.5\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
             orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"{colour}\"/></marker>"
        );
    }
    let _ = write!(svg, "</defs><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>");
    for (group, placed) in diagram.groups.iter().zip(&layout.groups) {
        draw_group(&group.title, placed, &mut svg);
    }
    for (edge, placed) in diagram.edges.iter().zip(&layout.edges) {
        let group = layout.nodes.get(placed.from).map(|node| node.group).unwrap_or_default();
        draw_edge(edge, placed, group % COLOURS.len(), &mut svg);
    }
    for (number, (node, placed)) in diagram.nodes.iter().zip(&layout.nodes).enumerate() {
        draw_node(number, node, placed, &mut svg);
    }
    let y = height - 10.0;
    let _ = writeln!(
        svg,
        "<text class=\"kind\" x=\"16\" y=\"{y:.0}\">{}</text></svg>",
        escaped(&diagram.caption)
    );
    svg
}

fn draw_group(title: &str, placed: &PlacedGroup, svg: &mut String) {
    let PlacedGroup { x, y, width, height, .. } = placed;
    let _ = write!(
        svg,
        "<rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\"/>\
         <text class=\"title\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        x + 12.0,
        y + 19.0,
        escaped(title)
    );
}

fn draw_node(number: usize, node: &Node, placed: &PlacedNode, svg: &mut String) {
    let Node { name, title, subtitle, note, .. } = node;
    let PlacedNode { x, y, width, height, .. } = placed;
    let class = if note.is_empty() { "node" } else { "node open" };
    let middle = (x + width / 2.0, y + height / 2.0);
    let note = if note.is_empty() { String::new() } else { format!(": {note}") };
    let _ = write!(
        svg,
        "<g class=\"{class}\" data-node=\"{number}\"><title>{}{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" \
         width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\"/><text text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}\
         </text><text class=\"kind\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
        escaped(name),
        escaped(&note),
        middle.0,
        middle.1 - 2.0,
        escaped(title),
        middle.0,
        middle.1 + 12.0,
        escaped(subtitle)
    );
}

fn draw_edge(edge: &Edge, placed: &PlacedEdge, number: usize, svg: &mut String) {
    let [(x, y), (a, b), (c, d), (to_x, to_y)] = placed.curve;
    let colour = COLOURS.get(number).copied().unwrap_or("#555");
    let class = if edge.dashed { "edge unknown" } else { "edge" };
    let (anchor, at) = if placed.enters_left() { ("end", to_x - 11.0) } else { ("start", to_x + 11.0) };
    let _ = write!(
        svg,
        "<g class=\"{class}\" data-from=\"{}\" data-to=\"{}\"><title>{}</title><path d=\"M{x:.1} {y:.1}C{a:.1} {b:.1} \
         {c:.1} {d:.1} {to_x:.1} {to_y:.1}\" stroke=\"{colour}\" marker-end=\"url(#arrow{number})\"/><text \
         text-anchor=\"{anchor}\" x=\"{at:.1}\" y=\"{:.1}\">{}</text></g>",
        edge.from,
        edge.to,
        escaped(&edge.description),
        to_y - 3.0,
        escaped(&placed.label)
    );
}

/// Escapes a text for XML and HTML.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML 1.0 does not allow these characters (section 2.2).
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}
