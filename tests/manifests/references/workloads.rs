//! Workloads: their pod templates, ServiceAccounts, roles, and Applications.

use std::collections::BTreeSet;

use conformance::root;
use serde_json::Value;

use crate::set::{EnvironmentSet, items, name, namespace_of, text};

pub(super) fn pods(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    for server in set.of("PolicyServer").filter(|server| !has_exact_tag(text(server, "/spec/image"))) {
        problems.push(format!("{}: {}: must have an exact tag", name(server), server["spec"]["image"]));
    }
    for template in set.templates() {
        let who = template.name();
        let volumes: BTreeSet<&str> = items(&template.spec()["volumes"])
            .map(|volume| text(volume, "/name"))
            .chain(
                items(&template.workload["spec"]["volumeClaimTemplates"])
                    .map(|claim| text(claim, "/metadata/name")),
            )
            .collect();
        let selector = &template.workload["spec"]["selector"];
        if !selector.is_null() && !template.has(selector) {
            problems.push(format!("{who}: its selector does not select its own pods"));
        }
        for container in template.containers() {
            let image = text(container, "/image");
            if !has_exact_tag(image) {
                problems.push(format!("{who}: {image}: must have an exact tag"));
            }
            for resource in ["cpu", "memory"] {
                if container["resources"]["requests"][resource].is_null() {
                    problems.push(format!("{who}: {} requests no {resource}", container["name"]));
                }
            }
            for mount in items(&container["volumeMounts"]).map(|mount| text(mount, "/name")) {
                if !volumes.contains(mount) {
                    problems.push(format!("{who}: {}: no volume {mount} found", container["name"]));
                }
            }
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"].map(|probe| &container[probe]) {
                for port in ["httpGet", "tcpSocket"]
                    .map(|way| &probe[way]["port"])
                    .into_iter()
                    .filter(|p| !p.is_null())
                {
                    let has =
                        items(&container["ports"]).any(|p| p["name"] == *port || p["containerPort"] == *port);
                    if !has {
                        problems.push(format!("{who}: {} has no port {port}", container["name"]));
                    }
                }
            }
        }
    }
    problems
}

/// A tag is exact if it has three version numbers, because shorter ones move to later releases.
fn has_exact_tag(image: &str) -> bool {
    let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    tag.is_some_and(|tag| {
        let parts: Vec<&str> = tag.strip_prefix('v').unwrap_or(tag).splitn(3, '.').collect();
        parts.len() == 3 && parts.iter().all(|part| part.starts_with(|c: char| c.is_ascii_digit()))
    })
}

pub(super) fn budgets(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    for budget in set.of("PodDisruptionBudget") {
        let pods: Vec<_> = set.selected(namespace_of(budget), &budget["spec"]["selector"]).collect();
        if pods.is_empty() {
            problems.push(format!("{}: selects no pod", name(budget)));
        }
        for pod in pods {
            let scaler = set.of("HorizontalPodAutoscaler").find(|scaler| {
                namespace_of(scaler) == pod.namespace()
                    && scaler["spec"]["scaleTargetRef"]["name"] == pod.workload["metadata"]["name"]
            });
            let replicas = scaler.map_or(&pod.workload["spec"]["replicas"], |s| &s["spec"]["minReplicas"]);
            let replicas = replicas.as_u64().unwrap_or(1);
            let (least, most) = (&budget["spec"]["minAvailable"], &budget["spec"]["maxUnavailable"]);
            assert!(!least.is_string() && !most.is_string(), "this test does not support percentages yet");
            let leaves =
                most.as_u64().unwrap_or_else(|| replicas.saturating_sub(least.as_u64().unwrap_or(0)));
            if leaves == 0 {
                problems.push(format!("{}: no pod could ever be evicted", name(budget)));
            }
        }
    }
    problems
}

pub(super) fn accounts(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    let account = |namespace: &str, wanted: &str| set.get("ServiceAccount", namespace, wanted).is_some();
    for template in set.templates() {
        let (namespace, wanted) = (template.namespace(), text(template.spec(), "/serviceAccountName"));
        if !wanted.is_empty() && !account(namespace, wanted) {
            problems.push(format!("{}: no ServiceAccount {namespace}/{wanted} found", template.name()));
        }
    }
    for binding in set.of("RoleBinding").chain(set.of("ClusterRoleBinding")) {
        let (kind, role) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
        let namespace = if kind == "Role" { namespace_of(binding) } else { "" };
        // Every cluster has these roles.
        let given = role.starts_with("system:") || namespace == "kube-system";
        if !given && set.get(kind, namespace, role).is_none() {
            problems.push(format!("{}: no {kind} {namespace}/{role} found", name(binding)));
        }
        for subject in items(&binding["subjects"]) {
            let (namespace, wanted) = (text(subject, "/namespace"), text(subject, "/name"));
            if namespace != "kube-system" && !account(namespace, wanted) {
                problems.push(format!("{}: no ServiceAccount {namespace}/{wanted} found", name(binding)));
            }
        }
    }
    problems
}

pub(super) fn applications(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    let applications: Vec<&Value> = set.of("Application").collect();
    let root_application =
        applications.iter().find(|application| application["metadata"]["name"] == set.environment());
    let repository = root_application.map_or("", |application| text(application, "/spec/source/repoURL"));
    let mut deployed = BTreeSet::new();
    for application in &applications {
        let (who, source) = (name(application), &application["spec"]["source"]);
        let (repo, revision) = (text(source, "/repoURL"), text(source, "/targetRevision"));
        if source["chart"].is_string() {
            if repo == repository {
                problems.push(format!("{who}: a chart must not be in this repository"));
            }
            let exact = revision.trim_start_matches('v').split('.').all(|part| part.parse::<u32>().is_ok());
            if !exact || revision.split('.').count() != 3 {
                problems.push(format!("{who}: {revision}: must be one exact version of the chart"));
            }
        } else {
            let path = text(source, "/path");
            deployed.extend(path.rsplit('/').next());
            if repo != repository {
                problems.push(format!(
                    "{who}: {repo} must be the repository of the root Application, {repository}"
                ));
            }
            if !root().join(path).join("kustomization.yaml").is_file() {
                problems.push(format!("{who}: no folder {path} with a kustomization found"));
            }
        }
        let project = set.of("AppProject").find(|p| p["metadata"]["name"] == application["spec"]["project"]);
        let known = project.is_some_and(|project| items(&project["spec"]["sourceRepos"]).any(|r| r == repo));
        if application["metadata"]["name"] != set.environment() && !known {
            problems.push(format!("{who}: its project does not allow the repository {repo}"));
        }
    }
    // Applications must deploy every folder that the environment lists.
    let listed = root().join("manifests/clusters").join(set.environment()).join("kustomization.yaml");
    let listed = std::fs::read_to_string(&listed).unwrap_or_else(|e| panic!("{}: {e}", listed.display()));
    let listed = conformance::yaml(&listed).expect("the kustomization is YAML").remove(0);
    for folder in items(&listed["resources"]).filter_map(Value::as_str) {
        if !deployed.contains(folder) {
            problems.push(format!("{}: no Application deploys the folder {folder}", set.name));
        }
    }
    problems
}
