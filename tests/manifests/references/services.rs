//! Services, and the monitors and autoscalers that depend on them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::traffic::admits;
use crate::set::{EnvironmentSet, EvaluatedTemplate, items, matches, name, namespace_of, text};

/// A label that pods get at runtime (data/mysql/scripts/label.sh), so pod templates do not have it.
const GIVEN_WHILE_RUNNING: &str = "mysql-role";

/// The pods that a Service selects.
fn behind<'s>(set: &'s EnvironmentSet, service: &'s Value) -> Vec<EvaluatedTemplate<'s>> {
    let mut selector = service["spec"]["selector"].clone();
    if let Some(map) = selector.as_object_mut() {
        map.remove(GIVEN_WHILE_RUNNING);
    }
    let there = set.templates().filter(|template| template.namespace() == namespace_of(service));
    there.filter(|template| template.has(&selector)).collect()
}

pub(super) fn services(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    for service in set.of("Service") {
        let pods = behind(set, service);
        if pods.is_empty() {
            problems.push(format!("{}: selects no pod", name(service)));
        }
        for port in items(&service["spec"]["ports"]) {
            let target = if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] };
            for pod in pods.iter().filter(|pod| !pod.has_port(target)) {
                problems.push(format!("{}: no port {target} in {}", name(service), pod.name()));
            }
        }
    }
    for stateful in set.of("StatefulSet") {
        let (namespace, wanted) = (namespace_of(stateful), text(stateful, "/spec/serviceName"));
        if set.get("Service", namespace, wanted).is_none() {
            problems.push(format!("{}: no Service {namespace}/{wanted} found", name(stateful)));
        }
    }
    problems
}

/// Pods that a controller creates for an object of the set: namespace, labels, and the name of the port.
fn made_by_controllers() -> [(&'static str, Value, &'static str); 1] {
    let labels =
        serde_json::json!({"app.kubernetes.io/name": "envoy", "app.kubernetes.io/component": "proxy"});
    [("gateway", labels, "metrics")]
}

/// An endpoint of a monitor, with the pods that Prometheus scrapes because of it.
struct MonitorEndpoint<'s> {
    monitor: &'s Value,
    /// The name of the port.
    port: &'s str,
    /// The pods, each with the port's number.
    pods: Vec<(EvaluatedTemplate<'s>, u64)>,
}

fn endpoints(set: &EnvironmentSet) -> Vec<MonitorEndpoint<'_>> {
    let mut endpoints = Vec::new();
    let number = |pod: EvaluatedTemplate<'_>, port: &Value| {
        let found = pod.ports().into_iter().find(|(name, number)| port == name || port == number);
        found.map(|(_, number)| number)
    };
    for monitor in set.of("ServiceMonitor") {
        for endpoint in items(&monitor["spec"]["endpoints"]) {
            let selected = set.of("Service").filter(|service| {
                namespace_of(service) == namespace_of(monitor)
                    && matches(&monitor["spec"]["selector"], &service["metadata"]["labels"])
            });
            let ports = selected
                .flat_map(|service| items(&service["spec"]["ports"]).map(move |port| (service, port)));
            let pods =
                ports.filter(|(_, port)| port["name"] == endpoint["port"]).flat_map(|(service, port)| {
                    let pods = behind(set, service).into_iter();
                    pods.filter_map(move |pod| number(pod, &port["targetPort"]).map(|number| (pod, number)))
                });
            endpoints.push(MonitorEndpoint { monitor, port: text(endpoint, "/port"), pods: pods.collect() });
        }
    }
    for monitor in set.of("PodMonitor") {
        for endpoint in items(&monitor["spec"]["podMetricsEndpoints"]) {
            let pods = set.selected(namespace_of(monitor), &monitor["spec"]["selector"]);
            let pods = pods.filter_map(|pod| number(pod, &endpoint["port"]).map(|number| (pod, number)));
            endpoints.push(MonitorEndpoint { monitor, port: text(endpoint, "/port"), pods: pods.collect() });
        }
    }
    endpoints
}

/// The label that selects the namespace in a peer of a NetworkPolicy.
const NAMESPACE_OF_PEER: &str = "/namespaceSelector/matchLabels/kubernetes.io~1metadata.name";

/// NetworkPolicies must allow every scrape on both ends: Prometheus' egress and the pod's ingress.
pub(super) fn scrapes(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    let prometheus = set.get("NetworkPolicy", "monitoring", "prometheus").unwrap_or(&Value::Null);
    let scraped: Vec<_> = endpoints(set).into_iter().flat_map(|endpoint| endpoint.pods).collect();
    assert!(scraped.len() >= 8, "{} ports are scraped", scraped.len());
    for (pod, port) in scraped {
        let calls = items(&prometheus["spec"]["egress"]).any(|rule| {
            items(&rule["to"]).any(|peer| text(peer, NAMESPACE_OF_PEER) == pod.namespace())
                && items(&rule["ports"]).any(|allowed| allowed["port"] == port)
        });
        if !calls {
            problems.push(format!("{}: Prometheus is not allowed to connect to its port {port}", pod.name()));
        }
        if !admits(set, &pod, "monitoring", &port.into()) {
            problems.push(format!("{}: does not allow Prometheus on port {port}", pod.name()));
        }
    }
    problems
}

pub(super) fn monitors(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    for kind in ["ServiceMonitor", "PodMonitor", "PrometheusRule"] {
        for object in set.of(kind).filter(|o| o["metadata"]["labels"]["release"] != "kube-prometheus-stack") {
            problems.push(format!("{}: must have the label release of kube-prometheus-stack", name(object)));
        }
    }
    let mut scraped: BTreeMap<(String, u64), usize> = BTreeMap::new();
    for MonitorEndpoint { monitor, port, pods } in endpoints(set) {
        let made = made_by_controllers().iter().any(|(namespace, labels, theirs)| {
            *namespace == namespace_of(monitor)
                && matches(&monitor["spec"]["selector"], labels)
                && *theirs == port
        });
        if pods.is_empty() && !made {
            problems.push(format!("{}: selects nothing with a port named {port}", name(monitor)));
        }
        for (pod, number) in pods {
            *scraped.entry((pod.name(), number)).or_default() += 1;
        }
    }
    // A pod is scraped twice if a monitor selects two of its Services.
    for ((pod, port), times) in scraped.into_iter().filter(|(_, times)| *times > 1) {
        problems.push(format!("{pod}: its port {port} is scraped {times} times"));
    }
    problems
}

pub(super) fn autoscalers(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    let mut scaled = BTreeSet::new();
    for scaler in set.of("HorizontalPodAutoscaler") {
        let (who, namespace, spec) = (name(scaler), namespace_of(scaler), &scaler["spec"]);
        let (kind, target) = (text(spec, "/scaleTargetRef/kind"), text(spec, "/scaleTargetRef/name"));
        if !scaled.insert((namespace, kind, target)) {
            problems.push(format!("{who}: another autoscaler scales {kind} {target}"));
        }
        let (least, most) = (spec["minReplicas"].as_u64(), spec["maxReplicas"].as_u64());
        if least > most {
            problems.push(format!("{who}: minReplicas must not be more than maxReplicas"));
        }
        if !spec["behavior"].is_object() || items(&spec["metrics"]).count() < 2 {
            problems.push(format!("{who}: must have a behavior and several metrics"));
        }
        let Some(workload) = set.get(kind, namespace, target) else {
            problems.push(format!("{who}: no {kind} {namespace}/{target} found"));
            continue;
        };
        if !workload["spec"]["replicas"].is_null() {
            problems.push(format!("{}: must not have spec.replicas, which {who} sets", name(workload)));
        }
        let template = EvaluatedTemplate { workload, pod: &workload["spec"]["template"] };
        for metric in items(&spec["metrics"]) {
            let resource = &metric["containerResource"];
            if resource.is_object() {
                let (wanted, what) = (text(resource, "/container"), text(resource, "/name"));
                match template.containers().find(|container| container["name"] == wanted) {
                    None => problems.push(format!("{who}: {} has no container {wanted}", name(workload))),
                    Some(container) if container["resources"]["requests"][what].is_null() => {
                        problems.push(format!("{who}: the container {wanted} requests no {what}"));
                    }
                    Some(_) => {}
                }
            }
            let object = &metric["object"]["describedObject"];
            if object.is_object() {
                let (kind, wanted) = (text(object, "/kind"), text(object, "/name"));
                if set.get(kind, namespace, wanted).is_none() {
                    problems.push(format!("{who}: no {kind} {namespace}/{wanted} found"));
                }
            }
        }
    }
    problems
}
