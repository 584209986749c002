//! A network of one's own: what dials addresses of its own accord runs where there is only loopback.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::tools;

/// What a program is called with in its own network.
const INSIDE: &str = "--inside";

/// The arguments of `unshare` by which this user gets a network of its own, and processes that end with the first.
///
/// # Errors
/// None can be made here; the reason.
pub fn arguments() -> Result<&'static [&'static str], String> {
    const WITH_USER: &[&str] = &["-Urn", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const AS_ROOT: &[&str] = &["-n", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let works = |arguments: &&&[&str]| {
        let unshare = Command::new("unshare").args(**arguments).arg("true").output();
        unshare.is_ok_and(|output| output.status.success())
    };
    let found = [AS_ROOT, WITH_USER].iter().find(works).copied();
    found.ok_or_else(|| "no network namespace can be made here: allow unshare".to_owned())
}

/// Runs this very program in a network of its own, with these arguments, and gives the JSON that it prints there ([`inside`]).
///
/// # Errors
/// It fails; what it said.
pub fn run(further: &[&str]) -> anyhow::Result<Value> {
    seen(command(further)?)
}

/// The same, with what is said in it shown as it is said.
///
/// # Errors
/// It fails.
pub fn show(further: &[&str]) -> anyhow::Result<Value> {
    let mut command = command(further)?;
    command.stderr(Stdio::inherit());
    seen(command)
}

/// What runs this very program in a network of its own, and ends it with this thread, however that ends.
///
/// # Errors
/// No such network can be made here.
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
    serde_json::from_slice(&output.stdout).context("what was seen inside")
}

/// Where this program was called by [`run`]: brings loopback up, plays, and prints what was seen. To be asked first in `main`.
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
