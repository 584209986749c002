//! Embeds the playground's web page from the folder in `PRATIQUE_SITE`, which `just site` writes.
//!
//! The page is optional because building it requires npm. If the variable is not set or the folder is empty, the binary has no
//! page and `pratique playground` explains how to get one. (The folder is still empty when CI builds the page.) The macro of
//! `include_dir` does not support this: it fails if the variable is not set.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The files of the page.
const FILES: [&str; 5] = ["index.html", "main.js", "catalog.json", "playground.wasm", "style.css"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PRATIQUE_SITE");
    if let Err(reason) = embed() {
        println!("cargo::error=PRATIQUE_SITE: {reason}");
    }
}

fn embed() -> Result<(), String> {
    let mut table = "/// The files of the page, by name; empty if the page was not built.\n\
                     pub(super) static FILES: &[(&str, &[u8])] = &[\n"
        .to_owned();
    if let Some(folder) = std::env::var_os("PRATIQUE_SITE").filter(|folder| !folder.is_empty()) {
        // The path is relative to the workspace, where cargo runs, not to this crate.
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        for file in files(&workspace.join(folder))? {
            println!("cargo:rerun-if-changed={}", file.display());
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Writing to a string cannot fail.
            let _ = writeln!(table, "    ({name:?}, include_bytes!({:?})),", file.display().to_string());
        }
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    std::fs::write(out.join("site.rs"), table).map_err(|error| error.to_string())
}

/// The files of the page in a folder; empty if the folder is.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let place = folder.display();
    println!("cargo:rerun-if-changed={place}");
    let is_empty = std::fs::read_dir(folder)
        .map_err(|error| format!("{place}: {error}; run `just site` to build the page"))?;
    if is_empty.count() == 0 {
        return Ok(Vec::new());
    }
    let files: Vec<PathBuf> = FILES.iter().map(|name| folder.join(name)).collect();
    match files.iter().find(|file| !file.is_file()) {
        Some(missing) => {
            Err(format!("{} not found: run `just site` to build the page again", missing.display()))
        }
        None => Ok(files),
    }
}
