//! Everything is admitted with the minimum of exceptions, and the tree contains no files that are not deployed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use conformance::process::pratique;
use conformance::{ignored, root};
use libtest_mimic::{Failed, Trial};
use pod_security_standards::CONTROLS;
use policy_core::{AdmissionPhase, Arena, ConfiguredPolicy, Field, NoCluster, Request, Value, admit};
use serde_json::{Value as Json, json};
use webhook_server::config;
use webhook_server::sources::{Input, Kustomizations, can_build, places};

use crate::none;
use crate::set::{self, items, name, namespace_of, text};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("policies::every_file_is_listed_in_a_kustomization", every_file_is_listed),
        Trial::test("policies::no_file_has_a_plain_secret", no_plain_secret),
        Trial::test("policies::every_exception_is_narrow", exceptions_are_narrow),
    ];
    if can_build() {
        trials.push(Trial::test("policies::check_manifests_admits_everything", check_manifests));
        trials.push(Trial::test("policies::each_environment_is_admitted_separately", check_environments));
        trials.push(Trial::test(
            "policies::without_exceptions_only_collectors_and_falco_are_denied",
            without_exceptions,
        ));
        trials.push(Trial::test("policies::kubewarden_admits_what_the_webhook_does", kubewarden));
        trials.push(Trial::test(
            "policies::roles_allow_exactly_the_kinds_that_policies_read",
            rbac_grants_only_the_watched_kinds,
        ));
    } else {
        trials.push(ignored(
            "policies::check_manifests",
            "neither kustomize nor kubectl is on the PATH: install one",
        ));
    }
    trials
}

/// Checks each environment separately, so that a workload cannot depend on another environment's objects.
fn check_environments() -> Result<(), Failed> {
    for environment in ["production", "staging"] {
        let mut command = pratique();
        command.current_dir(root()).args(["check", "--config", "manifests/policies.yaml"]);
        let output = command.arg(format!("manifests/clusters/{environment}")).output()?;
        if !output.status.success() {
            return Err(format!("{environment}: {}", String::from_utf8_lossy(&output.stdout)).into());
        }
    }
    Ok(())
}

/// Runs the command of the README.
fn check_manifests() -> Result<(), Failed> {
    let output = pratique().current_dir(root()).args(["check", "--output", "json", "manifests"]).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{stderr}{}", String::from_utf8_lossy(&output.stdout)).into());
    }
    assert!(!stderr.contains("skipped"), "no policy may be skipped: {stderr}");
    let report: Json = serde_json::from_slice(&output.stdout)?;
    let evaluated: BTreeSet<&str> = items(&report["verdicts"]).map(|row| text(row, "/object/name")).collect();
    for workload in
        ["alloy", "api", "falco", "falcosidekick", "loki", "mongodb", "mysql", "promtail", "webhook"]
    {
        assert!(evaluated.contains(workload), "{workload} is not evaluated");
    }
    Ok(())
}

/// Without `policies.yaml`, exactly the workloads with exceptions are denied.
fn without_exceptions() -> Result<(), Failed> {
    let folder = std::env::temp_dir().join(format!("pratique-no-exceptions-{}.yaml", std::process::id()));
    std::fs::write(&folder, "policies:\n- name: pod-security-standards\n")?;
    let mut command = pratique();
    command.current_dir(root()).args(["check", "--output", "json", "--config"]).arg(&folder).arg("manifests");
    let output = command.output()?;
    std::fs::remove_file(&folder)?;
    let report: Json = serde_json::from_slice(&output.stdout)?;
    let denied: BTreeSet<String> = items(&report["verdicts"])
        .filter(|row| row["outcome"] == "deny")
        .map(|row| format!("{} {}", text(row, "/object/kind"), text(row, "/object/name")))
        .collect();
    assert_eq!(denied.into_iter().collect::<Vec<_>>(), ["DaemonSet falco", "DaemonSet promtail"]);
    Ok(())
}

fn exceptions_are_narrow() -> Result<(), Failed> {
    let file =
        config::in_directory(&root().join("manifests")).ok_or("manifests/policies.yaml does not exist")?;
    let config = config::Config::parse(&std::fs::read_to_string(&file)?, &file)?;
    let mut problems = Vec::new();
    for exception in config.exceptions.iter() {
        if exception.container.is_none() && exception.volumes.is_empty() {
            problems.push(format!("{}: names neither a container nor volumes", exception.place));
        }
        let known = CONTROLS.iter().any(|control| control.id.as_str() == exception.control);
        if !known {
            problems.push(format!("{}: no control {} found", exception.place, exception.control));
        }
    }
    none(problems)
}

/// Kubewarden has settings per namespace, not per workload. Namespaces with exceptions therefore have their own settings.
fn kubewarden() -> Result<(), Failed> {
    let staging = set::environments().find(|set| set.name == "staging").ok_or("no set `staging` found")?;
    let mut evaluated = 0;
    for policy in staging.of("AdmissionPolicy") {
        let entry =
            policy_catalog::find(text(policy, "/metadata/name")).ok_or("the policy is not in the catalog")?;
        let settings = policy["spec"]["settings"].to_string();
        let policies = [ConfiguredPolicy { metadata: entry.metadata, policy: (entry.configure)(&settings)? }];
        let here = |object: &&Json| namespace_of(object) == namespace_of(policy);
        for object in set::all().iter().flat_map(|set| set.objects.iter().filter(here)) {
            let arena = Arena::new();
            let text = object.to_string();
            let value = Value::from_json(text.as_bytes(), &arena)?;
            let request =
                Request::create(Field::root(value, &arena), "default").map_err(|e| e.to_string())?;
            let verdicts = admit(&policies, &request, &NoCluster, AdmissionPhase::Validating);
            evaluated += verdicts.rows.len();
            if !verdicts.allowed() {
                return Err(format!("{}: {}", name(object), verdicts.message()).into());
            }
        }
    }
    assert!(evaluated >= 3, "Falco and a log collector must be evaluated");
    Ok(())
}

/// The webhook and the policy server may read exactly the kinds that the policies declare in `reads`.
fn rbac_grants_only_the_watched_kinds() -> Result<(), Failed> {
    let arena = Arena::new();
    let mut wanted = BTreeSet::new();
    for read in policy_catalog::POLICIES
        .iter()
        .filter(|entry| !entry.metadata.for_manifest_sets())
        .flat_map(|entry| entry.metadata.reads)
    {
        let api_version = policy_core::request::api_version(read.group, read.version);
        let object = json!({"apiVersion": api_version, "kind": read.kind}).to_string();
        let value = Value::from_json(arena.bytes(object.as_bytes()), &arena)?;
        let request = Request::create(Field::root(value, &arena), "").map_err(|e| e.to_string())?;
        wanted.insert((read.group.to_owned(), request.resource.resource.to_owned()));
    }
    for (role, verbs) in [
        ("pratique-webhook", json!(["list", "watch"])),
        ("policy-server-context", json!(["get", "list", "watch"])),
    ] {
        let staging =
            set::environments().find(|set| set.name == "staging").ok_or("no set `staging` found")?;
        let role = staging.get("ClusterRole", "", role).ok_or("the role does not exist")?;
        let mut granted = BTreeSet::new();
        for rule in items(&role["rules"]) {
            assert_eq!(rule["verbs"], verbs, "{}", name(role));
            for group in items(&rule["apiGroups"]) {
                let resources =
                    items(&rule["resources"]).map(|resource| (text(group, ""), text(resource, "")));
                granted.extend(resources.map(|(group, resource)| (group.to_owned(), resource.to_owned())));
            }
        }
        assert_eq!(granted, wanted, "{}", name(role));
    }
    Ok(())
}

fn every_file_is_listed() -> Result<(), Failed> {
    let mut problems = Vec::new();
    for file in files() {
        let folder = file.parent().ok_or("the file has no parent folder")?;
        let Some((listed, beside)) = listed(folder) else {
            problems.push(format!("{}: no kustomization found in its parent folders", file.display()));
            continue;
        };
        let path = file.strip_prefix(&beside)?.to_string_lossy().into_owned();
        if !listed.contains(&path) {
            problems.push(format!(
                "{}: not listed in the kustomization of {}",
                file.display(),
                beside.display()
            ));
        }
    }
    none(problems)
}

/// The files that the nearest kustomization lists, and its folder.
fn listed(folder: &Path) -> Option<(BTreeSet<String>, PathBuf)> {
    let beside = folder.ancestors().find(|folder| folder.join("kustomization.yaml").is_file())?;
    let text = std::fs::read_to_string(beside.join("kustomization.yaml")).ok()?;
    let kustomization = conformance::yaml(&text).ok()?.into_iter().next()?;
    let generated =
        items(&kustomization["configMapGenerator"]).flat_map(|generator| items(&generator["files"]));
    let listed = items(&kustomization["resources"]).chain(generated);
    // A generator may rename a file: `mongosh.conf=mongosh.yaml`.
    let file = |item: &Json| item.as_str().map(|file| file.rsplit('=').next().unwrap_or_default().to_owned());
    Some((listed.filter_map(file).collect(), beside.to_owned()))
}

fn no_plain_secret() -> Result<(), Failed> {
    let mut problems = Vec::new();
    for file in files() {
        let text = std::fs::read_to_string(&file)?;
        // Configuration files of other programs need not be Kubernetes objects.
        for object in conformance::yaml(&text).map_err(|error| format!("{}: {error}", file.display()))? {
            if object["kind"] == "Secret" {
                problems.push(format!("{}: contains a plain Secret; seal it", file.display()));
            }
        }
    }
    none(problems)
}

fn files() -> Vec<PathBuf> {
    let found =
        places(&[root().join("manifests")], Kustomizations::ReadFiles).expect("the manifests can be read");
    let file = |place| match place {
        Input::File(file) => Some(file),
        _ => None,
    };
    found.into_iter().filter_map(file).filter(|file| !file.ends_with("kustomization.yaml")).collect()
}
