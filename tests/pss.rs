//! Checks that all upstream fixtures get the upstream verdict, natively and in Wasm.
//!
//! The fixtures come from kubernetes/pod-security-admission. They are in the folder `PSS_FIXTURES`, or in `../shared/pss`
//! next to the repository. The directory is the expected verdict, and the file name contains the control.

mod guest;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conformance::{hosts, ignored, root};
use guest::Guest;
use libtest_mimic::{Arguments, Failed, Trial};
use policy_core::yaml::documents;
use policy_core::{AdmissionPhase, Arena, ConfiguredPolicy, Field, NoCluster, Request, admit};

const POLICY: &str = "pod-security-standards";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = std::env::var_os("PSS_FIXTURES").map_or_else(|| root().join("../shared/pss"), PathBuf::from);
    let trials = if folder.is_dir() { trials(&folder, &arguments) } else { vec![absent(&folder)] };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn absent(folder: &Path) -> Trial {
    let reason = format!(
        "all fixtures skipped: {} does not exist; set PSS_FIXTURES to test/testdata of pod-security-admission",
        folder.display()
    );
    ignored("fixtures", &reason)
}

/// The fixtures of one level and version.
#[derive(Clone)]
struct FixtureGroup {
    level: String,
    version: String,
    fixtures: Vec<Fixture>,
}

#[derive(Clone)]
struct Fixture {
    path: PathBuf,
    passes: bool,
}

fn trials(folder: &Path, arguments: &Arguments) -> Vec<Trial> {
    let groups = groups(folder);
    let count: usize = groups.iter().map(|group| group.fixtures.len()).sum();
    let files = manifests_under(folder);
    let mut trials = vec![Trial::test("fixtures::count", move || {
        let is_complete = count > 0 && count == files;
        if is_complete {
            Ok(())
        } else {
            Err(format!("{count} fixtures of {files} manifests are evaluated").into())
        }
    })];
    for group in &groups {
        let (name, group) = (group.name("native"), group.clone());
        trials.push(Trial::test(name, move || group.run(native)));
    }
    match guest::available() {
        Ok(()) if arguments.list => {}
        Ok(()) => {
            let guest = Guest::build(POLICY).unwrap_or_else(|error| panic!("{error:#}"));
            for group in groups {
                let guest = guest.clone();
                trials.push(Trial::test(group.name("wasm"), move || {
                    let instance = guest.instance(None)?;
                    group.run(|settings, pod| {
                        let payload = hosts::payload(settings, &request_json(pod)?);
                        let answer = hosts::guest_answer(&instance.call("validate", payload.as_bytes())?)?;
                        Ok((answer.accepted, answer.message.unwrap_or_default()))
                    })
                }));
            }
        }
        Err(reason) => trials.push(ignored("wasm", &reason)),
    }
    trials
}

/// The number of manifests in a folder and all folders below it.
fn manifests_under(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths
        .map(|path| match path.is_dir() {
            true => manifests_under(&path),
            false => usize::from(path.extension().is_some_and(|extension| extension == "yaml")),
        })
        .sum()
}

fn groups(folder: &Path) -> Vec<FixtureGroup> {
    let list = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
        paths.sort();
        paths
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut groups = Vec::new();
    for level in ["baseline", "restricted"] {
        for version in list(&folder.join(level)) {
            let mut fixtures = Vec::new();
            for (verdict, passes) in [("pass", true), ("fail", false)] {
                fixtures
                    .extend(list(&version.join(verdict)).into_iter().map(|path| Fixture { path, passes }));
            }
            groups.push(FixtureGroup { level: level.to_owned(), version: name(&version), fixtures });
        }
    }
    groups
}

impl FixtureGroup {
    fn name(&self, host: &str) -> String {
        format!("{host}::{}::{} ({} fixtures)", self.level, self.version, self.fixtures.len())
    }

    /// Evaluates every fixture: the verdict must match the directory, and a denial must name the control in the file name.
    fn run(&self, evaluate: impl Fn(&str, &str) -> anyhow::Result<(bool, String)>) -> Result<(), Failed> {
        let settings = format!(r#"{{"level":"{}","version":"{}"}}"#, self.level, self.version);
        for Fixture { path, passes } in &self.fixtures {
            let pod = std::fs::read_to_string(path)?;
            let (accepted, message) = evaluate(&settings, &pod)?;
            if accepted != *passes {
                return Err(format!("{}: accepted {accepted}: {message}", path.display()).into());
            }
            let control = control(path);
            if !accepted
                && !message.to_lowercase().contains(&format!("({control})"))
                && !twin_fires(&control, &message)
            {
                return Err(format!("{}: not denied by {control}: {message}", path.display()).into());
            }
        }
        Ok(())
    }
}

/// The control of a fixture, such as `hostports` for `hostports0.yaml`.
fn control(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stem.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
}

/// At restricted, fixtures of an overridden baseline control are denied by the control that overrides it.
fn twin_fires(control: &str, message: &str) -> bool {
    let twin = match control {
        "capabilities_baseline" => "capabilities_restricted",
        "hostpathvolumes" => "restrictedVolumes",
        "procmount" => "procMount_restricted",
        "seccompprofile_baseline" => "seccompProfile_restricted",
        _ => return false,
    };
    message.contains(&format!("({twin})"))
}

fn with_request<T>(pod: &str, run: impl FnOnce(&Request<'_>) -> T) -> anyhow::Result<T> {
    let arena = Arena::new();
    let documents = documents(pod);
    let value = documents[0].decode(&arena)?.expect("a fixture is a pod");
    Ok(run(&Request::create(Field::root(value, &arena), "default")?))
}

fn native(settings: &str, pod: &str) -> anyhow::Result<(bool, String)> {
    let entry = policy_catalog::find(POLICY).expect("the policy is in the catalog");
    let policies = [ConfiguredPolicy { metadata: entry.metadata, policy: (entry.configure)(settings)? }];
    with_request(pod, |request| {
        let verdicts = admit(&policies, request, &NoCluster, AdmissionPhase::Mutating);
        (verdicts.allowed(), verdicts.message())
    })
}

fn request_json(pod: &str) -> anyhow::Result<String> {
    with_request(pod, |request| {
        let object = request.object.value().expect("a fixture is an object").map(ToString::to_string);
        format!(
            r#"{{"uid":"u","kind":{{"group":"","version":"v1","kind":"Pod"}},"operation":"CREATE","object":{}}}"#,
            object.unwrap_or_default()
        )
    })
}
