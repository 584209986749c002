//! `pratique demo --platform`: hands over to the program that starts the platform, which is built from this repository's tests.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::args::ExitStatus;

/// What it is called; cargo puts it beside this program.
const PROGRAM: &str = "examples/platform";

/// Becomes it: who ends this ends that.
///
/// # Errors
/// It is not there.
pub(super) fn run(picture: &Path) -> anyhow::Result<ExitStatus> {
    let program = find()?;
    let error = Command::new(&program).arg(picture).exec();
    Err(error).with_context(|| program.display().to_string())
}

fn find() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.parent().map(|folder| folder.join(PROGRAM));
    beside.filter(|program| program.is_file()).context(
        "the platform is started from a checkout of this repository, by a program that is built there: \
         `just platform` builds it, and what it needs",
    )
}
