//! The policies in a browser: verdicts on a text as you type, and a catalog of cases to start from.
//!
//! ```text
//! Catalog ──catalog.json──▶ web/: editor, cases, forms ──text, options──▶ evaluate: manifests or a case ──▶ PlaygroundReport
//! ```
//!
//! Input and output are JSON, with the structure of [`PlaygroundReport`] and [`Catalog`]. `web/src/report.ts` is generated from
//! the first. Only [`evaluate`] is compiled to Wasm, and the page loads the catalog as a separate file.

mod case;
mod catalog;
mod diagram;
mod manifests;
mod options;
mod positions;
mod report;

use policy_core::yaml::documents;
use wasm_bindgen::prelude::wasm_bindgen;

pub use catalog::Catalog;
use options::Options;
pub use report::{PlaygroundReport, typescript};

/// Evaluates a text with the policies in `options`, which is an [`Options`] as JSON. Returns a [`PlaygroundReport`] as JSON.
#[wasm_bindgen]
pub fn evaluate(text: &str, options: &str) -> String {
    let report = match Options::read(options) {
        Err(report) => *report,
        Ok(options) => match documents(text).as_slice() {
            [document] if case::is_case(document) => case::evaluate(document, text, &options),
            documents => manifests::evaluate(documents, text, &options),
        },
    };
    json(&report)
}

/// Serializes a value of a type that cannot fail to serialize.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
