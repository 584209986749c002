//! `pratique demo --platform`: runs the program that starts the platform, which is built from this repository's tests.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::args::ExitStatus;

/// The path of the platform program, relative to the folder of this binary. Cargo puts it there.
const PROGRAM: &str = "examples/platform";

/// Replaces this process with the platform program, so that signals reach it directly.
///
/// # Errors
/// The program does not exist or cannot be started.
pub(super) fn run(picture: &Path) -> anyhow::Result<ExitStatus> {
    let program = find()?;
    let error = Command::new(&program).arg(picture).exec();
    Err(error).with_context(|| program.display().to_string())
}

fn find() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.parent().map(|folder| folder.join(PROGRAM));
    beside.filter(|program| program.is_file()).context(
        "the platform program is not built next to this binary; in a checkout of this repository, run `just platform` \
         to build and start it",
    )
}
