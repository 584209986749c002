//! Embeds the playground's page, where it has been built: the folder that `PRATIQUE_SITE` names (`just site`).
//!
//! Without it the binary has no page, and `pratique playground` says how to get one: a page wants npm, and building the binary
//! does not. The same goes for a folder that is there and empty, which is what the page is first built beside. The macro of
//! `include_dir` has no such case: a build without the variable fails.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What the page consists of.
const FILES: [&str; 5] = ["index.html", "main.js", "catalog.json", "playground.wasm", "style.css"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PRATIQUE_SITE");
    if let Err(reason) = embed() {
        println!("cargo::error=PRATIQUE_SITE: {reason}");
    }
}

fn embed() -> Result<(), String> {
    let mut table = "/// The files of the page, by name; none where it was not built.\n\
                     pub(super) static FILES: &[(&str, &[u8])] = &[\n"
        .to_owned();
    if let Some(folder) = std::env::var_os("PRATIQUE_SITE").filter(|folder| !folder.is_empty()) {
        // Relative to the workspace, where cargo is called, and not to this crate.
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        for file in files(&workspace.join(folder))? {
            println!("cargo:rerun-if-changed={}", file.display());
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Writing to a string does not fail.
            let _ = writeln!(table, "    ({name:?}, include_bytes!({:?})),", file.display().to_string());
        }
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    std::fs::write(out.join("site.rs"), table).map_err(|error| error.to_string())
}

/// The files of the page in that folder; none if there is nothing in it yet.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let place = folder.display();
    println!("cargo:rerun-if-changed={place}");
    let is_empty =
        std::fs::read_dir(folder).map_err(|error| format!("{place}: {error}; `just site` makes it"))?;
    if is_empty.count() == 0 {
        return Ok(Vec::new());
    }
    let files: Vec<PathBuf> = FILES.iter().map(|name| folder.join(name)).collect();
    match files.iter().find(|file| !file.is_file()) {
        Some(missing) => Err(format!("{} is not there: `just site` writes the page anew", missing.display())),
        None => Ok(files),
    }
}
