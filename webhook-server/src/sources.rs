//! Reads manifests: files, directories, kustomizations and standard input.

mod origins;
pub(crate) mod source_location;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, bail};
use policy_core::path::printable;
use policy_core::{Arena, Field, Request, Value, yaml};

use origins::Origins;
pub use origins::{Origin, value};

/// A stream of YAML documents, and its name in reports.
#[derive(Debug)]
pub struct Source {
    /// The file, `<standard input>`, or the directory of the kustomization.
    pub name: String,
    /// The text.
    pub text: String,
    /// The kustomization that it was rendered from, if any.
    built: Option<RenderedKustomization>,
}

/// A kustomization.
#[derive(Debug)]
struct RenderedKustomization {
    dir: PathBuf,
    /// The source files of its objects, found on first use.
    origins: OnceLock<Origins>,
}

impl Source {
    /// A source that was not rendered from a kustomization.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Source { name: name.into(), text: text.into(), built: None }
    }

    /// The source location of an object in the rendered output of a kustomization; `None` if it is not known, or if the source
    /// is not a kustomization. The first call renders the kustomization again.
    pub fn origin(&self, request: &Request<'_>) -> Option<Origin<'_>> {
        let RenderedKustomization { dir, origins } = self.built.as_ref()?;
        origins.get_or_init(|| Origins::of(dir)).origin(request)
    }
}

/// The input of a [`Source`]. Inputs can be read one at a time, so that a large tree is never in memory as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// A directory with a kustomization.
    Kustomization(PathBuf),
    /// Standard input.
    StandardInput,
}

/// How to read a directory that has a kustomization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kustomizations {
    /// Render the kustomization.
    Build,
    /// Read the files as they are.
    ReadFiles,
}

/// The name of the configuration file of a directory.
pub const CONFIGURATION: &str = "policies.yaml";
/// The name of the file that lists the expected connections of a directory.
const EXPECTED_CONNECTIONS: &str = "connectivity.yaml";

const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Finds all inputs under these paths, in order.
///
/// # Errors
/// A path does not exist, cannot be listed, or contains no manifest.
pub fn places(paths: &[PathBuf], kustomizations: Kustomizations) -> anyhow::Result<Vec<Input>> {
    let mut places = Vec::new();
    for path in paths {
        let before = places.len();
        match path {
            path if path.as_os_str() == "-" => places.push(Input::StandardInput),
            path if path.is_dir() => {
                // Configuration files are not manifests.
                walk(path, kustomizations, &config_files(path), &mut places)?;
            }
            path => {
                path.metadata().with_context(|| path.display().to_string())?;
                places.push(Input::File(path.clone()));
            }
        }
        if places.len() == before {
            bail!("{}: no .yaml, .yml or .json file in it", path.display());
        }
    }
    Ok(places)
}

/// The file with this name in a directory, unless it is a Kubernetes object. A file that cannot be read is also returned, so
/// that the caller reports the error.
pub fn config_file_in(directory: &Path, name: &str) -> Option<PathBuf> {
    let file = directory.join(name);
    if !file.is_file() {
        return None;
    }
    let text = read_file(&file).unwrap_or_default();
    let arena = Arena::new();
    let is_object = |value: Value<'_>| {
        let root = Field::root(value, &arena);
        let has = |key: &'static str| root.at(key).is_set().unwrap_or(false);
        has("apiVersion") || has("kind")
    };
    let first = yaml::documents(&text).first().and_then(|document| document.decode(&arena).ok().flatten());
    (!first.is_some_and(is_object)).then_some(file)
}

/// The configuration files in a directory, which are not manifests.
fn config_files(directory: &Path) -> Vec<PathBuf> {
    let names = [CONFIGURATION, EXPECTED_CONNECTIONS];
    names.iter().filter_map(|name| config_file_in(directory, name)).collect()
}

// This does not use the crate `ignore`, because that skips hidden files and links silently. Here every skipped file is reported.
fn walk(
    dir: &Path,
    kustomizations: Kustomizations,
    except: &[PathBuf],
    places: &mut Vec<Input>,
) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| dir.display().to_string())?;
    paths.retain(|path| !except.contains(path));
    paths.sort();
    let (kustomization, others): (Vec<PathBuf>, Vec<PathBuf>) =
        paths.into_iter().partition(|path| KUSTOMIZATIONS.contains(&name(path).as_str()));
    if let (Kustomizations::Build, Some(kustomization)) = (kustomizations, kustomization.first()) {
        let text = read_file(kustomization).with_context(|| kustomization.display().to_string())?;
        let named = names(&text);
        let is_named = |path: &PathBuf| {
            let name = name(path);
            named.contains(name.as_str()) || (!name.chars().all(is_name_char) && text.contains(&name))
        };
        let could_be_meant = |path: &&PathBuf| is_manifest(path) || (path.is_dir() && name(path) != ".git");
        for path in others.iter().filter(could_be_meant).filter(|path| !is_named(path)) {
            skipped(path, "the kustomization in the same folder does not name it");
        }
        places.push(Input::Kustomization(dir.to_owned()));
        return Ok(());
    }
    for path in others {
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        let is_hidden = name(&path).starts_with('.');
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() && name(&path) == ".git" => {}
            Ok(metadata) if metadata.is_dir() && is_hidden => {
                skipped(&path, "hidden folders are not searched")
            }
            Ok(metadata) if metadata.is_dir() && is_link => {
                skipped(&path, "links to folders are not followed")
            }
            Ok(metadata) if metadata.is_dir() => walk(&path, kustomizations, except, places)?,
            Ok(metadata) if is_manifest(&path) && !metadata.is_file() => {
                bail!("{}: neither a file nor a folder", path.display());
            }
            Ok(_) if is_manifest(&path) => places.push(Input::File(path)),
            Ok(_) => {}
            Err(error) if is_manifest(&path) => return Err(error).context(path.display().to_string()),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Every component of every path that a kustomization could contain, outside of comments.
fn names(kustomization: &str) -> BTreeSet<&str> {
    let lines = kustomization.lines().map(|line| line.split(" #").next().unwrap_or_default());
    let written = lines.filter(|line| !line.trim_start().starts_with('#'));
    written.flat_map(|line| line.split(|c| !is_name_char(c))).collect()
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || "._-".contains(c)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
}

/// Reports a skipped path, because the user may expect it to be evaluated.
fn skipped(path: &Path, why: &str) {
    print_error!(
        "pratique: skipped {}: {why}; pass its path to evaluate it",
        printable(&path.display().to_string())
    );
}

impl Input {
    /// Reads the input.
    ///
    /// # Errors
    /// The input cannot be read, is not UTF-8, or is a kustomization that cannot be rendered.
    pub fn read(&self) -> anyhow::Result<Source> {
        match self {
            Input::File(path) => {
                let name = path.display().to_string();
                let text = read_file(path).with_context(|| name.clone())?;
                Ok(Source::new(name, text))
            }
            Input::Kustomization(dir) => {
                let name = dir.display().to_string();
                let text = build(dir).with_context(|| name.clone())?;
                let built = RenderedKustomization { dir: dir.clone(), origins: OnceLock::new() };
                Ok(Source { built: Some(built), ..Source::new(format!("{name} (rendered)"), text) })
            }
            Input::StandardInput => {
                let name = "<standard input>";
                let mut bytes = Vec::new();
                std::io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
                Ok(Source::new(name, text(bytes).context(name)?))
            }
        }
    }
}

/// Reads a file as text, without the byte order mark that some editors add.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub fn read_file(path: &Path) -> anyhow::Result<String> {
    text(std::fs::read(path)?)
}

fn text(bytes: Vec<u8>) -> anyhow::Result<String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
        anyhow::anyhow!("line {line}: not UTF-8 (byte {valid}); save the file as UTF-8")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Renders a kustomization with kustomize, or with kubectl if kustomize is not installed.
fn build(dir: &Path) -> anyhow::Result<String> {
    for (tool, arguments) in [("kustomize", ["build"]), ("kubectl", ["kustomize"])] {
        match Command::new(tool).args(arguments).arg(dir).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).context(tool),
            Ok(output) if !output.status.success() => {
                bail!("{tool}: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            Ok(output) => return text(output.stdout),
        }
    }
    bail!(
        "the folder has a kustomization, but neither kustomize nor kubectl is on the PATH; install one of them, \
         or pass the paths of its files to read them as they are"
    )
}

/// Whether a tool that can render kustomizations is installed.
pub fn can_build() -> bool {
    ["kustomize", "kubectl"]
        .iter()
        .any(|tool| Command::new(tool).arg("version").arg("--client").output().is_ok())
}
