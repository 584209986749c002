//! Field paths: used in findings and patches, and to locate fields in the source text.

use std::borrow::Cow;
use std::fmt;

/// One step of a path, linked to the step before it.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    pub(crate) parent: Option<&'a Path<'a>>,
    pub(crate) step: Step<'a>,
}

/// A step of a path.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    /// The root.
    Root,
    /// One or more keys, joined by dots.
    Keys(&'a str),
    /// One key, which may contain dots.
    Key(&'a str),
    /// An item of a list.
    Index(usize),
}

impl Path<'_> {
    /// An owned copy of the path, because a finding outlives the request.
    pub(crate) fn owned(&self) -> FieldPath {
        let mut segments = Vec::new();
        let mut next = Some(self);
        while let Some(Path { parent, step }) = next {
            match step {
                Step::Root => {}
                Step::Keys(keys) => segments.extend(keys.rsplit('.').map(|key| Segment::Key(key.to_owned()))),
                Step::Key(key) => segments.push(Segment::Key((*key).to_owned())),
                Step::Index(index) => segments.push(Segment::Index(*index)),
            }
            next = *parent;
        }
        segments.reverse();
        FieldPath(segments)
    }
}

/// An owned path, as in a [`crate::Finding`]. Ordered by key, and list items by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(pub Vec<Segment>);

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// An item of a list.
    Index(usize),
    /// A member of an object.
    Key(String),
}

impl FieldPath {
    /// The path as a JSON Pointer (RFC 6901).
    pub fn pointer(&self) -> String {
        self.0.iter().fold(String::new(), |pointer, segment| match segment {
            Segment::Key(key) => pointer + "/" + &escaped(key),
            Segment::Index(index) => format!("{pointer}/{index}"),
        })
    }

    /// This path with `prefix` in front of it.
    #[must_use]
    pub fn below(&self, prefix: &FieldPath) -> FieldPath {
        FieldPath(prefix.0.iter().chain(&self.0).cloned().collect())
    }
}

/// Escapes a key for a JSON Pointer (RFC 6901, section 3).
pub(crate) fn escaped(key: &str) -> Cow<'_, str> {
    if !key.contains(['~', '/']) {
        return Cow::Borrowed(key);
    }
    Cow::Owned(key.replace('~', "~0").replace('/', "~1"))
}

/// The path in the notation of Kubernetes: `spec.containers[0].image`, `metadata.annotations[prometheus.io/port]`.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if is_plain(key) && i == 0 => f.write_str(&excerpt(key))?,
                Segment::Key(key) if is_plain(key) => write!(f, ".{}", excerpt(key))?,
                Segment::Key(key) => write!(f, "[{}]", excerpt(key))?,
            }
        }
        Ok(())
    }
}

/// The maximum number of characters of user input that a message quotes.
const QUOTED: usize = 128;

/// User input as quoted in messages. Long input is truncated so that a response cannot be larger than its request.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(QUOTED) {
        None => printable(text),
        Some((end, _)) => Cow::Owned(printable(text.get(..end).unwrap_or_default()).into_owned() + "…"),
    }
}

/// Replaces characters that could forge line breaks, colours or text direction in the output.
pub fn printable(text: &str) -> Cow<'_, str> {
    // The last two are noncharacters in Unicode, and XML cannot represent them.
    let forges = |c: char| {
        c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    if !text.contains(forges) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if forges(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A list of names for messages: each in backticks, or `none`.
pub fn listed<'s>(names: impl IntoIterator<Item = &'s str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", excerpt(name))).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
