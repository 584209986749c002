//! Network namespaces that have only loopback, for tests whose programs connect to other addresses on their own.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::tools;

/// The first argument of this program when it runs in its own network namespace.
const INSIDE: &str = "--inside";

/// The arguments of `unshare` that give this user a network namespace, and end all processes in it with the first one.
///
/// # Errors
/// No namespace can be created; the error has the reason.
pub fn arguments() -> Result<&'static [&'static str], String> {
    const WITH_USER: &[&str] = &["-Urn", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const AS_ROOT: &[&str] = &["-n", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let works = |arguments: &&&[&str]| {
        let unshare = Command::new("unshare").args(**arguments).arg("true").output();
        unshare.is_ok_and(|output| output.status.success())
    };
    let found = [AS_ROOT, WITH_USER].iter().find(works).copied();
    found.ok_or_else(|| "cannot create a network namespace: allow unshare for this user".to_owned())
}

/// Runs this program in its own network namespace with these arguments, and returns the JSON that it prints ([`inside`]).
///
/// # Errors
/// The program fails; the error contains its standard error.
pub fn run(further: &[&str]) -> anyhow::Result<Value> {
    seen(command(further)?)
}

/// Like [`run`], but shows the program's standard error while it runs.
///
/// # Errors
/// The program fails.
pub fn show(further: &[&str]) -> anyhow::Result<Value> {
    let mut command = command(further)?;
    command.stderr(Stdio::inherit());
    seen(command)
}

/// The command that runs this program in its own network namespace. It is killed when the calling thread ends.
///
/// # Errors
/// No namespace can be created.
pub fn command(further: &[&str]) -> anyhow::Result<Command> {
    let arguments = arguments().map_err(anyhow::Error::msg)?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare"]).args(arguments);
    command.arg(std::env::current_exe()?).arg(INSIDE).args(further);
    Ok(command)
}

fn seen(mut command: Command) -> anyhow::Result<Value> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("the output of the program in the namespace must be JSON")
}

/// If [`run`] started this program: brings loopback up, calls `play`, and prints its result. Call it first in `main`.
pub fn inside(play: impl FnOnce(&[String]) -> anyhow::Result<Value>) -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (first, further) = arguments.split_first()?;
    if first != INSIDE {
        return None;
    }
    Some(match loopback().and_then(|()| play(further)) {
        Ok(seen) => {
            println!("{seen}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    })
}

fn loopback() -> anyhow::Result<()> {
    let ip = tools::find("ip", "install iproute2").map_err(anyhow::Error::msg)?;
    let output = Command::new(ip).args(["link", "set", "lo", "up"]).output()?;
    ensure!(output.status.success(), "ip link set lo up: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
