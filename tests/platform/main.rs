//! Runs the platform of the manifests with the real components.
//!
//! The scenes of production run once, in the order of `SCENES`, and then those of staging. Each environment has its own
//! network namespace with only loopback, which ends with the process. `conformance::platform` lists the simulated components.

mod alerts;
mod autoscaling;
mod cleanup;
mod deployment;
mod faults;
mod fixture;
mod flows;
mod mutation_cases;
mod mutations;
mod scraping;
mod sealed_secrets;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use conformance::{ignored, namespace, platform, process};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

use fixture::SCENES;

/// The scenes that also run in staging.
const STAGING: [&str; 3] = ["comes_up", "nothing_drifts", "every_secret_unseals"];

fn main() -> ExitCode {
    if let Some(code) = process::as_pratique() {
        return code;
    }
    if let Some(code) = namespace::inside(fixture::play) {
        return code;
    }
    let arguments = Arguments::from_args();
    let trials = match platform::check_available() {
        Err(reason) => vec![ignored("platform", &reason)],
        Ok(()) => trials(&arguments),
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A trial for each scene of each environment.
fn trials(arguments: &Arguments) -> Vec<Trial> {
    let mut trials = Vec::new();
    let all: Vec<&'static str> = SCENES.iter().map(|scene| scene.0).collect();
    for (environment, scenes) in [("production", all.as_slice()), ("staging", &STAGING)] {
        let named = |scene: &str| format!("{environment}::{scene}");
        let runs = |scene: &&&'static str| match (&arguments.filter, arguments.exact) {
            (None, _) => true,
            (Some(filter), true) => named(scene) == *filter,
            (Some(filter), false) => named(scene).contains(filter.as_str()),
        };
        let wanted: Vec<&'static str> = scenes.iter().filter(runs).copied().collect();
        for scene in scenes.iter().copied() {
            let wanted = wanted.clone();
            trials.push(Trial::test(named(scene), move || match &seen(environment, &wanted)?[scene] {
                Value::String(reason) if !reason.is_empty() => Err(reason.clone().into()),
                Value::String(_) => Ok(()),
                _ => Err("the scene did not run".into()),
            }));
        }
    }
    trials.push(Trial::test("a_killed_platform_leaves_nothing", cleanup::no_process_survives));
    trials
}

/// The results by environment. The lock also makes the environments run one after the other, because there are two processors.
static PLAYED: Mutex<BTreeMap<&str, Result<Value, String>>> = Mutex::new(BTreeMap::new());

/// The results of an environment by scene. All its trials share one run.
fn seen(environment: &'static str, wanted: &[&str]) -> Result<Value, Failed> {
    let mut played = PLAYED.lock().unwrap_or_else(PoisonError::into_inner);
    let play = || namespace::show(&[&[environment], wanted].concat()).map_err(|error| format!("{error:#}"));
    played.entry(environment).or_insert_with(play).clone().map_err(Failed::from)
}
