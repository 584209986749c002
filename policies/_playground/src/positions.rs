//! Positions in the text as editors count them, and the changes that admission would make to its documents.

use policy_core::yaml::Position;
use policy_manifests::LineIndex;
use schemars::JsonSchema;
use serde::Serialize;

/// The location of a value in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct TextRange {
    /// The line, from 1; 0 for the whole text.
    pub(crate) line: usize,
    /// The column, in characters from 1, as in the output of `check`.
    pub(crate) column: usize,
    /// The start of the value in the line, in UTF-16 code units from 0, as in JavaScript.
    pub(crate) start: usize,
    /// The end of the value in the line, in UTF-16 code units from 0.
    pub(crate) end: usize,
}

/// A text with an index of its lines, to convert positions to ranges.
pub(crate) struct EditorText<'t>(LineIndex<'t>);

impl<'t> EditorText<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        EditorText(LineIndex::of(text))
    }

    /// The range of the value at a position; for a key, the range of its value on the same line.
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

/// A document that admission would change, before and after the change.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DocumentChange {
    /// The line of the text on which the document starts, from 1.
    pub(crate) line: usize,
    /// The document before the change.
    pub(crate) before: String,
    /// The document after the change.
    pub(crate) after: String,
}
