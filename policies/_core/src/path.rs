//! The path of a field on its own: in findings, in patches, and on the way back to a place in a text.

use std::borrow::Cow;
use std::fmt;

/// One step of the way, linked to the step before it.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    pub(crate) parent: Option<&'a Path<'a>>,
    pub(crate) step: Step<'a>,
}

/// A step of the way down.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    /// The start.
    Root,
    /// One or more keys, joined by dots.
    Keys(&'a str),
    /// One key that may itself hold dots.
    Key(&'a str),
    /// An item of a list.
    Index(usize),
}

impl Path<'_> {
    /// The path on its own, for a finding that outlives the request.
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

/// A path on its own, as it stands in a [`crate::Finding`]. Ordered as a reader expects: by key, then by number.
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

    /// This path, seen from where `prefix` starts.
    #[must_use]
    pub fn below(&self, prefix: &FieldPath) -> FieldPath {
        FieldPath(prefix.0.iter().chain(&self.0).cloned().collect())
    }
}

/// A key as a JSON Pointer has it (RFC 6901, section 3).
pub(crate) fn escaped(key: &str) -> Cow<'_, str> {
    if !key.contains(['~', '/']) {
        return Cow::Borrowed(key);
    }
    Cow::Owned(key.replace('~', "~0").replace('/', "~1"))
}

/// As Kubernetes writes paths: `spec.containers[0].image`, `metadata.annotations[prometheus.io/port]`.
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

/// How much of a user's text a message quotes.
const QUOTED: usize = 128;

/// A user's text as a message quotes it: cut where it is long, so that no request makes an answer larger than itself.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(QUOTED) {
        None => printable(text),
        Some((end, _)) => Cow::Owned(printable(text.get(..end).unwrap_or_default()).into_owned() + "…"),
    }
}

/// A text without the characters that could forge lines, colours or the direction of what follows.
pub fn printable(text: &str) -> Cow<'_, str> {
    // The last two are characters to nobody, and XML has no way to write them.
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

/// Names as a message lists them: each in backticks, or `none`.
pub fn listed<'s>(names: impl IntoIterator<Item = &'s str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", excerpt(name))).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
