//! The playground in Chromium, driven by a script of `tests/playground`, in a network that has only loopback.

use std::ffi::OsStr;
use std::hash::{Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{namespace, process, root, tools};

/// Whether all is here that is needed.
///
/// # Errors
/// What is not, and how to get it.
pub fn available() -> Result<(), String> {
    const HOW: &str = "`just site target/site`, then PRATIQUE_SITE=target/site cargo test";
    if webhook_server::commands::playground::page().is_none() {
        return Err(format!("the binary has no page: {HOW}"));
    }
    for (name, how) in [
        ("chromium", "install chromium"),
        ("node", "install Node.js"),
        ("npm", "install npm"),
        ("unshare", "install util-linux"),
        ("ip", "install iproute2"),
    ] {
        tools::find(name, how)?;
    }
    namespace::arguments().map(|_| ())
}

/// The folder of the page, from which the binary has it.
///
/// # Errors
/// Nobody says where it is.
pub fn site() -> anyhow::Result<PathBuf> {
    let site = std::env::var_os("PRATIQUE_SITE").context("PRATIQUE_SITE names the page's folder")?;
    Ok(root().join(site))
}

/// A number for all that the page is made of: policies, their cases, the page's own files, and the versions in Cargo.lock.
///
/// # Errors
/// A file cannot be read.
pub fn sources() -> anyhow::Result<String> {
    let mut files = vec![root().join("Cargo.lock"), root().join("tests/examples/site.rs")];
    walk(&root().join("policies"), &mut files)?;
    files.sort();
    let mut hasher = std::hash::DefaultHasher::new();
    for file in files {
        file.strip_prefix(root())?.hash(&mut hasher);
        std::fs::read(&file).with_context(|| file.display().to_string())?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "node_modules" {
            walk(&path, files)?;
        } else if path.is_file() && name != "README.md" && name != "sample.ts" {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether the page in the binary was made of what is here now.
///
/// # Errors
/// It was not; the command that makes it anew.
pub fn is_of_these_sources() -> anyhow::Result<()> {
    let page = webhook_server::commands::playground::page().context("the binary has a page")?;
    let wanted = format!("name=\"sources\" content=\"{}\"", sources()?);
    ensure!(
        page.contains(&wanted),
        "the page is of other sources: `just site \"$PRATIQUE_SITE\"` makes it anew"
    );
    Ok(())
}

/// Installs what the scripts need, as their lock file has it. To be done outside, where there is a network.
///
/// # Errors
/// npm fails.
pub fn install() -> anyhow::Result<()> {
    let arguments = ["ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"];
    let output = Command::new("npm").args(arguments).current_dir(scripts()).output()?;
    ensure!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Inside: serves the page, and gives the JSON that a script prints which is given its address, Chromium, and what follows.
///
/// # Errors
/// Either fails.
pub fn drive(script: &str, further: &[&OsStr]) -> anyhow::Result<Value> {
    let mut serving = process::pratique();
    serving.args(["playground", "--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut serving = serving.spawn()?;
    let mut line = String::new();
    BufReader::new(serving.stdout.take().context("it has an output")?).read_line(&mut line)?;
    let address = line.split_whitespace().next().context("it says where it is")?;
    let chromium = tools::find("chromium", "install chromium").map_err(anyhow::Error::msg)?;
    let mut node = Command::new("node");
    node.arg(scripts().join(script)).arg(address).arg(chromium).args(further).stderr(Stdio::inherit());
    let output = node.output();
    drop(serving.kill());
    let output = output?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).with_context(|| format!("{script} says what it saw"))
}

fn scripts() -> PathBuf {
    root().join("tests/playground")
}
