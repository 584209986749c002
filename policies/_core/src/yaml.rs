//! Decodes YAML into a [`Value`] as Kubernetes does, and locates fields in the text.
//!
//! Scalars follow `sigs.k8s.io/yaml` (YAML 1.1: `yes` is true, `0644` is octal), because `kubectl` uses it.

mod build;
mod edit;
mod scalar;
mod tree;

use std::fmt;

use saphyr_parser::{Event, Marker, Parser, Span};

use self::build::ValueBuilder;
use self::tree::YamlNode;
use crate::patch::PatchOperation;
use crate::path::FieldPath;
use crate::value::{Arena, Value};

/// A position in a text. Lines and columns count from 1; columns are in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One document of a stream, not yet decoded.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// The text of the document, with the `---` that opens it.
    pub text: &'a str,
    /// The line of the stream on which the text starts, from 1.
    pub line: usize,
}

/// Text that is not YAML, or YAML that Kubernetes does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not readable as YAML: {reason}")]
pub struct YamlError {
    /// The position in the stream.
    pub position: Position,
    /// The reason.
    pub reason: String,
}

/// Splits a stream into its documents, without decoding them: a line that starts with `---` always starts a new
/// document, regardless of its context (YAML 1.2.2, section 9.1.2).
pub fn documents(stream: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut line, mut at) = (0, 1, 1, 0);
    let mut only_prologue = true;
    let mut push = |from: usize, to: usize, line: usize| {
        let text = stream.get(from..to).unwrap_or_default();
        if !text.trim().is_empty() {
            documents.push(Document { text, line });
        }
    };
    while at < stream.len() {
        let rest = stream.as_bytes().get(at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).map_or(stream.len(), |newline| at + newline + 1);
        let text = stream.get(at..end).unwrap_or_default();
        if is_marker(text, "---") {
            // Directives and comments before a `---` belong to the document that it opens.
            if !only_prologue {
                push(start, at, start_line);
                (start, start_line) = (at, line);
            }
            only_prologue = false;
        } else if is_marker(text, "...") {
            push(start, end, start_line);
            (start, start_line) = (end, line + 1);
            only_prologue = true;
        } else if only_prologue && !text.trim_start().is_empty() && !text.starts_with(['#', '%']) {
            only_prologue = false;
        }
        (at, line) = (end, line + 1);
    }
    push(start, stream.len(), start_line);
    documents
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

impl<'a> Document<'a> {
    /// Decodes the document; `None` if it is empty or `null`.
    ///
    /// # Errors
    /// [`YamlError`]: a syntax error, a control character, a duplicate key, a key that is not a string, a tag without a JSON
    /// equivalent, more than 128 levels of nesting, or more than two million values with aliases expanded.
    pub fn decode(&self, arena: &'a Arena) -> Result<Option<Value<'a>>, YamlError> {
        if self.text.trim_start().starts_with(['{', '[']) {
            // Probably JSON, which has escapes that YAML lacks. If it is not valid JSON, the YAML parser reports the error.
            if let Ok(value) = Value::from_json(self.text.as_bytes(), arena) {
                return Ok(Some(value));
            }
        }
        let mut builder = ValueBuilder::new(arena);
        self.events(|event, _| builder.take(event))?;
        Ok(builder.root().filter(|root| !root.is_null()))
    }

    /// The positions of the document's fields. Parses the text again, so call it only for documents with findings.
    pub fn places(&self) -> FieldPositions {
        FieldPositions { start: self.start(), root: tree::parse(self).ok().flatten() }
    }

    /// The text with these operations applied. Comments, order and style of everything else are preserved. The caller must check
    /// that the result decodes to the patched object.
    ///
    /// # Errors
    /// A message, if the target of an operation is not in the text.
    pub fn edited(&self, operations: &[PatchOperation]) -> Result<String, String> {
        edit::edited(self.text, operations)
    }

    /// The start of the content: the first line that is not a comment, directive or marker.
    pub fn start(&self) -> Position {
        let is_content =
            |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '%']) && !is_marker(line, "---");
        let skipped = self.text.lines().position(is_content).unwrap_or_default();
        Position { line: self.line + skipped, column: 1 }
    }

    fn position(&self, marker: &Marker) -> Position {
        Position { line: marker.line() + self.line - 1, column: marker.col() + 1 }
    }

    /// Parses the document and passes the events to `each`; stops at the first error of either.
    fn events(&self, mut each: impl FnMut(Event<'a>, &Span) -> Result<(), String>) -> Result<(), YamlError> {
        self.refuse_hidden_characters()?;
        for event in Parser::new_from_str(self.text) {
            let (event, span) = event.map_err(|error| YamlError {
                position: self.position(error.marker()),
                reason: error.info().to_owned(),
            })?;
            each(event, &span)
                .map_err(|reason| YamlError { position: self.position(&span.start), reason })?;
        }
        Ok(())
    }

    /// YAML does not allow control characters (section 5.1), and a parser that stops at a NUL would hide the rest. Line breaks
    /// that exist only in YAML 1.1 are rejected too, because `kubectl` would see a field where YAML 1.2 sees a comment.
    fn refuse_hidden_characters(&self) -> Result<(), YamlError> {
        let control = |byte: u8| (byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0x7f;
        // U+0085 and U+2028 start with these bytes. Most texts contain neither, and are scanned only once.
        let suspicious = |byte: &u8| control(*byte) || matches!(byte, 0xc2 | 0xe2);
        let Some(first) = self.text.as_bytes().iter().position(suspicious) else { return Ok(()) };
        let hidden = |c: char| {
            matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}') || (c.is_ascii() && control(c as u8))
        };
        let rest = self.text.get(first..).unwrap_or_default();
        let Some((at, c)) = rest.char_indices().find(|(_, c)| hidden(*c)) else { return Ok(()) };
        let before = self.text.get(..first + at).unwrap_or_default();
        Err(YamlError {
            position: Position {
                line: self.line + before.matches('\n').count(),
                column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            },
            reason: format!("character U+{:04X} is not allowed", u32::from(c)),
        })
    }
}

/// The positions of a document's fields in its stream.
pub struct FieldPositions {
    start: Position,
    root: Option<YamlNode>,
}

impl FieldPositions {
    /// The position of the key or the item at the end of the path, or of its nearest parent in the text.
    pub fn of(&self, path: &FieldPath) -> Position {
        self.root.as_ref().map_or(self.start, |root| root.find(&path.0))
    }
}

/// As in compiler messages: `12:9`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests;
