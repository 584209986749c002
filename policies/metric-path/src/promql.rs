//! What of a PromQL expression can be told from its words: the series that it selects, and the labels that it keeps.
//!
//! Source: prometheus.io/docs/prometheus/latest/querying/basics (time series selectors) and /operators (aggregation).

use policy_core::path::excerpt;

/// An expression.
#[derive(Debug, Default)]
pub(crate) struct Expression<'a> {
    /// The series that it selects, in their order, each selector once in each of the alternatives.
    pub(crate) series: Vec<Series<'a>>,
    /// What each aggregation does with labels.
    aggregations: Vec<Aggregation<'a>>,
    /// Whether labels come from elsewhere too: from the other side of a vector match, or from a function that writes them.
    takes_labels: bool,
    /// How many alternatives were begun: what stands on either side of an `or`.
    alternatives: usize,
}

/// The labels that an aggregation leaves.
#[derive(Debug)]
enum Aggregation<'a> {
    Only(Vec<&'a str>),
    AllBut(Vec<&'a str>),
}

/// A selector of series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Series<'a> {
    /// The metric's name; empty where it is selected by a regular expression.
    pub(crate) name: &'a str,
    /// In which of the alternatives it stands: what an `or` parts. One of them is enough.
    pub(crate) alternative: usize,
    matchers: Vec<(&'a str, Match, &'a str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Is,
    IsNot,
    Takes,
    TakesNot,
}

impl<'a> Series<'a> {
    /// `name`, or the name with what it asks of labels.
    pub(crate) fn shown(&self) -> String {
        format!("`{}`", excerpt(if self.name.is_empty() { "{…}" } else { self.name }))
    }

    /// It, with what another selector asks of it besides.
    pub(crate) fn and(mut self, other: &Series<'a>) -> Self {
        self.matchers.extend(&other.matchers);
        self
    }

    /// The value that a label must have.
    pub(crate) fn value_of(&self, label: &str) -> Option<&'a str> {
        self.matchers
            .iter()
            .find(|(name, op, _)| *name == label && *op == Match::Is)
            .map(|(_, _, value)| *value)
    }

    /// Whether a label may have that value. Of a regular expression only alternatives of plain words are told: others may.
    pub(crate) fn takes(&self, label: &str, value: &str) -> bool {
        self.matchers.iter().filter(|(name, ..)| *name == label).all(|(_, op, wanted)| match op {
            Match::Is => *wanted == value,
            Match::IsNot => *wanted != value,
            Match::Takes | Match::TakesNot if !is_plain(wanted) => true,
            Match::Takes => wanted.split('|').any(|word| word == value),
            Match::TakesNot => wanted.split('|').all(|word| word != value),
        })
    }
}

fn is_plain(regex: &str) -> bool {
    regex.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-/|:".contains(&byte))
}

impl Expression<'_> {
    /// Whether its result may have a label: every aggregation leaves it, or it may come from elsewhere.
    pub(crate) fn keeps(&self, label: &str) -> bool {
        let keeps = |aggregation: &Aggregation<'_>| match aggregation {
            Aggregation::Only(labels) => labels.contains(&label),
            Aggregation::AllBut(labels) => !labels.contains(&label),
        };
        match self.takes_labels {
            true => true,
            false => self.aggregations.iter().all(keeps),
        }
    }
}

/// Those that leave fewer labels; `topk` and its like leave whole series.
const AGGREGATIONS: [&str; 10] =
    ["avg", "count", "count_values", "group", "max", "min", "quantile", "stddev", "stdvar", "sum"];
/// What writes labels.
const WRITES_LABELS: [&str; 4] = ["group_left", "group_right", "label_join", "label_replace"];
/// Words that are followed by labels.
const WITH_LABELS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];
const WORDS: [&str; 9] = ["and", "atan2", "bool", "end", "inf", "nan", "offset", "or", "unless"];

/// Reads an expression. What is no PromQL gives what was understood of it: promtool says what is wrong with it.
pub(crate) fn read(text: &str) -> Expression<'_> {
    let mut expression = Expression::default();
    let mut words = Words { rest: text };
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
    fn read(&mut self, words: &mut Words<'a>, depth: usize) {
        while let Some(word) = words.next() {
            let lower = word.to_ascii_lowercase();
            self.takes_labels |= WRITES_LABELS.contains(&lower.as_str());
            match lower.as_str() {
                ")" => return,
                "(" if depth < DEEPEST => self.read(words, depth + 1),
                "or" => self.alternatives += 1,
                aggregation if AGGREGATIONS.contains(&aggregation) => self.aggregation(words, depth),
                clause if WITH_LABELS.contains(&clause) => {
                    if words.peek() == Some("(") {
                        words.labels();
                    }
                }
                _ => self.selector(word, &lower, words),
            }
        }
    }

    /// An aggregation, its name read: its labels stand before or behind what it aggregates.
    fn aggregation(&mut self, words: &mut Words<'a>, depth: usize) {
        let mut clause = words.clause();
        if words.peek() == Some("(") && depth < DEEPEST {
            words.next();
            self.read(words, depth + 1);
            clause = clause.or_else(|| words.clause());
        }
        self.aggregations.push(clause.unwrap_or(Aggregation::Only(Vec::new())));
    }

    /// A selector of series, if the word begins one.
    fn selector(&mut self, word: &'a str, lower: &str, words: &mut Words<'a>) {
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
        let named = matchers.iter().find(|(label, op, _)| *label == "__name__" && *op == Match::Is);
        let name = named.map_or(name, |(_, _, value)| *value);
        let series = Series { name, alternative: self.alternatives, matchers };
        if !self.series.contains(&series) {
            self.series.push(series);
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
}

/// The words of a text: names, numbers, quoted strings, and single characters.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        Words { rest: self.rest }.next()
    }

    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (word, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(word)
    }

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix('#') else { break };
            self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let first = self.rest.chars().next()?;
        let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '.';
        let length = match first {
            '"' | '\'' | '`' => {
                let mut escaped = false;
                let end = self.rest.char_indices().skip(1).find(|(_, c)| {
                    let is_end = *c == first && !escaped;
                    escaped = *c == '\\' && first != '`' && !escaped;
                    is_end
                });
                end.map_or(self.rest.len(), |(at, c)| at + c.len_utf8())
            }
            // A range or a subquery: durations only.
            '[' => self.rest.find(']').map_or(self.rest.len(), |end| end + 1),
            c if part_of_word(c) => self.rest.find(|c| !part_of_word(c)).unwrap_or(self.rest.len()),
            c => c.len_utf8(),
        };
        self.take(length)
    }

    /// The clause that comes next, if it is one: `by (…)` or `without (…)`.
    fn clause(&mut self) -> Option<Aggregation<'a>> {
        let of = match self.peek()?.to_ascii_lowercase().as_str() {
            "by" => Aggregation::Only,
            "without" => Aggregation::AllBut,
            _ => return None,
        };
        self.next();
        Some(of(if self.peek() == Some("(") { self.labels() } else { Vec::new() }))
    }

    /// The labels in parentheses that come next.
    fn labels(&mut self) -> Vec<&'a str> {
        let mut labels = Vec::new();
        self.next();
        while let Some(word) = self.next() {
            match word {
                ")" => break,
                "," => {}
                label => labels.push(unquoted(label)),
            }
        }
        labels
    }

    /// The matchers up to the closing brace; the opening one is read.
    fn matchers(&mut self) -> Vec<(&'a str, Match, &'a str)> {
        let mut matchers = Vec::new();
        while let Some(label) = self.next() {
            match label {
                "}" => break,
                "," => continue,
                _ => {}
            }
            let (first, second) = (self.next(), self.peek());
            let op = match (first, second) {
                (Some("="), Some("~")) => Match::Takes,
                (Some("!"), Some("~")) => Match::TakesNot,
                (Some("!"), Some("=")) => Match::IsNot,
                (Some("="), _) => Match::Is,
                // A name in quotes stands for `__name__`.
                (Some("}"), _) => {
                    matchers.push(("__name__", Match::Is, unquoted(label)));
                    break;
                }
                (Some(","), _) => {
                    matchers.push(("__name__", Match::Is, unquoted(label)));
                    continue;
                }
                _ => break,
            };
            if op != Match::Is {
                self.next();
            }
            matchers.push((unquoted(label), op, self.next().map(unquoted).unwrap_or_default()));
        }
        matchers
    }
}

fn unquoted(word: &str) -> &str {
    let quote = |c: char| matches!(c, '"' | '\'' | '`');
    word.strip_prefix(quote).and_then(|word| word.strip_suffix(quote)).unwrap_or(word)
}
