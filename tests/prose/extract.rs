//! The prose of the repository: Markdown, and the comments and strings of everything else.

use std::process::Command;

use conformance::root;

/// A line of prose.
pub(crate) struct Line {
    /// The file, from the root of the repository.
    pub(crate) file: String,
    /// The line in the file, from 1.
    pub(crate) number: usize,
    /// The text, without the code around it.
    pub(crate) text: String,
}

/// The prose of every file that Git tracks, but recorded reports and lock files.
pub(crate) fn lines() -> anyhow::Result<Vec<Line>> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output()?;
    anyhow::ensure!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
    let mut all = Vec::new();
    for file in String::from_utf8(listed.stdout)?.lines() {
        if file.contains("/golden.") || file.ends_with("lock.json") || file.ends_with(".lock") {
            continue;
        }
        let prose: fn(&str) -> Vec<String> = match file.rsplit(['.', '/']).next().unwrap_or_default() {
            "md" => |text| text.lines().map(str::to_owned).collect(),
            "rs" => |text| comments_and_strings(text, true),
            "ts" | "js" | "mjs" => |text| comments_and_strings(text, false),
            "yaml" | "yml" | "toml" | "sh" | "Justfile" | "run" => {
                |text| text.lines().map(hash_comment).collect()
            }
            _ => continue,
        };
        // A file that was removed is tracked until that is committed.
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        let numbered = prose(&text).into_iter().enumerate().filter(|(_, text)| !text.trim().is_empty());
        all.extend(numbered.map(|(i, text)| Line { file: file.to_owned(), number: i + 1, text }));
    }
    Ok(all)
}

/// The comment at the end of a line of YAML, TOML or a shell script.
fn hash_comment(line: &str) -> String {
    let trimmed = line.trim_start();
    match (trimmed.strip_prefix('#'), line.split_once(" #")) {
        (Some(comment), _) | (None, Some((_, comment))) => comment.trim_start_matches('#').to_owned(),
        (None, None) => String::new(),
    }
}

/// The comments of Rust or TypeScript and, if `strings` is set, the strings: the text of each line.
fn comments_and_strings(text: &str, strings: bool) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut rest = text;
    let mut keep = |part: &str, kept: bool| {
        for (i, line) in part.split('\n').enumerate() {
            if i > 0 {
                found.push(String::new());
            }
            if kept && let Some(last) = found.last_mut() {
                last.push_str(line.trim_start_matches(['/', '!', '*', ' ']));
                last.push(' ');
            }
        }
    };
    while let Some(first) = rest.chars().next() {
        let (length, kept) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), true),
            '/' if rest.starts_with("/*") => (rest.find("*/").map_or(rest.len(), |end| end + 2), true),
            '"' => (string_length(rest), strings),
            'r' if strings && raw_hashes(rest).is_some() => (raw_length(rest), true),
            // A character, and not the start of a lifetime.
            '\'' if strings && rest.chars().nth(2) == Some('\'') => (first_characters(rest, 3), false),
            '\'' if strings && rest.starts_with("'\\") => {
                (rest.get(2..).and_then(|end| end.find('\'')).map_or(1, |end| end + 3), false)
            }
            _ => (first.len_utf8(), false),
        };
        let (part, remaining) = rest.split_at(length);
        keep(part, kept);
        rest = remaining;
    }
    found
}

fn first_characters(text: &str, count: usize) -> usize {
    text.char_indices().nth(count).map_or(text.len(), |(at, _)| at)
}

/// The bytes of a string with escapes, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = true;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// How many `#` begin a raw string; `None` if none begins here.
fn raw_hashes(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after.get(hashes..)?.starts_with('"').then_some(hashes)
}

fn raw_length(text: &str) -> usize {
    let hashes = raw_hashes(text).unwrap_or_default();
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    text.get(start..).and_then(|rest| rest.find(&end)).map_or(text.len(), |at| start + at + end.len())
}
