//! What there is to choose from: policies, their settings, their cases. A page loads it as `catalog.json`.

use policy_catalog::{POLICIES, cases};
use policy_core::{Arena, Case};
use serde::Serialize;
use serde_json::value::RawValue;

/// All policies.
#[derive(Serialize)]
pub struct Catalog(Vec<CatalogPolicy>);

/// A policy, as it is chosen.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CatalogPolicy {
    name: &'static str,
    summary: &'static str,
    /// What to do about a denial.
    remediation: &'static str,
    needs_cluster: bool,
    /// The JSON Schema of its settings.
    schema: schemars::Schema,
    cases: Vec<CatalogCase>,
}

impl Catalog {
    /// What the catalog has.
    pub fn new() -> Self {
        let chosen = POLICIES.iter().map(|entry| CatalogPolicy {
            name: entry.metadata.name,
            summary: entry.metadata.summary,
            remediation: entry.metadata.remediation,
            needs_cluster: entry.metadata.needs_cluster(),
            schema: (entry.schema)(),
            cases: cases(entry.metadata.name)
                .iter()
                .filter_map(|(name, text)| CatalogCase::of(name, text))
                .collect(),
        });
        Catalog(chosen.collect())
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Catalog::new()
    }
}

/// A case, ready to be edited.
#[derive(Serialize)]
struct CatalogCase {
    name: &'static str,
    /// Why it is there.
    why: String,
    /// Its file without settings and verdict: the first are the form's, the second is given as it is edited.
    text: String,
    /// Its settings.
    settings: Box<RawValue>,
}

impl CatalogCase {
    /// The case of that name; `None` if its file is none, which a test would say.
    fn of(name: &'static str, text: &str) -> Option<Self> {
        let arena = Arena::new();
        let case = Case::decode(text, &arena).ok()?;
        let settings = if case.settings.is_empty() { "{}".to_owned() } else { case.settings };
        Some(CatalogCase {
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
