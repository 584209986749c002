//! Checks with vale that the comments, strings and pages of the repository are plain English. The style is in `tests/prose/styles`.
//!
//! Run it with `cargo test --test prose`. The limits are per 10,000 words, so that a phrase may stay
//! where it is right.

mod extract;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use conformance::folder::Folder;
use conformance::tools::{self, HOW};
use conformance::{ignored, process, root, trials};
use libtest_mimic::Failed;
use serde::Deserialize;

use extract::{Line, lines};

/// The maximum number of alerts of each rule, per 10,000 words.
const LIMITS: [(&str, f64); 10] = [
    ("Asked", 2.0),
    ("IsNo", 4.0),
    ("Judge", 1.0),
    ("LetIn", 0.0),
    ("Mend", 1.0),
    ("Nobody", 1.0),
    ("Somebody", 1.0),
    ("Stand", 1.0),
    ("Takes", 0.0),
    ("WhatIs", 3.0),
];
/// The minimum number of "because" per 10,000 words, so that comments give reasons.
const BECAUSE: f64 = 2.0;
/// The maximum length of the README in lines, about one page.
const README: usize = 150;

fn main() -> ExitCode {
    process::main(|| {
        let mut all = trials![reasons_are_given, the_readme_is_one_page, links_lead_to_files];
        all.push(match tools::find("vale", HOW) {
            Ok(_) => conformance::trial("phrases_are_rare", phrases_are_rare),
            Err(reason) => ignored("phrases_are_rare", &reason),
        });
        all
    })
}

/// An alert of vale.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alert {
    check: String,
    line: usize,
    message: String,
}

/// Writes the prose of each file to a text file with the same line numbers, because vale cannot parse Rust strings or YAML comments.
fn phrases_are_rare() -> Result<(), Failed> {
    let (folder, lines) = (Folder::new("prose"), lines()?);
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Line { file, number, text } in &lines {
        let texts = files.entry(file).or_default();
        texts.resize((*number).max(texts.len()), "");
        if let Some(line) = texts.get_mut(number - 1) {
            *line = text;
        }
    }
    for (file, texts) in files {
        // Keep the line numbers, so that vale reports the line of each alert.
        folder.file(&format!("{file}.txt"), texts.join("\n"));
    }
    let output = Command::new(tools::find("vale", HOW)?)
        .arg("--config")
        .arg(root().join("tests/prose/vale.ini"))
        .args(["--output", "JSON", "--no-exit"])
        .arg(&folder.0)
        .output()?;
    let alerts: BTreeMap<String, Vec<Alert>> = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("vale: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, alerts) in &alerts {
        let file = Path::new(file).strip_prefix(&folder.0).unwrap_or(Path::new(file)).with_extension("");
        for Alert { check, line, message } in alerts {
            let rule = check.trim_start_matches("Pratique.").to_owned();
            found.entry(rule).or_default().push(format!("{}:{line}: {message}", file.display()));
        }
    }
    let unlimited: Vec<&String> =
        found.keys().filter(|rule| LIMITS.iter().all(|(name, _)| name != rule)).collect();
    assert!(unlimited.is_empty(), "rules of the style without a limit here: {unlimited:?}");
    let words = words(&lines);
    let mut problems = Vec::new();
    for (rule, limit) in LIMITS {
        let places = found.remove(rule).unwrap_or_default();
        let rate = places.len() as f64 * 10_000.0 / words as f64;
        eprintln!("{rule:10} {:4} in {words} words, {rate:4.1} per 10,000 (at most {limit})", places.len());
        if rate > limit {
            problems
                .push(format!("{rule}: {rate:.1} per 10,000 words, at most {limit}:\n{}", places.join("\n")));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n\n").into()) }
}

fn words(lines: &[Line]) -> usize {
    let is_word = |word: &&str| word.len() > 1 && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    lines.iter().map(|line| line.text.split_whitespace().filter(is_word).count()).sum()
}

fn reasons_are_given() -> Result<(), Failed> {
    let lines = lines()?;
    let because: usize = lines.iter().map(|line| line.text.to_lowercase().matches("because").count()).sum();
    let rate = because as f64 * 10_000.0 / words(&lines) as f64;
    assert!(rate >= BECAUSE, "\"because\" occurs {rate:.1} times in 10,000 words, less than {BECAUSE}");
    Ok(())
}

fn the_readme_is_one_page() -> Result<(), Failed> {
    let lines = std::fs::read_to_string(root().join("README.md"))?.lines().count();
    assert!(
        lines <= README,
        "README.md has {lines} lines, more than {README}: move sections to linked pages"
    );
    Ok(())
}

/// Every relative link on a page refers to an existing file or folder.
fn links_lead_to_files() -> Result<(), Failed> {
    let mut broken = Vec::new();
    for Line { file, number, text } in lines()?.iter().filter(|line| line.file.ends_with(".md")) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            let target = root().join(file).parent().map(|folder| folder.join(path));
            if !target.is_some_and(|target| target.exists()) {
                broken.push(format!("{file}:{number}: {link} does not exist"));
            }
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}
