//! The lines of a text, and what is meant in them.

use policy_core::yaml::Position;

use crate::snippet::Snippet;

/// Where the lines of a text begin.
#[derive(Debug)]
pub struct LineIndex<'t> {
    text: &'t str,
    begins: Vec<usize>,
}

impl<'t> LineIndex<'t> {
    /// Looks for them.
    pub fn of(text: &'t str) -> Self {
        let begins = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        LineIndex { text, begins }
    }

    /// A line, counted from 1, without its end; empty where there is none.
    pub fn line(&self, number: usize) -> &'t str {
        let begin = number.checked_sub(1).and_then(|index| self.begins.get(index));
        let rest = begin.and_then(|begin| self.text.get(*begin..)).unwrap_or_default();
        rest.lines().next().unwrap_or_default()
    }

    /// What stands at a place.
    pub fn written(&self, place: Position) -> Option<Snippet> {
        Snippet::at(self.line(place.line), place.column)
    }
}
