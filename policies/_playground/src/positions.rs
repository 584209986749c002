//! The text that is judged: where in it something stands, as an editor counts, and what admission would change in it.

use policy_core::yaml::Position;
use policy_manifests::LineIndex;
use schemars::JsonSchema;
use serde::Serialize;

/// A place, and the value there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct TextRange {
    /// The line, from 1; 0 for the text as a whole.
    pub(crate) line: usize,
    /// The column, in characters from 1, as `check` says it.
    pub(crate) column: usize,
    /// Where in the line the value begins, in UTF-16 code units from 0, as JavaScript counts.
    pub(crate) start: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

/// A text, as an editor counts in it.
pub(crate) struct EditorText<'t>(LineIndex<'t>);

impl<'t> EditorText<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        EditorText(LineIndex::of(text))
    }

    /// What stands at a position: the value of a key, if it has one there.
    pub(crate) fn place(&self, position: Position) -> TextRange {
        let Position { line, column } = position;
        let (start, length) = match self.0.written(position) {
            Some(written) => (written.column - 1, written.length),
            None => (column.saturating_sub(1), 0),
        };
        let characters = self.0.line(line).chars();
        let units = |from: usize, count: usize| -> usize {
            characters.clone().skip(from).take(count).map(char::len_utf16).sum()
        };
        let before = units(0, start);
        TextRange { line, column, start: before, end: before + units(start, length) }
    }
}

/// A document that admission would change, as it is and as it would be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DocumentChange {
    /// The line of the text on which it begins, from 1.
    pub(crate) line: usize,
    /// As it is.
    pub(crate) before: String,
    /// As it would be.
    pub(crate) after: String,
}
