//! The source line of a finding, and the value in it.
//!
//! Does not use `annotate-snippets`, because that only draws an excerpt. The playground's editor and SARIF need the position of
//! the value, and the drawing is then just one line of carets.

use policy_core::path::printable;

/// The maximum number of characters of a line that are shown.
const WIDTH: usize = 72;

/// A line, and the value in it that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// The line, or the part of it around the value, without control characters.
    pub line: String,
    /// The source column of the value, in characters from 1; of the key, if the value is on other lines.
    pub column: usize,
    /// The length of the value in characters.
    pub length: usize,
    /// The number of characters that are cut off at the start of the line.
    pub skipped: usize,
}

impl Snippet {
    /// The value in a line at a column, in characters from 1: `key: value`, `- value`, `value`.
    pub fn at(line: &str, column: usize) -> Option<Self> {
        let characters: Vec<char> = line.chars().collect();
        let mut start = column.checked_sub(1)?;
        let rest = characters.get(start..).filter(|rest| !rest.is_empty())?;
        let mut length = token(rest);
        // If it is a key, use its value.
        if rest.get(length) == Some(&':') {
            let spaces = rest.iter().skip(length + 1).take_while(|c| **c == ' ').count();
            let value = rest.get(length + 1 + spaces..).unwrap_or_default();
            let written = token(value);
            if written > 0 {
                start += length + 1 + spaces;
                length = written;
            }
        }
        let length = length.max(1);
        // The shown part contains the value, if it fits.
        let skipped = (start + length).saturating_sub(WIDTH).min(start);
        let shown: String = characters.iter().skip(skipped).take(WIDTH).collect();
        Some(Snippet { line: printable(shown.trim_end()).into_owned(), column: start + 1, length, skipped })
    }

    /// A line of carets below the value.
    pub fn carets(&self) -> String {
        let before = self.column.saturating_sub(1 + self.skipped);
        let room = WIDTH.saturating_sub(before).max(1);
        format!("{}{}", " ".repeat(before), "^".repeat(self.length.min(room)))
    }
}

/// The length of the scalar or the bracket at the start of `rest`.
fn token(rest: &[char]) -> usize {
    match rest.first() {
        Some(quote @ ('"' | '\'')) => {
            let closed = rest.iter().skip(1).position(|c| c == quote);
            closed.map_or(rest.len(), |closed| closed + 2)
        }
        Some('#') | None => 0,
        Some('[' | '{') => 1,
        Some(_) => {
            let ends = |(i, c): (usize, &char)| {
                let next = rest.get(i + 1);
                matches!(c, ',' | ']' | '}')
                    || (*c == ':' && next.is_none_or(|next| *next == ' '))
                    || (*c == '#' && i > 0 && rest.get(i - 1) == Some(&' '))
            };
            let end = rest.iter().enumerate().position(ends).unwrap_or(rest.len());
            let text = rest.get(..end).unwrap_or_default();
            text.iter().rposition(|c| *c != ' ').map_or(0, |last| last + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_underlined() {
        for (line, column, shown, carets) in [
            ("  hostNetwork: true # why", 3, "  hostNetwork: true # why", "               ^^^^"),
            ("  - name: web", 5, "  - name: web", "          ^^^"),
            ("- NET_ADMIN", 3, "- NET_ADMIN", "  ^^^^^^^^^"),
            ("a: {b: \"x y\", c: 1}", 5, "a: {b: \"x y\", c: 1}", "       ^^^^^"),
            ("securityContext:", 1, "securityContext:", "^^^^^^^^^^^^^^^"),
            ("image: a/b:1.2", 1, "image: a/b:1.2", "       ^^^^^^^"),
            ("ä: ö", 1, "ä: ö", "   ^"),
        ] {
            let written = Snippet::at(line, column).expect("the column is in the line");
            assert_eq!((written.line.as_str(), written.carets().as_str()), (shown, carets), "{line}");
        }
        assert_eq!(Snippet::at("short", 9), None);
        let long = format!("{}key: value", "x".repeat(200));
        let written = Snippet::at(&long, 201).expect("the column is in the line");
        assert!(written.line.ends_with("key: value") && written.line.len() <= WIDTH, "{written:?}");
        assert_eq!(written.carets().len(), WIDTH);
    }
}
