//! Where in a text every value of a document starts and ends.

use std::borrow::Cow;
use std::ops::Range;

use saphyr_parser::{Event, Marker, ScalarStyle, Span};

use crate::yaml::Document;

/// A value of the document: the bytes it takes up, and what is in it.
pub(super) struct Node {
    pub(super) at: Range<usize>,
    /// Whether it stands in a flow collection, `{…}` or `[…]`.
    pub(super) in_flow: bool,
    /// Whether it is one.
    pub(super) is_flow: bool,
    pub(super) children: Children,
}

pub(super) enum Children {
    Scalar,
    List(Vec<Node>),
    /// The key, the column it starts in, its value.
    Mapping(Vec<(String, usize, Node)>),
}

/// Reads the document once more, for where everything starts and ends.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let readable = without_surrogates(text);
    let mut builder = Builder { bytes: Bytes::new(text), text, open: Vec::new(), root: None };
    let document = Document { text: &readable, line: 1 };
    document
        .events(|event, span| {
            builder.take(&event, span);
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    builder.root.ok_or_else(|| "the document is empty".to_owned())
}

/// JSON writes what is beyond 16 bits as two escapes, which YAML refuses. Another escape of the same length keeps all places.
fn without_surrogates(text: &str) -> Cow<'_, str> {
    let is_surrogate = |rest: &str| {
        let digits = rest.get(2..6).unwrap_or_default();
        rest.starts_with("\\u")
            && u32::from_str_radix(digits, 16).is_ok_and(|code| (0xd800..0xe000).contains(&code))
    };
    let mut readable = Cow::Borrowed(text);
    for (at, _) in text.match_indices("\\u").filter(|(at, _)| text.get(*at..).is_some_and(is_surrogate)) {
        readable.to_mut().replace_range(at..at + 6, "\\u0041");
    }
    readable
}

struct Builder<'t> {
    bytes: Bytes,
    text: &'t str,
    /// The collections that are not complete, with the key that waits for its value.
    open: Vec<(Node, Option<Key>)>,
    root: Option<Node>,
}

struct Key {
    name: String,
    column: usize,
    end: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: &Event<'_>, span: &Span) {
        let start = self.bytes.at(&span.start);
        match event {
            Event::Scalar(value, style, ..) => {
                let end = self.bytes.at(&span.end);
                if let Some((Node { children: Children::Mapping(_), .. }, key @ None)) = self.open.last_mut()
                {
                    *key = Some(Key { name: value.clone().into_owned(), column: span.start.col(), end });
                    return;
                }
                let rest = self.text.get(start..).unwrap_or_default();
                let own = self.text.get(start..end).unwrap_or_default().trim_end();
                let mut end = match style {
                    // Where it is written as it reads, that is all of it, whatever the parser has looked at behind it.
                    ScalarStyle::Plain if rest.starts_with(&**value) => start + value.len(),
                    _ => start + own.len(),
                };
                if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                    // The empty lines that it keeps are its own.
                    let kept = value.len() - value.trim_end_matches('\n').len();
                    for _ in 1..kept {
                        let newline = self.text.get(end..).and_then(|rest| rest.find('\n'));
                        end = newline.map_or(end, |newline| end + newline + 1);
                    }
                }
                self.place(start..end, Children::Scalar, false);
            }
            Event::Alias(_) => {
                let end = self.bytes.at(&span.end);
                self.place(start..end, Children::Scalar, false);
            }
            Event::SequenceStart(..) => self.open(span, Children::List(Vec::new())),
            Event::MappingStart(..) => self.open(span, Children::Mapping(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((node, _)) = self.open.pop() else { return };
                let last = match &node.children {
                    Children::List(items) => items.last().map(|item| item.at.end),
                    Children::Mapping(members) => members.last().map(|(_, _, value)| value.at.end),
                    Children::Scalar => None,
                };
                // The bracket alone: what the parser has looked at behind it may be a comment.
                let closes = self.text.get(start..).is_some_and(|rest| rest.starts_with(['}', ']']));
                let end = match node.is_flow {
                    true if closes => start + 1,
                    true => self.bytes.at(&span.end),
                    false => last.unwrap_or(node.at.end),
                };
                self.place(node.at.start..end, node.children, node.is_flow);
            }
            _ => {}
        }
    }

    /// A flow collection starts with a token of its own, behind its tag and its anchor; a block one starts with what is in it.
    fn open(&mut self, span: &Span, children: Children) {
        let (start, end) = (self.bytes.at(&span.start), self.bytes.at(&span.end));
        let token = self.text.get(start..end).unwrap_or_default().trim_end();
        let is_flow = token.ends_with(['{', '[']);
        let start = if is_flow { start + token.len() - 1 } else { start };
        self.open.push((Node { at: start..start, in_flow: false, is_flow, children }, None));
    }

    fn place(&mut self, mut at: Range<usize>, children: Children, is_flow: bool) {
        let in_flow = self.open.iter().any(|(node, _)| node.is_flow);
        let text = self.text;
        match self.open.last_mut() {
            None => self.root = Some(Node { at, in_flow, is_flow, children }),
            Some((Node { children: Children::List(items), .. }, _)) => {
                items.push(Node { at, in_flow, is_flow, children });
            }
            Some((Node { children: Children::Mapping(members), .. }, key)) => {
                let Some(Key { name, column, end }) = key.take() else { return };
                if at.is_empty() {
                    // No text at all: it stands behind the colon, if there is one.
                    let rest = text.get(end..).unwrap_or_default();
                    let blank = rest.len() - rest.trim_start().len();
                    let has_colon = rest.trim_start().starts_with(':');
                    let colon = if has_colon { end + blank + 1 } else { end };
                    at = colon..colon;
                }
                members.push((name, column, Node { at, in_flow, is_flow, children }));
            }
            Some(_) => {}
        }
    }
}

/// From the parser's positions, which count characters, to bytes.
struct Bytes(Option<Vec<usize>>);

impl Bytes {
    fn new(text: &str) -> Self {
        let offsets = || text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        Bytes((!text.is_ascii()).then(offsets))
    }

    fn at(&self, marker: &Marker) -> usize {
        match &self.0 {
            None => marker.index(),
            Some(offsets) => offsets.get(marker.index()).or(offsets.last()).copied().unwrap_or_default(),
        }
    }
}
