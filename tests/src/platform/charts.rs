//! Replaces the Helm charts, as far as the tests depend on them: CustomResourceDefinitions, sealed-secrets, the
//! Prometheus Operator, Envoy's proxies and metrics-server. It leaves out everything else.

use std::process::Command;

use serde_json::{Value, json};

use super::apply::{applied, until_applied, until_ready};
use crate::control_plane::Api;
use crate::control_plane::kinds::{self, path};
use crate::process::run;
use crate::{root, tools};

/// The wave that deploys the webhook.
pub const ADMISSION: i64 = 4;

/// Creates the CustomResourceDefinitions of the manifests and of the Prometheus Operator.
///
/// # Errors
/// The API server rejects a definition.
pub async fn kinds(api: &Api) -> anyhow::Result<()> {
    let operator = tools::find("operator", tools::HOW).map_err(anyhow::Error::msg)?;
    kinds::define(api, crate::yaml(&run(Command::new(operator).arg("crds"))?)?).await
}

/// Deploys the objects of a wave's charts and waits until they are ready.
///
/// # Errors
/// An object is not admitted, or a workload does not become ready.
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
        // After the operator, because it creates the pods of Prometheus.
        applied(api, &prometheus_resource()).await?;
    }
    Ok(())
}

/// A Deployment that passes every level of the Pod Security Standards.
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

/// A pod that simulates metrics-server, with its Service and APIService.
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

/// The sealed-secrets controller, with the test key that protects nothing.
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

/// The Prometheus Operator.
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

/// The Prometheus resource, with the selectors of the chart's values (clusters/argocd/applications/kube-prometheus-stack.yaml).
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

/// The proxies that Envoy Gateway creates for the Gateway, with the labels and the port that monitors and policies select.
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
