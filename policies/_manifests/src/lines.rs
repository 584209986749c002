//! The lines of a text, and snippets from them.

use policy_core::yaml::Position;

use crate::snippet::Snippet;

/// An index of the lines of a text.
#[derive(Debug)]
pub struct LineIndex<'t> {
    text: &'t str,
    begins: Vec<usize>,
}

impl<'t> LineIndex<'t> {
    /// Builds the index.
    pub fn of(text: &'t str) -> Self {
        let begins = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        LineIndex { text, begins }
    }

    /// A line, counted from 1, without its line break; empty if it does not exist.
    pub fn line(&self, number: usize) -> &'t str {
        let begin = number.checked_sub(1).and_then(|index| self.begins.get(index));
        let rest = begin.and_then(|begin| self.text.get(*begin..)).unwrap_or_default();
        rest.lines().next().unwrap_or_default()
    }

    /// The snippet at a position.
    pub fn written(&self, place: Position) -> Option<Snippet> {
        Snippet::at(self.line(place.line), place.column)
    }
}
