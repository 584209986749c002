//! Reads the series that a PromQL expression selects, and the labels that it keeps.
//!
//! This is not a complete PromQL parser, because available ones are too large for a browser: promql-parser 0.11 adds 1.6 MB to
//! the playground's Wasm (495 KB with gzip, more than its current size), and depends on `chrono` and `filetime`. If an
//! expression is not valid, the result contains the parts that were understood; use promtool to find the errors.
//!
//! Source: prometheus.io/docs/prometheus/latest/querying/basics (time series selectors) and /operators (aggregation).

mod lexer;
mod matcher;
pub mod regex;

use std::ops::RangeInclusive;

use policy_core::path::excerpt;

use lexer::Lexer;
use matcher::{Aggregation, MatchOp, Matcher};

/// An expression.
#[derive(Debug, Default)]
pub struct Expression<'a> {
    /// The series that it selects, in order; each selector appears once per alternative.
    pub series: Vec<Series<'a>>,
    /// The aggregations, and the alternatives to which each of them applies.
    aggregations: Vec<(Aggregation<'a>, RangeInclusive<usize>)>,
    /// The contribution of the part that is currently read.
    says: ResultPart,
    /// Whether labels can come from elsewhere: from the other side of a vector match, or from a function that writes labels.
    matches_labels: bool,
    /// The index of the current alternative. Alternatives are the operands of `or`.
    alternatives: usize,
}

/// The contribution of a part of an expression to its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum ResultPart {
    /// Its labels.
    #[default]
    Labels,
    /// Only its value, or whether it has one: the right side of an `and`, the argument of `scalar`.
    Value,
    /// Nothing, because its series need not exist: the right side of an `unless`, the argument of `absent`.
    Nothing,
}

/// A selector of series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series<'a> {
    /// The metric's name; empty if it is selected by a regular expression.
    pub name: &'a str,
    /// The index of its alternative. Alternatives are the operands of `or`, and one of them is enough.
    pub alternative: usize,
    matchers: Vec<Matcher<'a>>,
}

impl<'a> Series<'a> {
    /// The name as shown in messages.
    pub fn display(&self) -> String {
        format!("`{}`", excerpt(if self.name.is_empty() { "{…}" } else { self.name }))
    }

    /// The same series with the matchers of another selector added.
    pub fn and(mut self, other: &Series<'a>) -> Self {
        self.matchers.extend(other.matchers.iter().cloned());
        self
    }

    /// The value that the selector requires for a label, if any.
    pub fn value_of(&self, label: &str) -> Option<&'a str> {
        let is_it = |matcher: &&Matcher<'_>| matcher.label == label && matcher.op == MatchOp::Equal;
        self.matchers.iter().find(is_it).map(|matcher| matcher.value)
    }

    /// Whether a label may have that value.
    pub fn matches(&self, label: &str, value: &str) -> bool {
        self.matchers.iter().filter(|matcher| matcher.label == label).all(|matcher| matcher.passes(value))
    }
}

impl Expression<'_> {
    /// Whether its result may have a label: every aggregation keeps it, or it may come from elsewhere.
    pub fn keeps(&self, label: &str) -> bool {
        let keeps = |aggregation: &Aggregation<'_>| match aggregation {
            Aggregation::Only(labels) => labels.contains(&label),
            Aggregation::AllBut(labels) => !labels.contains(&label),
        };
        // One of the operands of `or` is enough.
        let mut alternatives = 0..=self.alternatives;
        self.matches_labels
            || alternatives.any(|alternative| {
                self.aggregations.iter().all(|(own, of)| !of.contains(&alternative) || keeps(own))
            })
    }
}

/// Aggregations that remove labels. `topk` and similar operators keep the labels of a series.
const AGGREGATIONS: [&str; 10] =
    ["avg", "count", "count_values", "group", "max", "min", "quantile", "stddev", "stdvar", "sum"];
/// Functions and modifiers that write labels.
const WRITES_LABELS: [&str; 4] = ["group_left", "group_right", "label_join", "label_replace"];
/// Words that are followed by labels.
const WITH_LABELS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];
/// Functions that do not keep the labels of their argument. The `absent` functions have a result if their argument has none.
const WITHOUT_LABELS: [(&str, ResultPart); 3] = [
    ("scalar", ResultPart::Value),
    ("absent", ResultPart::Nothing),
    ("absent_over_time", ResultPart::Nothing),
];
const WORDS: [&str; 9] = ["and", "atan2", "bool", "end", "inf", "nan", "offset", "or", "unless"];

/// Reads an expression. If it is not valid, the result contains the parts that were understood; promtool finds the errors.
pub fn read(text: &str) -> Expression<'_> {
    let mut expression = Expression::default();
    let mut words = Lexer { rest: text };
    // An extra closing parenthesis does not end the expression.
    while !words.rest.is_empty() {
        expression.read(&mut words, 0);
    }
    expression
}

/// The maximum nesting depth of parentheses.
const DEEPEST: usize = 64;

impl<'a> Expression<'a> {
    /// Reads up to the closing parenthesis, or the end.
    fn read(&mut self, words: &mut Lexer<'a>, depth: usize) {
        let outside = self.says;
        while let Some(word) = words.next() {
            let lower = word.to_ascii_lowercase();
            self.matches_labels |= WRITES_LABELS.contains(&lower.as_str());
            let is_call = words.peek() == Some("(");
            match lower.as_str() {
                ")" => break,
                "(" if depth < DEEPEST => self.read(words, depth + 1),
                // Too deep to read, so the result may have any label.
                "(" => self.matches_labels = true,
                "or" => {
                    self.alternatives += 1;
                    self.says = outside;
                }
                "and" => self.says = self.says.max(ResultPart::Value),
                "unless" => self.says = ResultPart::Nothing,
                aggregation
                    if AGGREGATIONS.contains(&aggregation)
                        && (is_call || matches!(words.peek(), Some("by" | "without"))) =>
                {
                    self.aggregation(words, depth);
                }
                clause if WITH_LABELS.contains(&clause) => {
                    if words.peek() == Some("(") {
                        words.labels();
                    }
                }
                name => match WITHOUT_LABELS.iter().find(|(known, _)| *known == name) {
                    Some((_, says)) if is_call && depth < DEEPEST => {
                        let before = self.says;
                        self.says = before.max(*says);
                        words.next();
                        self.read(words, depth + 1);
                        self.says = before;
                    }
                    _ => self.selector(word, &lower, words),
                },
            }
        }
        self.says = outside;
    }

    /// Reads an aggregation after its name. The label clause is before or after the argument.
    fn aggregation(&mut self, words: &mut Lexer<'a>, depth: usize) {
        let first = self.alternatives;
        let mut clause = words.clause();
        if words.peek() == Some("(") && depth < DEEPEST {
            words.next();
            self.read(words, depth + 1);
            clause = clause.or_else(|| words.clause());
        }
        if self.says == ResultPart::Labels {
            let clause = clause.unwrap_or(Aggregation::Only(Vec::new()));
            self.aggregations.push((clause, first..=self.alternatives));
        }
    }

    /// Reads a selector of series, if the word starts one.
    fn selector(&mut self, word: &'a str, lower: &str, words: &mut Lexer<'a>) {
        let begins = word == "{" || (is_name(word) && !WORDS.contains(&lower) && words.peek() != Some("("));
        if !begins {
            return;
        }
        let name = if word == "{" { "" } else { word };
        let has_matchers = word == "{" || words.peek() == Some("{");
        if has_matchers && word != "{" {
            words.next();
        }
        let matchers = if has_matchers { words.matchers() } else { Vec::new() };
        let is_name = |matcher: &&Matcher<'_>| matcher.label == "__name__" && matcher.op == MatchOp::Equal;
        let name = matchers.iter().find(is_name).map_or(name, |matcher| matcher.value);
        let series = Series { name, alternative: self.alternatives, matchers };
        if self.says < ResultPart::Nothing && !self.series.contains(&series) {
            self.series.push(series);
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn labels_are_kept_or_not() {
        for (text, keeps) in [
            ("a", true),
            ("sum(a)", false),
            ("sum by (pod) (a)", true),
            ("sum(a) by (pod)", true),
            ("sum without (pod) (a)", false),
            ("a / scalar(sum(b))", true),
            ("a and on() (sum(b) > 0)", true),
            ("sum(a) and b", false),
            ("a unless on() max(b)", true),
            ("a or sum(b)", true),
            ("sum(a) or sum(b)", false),
            ("sum by (pod) (a or sum(b))", true),
            ("sum(a or b)", false),
            ("rate(count[5m])", true),
        ] {
            assert_eq!(read(text).keeps("pod"), keeps, "{text}");
        }
        let named: Vec<&str> =
            read("a unless b and c or absent(d) + e").series.iter().map(|s| s.name).collect();
        assert_eq!(named, ["a", "e"]);
    }

    #[test]
    fn deep_nesting_does_not_overflow() {
        for opening in ["(", "sum(", "scalar(", "absent(", "a{", "sum by ("] {
            for closing in ["", ")"] {
                let deep = opening.repeat(100_000) + "a" + &closing.repeat(100_000);
                assert!(read(&deep).keeps("pod") || opening == "sum by (", "{opening}");
            }
        }
    }
}
