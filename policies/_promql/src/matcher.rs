//! Label matchers of PromQL, and the label clauses of aggregations.

use std::rc::Rc;

use regex_lite::Regex;

use crate::regex;

/// The labels that an aggregation keeps.
#[derive(Debug)]
pub(crate) enum Aggregation<'a> {
    Only(Vec<&'a str>),
    AllBut(Vec<&'a str>),
}

/// A matcher of a label.
#[derive(Clone, Debug)]
pub(crate) struct Matcher<'a> {
    pub(crate) label: &'a str,
    pub(crate) op: MatchOp,
    pub(crate) value: &'a str,
    /// The value as a regular expression; `None` for plain values and unsupported expressions.
    regex: Option<Rc<Regex>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl PartialEq for Matcher<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.label, self.op, self.value) == (other.label, other.op, other.value)
    }
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(label: &'a str, op: MatchOp, value: &'a str) -> Self {
        let is_regex = matches!(op, MatchOp::Regex | MatchOp::NotRegex);
        let regex = is_regex.then(|| regex::anchored(value)).flatten().map(Rc::new);
        Matcher { label, op, value, regex }
    }

    /// Whether a label with that value matches. An unsupported expression matches everything.
    pub(crate) fn passes(&self, value: &str) -> bool {
        let is_match = self.regex.as_ref().map(|regex| regex.is_match(value));
        match self.op {
            MatchOp::Equal => self.value == value,
            MatchOp::NotEqual => self.value != value,
            MatchOp::Regex => is_match != Some(false),
            MatchOp::NotRegex => is_match != Some(true),
        }
    }
}
