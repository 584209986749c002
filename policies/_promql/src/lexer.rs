//! The tokens of a PromQL expression, and lists of them: labels in parentheses, matchers in braces.

use crate::matcher::{Aggregation, MatchOp, Matcher};

/// The tokens of a text: names, numbers, quoted strings, and single characters.
pub(crate) struct Lexer<'a> {
    pub(crate) rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub(crate) fn peek(&self) -> Option<&'a str> {
        Lexer { rest: self.rest }.next()
    }

    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (word, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(word)
    }

    pub(crate) fn next(&mut self) -> Option<&'a str> {
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

    /// Reads the next clause, if there is one: `by (…)` or `without (…)`.
    pub(crate) fn clause(&mut self) -> Option<Aggregation<'a>> {
        let of = match self.peek()?.to_ascii_lowercase().as_str() {
            "by" => Aggregation::Only,
            "without" => Aggregation::AllBut,
            _ => return None,
        };
        self.next();
        Some(of(if self.peek() == Some("(") { self.labels() } else { Vec::new() }))
    }

    /// Reads the next list of labels in parentheses.
    pub(crate) fn labels(&mut self) -> Vec<&'a str> {
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

    /// Reads the matchers up to the closing brace, after the opening brace.
    pub(crate) fn matchers(&mut self) -> Vec<Matcher<'a>> {
        let mut matchers = Vec::new();
        while let Some(label) = self.next() {
            match label {
                "}" => break,
                "," => continue,
                _ => {}
            }
            let (first, second) = (self.next(), self.peek());
            let op = match (first, second) {
                (Some("="), Some("~")) => MatchOp::Regex,
                (Some("!"), Some("~")) => MatchOp::NotRegex,
                (Some("!"), Some("=")) => MatchOp::NotEqual,
                (Some("="), _) => MatchOp::Equal,
                // A quoted name is a matcher for `__name__`.
                (Some("}"), _) => {
                    matchers.push(Matcher::new("__name__", MatchOp::Equal, unquoted(label)));
                    break;
                }
                (Some(","), _) => {
                    matchers.push(Matcher::new("__name__", MatchOp::Equal, unquoted(label)));
                    continue;
                }
                _ => break,
            };
            if op != MatchOp::Equal {
                self.next();
            }
            let value = self.next().map(unquoted).unwrap_or_default();
            matchers.push(Matcher::new(unquoted(label), op, value));
        }
        matchers
    }
}

fn unquoted(word: &str) -> &str {
    let quote = |c: char| matches!(c, '"' | '\'' | '`');
    word.strip_prefix(quote).and_then(|word| word.strip_suffix(quote)).unwrap_or(word)
}
