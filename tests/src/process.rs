//! Commands in processes of their own: `pratique` without building its binary again, for the test runs itself; and others.

use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use libtest_mimic::{Arguments, Trial};

const AS_PRATIQUE: &str = "--as-pratique";

/// The `main` of a test that runs the command: its trials, or the command if it is asked for that.
pub fn main(trials: impl FnOnce() -> Vec<Trial>) -> ExitCode {
    as_pratique().unwrap_or_else(|| libtest_mimic::run(&Arguments::from_args(), trials()).exit_code())
}

/// The command, if this program was called as [`pratique`] calls it. To be asked first in a `main` without trials.
pub fn as_pratique() -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    arguments.get(1).filter(|first| *first == AS_PRATIQUE)?;
    let arguments = arguments.into_iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, argument)| argument);
    Some(webhook_server::run(arguments))
}

/// The command, to be given arguments.
pub fn pratique() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test knows where it is"));
    command.arg(AS_PRATIQUE).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// The release binary, for benchmarks of whole processes.
///
/// # Panics
/// It is not built; the message names the command.
pub fn release_binary() -> std::path::PathBuf {
    let binary = crate::target().join("release").join("pratique");
    assert!(
        binary.is_file(),
        "{}: not there; run `cargo build --release` first, as `just bench` does",
        binary.display()
    );
    binary
}

/// Runs a command and says what it said if it fails.
///
/// # Errors
/// It fails.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
