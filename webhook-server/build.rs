//! Embeds the playground's page, where it has been built: the folder that `PRATIQUE_SITE` names (`just site`).
//!
//! Without it the binary has no page, and `pratique playground` says how to get one: a page wants npm, and building the binary
//! does not.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PRATIQUE_SITE");
    let mut table = "/// The files of the page, by name; none where it was not built.\n\
                     pub(super) static FILES: &[(&str, &[u8])] = &[\n"
        .to_owned();
    if let Some(folder) = std::env::var_os("PRATIQUE_SITE") {
        // Relative to the workspace, where cargo is called, and not to this crate.
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let folder = workspace.join(folder);
        println!("cargo:rerun-if-changed={}", folder.display());
        for file in files(&folder)? {
            println!("cargo:rerun-if-changed={}", file.display());
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Writing to a string does not fail.
            let _ = writeln!(table, "    ({name:?}, include_bytes!({:?})),", file.display().to_string());
        }
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    std::fs::write(out.join("site.rs"), table)
}

/// The files of a folder by name; none if it is not there yet.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<PathBuf>>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}
