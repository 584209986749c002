//! The other way into a [`Value`]: YAML as Kubernetes reads it, and where in the text each field stands.
//!
//! Scalars are understood as `sigs.k8s.io/yaml` understands them (YAML 1.1: `yes` is true, `0644` is octal), since
//! that is what `kubectl` makes of the same file.

use std::borrow::Cow;
use std::fmt;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use crate::field::{FieldPath, Segment, printable};
use crate::value::{Arena, Member, Value, repeated_key};

/// How deep values may lie within each other, as in JSON.
const MAX_DEPTH: usize = 128;
/// How many values a document may have once its aliases are followed.
const MAX_VALUES: usize = 2_000_000;

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
        let mut builder = Builder::new(arena);
        self.events(|event, span| builder.take(event, span))?;
        Ok(builder.root.filter(|root| !root.is_null()))
    }

    /// Where these fields stand: for each the key (or the item) at the end of its path, or the nearest parent that is
    /// in the text.
    pub fn positions(&self, paths: &[&FieldPath]) -> Vec<Position> {
        let start = self.start();
        let mut marks = Marks::default();
        let read = self.events(|event, span| {
            marks.take(&event, self.position(&span.start));
            Ok(())
        });
        if read.is_err() {
            return vec![start; paths.len()];
        }
        let Some(root) = marks.root else { return vec![start; paths.len()] };
        paths.iter().map(|path| root.find(&path.0)).collect()
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
        self.refuse_control_characters()?;
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

    /// YAML allows no control characters (section 5.1), and a parser that took a NUL for the end would hide the rest.
    fn refuse_control_characters(&self) -> Result<(), YamlError> {
        let forbidden = |byte: &u8| (*byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) || *byte == 0x7f;
        let Some(at) = self.text.as_bytes().iter().position(forbidden) else { return Ok(()) };
        let before = self.text.get(..at).unwrap_or_default();
        let byte = self.text.as_bytes().get(at).copied().unwrap_or_default();
        Err(YamlError {
            position: Position {
                line: self.line + before.matches('\n').count(),
                column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            },
            reason: format!("control character 0x{byte:02x} is not allowed"),
        })
    }
}

/// Builds the value from events, without recursion.
struct Builder<'a> {
    arena: &'a Arena,
    open: Vec<Open<'a>>,
    items: Vec<Value<'a>>,
    members: Vec<Member<'a>>,
    anchors: Vec<(usize, Value<'a>, usize)>,
    values: usize,
    root: Option<Value<'a>>,
}

/// A list or mapping that is not yet complete.
struct Open<'a> {
    kind: Kind<'a>,
    start: usize,
    anchor: usize,
    values_before: usize,
}

enum Kind<'a> {
    List,
    Mapping { key: Option<&'a str>, merges: Vec<Value<'a>> },
}

const MERGE: &str = "<<";

impl<'a> Builder<'a> {
    fn new(arena: &'a Arena) -> Self {
        Builder {
            arena,
            open: Vec::new(),
            items: Vec::new(),
            members: Vec::new(),
            anchors: Vec::new(),
            values: 0,
            root: None,
        }
    }

    fn take(&mut self, event: Event<'a>, _: &Span) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if self.key_expected() {
                    return self.key(text, style);
                }
                let value = scalar(&text, style, tag.as_deref(), self.arena, &text)?;
                self.keep(anchor, value, 1);
                self.place(value, 1)
            }
            Event::SequenceStart(anchor, tag) => self.open(Kind::List, anchor, tag.as_deref(), "seq"),
            Event::MappingStart(anchor, tag) => {
                self.open(Kind::Mapping { key: None, merges: Vec::new() }, anchor, tag.as_deref(), "map")
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let known = self.anchors.iter().rev().find(|(id, ..)| *id == anchor);
                let Some(&(_, value, size)) = known else {
                    return Err("an alias stands within its own anchor".to_owned());
                };
                self.place(value, size)
            }
            Event::DocumentStart(_) if self.root.is_some() => Err("a second document starts here".to_owned()),
            _ => Ok(()),
        }
    }

    fn key_expected(&self) -> bool {
        matches!(self.open.last(), Some(Open { kind: Kind::Mapping { key: None, .. }, .. }))
    }

    fn key(&mut self, text: Cow<'a, str>, style: ScalarStyle) -> Result<(), String> {
        let text = borrow(text, self.arena);
        if style == ScalarStyle::Plain && matches!(text, "~" | "null" | "Null" | "NULL") {
            return Err("a key must be a string, is null".to_owned());
        }
        if let Some(Open { kind: Kind::Mapping { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(text);
        }
        Ok(())
    }

    fn open(&mut self, kind: Kind<'a>, anchor: usize, tag: Option<&Tag>, name: &str) -> Result<(), String> {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema() || tag.suffix != name) {
            return Err("a tag that JSON has no value for".to_owned());
        }
        if self.key_expected() {
            return Err("a key must be a string".to_owned());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("values lie more than {MAX_DEPTH} deep"));
        }
        let start = match kind {
            Kind::List => self.items.len(),
            Kind::Mapping { .. } => self.members.len(),
        };
        self.open.push(Open { kind, start, anchor, values_before: self.values });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(Open { kind, start, anchor, values_before }) = self.open.pop() else {
            return Err("an end without a start".to_owned());
        };
        let value = match kind {
            Kind::List => {
                let list = self.arena.list(self.items.get(start..).unwrap_or_default());
                self.items.truncate(start);
                list
            }
            Kind::Mapping { merges, .. } => {
                let own = self.members.get(start..).unwrap_or_default();
                if let Some(key) = repeated_key(own) {
                    return Err(format!(
                        "key `{}` stands twice in the mapping that ends here",
                        printable(key)
                    ));
                }
                self.merge(start, &merges);
                let object = self.arena.object(self.members.get(start..).unwrap_or_default());
                self.members.truncate(start);
                object
            }
        };
        let size = self.values - values_before + 1;
        self.keep(anchor, value, size);
        self.place(value, 1)
    }

    /// Adds the members of merged mappings (`<<`) that the mapping does not have itself.
    fn merge(&mut self, start: usize, merges: &[Value<'a>]) {
        for merged in merges {
            let Value::Object(members) = merged else { continue };
            for member in *members {
                let own = self.members.get(start..).unwrap_or_default();
                if !own.iter().any(|(key, _)| *key == member.0) {
                    self.members.push(*member);
                }
            }
        }
    }

    fn keep(&mut self, anchor: usize, value: Value<'a>, size: usize) {
        if anchor > 0 {
            self.anchors.push((anchor, value, size));
        }
    }

    fn place(&mut self, value: Value<'a>, size: usize) -> Result<(), String> {
        self.values += size;
        if self.values > MAX_VALUES {
            return Err(format!("the document has more than {MAX_VALUES} values, aliases followed"));
        }
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open { kind: Kind::List, .. }) => self.items.push(value),
            Some(Open { kind: Kind::Mapping { key, merges }, .. }) => match key.take() {
                None => return Err("a key must be a string".to_owned()),
                Some(MERGE) => match value {
                    Value::Object(_) => merges.push(value),
                    Value::Array(items) if items.iter().all(|item| matches!(item, Value::Object(_))) => {
                        merges.extend_from_slice(items);
                    }
                    other => return Err(format!("`<<` must merge a mapping, is {}", other.describe())),
                },
                Some(key) => self.members.push((key, value)),
            },
        }
        Ok(())
    }
}

fn borrow<'a>(text: Cow<'a, str>, arena: &'a Arena) -> &'a str {
    match text {
        Cow::Borrowed(text) => text,
        Cow::Owned(text) => arena.text(&text),
    }
}

/// What a scalar means: by its tag if it has one, a string if it is quoted, else by how it looks.
fn scalar<'a>(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    arena: &'a Arena,
    cow: &Cow<'a, str>,
) -> Result<Value<'a>, String> {
    let string = || Value::String(borrow(cow.clone(), arena));
    let plain = || plain(text).unwrap_or_else(string);
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { plain() } else { string() });
    };
    if tag.is_yaml_core_schema() || (tag.handle == "!" && tag.suffix.is_empty()) {
        let value = match tag.suffix.as_str() {
            "str" | "" => Some(string()),
            "int" => Some(plain()).filter(|value| matches!(value, Value::Int(_) | Value::Uint(_))),
            "float" => Some(plain()).filter(|value| matches!(value, Value::Int(_) | Value::Float(_))),
            "bool" => Some(plain()).filter(|value| matches!(value, Value::Bool(_))),
            "null" => Some(Value::Null),
            _ => None,
        };
        return value.ok_or_else(|| format!("`{}` is no value of tag `!!{}`", printable(text), tag.suffix));
    }
    Err(format!("tag `{}{}` is one that JSON has no value for", tag.handle, tag.suffix))
}

/// A plain scalar that is no string (go-yaml v2, `resolve.go`, by way of `sigs.k8s.io/yaml`).
fn plain<'a>(text: &str) -> Option<Value<'a>> {
    let first = text.bytes().next();
    // Most scalars are words: the first byte tells them apart.
    if !matches!(first, None | Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'~'))
        && !matches!(first, Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O'))
    {
        return None;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Some(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Some(Value::Bool(false));
        }
        _ => {}
    }
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    integer(text).or_else(|| float(text))
}

/// Decimal, `0x`, `0b`, `0o` and, with a leading zero, octal; underscores are dropped.
fn integer<'a>(text: &str) -> Option<Value<'a>> {
    let digits = text.replace('_', "");
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (radix, number) = match lower.as_str() {
        text if text.starts_with("0x") => (16, text.get(2..)?),
        text if text.starts_with("0b") => (2, text.get(2..)?),
        text if text.starts_with("0o") => (8, text.get(2..)?),
        text if text.len() > 1 && text.starts_with('0') => (8, text.get(1..)?),
        text => (10, text),
    };
    if number.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(number, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Value::Int);
    }
    Some(i64::try_from(magnitude).map_or(Value::Uint(magnitude), Value::Int))
}

fn float<'a>(text: &str) -> Option<Value<'a>> {
    let number = text.replace('_', "");
    let shape =
        number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    let number: f64 = if shape { number.parse().ok()? } else { return None };
    number.is_finite().then_some(Value::Float(number))
}

/// Where the keys and items of one document stand.
#[derive(Default)]
struct Marks {
    open: Vec<(Mark, Option<(String, Position)>)>,
    root: Option<Mark>,
}

struct Mark {
    at: Position,
    children: Children,
}

enum Children {
    Scalar,
    List(Vec<Mark>),
    Mapping(Vec<(String, Position, Mark)>),
}

impl Marks {
    fn take(&mut self, event: &Event<'_>, at: Position) {
        match event {
            Event::Scalar(text, ..) => {
                if let Some((Mark { children: Children::Mapping(_), .. }, key @ None)) = self.open.last_mut()
                {
                    *key = Some((text.clone().into_owned(), at));
                    return;
                }
                self.place(Mark { at, children: Children::Scalar });
            }
            Event::Alias(_) => self.place(Mark { at, children: Children::Scalar }),
            Event::SequenceStart(..) => {
                self.open.push((Mark { at, children: Children::List(Vec::new()) }, None))
            }
            Event::MappingStart(..) => {
                self.open.push((Mark { at, children: Children::Mapping(Vec::new()) }, None))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((mark, _)) = self.open.pop() {
                    self.place(mark);
                }
            }
            _ => {}
        }
    }

    fn place(&mut self, mark: Mark) {
        match self.open.last_mut() {
            None => self.root = Some(mark),
            Some((Mark { children: Children::List(items), .. }, _)) => items.push(mark),
            Some((Mark { children: Children::Mapping(members), .. }, key)) => {
                if let Some((key, at)) = key.take() {
                    members.push((key, at, mark));
                }
            }
            Some(_) => {}
        }
    }
}

impl Mark {
    fn find(&self, path: &[Segment]) -> Position {
        let (mut mark, mut at) = (self, self.at);
        for segment in path {
            let next = match (segment, &mark.children) {
                (Segment::Index(index), Children::List(items)) => {
                    items.get(*index).map(|item| (item, item.at))
                }
                (Segment::Key(key), Children::Mapping(members)) => {
                    members.iter().find(|(name, ..)| name == key).map(|(_, at, mark)| (mark, *at))
                }
                _ => None,
            };
            let Some((child, position)) = next else { break };
            (mark, at) = (child, position);
        }
        at
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
