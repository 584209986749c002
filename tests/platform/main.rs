//! The platform, running: is everything that the manifests promise there when the real components are?
//!
//! Production is played once, in the order of `SCENES`; then staging; each in a network namespace that has only loopback, and that
//! ends with the process that made it. What is played for what cannot be had here stands in `conformance::platform`.

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

/// What is played of staging: that it is admitted, runs and stays, as production does.
const STAGING: [&str; 3] = ["comes_up", "nothing_drifts", "every_secret_unseals"];

fn main() -> ExitCode {
    if let Some(code) = process::as_pratique() {
        return code;
    }
    if let Some(code) = namespace::inside(fixture::play) {
        return code;
    }
    let arguments = Arguments::from_args();
    let trials = match platform::is_possible() {
        Err(reason) => vec![ignored("platform", &reason)],
        Ok(()) => trials(&arguments),
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A trial for each scene of each environment: what became of it.
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
                _ => Err("it was not played".into()),
            }));
        }
    }
    trials.push(Trial::test("nothing_is_left_when_it_is_killed", cleanup::nothing_is_left));
    trials
}

/// Those that run in a namespace, one after the other: there are two processors.
static PLAYED: Mutex<BTreeMap<&str, Result<Value, String>>> = Mutex::new(BTreeMap::new());

/// What was seen inside, by scene: played once for all trials of an environment.
fn seen(environment: &'static str, wanted: &[&str]) -> Result<Value, Failed> {
    let mut played = PLAYED.lock().unwrap_or_else(PoisonError::into_inner);
    let play = || namespace::show(&[&[environment], wanted].concat()).map_err(|error| format!("{error:#}"));
    played.entry(environment).or_insert_with(play).clone().map_err(Failed::from)
}
