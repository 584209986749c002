//! What a PromQL expression says about series: which of them it selects, and which labels it keeps.
//!
//! This is not a parser of PromQL, because none fits a browser: with promql-parser 0.11 the Wasm of the playground grows by 1.6 MB
//! (495 KB as gzip sends it, more than all of it today), and a guest or page would link `chrono` and `filetime`. An expression that
//! is not valid gives what was understood of it; promtool says what is wrong with it.
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
    /// The series that it selects, in their order, each selector once in each of the alternatives.
    pub series: Vec<Series<'a>>,
    /// What each aggregation does with labels, and in which of the alternatives.
    aggregations: Vec<(Aggregation<'a>, RangeInclusive<usize>)>,
    /// What is being read is for.
    says: ResultPart,
    /// Whether labels come from elsewhere too: from the other side of a vector match, or from a function that writes them.
    matches_labels: bool,
    /// How many alternatives were begun: what stands on either side of an `or`.
    alternatives: usize,
}

/// What a part of an expression says of its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum ResultPart {
    /// Which labels it has.
    #[default]
    Labels,
    /// Only its value, or whether there is one: the right side of an `and`, what `scalar` takes.
    Value,
    /// What it is not: the right side of an `unless`, what `absent` takes. It need not be there.
    Nothing,
}

/// A selector of series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series<'a> {
    /// The metric's name; empty where it is selected by a regular expression.
    pub name: &'a str,
    /// In which of the alternatives it stands: what an `or` parts. One of them is enough.
    pub alternative: usize,
    matchers: Vec<Matcher<'a>>,
}

impl<'a> Series<'a> {
    /// The name, for a message.
    pub fn display(&self) -> String {
        format!("`{}`", excerpt(if self.name.is_empty() { "{…}" } else { self.name }))
    }

    /// The same series with the matchers of another selector added.
    pub fn and(mut self, other: &Series<'a>) -> Self {
        self.matchers.extend(other.matchers.iter().cloned());
        self
    }

    /// The value that a label must have.
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
    /// Whether its result may have a label: every aggregation leaves it, or it may come from elsewhere.
    pub fn keeps(&self, label: &str) -> bool {
        let keeps = |aggregation: &Aggregation<'_>| match aggregation {
            Aggregation::Only(labels) => labels.contains(&label),
            Aggregation::AllBut(labels) => !labels.contains(&label),
        };
        // Of what an `or` parts one is enough.
        let mut alternatives = 0..=self.alternatives;
        self.matches_labels
            || alternatives.any(|alternative| {
                self.aggregations.iter().all(|(own, of)| !of.contains(&alternative) || keeps(own))
            })
    }
}

/// Those that leave fewer labels; `topk` and its like leave whole series.
const AGGREGATIONS: [&str; 10] =
    ["avg", "count", "count_values", "group", "max", "min", "quantile", "stddev", "stdvar", "sum"];
/// What writes labels.
const WRITES_LABELS: [&str; 4] = ["group_left", "group_right", "label_join", "label_replace"];
/// Words that are followed by labels.
const WITH_LABELS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];
/// Functions of whose argument no label is left; of the second there is a result where the argument has none.
const WITHOUT_LABELS: [(&str, ResultPart); 3] = [
    ("scalar", ResultPart::Value),
    ("absent", ResultPart::Nothing),
    ("absent_over_time", ResultPart::Nothing),
];
const WORDS: [&str; 9] = ["and", "atan2", "bool", "end", "inf", "nan", "offset", "or", "unless"];

/// Reads an expression. What is no PromQL gives what was understood of it: promtool says what is wrong with it.
pub fn read(text: &str) -> Expression<'_> {
    let mut expression = Expression::default();
    let mut words = Lexer { rest: text };
    // A closing parenthesis too many ends nothing.
    while !words.rest.is_empty() {
        expression.read(&mut words, 0);
    }
    expression
}

/// How many parentheses are followed.
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
                // What it has cannot be told any more.
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

    /// An aggregation, its name read: its labels stand before or behind what it aggregates.
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

    /// A selector of series, if the word begins one.
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
    fn no_depth_is_too_deep() {
        for opening in ["(", "sum(", "scalar(", "absent(", "a{", "sum by ("] {
            for closing in ["", ")"] {
                let deep = opening.repeat(100_000) + "a" + &closing.repeat(100_000);
                assert!(read(&deep).keeps("pod") || opening == "sum by (", "{opening}");
            }
        }
    }
}
