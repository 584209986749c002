//! Chooses columns for boxes and rows for nodes, so that edges lead to the right and few of them cross.

use std::collections::BTreeMap;

/// The number of passes that improve the rows.
const SWEEPS: usize = 12;

/// The boxes that are placed before or after all others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    /// Before all others.
    pub(crate) first: Option<usize>,
    /// After all others.
    pub(crate) last: Option<usize>,
}

/// The column of each of `count` boxes: a caller is before the boxes that it calls, except in a cycle. The box `ends.first` is
/// before all others, `ends.last` after them.
pub(crate) fn columns(count: usize, links: &[(usize, usize)], ends: Ends) -> Vec<usize> {
    let Ends { first, last } = ends;
    let apart = |one: &usize| Some(*one) == first || Some(*one) == last;
    let links: Vec<(usize, usize)> =
        links.iter().filter(|(from, to)| !apart(from) && !apart(to)).copied().collect();
    let rank = ranks(count, &links);
    let start = usize::from(first.is_some() && count > 1);
    let mut columns = vec![start; count];
    let mut in_order: Vec<usize> = (0..count).filter(|one| !apart(one)).collect();
    in_order.sort_by_key(|one| rank.get(*one).copied());
    for one in &in_order {
        let callers = links.iter().filter(|(from, to)| to == one && rank.get(*from) < rank.get(*one));
        let after = callers.filter_map(|(from, _)| columns.get(*from).map(|column| column + 1)).max();
        if let Some(column) = columns.get_mut(*one) {
            *column = after.unwrap_or(start);
        }
    }
    let end = in_order.iter().filter_map(|one| columns.get(*one)).max().map_or(start, |column| column + 1);
    for (which, place) in [(first, 0), (last, end)] {
        if let Some(column) = which.and_then(|one| columns.get_mut(one)) {
            *column = place;
        }
    }
    columns
}

/// An order with few backward links (P. Eades, X. Lin, W. F. Smyth, 1993). A box that is only called goes to the end, and a box
/// that only calls goes to the start. Otherwise, the box with the largest surplus of outgoing links goes to the start.
fn ranks(count: usize, links: &[(usize, usize)]) -> Vec<usize> {
    let mut weights: BTreeMap<(usize, usize), i64> = BTreeMap::new();
    for link in links {
        *weights.entry(*link).or_default() += 1;
    }
    let mut left: Vec<usize> = (0..count).collect();
    let (mut start, mut end): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    while !left.is_empty() {
        // The number of outgoing and incoming links of each box.
        let mut calls: BTreeMap<usize, (i64, i64)> = left.iter().map(|one| (*one, (0, 0))).collect();
        for ((from, to), weight) in &weights {
            if let Some((out, _)) = calls.get_mut(from) {
                *out += weight;
            }
            if let Some((_, into)) = calls.get_mut(to) {
                *into += weight;
            }
        }
        let sink = calls.iter().find(|(_, (out, into))| *out == 0 && *into > 0);
        let source = || calls.iter().find(|(_, (_, into))| *into == 0);
        let best = || calls.iter().max_by_key(|(one, (out, into))| (out - into, std::cmp::Reverse(**one)));
        let Some((&one, _)) = sink.or_else(source).or_else(best) else { break };
        if sink.is_some() {
            end.push(one)
        } else {
            start.push(one)
        }
        left.retain(|other| *other != one);
        weights.retain(|(from, to), _| *from != one && *to != one);
    }
    start.extend(end.into_iter().rev());
    let mut ranks = vec![0; count];
    for (rank, one) in start.into_iter().enumerate() {
        if let Some(place) = ranks.get_mut(one) {
            *place = rank;
        }
    }
    ranks
}

/// All nodes from top to bottom. The nodes of a box stay together, and each is as near as possible to the nodes that it is
/// linked with (the barycenter heuristic for layered drawing).
pub(crate) fn rows(columns: &[usize], in_box: &[usize], links: &[(usize, usize)]) -> Vec<usize> {
    let count = columns.len();
    let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in links {
        for (one, other) in [(*from, *to), (*to, *from)] {
            if let Some(list) = neighbours.get_mut(one).filter(|_| columns.get(one) != columns.get(other)) {
                list.push(other);
            }
        }
    }
    let mut order: Vec<usize> = (0..count).collect();
    for sweep in 0..SWEEPS {
        let place = places(&order, columns);
        let mean = |nodes: &[usize], own: f64| match nodes {
            [] => own,
            nodes => nodes.iter().filter_map(|node| place.get(*node)).sum::<f64>() / nodes.len() as f64,
        };
        let own = |node: usize| place.get(node).copied().unwrap_or_default();
        // Every other column stays fixed, because otherwise two nodes could swap places forever.
        let moves = |node: usize| columns.get(node).is_some_and(|column| column % 2 == sweep % 2);
        let wanted = neighbours.iter().enumerate().map(|(node, list)| match moves(node) {
            true => mean(list, own(node)),
            false => own(node),
        });
        let wanted: Vec<f64> = wanted.collect();
        let mut of_box: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for (node, wanted) in wanted.iter().enumerate() {
            let sum = of_box.entry(in_box.get(node).copied().unwrap_or_default()).or_default();
            *sum = (sum.0 + wanted, sum.1 + 1.0);
        }
        let key = |node: usize| {
            let in_box = in_box.get(node).copied().unwrap_or_default();
            let (sum, count) = of_box.get(&in_box).copied().unwrap_or((0.0, 1.0));
            (sum / count, in_box, wanted.get(node).copied().unwrap_or_default())
        };
        order.sort_by(|a, b| {
            let (a, b) = (key(*a), key(*b));
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.total_cmp(&b.2))
        });
    }
    order
}

/// The relative position of each node in its column, from 0 (top) to 1.
fn places(order: &[usize], columns: &[usize]) -> Vec<f64> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    let mut places = vec![0.0; columns.len()];
    for node in order {
        let column = columns.get(*node).copied().unwrap_or_default();
        let count = counts.entry(column).or_default();
        if let Some(place) = places.get_mut(*node) {
            *place = *count as f64;
        }
        *count += 1;
    }
    for (node, place) in places.iter_mut().enumerate() {
        let count = columns.get(node).and_then(|column| counts.get(column)).copied().unwrap_or(1);
        *place = (*place + 0.5) / count as f64;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_placed_before_callees() {
        assert_eq!(columns(3, &[(0, 1), (1, 2)], Ends::default()), [0, 1, 2]);
        assert_eq!(columns(3, &[(2, 1), (1, 0)], Ends::default()), [2, 1, 0]);
        // Box 3 is the external caller, box 4 the external destination.
        assert_eq!(
            columns(5, &[(3, 0), (0, 1), (0, 4)], Ends { first: Some(3), last: Some(4) }),
            [1, 2, 1, 0, 3]
        );
        // A cycle must be broken somewhere.
        let circle = columns(2, &[(0, 1), (1, 0)], Ends::default());
        assert!(circle == [0, 1] || circle == [1, 0], "{circle:?}");
        assert_eq!(columns(1, &[], Ends { first: Some(0), last: None }), [0]);
        assert!(columns(0, &[], Ends::default()).is_empty());
    }

    #[test]
    fn linked_nodes_are_beside_each_other() {
        // Two columns of two, linked crosswise.
        let order = rows(&[0, 0, 1, 1], &[0, 0, 1, 1], &[(0, 3), (1, 2)]);
        let place = |node| order.iter().position(|other| *other == node).unwrap();
        assert_eq!(place(0) < place(1), place(3) < place(2));
    }
}
