//! The policies in a browser: what they say of a text as it is typed, and which cases there are to begin with.
//!
//! ```text
//! Menu ──menu.json──▶ web/: editor, cases, forms ──text, asked──▶ judge ──▶ manifests or a case ──▶ Said
//! ```
//!
//! All that goes in and out is JSON. Its shape is that of [`Said`] and [`Menu`]; `web/src/report.ts` is generated from the first. Only [`judge`]
//! becomes Wasm: the menu is a file of its own beside it.

mod asked;
mod case;
mod manifests;
mod menu;
mod picture;
mod said;
mod text;

use policy_core::yaml::documents;
use wasm_bindgen::prelude::wasm_bindgen;

use asked::Asked;
pub use menu::Menu;
pub use said::{Said, typescript};

/// What the policies that are asked say of a text: a [`Said`]. `asked` is JSON, an [`Asked`].
#[wasm_bindgen]
pub fn judge(text: &str, asked: &str) -> String {
    let said = match Asked::read(asked) {
        Err(said) => *said,
        Ok(asked) => match documents(text).as_slice() {
            [document] if case::is_case(document) => case::judge(document, text, &asked),
            documents => manifests::judge(documents, text, &asked),
        },
    };
    json(&said)
}

/// Nothing that is given here can fail to serialize.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
