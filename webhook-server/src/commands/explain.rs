//! `pratique explain`: describes a policy or one of its controls, with its reason and with examples from its cases.

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::bail;
use policy_catalog::cases;
use policy_core::{Arena, Case, ControlMetadata, PolicyDefinition};
use serde_json::Value;

use crate::args::ExitStatus;
use crate::config;
use crate::report::{BOLD, GREEN, RED, YELLOW};

/// The maximum number of fields to list.
const MOST_FIELDS: usize = 12;

/// Runs the command.
///
/// # Errors
/// The policy or control does not exist, or standard output is closed.
pub fn run(what: &str) -> anyhow::Result<ExitStatus> {
    let (name, control) = match what.split_once('/') {
        Some((name, control)) => (name, Some(control)),
        None => (what, None),
    };
    let entry = config::find(name)?;
    let metadata = entry.metadata;
    let controls = metadata.controls;
    let summary = match control {
        None => metadata.summary,
        Some(control) => match metadata.control(control) {
            Some(control) => control.title,
            None if controls.is_empty() => bail!("{name} has no controls; run `pratique explain {name}`"),
            None => {
                let all: Vec<&str> = controls.iter().map(|control| control.id).collect();
                bail!("{name} has no control `{control}`; it has {}", all.join(", "))
            }
        },
    };
    let mut out = anstream::stdout();
    writeln!(out, "{BOLD}{what}{BOLD:#}\n{summary}")?;
    if control.is_some() {
        writeln!(out, "\n{BOLD}Policy{BOLD:#}\n{}", metadata.summary)?;
    } else if !controls.is_empty() {
        writeln!(out, "\n{BOLD}Controls{BOLD:#}")?;
        for ControlMetadata { id, title, .. } in controls {
            writeln!(out, "{id:28} {title}")?;
        }
    }
    if let Some(why) = why(entry) {
        writeln!(out, "\n{BOLD}Why{BOLD:#}\n{why}")?;
    }
    let examples = examples(entry, control);
    let fields: BTreeSet<&String> = examples.iter().flat_map(|example| &example.fields).collect();
    if !fields.is_empty() {
        writeln!(out, "\n{BOLD}Fields{BOLD:#}")?;
        for field in fields.iter().take(MOST_FIELDS) {
            writeln!(out, "{field}")?;
        }
        if fields.len() > MOST_FIELDS {
            writeln!(out, "and {} more", fields.len() - MOST_FIELDS)?;
        }
    }
    let remediation =
        control.and_then(|control| metadata.control(control)).map(|control| control.remediation);
    let remediation = remediation.unwrap_or(metadata.remediation);
    writeln!(out, "\n{BOLD}How to fix a denial{BOLD:#}\n{remediation}")?;
    writeln!(out, "\n{BOLD}References{BOLD:#}\n{}", metadata.source)?;
    print_examples(&examples, &mut out)?;
    Ok(ExitStatus::Success)
}

/// Prints one example each of a denial, a change and an admission.
fn print_examples(examples: &[Example], out: &mut impl std::io::Write) -> std::io::Result<()> {
    for (word, color, title) in
        [("deny", RED, "Denied"), ("patch", YELLOW, "Changed"), ("allow", GREEN, "Admitted")]
    {
        let of_word = examples.iter().filter(|example| example.name.starts_with(&format!("{word}-")));
        // Prefer examples for this control alone, then the shortest one.
        if let Some(example) = of_word.min_by_key(|example| {
            (!example.names_it, !example.is_plain(), example.others, example.text.len())
        }) {
            let Example { name, why, text, .. } = example;
            writeln!(out, "\n{color}{title}{color:#}: {} ({name})", why.trim_end_matches('.'))?;
            for line in text.lines() {
                writeln!(out, "    {line}")?;
            }
        }
    }
    Ok(())
}

/// The text under `## Why` in the documentation of the policy.
fn why(entry: &PolicyDefinition) -> Option<String> {
    let schema = (entry.schema)();
    let docs = schema.get("description").and_then(Value::as_str)?.to_owned();
    let (_, after) = docs.split_once("## Why\n")?;
    let why = after.split("\n## ").next().unwrap_or(after);
    Some(why.trim().to_owned())
}

/// A case that can be shown as an example.
struct Example {
    name: &'static str,
    why: String,
    /// The settings, the cluster and the object, as in the case file.
    text: String,
    /// Whether its settings select only the control.
    names_it: bool,
    /// The number of its denials that come from other controls.
    others: usize,
    /// The denied fields and their messages, with `*` instead of list indexes.
    fields: Vec<String>,
}

impl Example {
    /// Whether it is a simple example: an object with containers is created, and the policy could decide.
    fn is_plain(&self) -> bool {
        let is_undecided = self.fields.iter().any(|field| field.contains("could not decide"));
        self.text.contains("containers:") && !self.text.contains("request:") && !is_undecided
    }
}

/// The cases about one control, or all cases of the policy.
fn examples(entry: &PolicyDefinition, control: Option<&str>) -> Vec<Example> {
    let all = cases(entry.metadata.name).iter();
    all.filter_map(|(name, text)| {
        let arena = Arena::new();
        let case = Case::decode(text, &arena).ok()?;
        let is_meant = |denial: &Value| control.is_none_or(|control| denial["control"] == control);
        let (denials, others): (Vec<Value>, Vec<Value>) =
            denials(case.recorded.unwrap_or_default()).into_iter().partition(is_meant);
        let names_it = control.is_some_and(|control| text.contains(&format!("controls: [{control}]")));
        // A case without denials is about the control that its settings select.
        let denies_nothing = denials.is_empty() && others.is_empty();
        let is_about = control.is_none() || !denials.is_empty() || (denies_nothing && names_it);
        let with_field = denials.iter().filter(|denial| denial["field"] != "");
        is_about.then(|| Example {
            name,
            why: case.why.clone(),
            text: written(text),
            names_it,
            others: others.len(),
            fields: with_field.map(sentence).collect(),
        })
    })
    .collect()
}

/// The denials that a case records.
fn denials(recorded: &str) -> Vec<Value> {
    let arena = Arena::new();
    let documents = policy_core::yaml::documents(recorded);
    let value = documents.first().and_then(|document| document.decode(&arena).ok().flatten());
    let value = value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default();
    let verdict = value.get("verdict").unwrap_or(&value);
    verdict.get("deny").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// `spec.containers[*].image: must be …`.
fn sentence(denial: &Value) -> String {
    let text = |key: &str| denial.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut field = String::new();
    for (i, part) in text("field").split('[').enumerate() {
        match part.split_once(']') {
            Some((number, rest)) if number.chars().all(|c| c.is_ascii_digit()) => {
                field.push_str("[*]");
                field.push_str(rest);
            }
            _ if i > 0 => field.push_str(&format!("[{part}")),
            _ => field.push_str(part),
        }
    }
    format!("{field}: {}", text("message"))
}

/// The text of a case without the comment at its top, which is printed separately, and without the verdict.
fn written(text: &str) -> String {
    let lines = text.lines().skip_while(|line| line.starts_with('#'));
    let lines = lines.take_while(|line| !line.starts_with("verdict:"));
    lines.collect::<Vec<_>>().join("\n")
}
