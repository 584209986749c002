//! `pratique completions` and `pratique man`: what shells and `man` know, made of the same arguments.

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
    // Into memory first: what writes it does not expect that nobody reads.
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
    let named = || format!("{}: the manual pages cannot be written there", folder.display());
    std::fs::create_dir_all(folder).with_context(named)?;
    clap_mangen::generate_to(Args::command(), folder).with_context(named)?;
    Ok(ExitStatus::Success)
}
