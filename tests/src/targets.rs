//! Rust targets that tests and the playground build for.

use std::process::Command;

use crate::root;

/// Makes sure that a target is installed: adds it and prints a message if it is missing.
///
/// # Errors
/// The target cannot be added; the error has the reason and the command to run.
pub fn add(target: &str) -> Result<(), String> {
    let how = format!("run `rustup target add {target}`");
    let rustup = |arguments: &[&str]| Command::new("rustup").current_dir(root()).args(arguments).output();
    let installed =
        rustup(&["target", "list", "--installed"]).map_err(|error| format!("rustup: {error}; {how}"))?;
    if String::from_utf8_lossy(&installed.stdout).lines().any(|line| line == target) {
        return Ok(());
    }
    println!("adding the Rust target {target}: rustup target add {target}");
    let added = rustup(&["target", "add", target]).map_err(|error| format!("rustup: {error}; {how}"))?;
    let output = String::from_utf8_lossy(&added.stderr).trim().replace('\n', " ");
    if added.status.success() { Ok(()) } else { Err(format!("{output}; {how}")) }
}
