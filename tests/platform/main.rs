//! The platform, running: is everything that the manifests promise there when the real components are?
//!
//! All of it runs in a network namespace that has only loopback, is played once, in the order of `SCENES`, and ends with the
//! process that made it. What is played for what cannot be had here stands in `conformance::platform`.

mod alerts;
mod breakages;
mod broken;
mod deployed;
mod faults;
mod flows;
mod scaled;
mod scraped;
mod sealed;
mod stage;

use std::process::ExitCode;
use std::sync::OnceLock;

use conformance::{ignored, namespace, platform, process};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

use stage::SCENES;

fn main() -> ExitCode {
    if let Some(code) = process::as_pratique() {
        return code;
    }
    if let Some(code) = namespace::inside(stage::play) {
        return code;
    }
    let arguments = Arguments::from_args();
    let trials = match platform::is_possible() {
        Err(reason) => vec![ignored("platform", &reason)],
        Ok(()) => trials(&arguments),
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A trial for each scene: what became of it.
fn trials(arguments: &Arguments) -> Vec<Trial> {
    let is_asked = |name: &str| {
        arguments.filter.as_deref().is_none_or(|filter| match arguments.exact {
            true => name == filter,
            false => name.contains(filter),
        })
    };
    let wanted: Vec<&'static str> =
        SCENES.iter().map(|scene| scene.0).filter(|name| is_asked(name)).collect();
    let trial = |name: &'static str| {
        let wanted = wanted.clone();
        Trial::test(name, move || match &seen(&wanted)?[name] {
            Value::String(reason) if !reason.is_empty() => Err(reason.clone().into()),
            Value::String(_) => Ok(()),
            _ => Err("it was not played".into()),
        })
    };
    SCENES.iter().map(|scene| trial(scene.0)).collect()
}

/// What was seen inside, by scene: played once for all trials.
fn seen(wanted: &[&str]) -> Result<&'static Value, Failed> {
    static SEEN: OnceLock<Result<Value, String>> = OnceLock::new();
    SEEN.get_or_init(|| {
        namespace::show(&[&["production"], wanted].concat()).map_err(|error| format!("{error:#}"))
    })
    .as_ref()
    .map_err(Failed::from)
}
