//! Regular expressions of Prometheus and prometheus-adapter: RE2 syntax, anchored or unanchored.

use regex_lite::{Regex, RegexBuilder};

/// The maximum size of a compiled expression, in bytes. It rejects patterns such as `(a{1000}){1000}`.
const LARGEST: usize = 1 << 20;

/// An expression that must match a whole text (relabelings, label matchers); `None` if it is not valid, or uses a feature such as
/// `\p{Greek}` that is not supported here.
pub fn anchored(pattern: &str) -> Option<Regex> {
    unanchored(&format!("^(?:{pattern})$"))
}

/// An expression that may match a part of a text (the adapter's `name.matches` and `seriesFilters`).
pub fn unanchored(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).size_limit(LARGEST).dot_matches_new_line(true).build().ok()
}
