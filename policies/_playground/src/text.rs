//! The text that is judged: where in it something stands, as an editor counts, and what admission would change in it.

use policy_core::yaml::{Document, Position};
use policy_manifests::Written;
use serde::Serialize;

/// A place, and the value there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    /// The line, from 1; 0 for the text as a whole.
    pub(crate) line: usize,
    /// The column, in characters from 1, as `check` says it.
    pub(crate) column: usize,
    /// Where in the line the value begins, in UTF-16 code units from 0, as JavaScript counts.
    pub(crate) start: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

/// A text, and where its lines begin.
pub(crate) struct Text<'t> {
    text: &'t str,
    begins: Vec<usize>,
}

impl<'t> Text<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let begins = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Text { text, begins }
    }

    /// What stands at a position: the value of a key, if it has one there.
    pub(crate) fn place(&self, Position { line, column }: Position) -> Place {
        let begin = line.checked_sub(1).and_then(|index| self.begins.get(index));
        let rest = begin.and_then(|begin| self.text.get(*begin..)).unwrap_or_default();
        let rest = rest.lines().next().unwrap_or_default();
        let (start, length) = match Written::at(rest, column) {
            Some(written) => (written.column - 1, written.length),
            None => (column.saturating_sub(1), 0),
        };
        let units =
            |from: usize, count: usize| rest.chars().skip(from).take(count).map(char::len_utf16).sum();
        let before: usize = units(0, start);
        let within: usize = units(start, length);
        Place { line, column, start: before, end: before + within }
    }
}

/// A document that admission would change, as it is and as it would be.
#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    /// The line of the text on which it begins, from 1.
    line: usize,
    before: String,
    after: String,
}

impl Changed {
    pub(crate) fn of(document: &Document<'_>, after: String) -> Self {
        Changed { line: document.line, before: document.text.to_owned(), after }
    }
}
