//! Runs commands: `pratique` without a separate build, because the test program runs itself, and others.

use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use libtest_mimic::{Arguments, Trial};

const AS_PRATIQUE: &str = "--as-pratique";

/// The `main` of a test that runs the command: runs the trials, or the command if [`pratique`] started this process.
pub fn main(trials: impl FnOnce() -> Vec<Trial>) -> ExitCode {
    as_pratique().unwrap_or_else(|| libtest_mimic::run(&Arguments::from_args(), trials()).exit_code())
}

/// Runs the command if [`pratique`] started this process. Call it first in a `main` without trials.
pub fn as_pratique() -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    arguments.get(1).filter(|first| *first == AS_PRATIQUE)?;
    let arguments = arguments.into_iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, argument)| argument);
    Some(webhook_server::run(arguments))
}

/// The `pratique` command, without arguments.
pub fn pratique() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of the test program"));
    command.arg(AS_PRATIQUE).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// The binary of the profile `dist`, for benchmarks of whole processes.
///
/// # Panics
/// The binary has not been built; the message has the command.
pub fn dist_binary() -> std::path::PathBuf {
    let binary = crate::target().join("dist").join("pratique");
    assert!(
        binary.is_file(),
        "{} does not exist; run `cargo build --profile dist` first, as `just bench` does",
        binary.display()
    );
    binary
}

/// Runs a command and returns its standard output.
///
/// # Errors
/// The command fails; the error contains its standard error.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
