//! Sync waves of Argo CD: the dependencies of an object are in an earlier wave, or in the same one.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use conformance::root;
use serde_json::Value;

use super::keys::readings;
use crate::set::{self, EnvironmentSet, name, namespace_of, text};

/// The folder of the environment that contains each object. Folder and Application have the same name.
fn deployers(environment: &'static str) -> &'static BTreeMap<String, String> {
    static BUILT: OnceLock<BTreeMap<&'static str, BTreeMap<String, String>>> = OnceLock::new();
    let built = BUILT.get_or_init(|| ["production", "staging"].map(|name| (name, deployed(name))).into());
    &built[environment]
}

fn deployed(environment: &str) -> BTreeMap<String, String> {
    let mut deployers = BTreeMap::new();
    let folder = root().join("manifests/clusters").join(environment);
    for part in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let part = part.expect("the folder can be listed").file_name().to_string_lossy().into_owned();
        // `network` is a component, and `argocd` is deployed manually.
        if part == "network" || part == "argocd" || part.contains('.') {
            continue;
        }
        for object in set::build(&root().join("manifests"), &format!("clusters/{environment}/{part}")) {
            deployers.insert(name(&object), part.clone());
        }
    }
    deployers
}

/// The dependencies of each object that must exist before it can be created, or before its Application becomes healthy.
fn needs(set: &EnvironmentSet) -> Vec<(String, String)> {
    let mut needs = Vec::new();
    for object in &set.objects {
        let who = name(object);
        if !namespace_of(object).is_empty() {
            needs.push((who.clone(), format!("Namespace {}", namespace_of(object))));
        }
        if object["kind"] == "Certificate" {
            needs.push((who.clone(), format!("ClusterIssuer {}", text(object, "/spec/issuerRef/name"))));
        }
        if object["kind"] == "HorizontalPodAutoscaler" {
            let target = text(object, "/spec/scaleTargetRef/name");
            needs.push((who.clone(), format!("Deployment {}/{target}", namespace_of(object))));
        }
        let scaled = object["kind"] == "HTTPRoute" && namespace_of(object) != "gateway";
        if scaled {
            needs.push((who, "Gateway gateway/public".to_owned()));
        }
    }
    for (who, kind, namespace, secret, _) in readings(set).into_iter().filter(|reading| reading.1 == "Secret")
    {
        let made_by = set.of("Certificate").find(|certificate| {
            namespace_of(certificate) == namespace && text(certificate, "/spec/secretName") == secret
        });
        let maker = made_by.map_or_else(|| format!("Sealed{kind} {namespace}/{secret}"), name);
        needs.push((who, maker));
    }
    needs
}

/// The Applications of Helm charts, and the Applications that must be in a later wave because they use the chart.
const CHARTS: [(&str, &[&str]); 6] = [
    (
        "prometheus-operator-crds",
        &["admission", "monitoring", "logging", "data", "apps", "gateway", "security"],
    ),
    ("gateway-crds", &["gateway", "apps", "envoy-gateway"]),
    ("cert-manager", &["certificates", "admission", "monitoring", "apps"]),
    ("sealed-secrets", &["secrets"]),
    ("kube-prometheus-stack", &["autoscaling"]),
    ("envoy-gateway", &["gateway"]),
];

pub(super) fn waves(set: &EnvironmentSet) -> Vec<String> {
    let wave = |application: &Value| {
        let wave = text(application, "/metadata/annotations/argocd.argoproj.io~1sync-wave");
        (text(application, "/metadata/name").to_owned(), wave.parse::<i64>().unwrap_or_default())
    };
    let waves: BTreeMap<String, i64> = set.of("Application").map(wave).collect();
    let deployers = deployers(set.environment());
    let mut problems = Vec::new();
    for (who, needed) in needs(set) {
        let (Some(mine), Some(theirs)) = (deployers.get(&who), deployers.get(&needed)) else { continue };
        if waves.get(theirs) > waves.get(mine) {
            problems
                .push(format!("{who} is deployed by {mine}, and needs {needed} of {theirs}, a later wave"));
        }
    }
    for (chart, users) in CHARTS {
        for user in users.iter().filter(|user| waves.get(**user) <= waves.get(chart)) {
            problems.push(format!("{user} must be in a later wave than the chart {chart}, which it needs"));
        }
    }
    // Everything after the webhook must be validated by it.
    for later in ["monitoring", "logging", "security", "data", "apps", "gateway"] {
        if waves.get(later) <= waves.get("admission") {
            problems.push(format!("{later} must be in a later wave than admission, which validates it"));
        }
    }
    if waves.get("autoscaling") <= waves.get("apps") {
        problems.push("autoscaling must be in a later wave than apps, which it scales".to_owned());
    }
    problems
}
