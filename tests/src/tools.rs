//! Finds programs that tests run: those built from Go modules, and those of the system.

use std::path::PathBuf;

/// How to get the programs that are built from Go modules.
pub const HOW: &str = "`just tools` builds it with Go, or set PRATIQUE_TOOLS to its folder";

/// Searches for a program in PRATIQUE_TOOLS, the output folder of `just tools`, the PATH, and the system folders of servers.
///
/// # Errors
/// The program was not found; the error says `how` to get it.
pub fn find(name: &str, how: &str) -> Result<PathBuf, String> {
    let mut places: Vec<PathBuf> = std::env::var_os("PRATIQUE_TOOLS").into_iter().map(Into::into).collect();
    places.push(crate::root().join("target/tools"));
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    places.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| format!("{name} is not on the PATH: {how}"))
}
