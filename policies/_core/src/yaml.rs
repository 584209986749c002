//! The other way into a [`Value`]: YAML as Kubernetes reads it, and where in the text each field stands.
//!
//! Scalars are understood as `sigs.k8s.io/yaml` understands them (YAML 1.1: `yes` is true, `0644` is octal), since
//! that is what `kubectl` makes of the same file.

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

/// A place in a text; both count from 1, columns in characters.
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
    /// Its text, with the `---` that opens it.
    pub text: &'a str,
    /// The line of the stream on which the text starts, from 1.
    pub line: usize,
}

/// Text that is not YAML, or YAML that Kubernetes cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not readable as YAML: {reason}")]
pub struct YamlError {
    /// Where in the stream.
    pub position: Position,
    /// What is the matter.
    pub reason: String,
}

/// Splits a stream into its documents, without decoding them: a line that starts with `---` always starts a new
/// document, whatever stands around it (YAML 1.2.2, section 9.1.2).
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
    /// Decodes the document; `None` if there is nothing in it, or `null`.
    ///
    /// # Errors
    /// [`YamlError`]: a syntax error, a control character, a key that stands twice or is no string, a tag that JSON
    /// has no value for, values more than 128 deep, or aliases that make it larger than two million values.
    pub fn decode(&self, arena: &'a Arena) -> Result<Option<Value<'a>>, YamlError> {
        if self.text.trim_start().starts_with(['{', '[']) {
            // Most likely JSON, whose escapes are not all YAML's; what is not is read as YAML, which says what is wrong.
            if let Ok(value) = Value::from_json(self.text.as_bytes(), arena) {
                return Ok(Some(value));
            }
        }
        let mut builder = ValueBuilder::new(arena);
        self.events(|event, _| builder.take(event))?;
        Ok(builder.root().filter(|root| !root.is_null()))
    }

    /// Where the fields of the document start; reads its text once more, which only documents with a finding need.
    pub fn places(&self) -> FieldPositions {
        FieldPositions { start: self.start(), root: tree::parse(self).ok().flatten() }
    }

    /// Its text with these operations made; comments, order and style of all else are kept. Whoever calls makes sure that the
    /// result reads as the patched object.
    ///
    /// # Errors
    /// An operation that leads nowhere in the text; in words.
    pub fn edited(&self, operations: &[PatchOperation]) -> Result<String, String> {
        edit::edited(self.text, operations)
    }

    /// Where its content starts: the first line that is no comment, directive or marker.
    pub fn start(&self) -> Position {
        let is_content =
            |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '%']) && !is_marker(line, "---");
        let skipped = self.text.lines().position(is_content).unwrap_or_default();
        Position { line: self.line + skipped, column: 1 }
    }

    fn position(&self, marker: &Marker) -> Position {
        Position { line: marker.line() + self.line - 1, column: marker.col() + 1 }
    }

    /// Runs the parser over the document and hands on its events; the first failure of either ends it.
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

    /// YAML allows no control characters (section 5.1), and a parser that took a NUL for the end would hide the rest. So
    /// would the line breaks of YAML 1.1 that are none in YAML 1.2: what is a comment to one is a field to `kubectl`.
    fn refuse_hidden_characters(&self) -> Result<(), YamlError> {
        let control = |byte: u8| (byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0x7f;
        // The bytes that U+0085 and U+2028 start with: most texts have neither, and are looked at once.
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

/// Where the fields of one document stand in its stream.
pub struct FieldPositions {
    start: Position,
    root: Option<YamlNode>,
}

impl FieldPositions {
    /// Where the key or the item at the end of the path stands, or the nearest parent that is in the text.
    pub fn of(&self, path: &FieldPath) -> Position {
        self.root.as_ref().map_or(self.start, |root| root.find(&path.0))
    }
}

/// As compilers write it: `12:9`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests;
