//! Programs that tests run: those that are built from Go modules, and those of the system.

use std::path::PathBuf;

/// How the built ones come to be there.
pub const HOW: &str = "`just tools` builds it with Go, or name its folder in PRATIQUE_TOOLS";

/// Where a program is: in PRATIQUE_TOOLS, where `just tools` builds it, on the PATH, or where the system keeps its servers.
///
/// # Errors
/// It is nowhere; the reason, with `how` to get it.
pub fn find(name: &str, how: &str) -> Result<PathBuf, String> {
    let mut places: Vec<PathBuf> = std::env::var_os("PRATIQUE_TOOLS").into_iter().map(Into::into).collect();
    places.push(crate::root().join("target/tools"));
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    places.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| format!("{name} is not on the PATH: {how}"))
}
