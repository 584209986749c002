//! Sizes and coordinates: columns, rows, and the curves of edges.

use std::collections::BTreeMap;

use super::{LETTER, Layout, Side};
use crate::order;

/// The height of a slot, in which an edge starts or ends.
const SLOT: f64 = 18.0;
/// The space around and between the nodes of a group.
const PAD: f64 = 16.0;
/// The space above the nodes of a group, which contains the title.
const HEAD: f64 = 30.0;

/// The vertical position of the edge's other end, the index of the edge, and whether it starts here.
type Slot = (i64, usize, bool);

impl Layout {
    fn column(&self, node: usize) -> usize {
        self.nodes.get(node).map(|node| node.column).unwrap_or_default()
    }

    /// Chooses the columns of nodes. A node comes after nodes of its group with edges to it, so a group can span several columns.
    pub(super) fn choose_columns(&mut self) {
        let mut spans: BTreeMap<usize, usize> = BTreeMap::new();
        for (number, one) in self.groups.iter().enumerate() {
            let inside: Vec<usize> = (0..self.nodes.len())
                .filter(|node| self.nodes.get(*node).is_some_and(|n| n.group == number))
                .collect();
            let place = |node: usize| inside.binary_search(&node).ok();
            let links: Vec<(usize, usize)> = self
                .edges
                .iter()
                .filter_map(|edge| place(edge.from).zip(place(edge.to)))
                .filter(|(from, to)| from != to)
                .collect();
            let columns = order::columns(inside.len(), &links, order::Ends::default());
            let span = spans.entry(one.column).or_insert(1);
            for (node, column) in inside.iter().zip(columns) {
                *span = (*span).max(column + 1);
                if let Some(node) = self.nodes.get_mut(*node) {
                    node.column = column;
                }
            }
        }
        for node in &mut self.nodes {
            let column = self.groups.get(node.group).map(|one| one.column).unwrap_or_default();
            node.column += spans.range(..column).map(|(_, span)| span).sum::<usize>();
        }
    }

    /// An edge to a later column leaves its node on the right and enters the other on the left. An edge to an earlier column does
    /// the reverse. An edge within a column uses the right side of both nodes.
    pub(super) fn choose_sides(&mut self) {
        for i in 0..self.edges.len() {
            let Some((from, to)) = self.edges.get(i).map(|edge| (edge.from, edge.to)) else { continue };
            let sides = match self.column(from).cmp(&self.column(to)) {
                std::cmp::Ordering::Less => (Side::Right, Side::Left),
                std::cmp::Ordering::Greater => (Side::Left, Side::Right),
                std::cmp::Ordering::Equal => (Side::Right, Side::Right),
            };
            if let Some(edge) = self.edges.get_mut(i) {
                edge.sides = sides;
            }
        }
    }

    /// A node is as high as the side with more edges requires, and as wide as the widest node of its column.
    pub(super) fn size(&mut self) {
        let mut counts: BTreeMap<(usize, bool), usize> = BTreeMap::new();
        for edge in &self.edges {
            *counts.entry((edge.from, edge.sides.0 == Side::Left)).or_default() += 1;
            *counts.entry((edge.to, edge.sides.1 == Side::Left)).or_default() += 1;
        }
        for (i, node) in self.nodes.iter_mut().enumerate() {
            let count = |left| counts.get(&(i, left)).copied().unwrap_or_default();
            node.height = (count(true).max(count(false)) as f64 * SLOT + 8.0).max(44.0);
        }
        let columns: Vec<usize> = (0..self.nodes.len()).map(|node| self.column(node)).collect();
        let mut widest: BTreeMap<usize, f64> = BTreeMap::new();
        for (node, column) in self.nodes.iter().zip(&columns) {
            let width = widest.entry(*column).or_default();
            *width = width.max(node.width);
        }
        for (node, column) in self.nodes.iter_mut().zip(&columns) {
            node.width = widest.get(column).copied().unwrap_or(node.width);
        }
        for (i, one) in self.groups.iter_mut().enumerate() {
            let mut heights: BTreeMap<usize, f64> = BTreeMap::new();
            for node in self.nodes.iter().filter(|node| node.group == i) {
                *heights.entry(node.column).or_default() += node.height + PAD;
            }
            one.height = HEAD + heights.values().copied().fold(0.0, f64::max);
        }
    }

    /// The order of nodes from top to bottom: groups stay together, and nodes are near the nodes that they are linked with.
    pub(super) fn arrange(&self) -> Vec<usize> {
        let columns: Vec<usize> = (0..self.nodes.len()).map(|node| self.column(node)).collect();
        let groups: Vec<usize> = self.nodes.iter().map(|node| node.group).collect();
        let pairs: Vec<(usize, usize)> = self.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        order::rows(&columns, &groups, &pairs)
    }

    /// Places columns side by side, with space for labels between them. Groups are stacked and centred vertically, and so are the
    /// nodes in a group.
    pub(super) fn lay_out(&mut self, order: &[usize]) {
        let longest =
            self.edges.iter().map(|edge| edge.label.chars().count()).max().unwrap_or_default() as f64;
        let gap = longest * LETTER + 110.0;
        let mut widths: BTreeMap<usize, f64> = BTreeMap::new();
        for node in &self.nodes {
            widths.insert(node.column, node.width);
        }
        let mut x = 2.0 * PAD;
        for (column, width) in &widths {
            self.nodes.iter_mut().filter(|node| node.column == *column).for_each(|node| node.x = x);
            x += width + gap;
        }
        // Edges that bend within the last column need room too.
        self.width = x - gap / 3.0;
        let mut stacks: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for group in order.iter().filter_map(|node| self.nodes.get(*node).map(|node| node.group)) {
            let column = self.groups.get(group).map(|one| one.column).unwrap_or_default();
            let stack = stacks.entry(column).or_default();
            if !stack.contains(&group) {
                stack.push(group);
            }
        }
        let height = |stack: &[usize]| -> f64 {
            stack.iter().filter_map(|one| self.groups.get(*one)).map(|one| one.height + PAD).sum()
        };
        self.height = stacks.values().map(|stack| height(stack)).fold(0.0, f64::max) + 2.0 * PAD;
        let starts: Vec<f64> = stacks.values().map(|stack| (self.height - height(stack)) / 2.0).collect();
        for (stack, mut y) in stacks.values().zip(starts) {
            for group in stack {
                self.lay_out_group(*group, y, order);
                y += self.groups.get(*group).map(|one| one.height + PAD).unwrap_or_default();
            }
        }
    }

    fn lay_out_group(&mut self, group: usize, y: f64, order: &[usize]) {
        let Some(one) = self.groups.get_mut(group) else { return };
        let mut columns: BTreeMap<usize, f64> = BTreeMap::new();
        let inside = || self.nodes.iter().filter(|node| node.group == group);
        for node in inside() {
            *columns.entry(node.column).or_default() += node.height + PAD;
        }
        let left = inside().map(|node| node.x).fold(f64::INFINITY, f64::min);
        let right = inside().map(|node| node.x + node.width).fold(0.0, f64::max);
        (one.x, one.y, one.width) = (left - PAD, y, right - left + 2.0 * PAD);
        let free = one.height - HEAD;
        let mut below: BTreeMap<usize, f64> = BTreeMap::new();
        for node in order {
            let Some(node) = self.nodes.get_mut(*node).filter(|node| node.group == group) else { continue };
            let taken = columns.get(&node.column).copied().unwrap_or_default();
            let at = below.entry(node.column).or_insert(y + HEAD + (free - taken) / 2.0);
            node.y = *at;
            *at += node.height + PAD;
        }
    }

    /// Draws every edge between two slots of its own. Edges that lead up are above edges that lead down.
    pub(super) fn draw_edges(&mut self) {
        let middle =
            |node: usize| self.nodes.get(node).map(|node| node.y + node.height / 2.0).unwrap_or_default();
        let mut slots: BTreeMap<(usize, bool), Vec<Slot>> = BTreeMap::new();
        for (i, edge) in self.edges.iter().enumerate() {
            let key = |side: Side, node| (node, side == Side::Left);
            let towards = |node| (middle(node) * 10.0) as i64;
            slots.entry(key(edge.sides.0, edge.from)).or_default().push((towards(edge.to), i, true));
            slots.entry(key(edge.sides.1, edge.to)).or_default().push((towards(edge.from), i, false));
        }
        for ((node, left), mut ends) in slots {
            ends.sort_unstable();
            let Some(node) = self.nodes.get(node) else { continue };
            let first = node.y + node.height / 2.0 - (ends.len() as f64 - 1.0) * SLOT / 2.0;
            let x = if left { node.x } else { node.x + node.width };
            for (place, (_, edge, begins)) in ends.into_iter().enumerate() {
                let point = (x, first + place as f64 * SLOT);
                if let Some(edge) = self.edges.get_mut(edge) {
                    if begins { edge.curve[0] = point } else { edge.curve[3] = point }
                }
            }
        }
        for edge in &mut self.edges {
            let [(x, y), _, _, (to_x, to_y)] = edge.curve;
            let away = match edge.sides.0 == edge.sides.1 {
                true => 40.0 + (to_y - y).abs() * 0.2,
                false => ((to_x - x).abs() / 2.0).max(60.0),
            };
            let bend = |x: f64, side: Side| if side == Side::Left { x - away } else { x + away };
            edge.curve[1] = (bend(x, edge.sides.0), y);
            edge.curve[2] = (bend(to_x, edge.sides.1), to_y);
        }
    }
}
