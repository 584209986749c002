//! What there is to choose from: policies, their settings, their cases. A page loads it as `menu.json`.

use policy_catalog::{POLICIES, cases};
use policy_core::{Arena, Case};
use serde::Serialize;
use serde_json::value::RawValue;

/// All policies.
#[derive(Serialize)]
pub struct Menu(Vec<Chosen>);

/// A policy, as it is chosen.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Chosen {
    name: &'static str,
    summary: &'static str,
    /// What to do about a denial.
    remediation: &'static str,
    needs_cluster: bool,
    /// The JSON Schema of its settings.
    schema: schemars::Schema,
    cases: Vec<Opened>,
}

impl Menu {
    /// What the catalog has.
    pub fn new() -> Self {
        let chosen = POLICIES.iter().map(|entry| Chosen {
            name: entry.metadata.name,
            summary: entry.metadata.summary,
            remediation: entry.metadata.remediation,
            needs_cluster: entry.metadata.needs_cluster(),
            schema: (entry.schema)(),
            cases: cases(entry.metadata.name)
                .iter()
                .filter_map(|(name, text)| Opened::of(name, text))
                .collect(),
        });
        Menu(chosen.collect())
    }
}

impl Default for Menu {
    fn default() -> Self {
        Menu::new()
    }
}

/// A case, ready to be edited.
#[derive(Serialize)]
struct Opened {
    name: &'static str,
    /// Why it is there.
    why: String,
    /// Its file without settings and verdict: the first are the form's, the second is given as it is edited.
    text: String,
    /// Its settings.
    settings: Box<RawValue>,
}

impl Opened {
    /// The case of that name; `None` if its file is none, which a test would say.
    fn of(name: &'static str, text: &str) -> Option<Self> {
        let arena = Arena::new();
        let case = Case::decode(text, &arena).ok()?;
        let settings = if case.settings.is_empty() { "{}".to_owned() } else { case.settings };
        Some(Opened {
            name,
            why: case.why,
            text: without(text, &["settings:", "verdict:"]),
            settings: RawValue::from_string(settings).ok()?,
        })
    }
}

/// A text without these keys of its root, and all that stands below them.
fn without(text: &str, keys: &[&str]) -> String {
    let mut left_out = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            left_out = keys.iter().any(|key| line.starts_with(key));
        }
        if !left_out {
            kept.push_str(line);
        }
    }
    kept
}
