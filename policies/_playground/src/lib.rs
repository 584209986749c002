//! The policies in a browser: what they say of a text as it is typed, and which cases there are to begin with.
//!
//! ```text
//! Menu ──catalog.json──▶ web/: editor, cases, forms ──text, asked──▶ judge ──▶ manifests or a case ──▶ Said
//! ```
//!
//! All that goes in and out is JSON. Its shape is that of [`PlaygroundReport`] and [`Catalog`]; `web/src/report.ts` is generated from the first. Only [`evaluate`]
//! becomes Wasm: the menu is a file of its own beside it.

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

/// What the policies that are asked say of a text: a [`PlaygroundReport`]. `asked` is JSON, an [`Options`].
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

/// Nothing that is given here can fail to serialize.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
