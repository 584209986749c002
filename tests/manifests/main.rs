//! Checks that the rendered manifest set is consistent. Each file checks one aspect.

mod configs;
mod metrics;
mod policies;
mod references;
mod schemas;
mod scripts;
mod secrets;
mod set;

use std::process::{Command, ExitCode};

use conformance::{ignored, process, tools};
use libtest_mimic::{Failed, Trial};

fn main() -> ExitCode {
    process::main(trials)
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(configs::trials());
    trials.extend(policies::trials());
    trials.extend(scripts::trials());
    match (webhook_server::sources::can_build(), schemas::crds()) {
        (false, _) => trials
            .push(ignored("the rendered set", "neither kustomize nor kubectl is on the PATH: install one")),
        (true, Err(reason)) => {
            trials.push(ignored("schemas", &reason));
            trials.extend(built());
        }
        (true, Ok(folder)) => {
            trials.push(Trial::test("schemas::every_object_matches_its_schema", move || {
                let schemas = schemas::Schemas::read(&folder);
                for set in set::all() {
                    none(schemas.problems(set))?;
                }
                schemas_find(&schemas)
            }));
            trials.extend(built());
        }
    }
    trials
}

/// Trials that need only the rendered set.
fn built() -> Vec<Trial> {
    let mut trials = references::trials();
    trials.extend(metrics::trials());
    trials.extend(secrets::trials());
    trials
}

/// The schemas detect a wrong name, a wrong type and a missing field, in built-in and custom kinds, at various depths.
fn schemas_find(schemas: &schemas::Schemas) -> Result<(), Failed> {
    let set = &set::all()[0];
    for (object, from, to) in [
        ("Deployment shop/api", "\"readinessProbe\"", "\"readynessProbe\""),
        ("Deployment shop/api", "\"allowPrivilegeEscalation\"", "\"allowPrivilegeEscalations\""),
        ("Deployment shop/api", "\"containerPort\":8080", "\"containerPort\":\"8080\""),
        ("Deployment shop/api", "\"selector\"", "\"selectors\""),
        ("StatefulSet mysql/mysql", "\"whenDeleted\"", "\"whenDelete\""),
        ("NetworkPolicy shop/api", "\"podSelector\"", "\"podSelecter\""),
        ("Namespace shop", "\"labels\"", "\"label\""),
        ("ServiceMonitor mysql/mysql", "\"interval\"", "\"intervall\""),
        ("ServiceMonitor mysql/mysql", "\"interval\":\"30s\"", "\"interval\":\"half a minute\""),
        ("HTTPRoute shop/api", "\"backendRefs\"", "\"backends\""),
        ("Gateway gateway/public", "\"gatewayClassName\"", "\"gatewayClass\""),
        ("SealedSecret shop/databases", "\"encryptedData\"", "\"encrypted\""),
        ("Certificate pratique/webhook", "\"secretName\"", "\"secret\""),
        ("Certificate pratique/webhook", "\"metadata\":{", "\"metadata\":{\"label\":{},"),
        ("Gateway gateway/public", "\"namespace\":\"gateway\"", "\"namespaces\":\"gateway\""),
        ("Application argocd/apps", "\"targetRevision\"", "\"revision\""),
        ("HorizontalPodAutoscaler shop/api", "\"averageUtilization\":70", "\"averageUtilization\":\"70%\""),
    ] {
        let problems = schemas.problems(&set.with(object, from, to));
        let kind = object.split(' ').next().unwrap_or_default();
        if !problems.iter().any(|problem| problem.starts_with(kind)) {
            return Err(format!("{object}: {from} as {to} was not detected: {problems:?}").into());
        }
    }
    Ok(())
}

/// Fails with the list of problems if there are any.
fn none(problems: Vec<String>) -> Result<(), Failed> {
    match problems.is_empty() {
        true => Ok(()),
        false => Err(format!("\n{}", problems.join("\n")).into()),
    }
}

/// A command for a tool, or the reason why it is missing.
fn tool(name: &str, how: &str) -> Result<Command, String> {
    tools::find(name, how).map(Command::new)
}
