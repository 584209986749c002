//! What the charts would make, as far as something here depends on it: the kinds, sealed-secrets, Prometheus' operator, Envoy's
//! proxies, metrics-server. Everything else of them is left out.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::apply::{applied, path, until_applied, until_ready};
use super::kubelet;
use crate::plane::Api;
use crate::serving::until;
use crate::{root, tools};

/// The wave that the webhook comes with.
pub const ADMISSION: i64 = 4;

/// Makes the kinds: those of `../shared/crds`, and the operator's own.
///
/// # Errors
/// One is not taken.
pub async fn kinds(api: &Api) -> anyhow::Result<()> {
    let folder = std::env::var_os("CRDS").map_or_else(|| root().join("../shared/crds"), PathBuf::from);
    let mut kinds = Vec::new();
    for file in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let objects = crate::yaml(&std::fs::read_to_string(file?.path())?)?;
        kinds.extend(objects.into_iter().filter(|object| object["kind"] == "CustomResourceDefinition"));
    }
    let operator = tools::find("operator", tools::HOW).map_err(anyhow::Error::msg)?;
    let own = crate::yaml(&kubelet::run(Command::new(operator).arg("crds"))?)?;
    let has = |kinds: &[Value], kind: &Value| {
        kinds.iter().any(|k| k["metadata"]["name"] == kind["metadata"]["name"])
    };
    for kind in own {
        if !has(&kinds, &kind) {
            kinds.push(kind);
        }
    }
    ensure!(kinds.len() > 30, "only {} kinds", kinds.len());
    until_applied(api, &kinds).await?;
    for kind in &kinds {
        let path = path(kind)?;
        until("the kind is established", || async {
            let conditions = api.get(&path).await?.body["status"]["conditions"].clone();
            let is_so = |c: &Value| c["type"] == "Established" && c["status"] == "True";
            Ok(conditions.as_array().is_some_and(|all| all.iter().any(is_so)))
        })
        .await?;
    }
    Ok(())
}

/// Deploys what the charts of a wave make, and waits for it.
///
/// # Errors
/// It is not admitted, or does not become ready.
pub async fn of_wave(api: &Api, wave: i64) -> anyhow::Result<()> {
    let objects = match wave {
        0 => metrics_server(),
        2 => sealed_secrets()?,
        5 => [prometheus(), envoy()].concat(),
        _ => return Ok(()),
    };
    until_applied(api, &objects).await?;
    for object in objects.iter().filter(|object| object["kind"] == "Deployment") {
        until_ready(api, &path(object)?).await?;
    }
    if wave == 5 {
        // After its operator, which makes its pods.
        applied(api, &prometheus_resource()).await?;
    }
    Ok(())
}

/// A Deployment that every level of the Pod Security Standards takes.
fn deployment(namespace: &str, name: &str, labels: Value, container: Value) -> Value {
    let mut container = container;
    container["securityContext"] = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "serviceAccountName": name,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container]}}}})
}

fn account(namespace: &str, name: &str, role: &str) -> [Value; 2] {
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]}),
    ]
}

/// A pod that stands for metrics-server, and what leads to it.
fn metrics_server() -> Vec<Value> {
    let labels = json!({"k8s-app": "metrics-server"});
    let mut pods = deployment(
        "kube-system",
        "metrics-server",
        labels.clone(),
        json!({"name": "metrics-server",
        "image": "registry.k8s.io/metrics-server/metrics-server:v0.8.0"}),
    );
    pods["spec"]["template"]["spec"]["serviceAccountName"] = json!("default");
    vec![
        pods,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics-server", "namespace": "kube-system"},
            "spec": {"selector": labels, "ports": [{"name": "https", "port": 443, "targetPort": 4443}]}}),
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": true, "service": {"name": "metrics-server", "namespace": "kube-system"}}}),
    ]
}

/// The controller, with the key that is worth nothing.
fn sealed_secrets() -> anyhow::Result<Vec<Value>> {
    const NAME: &str = "sealed-secrets-controller";
    let key = std::fs::read_to_string(root().join("tests/sealed-secrets/worthless.key"))?;
    let cert =
        std::fs::read_to_string(root().join("manifests/platform/security/sealed-secrets/throwaway.crt"))?;
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "worthless", "namespace": "sealed-secrets",
            "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}},
        "stringData": {"tls.crt": cert, "tls.key": key}})];
    objects.extend(account("sealed-secrets", NAME, "cluster-admin"));
    let labels = json!({"app.kubernetes.io/name": "sealed-secrets"});
    objects.push(deployment(
        "sealed-secrets",
        NAME,
        labels,
        json!({"name": "controller",
        "image": "docker.io/bitnami/sealed-secrets-controller:0.40.0",
        "args": ["--listen-addr=:8080", "--listen-metrics-addr=:8081", "--key-renew-period=0"],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 8081}]}),
    ));
    Ok(objects)
}

/// The operator.
fn prometheus() -> Vec<Value> {
    const OPERATOR: &str = "kube-prometheus-stack-operator";
    let labels = json!({"app.kubernetes.io/name": "kube-prometheus-stack-prometheus-operator"});
    let mut objects = account("monitoring", OPERATOR, "cluster-admin").to_vec();
    objects.extend(account("monitoring", "prometheus", "view"));
    objects.extend(account("monitoring", "prometheus-nodes", "system:monitoring"));
    objects.push(deployment(
        "monitoring",
        OPERATOR,
        labels,
        json!({"name": "operator",
        "image": "quay.io/prometheus-operator/prometheus-operator:v0.93.0",
        "args": ["--web.listen-address=:10250", "--web.enable-tls=false",
            "--prometheus-config-reloader=quay.io/prometheus-operator/prometheus-config-reloader:v0.93.0"],
        "ports": [{"name": "http", "containerPort": 10250}]}),
    ));
    objects
}

/// Prometheus, selecting as the chart's values say (clusters/argocd/applications/kube-prometheus-stack.yaml).
fn prometheus_resource() -> Value {
    let selects = json!({"matchLabels": {"release": "kube-prometheus-stack"}});
    json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
    "metadata": {"name": "k8s", "namespace": "monitoring"},
    "spec": {
        "version": "v3.16.0", "image": "quay.io/prometheus/prometheus:v3.16.0",
        "serviceAccountName": "prometheus", "serviceDiscoveryRole": "EndpointSlice",
        "scrapeInterval": "15s", "evaluationInterval": "5s",
        "serviceMonitorSelector": selects, "podMonitorSelector": selects, "ruleSelector": selects,
        "serviceMonitorNamespaceSelector": {}, "podMonitorNamespaceSelector": {}, "ruleNamespaceSelector": {},
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 2000,
            "seccompProfile": {"type": "RuntimeDefault"}},
    }})
}

/// The proxies that Envoy Gateway makes of the Gateway, with the labels and the port that monitors and policies select.
fn envoy() -> Vec<Value> {
    let labels = json!({"app.kubernetes.io/name": "envoy", "app.kubernetes.io/component": "proxy",
        "app.kubernetes.io/managed-by": "envoy-gateway"});
    let mut pods = deployment(
        "gateway",
        "envoy",
        labels,
        json!({"name": "envoy",
        "image": "docker.io/envoyproxy/envoy:distroless-v1.36.2",
        "ports": [{"name": "http-10080", "containerPort": 10080}, {"name": "metrics", "containerPort": 19001}]}),
    );
    pods["spec"]["template"]["spec"]["serviceAccountName"] = json!("default");
    vec![pods]
}
