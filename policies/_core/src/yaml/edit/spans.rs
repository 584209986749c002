//! Where in a text every value of a document starts and ends.

use std::ops::Range;

use saphyr_parser::{Event, Marker, Span};

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
    let mut builder = Builder { bytes: Bytes::new(text), text, open: Vec::new(), root: None };
    let document = Document { text, line: 1 };
    document
        .events(|event, span| {
            builder.take(&event, span);
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    builder.root.ok_or_else(|| "the document is empty".to_owned())
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
            Event::Scalar(value, ..) => {
                let end = self.bytes.at(&span.end);
                if let Some((Node { children: Children::Mapping(_), .. }, key @ None)) = self.open.last_mut()
                {
                    *key = Some(Key { name: value.clone().into_owned(), column: span.start.col(), end });
                    return;
                }
                // A block scalar is said to end where the next thing starts.
                let own = self.text.get(start..end).unwrap_or_default().trim_end().len();
                self.place(start..start + own, Children::Scalar);
            }
            Event::Alias(_) => {
                let end = self.bytes.at(&span.end);
                self.place(start..end, Children::Scalar);
            }
            Event::SequenceStart(..) => self.open(start, Children::List(Vec::new())),
            Event::MappingStart(..) => self.open(start, Children::Mapping(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((node, _)) = self.open.pop() else { return };
                let last = match &node.children {
                    Children::List(items) => items.last().map(|item| item.at.end),
                    Children::Mapping(members) => members.last().map(|(_, _, value)| value.at.end),
                    Children::Scalar => None,
                };
                let end = if node.is_flow { self.bytes.at(&span.end) } else { last.unwrap_or(node.at.end) };
                self.place(node.at.start..end, node.children);
            }
            _ => {}
        }
    }

    fn is_bracket(&self, at: usize) -> bool {
        self.text.get(at..).is_some_and(|text| text.starts_with(['{', '[']))
    }

    fn open(&mut self, start: usize, children: Children) {
        let is_flow = self.is_bracket(start);
        self.open.push((Node { at: start..start, in_flow: false, is_flow, children }, None));
    }

    fn place(&mut self, mut at: Range<usize>, children: Children) {
        let is_flow = self.is_bracket(at.start) && !matches!(children, Children::Scalar);
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
                    // No text at all: it stands behind the colon.
                    let colon =
                        text.get(end..).and_then(|rest| rest.find(':')).map_or(end, |colon| end + colon + 1);
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
