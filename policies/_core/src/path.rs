//! The path of a field on its own: in findings, in patches, and on the way back to a place in a text.

use std::borrow::Cow;
use std::fmt;

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
            Segment::Key(key) => pointer + "/" + &key.replace('~', "~0").replace('/', "~1"),
            Segment::Index(index) => format!("{pointer}/{index}"),
        })
    }

    /// This path, seen from where `prefix` starts.
    #[must_use]
    pub fn below(&self, prefix: &FieldPath) -> FieldPath {
        FieldPath(prefix.0.iter().chain(&self.0).cloned().collect())
    }
}

/// As Kubernetes writes paths: `spec.containers[0].image`, `metadata.annotations[prometheus.io/port]`.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if is_plain(key) && i == 0 => f.write_str(key)?,
                Segment::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Segment::Key(key) => write!(f, "[{}]", printable(key))?,
            }
        }
        Ok(())
    }
}

/// A user's text, fit for one line of a message: control characters, which could forge lines or colours, are
/// replaced.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
