//! `pratique completions` and `pratique man`: completion scripts and manual pages, generated from the argument definitions.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::{Args, ExitStatus};

/// Prints a completion script.
///
/// # Errors
/// Standard output is closed.
pub fn completions(shell: Shell) -> anyhow::Result<ExitStatus> {
    // Write to memory first, because `generate` panics if standard output is closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "pratique", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)?;
    Ok(ExitStatus::Success)
}

/// Writes a manual page for each command to a folder.
///
/// # Errors
/// The folder cannot be written.
pub fn pages(folder: &Path) -> anyhow::Result<ExitStatus> {
    let named = || format!("{}: the manual pages cannot be written to this folder", folder.display());
    std::fs::create_dir_all(folder).with_context(named)?;
    clap_mangen::generate_to(Args::command(), folder).with_context(named)?;
    Ok(ExitStatus::Success)
}
