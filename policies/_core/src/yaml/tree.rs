//! The syntax tree of a document, with the start and end of every value. Used to locate findings and to edit the text.

use std::borrow::Cow;
use std::ops::Range;

use saphyr_parser::{Event, Marker, ScalarStyle, Span};

use super::{Document, Position, YamlError};
use crate::path::Segment;

/// Mappings with more members than this have a sorted index of their keys.
const LONG: usize = 16;

/// A value of the document: its range of bytes, and its children.
pub(super) struct YamlNode {
    pub(super) at: Range<usize>,
    /// The position of its start.
    position: Position,
    /// Whether it is in a flow collection, `{…}` or `[…]`.
    pub(super) in_flow: bool,
    /// Whether it is itself a flow collection.
    pub(super) is_flow: bool,
    pub(super) children: Children,
}

pub(super) enum Children {
    Scalar,
    List(Vec<YamlNode>),
    Mapping(MappingMembers),
}

/// The members of a mapping, in document order.
#[derive(Default)]
pub(super) struct MappingMembers {
    pub(super) list: Vec<NodeMember>,
    /// The indices of the members sorted by key, if there are many.
    sorted: Vec<usize>,
}

/// A key and its value.
pub(super) struct NodeMember {
    pub(super) key: String,
    /// The position of the key.
    position: Position,
    pub(super) value: YamlNode,
}

impl NodeMember {
    /// The column in which the key starts, from 0.
    pub(super) fn column(&self) -> usize {
        self.position.column - 1
    }
}

impl MappingMembers {
    /// The member with that key.
    pub(super) fn get(&self, key: &str) -> Option<&NodeMember> {
        if self.sorted.is_empty() {
            return self.list.iter().find(|member| member.key == key);
        }
        let key_of = |index: &usize| self.list.get(*index).map(|member| member.key.as_str());
        let found = self.sorted.binary_search_by(|index| key_of(index).cmp(&Some(key))).ok()?;
        self.list.get(*self.sorted.get(found)?)
    }

    fn sort(&mut self) {
        if self.list.len() > LONG {
            let list = &self.list;
            self.sorted = (0..list.len()).collect();
            self.sorted.sort_by_key(|index| list.get(*index).map(|member| member.key.as_str()));
        }
    }
}

impl YamlNode {
    /// The position of the key or the item at the end of the path, or of its nearest parent in the text.
    pub(super) fn find(&self, path: &[Segment]) -> Position {
        let (mut node, mut at) = (self, self.position);
        for segment in path {
            let next = match (segment, &node.children) {
                (Segment::Index(index), Children::List(items)) => {
                    items.get(*index).map(|item| (item, item.position))
                }
                (Segment::Key(key), Children::Mapping(members)) => {
                    members.get(key).map(|member| (&member.value, member.position))
                }
                _ => None,
            };
            let Some((child, position)) = next else { break };
            (node, at) = (child, position);
        }
        at
    }
}

/// The tree of a document; `None` if it is empty.
pub(super) fn parse(document: &Document<'_>) -> Result<Option<YamlNode>, YamlError> {
    let readable = without_surrogates(document.text);
    let text = document.text;
    let mut builder = TreeBuilder {
        bytes: Bytes::new(text),
        text,
        first_line: document.line,
        open: Vec::new(),
        root: None,
    };
    Document { text: &readable, line: document.line }.events(|event, span| {
        builder.take(&event, span);
        Ok(())
    })?;
    Ok(builder.root)
}

/// Replaces surrogate escapes, which JSON has and YAML rejects. The new escape has the same length, so positions stay valid.
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

struct TreeBuilder<'t> {
    bytes: Bytes,
    text: &'t str,
    /// The line of the stream on which the text starts.
    first_line: usize,
    /// The collections that are not complete, each with the key that waits for its value.
    open: Vec<(YamlNode, Option<TreeKey>)>,
    root: Option<YamlNode>,
}

struct TreeKey {
    name: String,
    position: Position,
    end: usize,
}

impl TreeBuilder<'_> {
    fn take(&mut self, event: &Event<'_>, span: &Span) {
        let start = self.bytes.at(&span.start);
        match event {
            Event::Scalar(value, style, ..) => {
                let end = self.bytes.at(&span.end);
                if let Some((YamlNode { children: Children::Mapping(_), .. }, key @ None)) =
                    self.open.last_mut()
                {
                    let position = position(&span.start, self.first_line);
                    *key = Some(TreeKey { name: value.clone().into_owned(), position, end });
                    return;
                }
                let rest = self.text.get(start..).unwrap_or_default();
                let own = self.text.get(start..end).unwrap_or_default().trim_end();
                let mut end = match style {
                    // If the text starts with the value, it ends there, even if the parser's span is longer.
                    ScalarStyle::Plain if rest.starts_with(&**value) => start + value.len(),
                    _ => start + own.len(),
                };
                if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                    // Trailing empty lines that the scalar keeps belong to it.
                    let kept = value.len() - value.trim_end_matches('\n').len();
                    for _ in 1..kept {
                        let newline = self.text.get(end..).and_then(|rest| rest.find('\n'));
                        end = newline.map_or(end, |newline| end + newline + 1);
                    }
                }
                self.place(start..end, span, Children::Scalar, false);
            }
            Event::Alias(_) => {
                let end = self.bytes.at(&span.end);
                self.place(start..end, span, Children::Scalar, false);
            }
            Event::SequenceStart(..) => self.open(span, Children::List(Vec::new())),
            Event::MappingStart(..) => self.open(span, Children::Mapping(MappingMembers::default())),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((mut node, _)) = self.open.pop() else { return };
                if let Children::Mapping(members) = &mut node.children {
                    members.sort();
                }
                let last = match &node.children {
                    Children::List(items) => items.last().map(|item| item.at.end),
                    Children::Mapping(members) => members.list.last().map(|member| member.value.at.end),
                    Children::Scalar => None,
                };
                // Only the bracket, because the parser's span may include a comment after it.
                let closes = self.text.get(start..).is_some_and(|rest| rest.starts_with(['}', ']']));
                let end = match node.is_flow {
                    true if closes => start + 1,
                    true => self.bytes.at(&span.end),
                    false => last.unwrap_or(node.at.end),
                };
                node.at.end = end;
                self.put(node);
            }
            _ => {}
        }
    }

    /// A flow collection starts at its bracket, after its tag and its anchor; a block collection starts at its first child.
    fn open(&mut self, span: &Span, children: Children) {
        let (start, end) = (self.bytes.at(&span.start), self.bytes.at(&span.end));
        let token = self.text.get(start..end).unwrap_or_default().trim_end();
        let is_flow = token.ends_with(['{', '[']);
        let start = if is_flow { start + token.len() - 1 } else { start };
        let position = position(&span.start, self.first_line);
        self.open.push((YamlNode { at: start..start, position, in_flow: false, is_flow, children }, None));
    }

    fn place(&mut self, at: Range<usize>, span: &Span, children: Children, is_flow: bool) {
        let position = position(&span.start, self.first_line);
        self.put(YamlNode { at, position, in_flow: false, is_flow, children });
    }

    fn put(&mut self, mut node: YamlNode) {
        node.in_flow = self.open.iter().any(|(node, _)| node.is_flow);
        let text = self.text;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((YamlNode { children: Children::List(items), .. }, _)) => items.push(node),
            Some((YamlNode { children: Children::Mapping(members), .. }, key)) => {
                let Some(TreeKey { name, position, end }) = key.take() else { return };
                if node.at.is_empty() {
                    // An empty value is located after the colon, if there is one.
                    let rest = text.get(end..).unwrap_or_default();
                    let blank = rest.len() - rest.trim_start().len();
                    let has_colon = rest.trim_start().starts_with(':');
                    let colon = if has_colon { end + blank + 1 } else { end };
                    node.at = colon..colon;
                }
                members.list.push(NodeMember { key: name, position, value: node });
            }
            Some(_) => {}
        }
    }
}

/// The position in the stream; the text starts on line `first_line`.
fn position(marker: &Marker, first_line: usize) -> Position {
    Position { line: marker.line() + first_line - 1, column: marker.col() + 1 }
}

/// Converts the parser's positions, which count characters, to bytes.
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
