//! Drives the playground in Chromium with a script from `tests/playground`, in a network namespace with only loopback.

use std::ffi::OsStr;
use std::hash::{Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{namespace, process, root, tools};

/// Checks that all required programs are available.
///
/// # Errors
/// A program is missing; the error says which one and how to install it.
pub fn available() -> Result<(), String> {
    const HOW: &str = "`just site target/site`, then PRATIQUE_SITE=target/site cargo test";
    if webhook_server::commands::playground::page().is_none() {
        return Err(format!("the binary does not contain the playground page: {HOW}"));
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

/// The folder of the page that the binary embeds.
///
/// # Errors
/// `PRATIQUE_SITE` is not set.
pub fn site() -> anyhow::Result<PathBuf> {
    let site =
        std::env::var_os("PRATIQUE_SITE").context("PRATIQUE_SITE must be set to the folder of the page")?;
    Ok(root().join(site))
}

/// A hash of all inputs of the page: policies, their cases, the page's own files, and the versions in Cargo.lock.
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

/// Checks that the page in the binary was built from the current sources.
///
/// # Errors
/// The page is outdated; the error contains the command that rebuilds it.
pub fn is_of_these_sources() -> anyhow::Result<()> {
    let page = webhook_server::commands::playground::page().context("the binary has a page")?;
    let wanted = format!("name=\"sources\" content=\"{}\"", sources()?);
    ensure!(
        page.contains(&wanted),
        "the page was built from other sources: run `just site \"$PRATIQUE_SITE\"` to rebuild it"
    );
    Ok(())
}

/// Installs the scripts' npm dependencies from their lock file. Call it outside the namespace because it needs a network.
///
/// # Errors
/// npm fails; the error contains its output.
pub fn install() -> anyhow::Result<()> {
    let arguments = ["ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"];
    let output = Command::new("npm").args(arguments).current_dir(scripts()).output()?;
    ensure!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Call it inside the namespace. Serves the page, runs a script with the page's address, the path of Chromium and further
/// arguments, and returns the JSON that the script prints.
///
/// # Errors
/// The server or the script fails.
pub fn drive(script: &str, further: &[&OsStr]) -> anyhow::Result<Value> {
    let mut serving = process::pratique();
    serving.args(["playground", "--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut serving = serving.spawn()?;
    let mut line = String::new();
    BufReader::new(serving.stdout.take().context("standard output is piped")?).read_line(&mut line)?;
    let address = line.split_whitespace().next().context("the first line contains the address")?;
    let chromium = tools::find("chromium", "install chromium").map_err(anyhow::Error::msg)?;
    let mut node = Command::new("node");
    node.arg(scripts().join(script)).arg(address).arg(chromium).args(further).stderr(Stdio::inherit());
    let output = node.output();
    drop(serving.kill());
    let output = output?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).with_context(|| format!("the output of {script} must be JSON"))
}

fn scripts() -> PathBuf {
    root().join("tests/playground")
}
