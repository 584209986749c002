//! The catalog of policies with their settings and cases. The page loads it as `catalog.json`.

use policy_catalog::{POLICIES, cases};
use policy_core::{Arena, Case};
use serde::Serialize;
use serde_json::value::RawValue;

/// All policies.
#[derive(Serialize)]
pub struct Catalog(Vec<CatalogPolicy>);

/// A policy in the catalog.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CatalogPolicy {
    name: &'static str,
    summary: &'static str,
    /// How to fix a denial.
    remediation: &'static str,
    needs_cluster: bool,
    /// The JSON Schema of its settings.
    schema: schemars::Schema,
    cases: Vec<CatalogCase>,
}

impl Catalog {
    /// The catalog of all policies.
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

/// A case to edit.
#[derive(Serialize)]
struct CatalogCase {
    name: &'static str,
    /// The purpose of the case.
    why: String,
    /// The file without settings, which go into the form, and without the verdict, which the page computes.
    text: String,
    /// Its settings.
    settings: Box<RawValue>,
}

impl CatalogCase {
    /// The case of that name; `None` if the file is not a valid case, which the tests rule out.
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

/// Removes these top-level keys and their values from a text.
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
