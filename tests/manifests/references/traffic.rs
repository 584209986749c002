//! Allowed traffic: routes, grants, NetworkPolicies, default denies of namespaces, and the Services that the API server calls.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::set::{EnvironmentSet, EvaluatedTemplate, items, matches, name, namespace_of, text};

/// Namespaces that exist in every cluster, and that of Argo CD.
const GIVEN_NAMESPACES: [&str; 2] = ["argocd", "kube-system"];

/// Whether a ReferenceGrant in the target's namespace allows objects of this kind and namespace to refer to the target.
fn granted(set: &EnvironmentSet, from: (&str, &str), to: (&str, &str, &str)) -> bool {
    set.of("ReferenceGrant").filter(|grant| namespace_of(grant) == to.1).any(|grant| {
        items(&grant["spec"]["from"]).any(|f| f["kind"] == from.0 && f["namespace"] == from.1)
            && items(&grant["spec"]["to"])
                .any(|t| t["kind"] == to.0 && (t["name"].is_null() || t["name"] == to.2))
    })
}

pub(super) fn routes(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    for gateway in set.of("Gateway") {
        if set.get("GatewayClass", "", text(gateway, "/spec/gatewayClassName")).is_none() {
            problems.push(format!("{}: its GatewayClass does not exist", name(gateway)));
        }
        for reference in items(&gateway["spec"]["listeners"])
            .flat_map(|listener| items(&listener["tls"]["certificateRefs"]))
        {
            let here = namespace_of(gateway);
            let (there, secret) = (reference["namespace"].as_str().unwrap_or(here), text(reference, "/name"));
            if there != here && !granted(set, ("Gateway", here), ("Secret", there, secret)) {
                problems.push(format!(
                    "{}: no ReferenceGrant in {there} allows it to read {secret}",
                    name(gateway)
                ));
            }
        }
    }
    for route in set.of("HTTPRoute") {
        let (who, here) = (name(route), namespace_of(route));
        for parent in items(&route["spec"]["parentRefs"]) {
            let there = parent["namespace"].as_str().unwrap_or(here);
            let Some(gateway) = set.get("Gateway", there, text(parent, "/name")) else {
                problems.push(format!("{who}: no Gateway {there}/{} found", text(parent, "/name")));
                continue;
            };
            let section = text(parent, "/sectionName");
            let Some(listener) = items(&gateway["spec"]["listeners"]).find(|l| l["name"] == section) else {
                problems.push(format!("{who}: {} has no listener {section}", name(gateway)));
                continue;
            };
            let allowed = &listener["allowedRoutes"]["namespaces"];
            let labels = serde_json::json!({"kubernetes.io/metadata.name": here});
            let admits = match text(allowed, "/from") {
                "All" => true,
                "Selector" => matches(&allowed["selector"], &labels),
                _ => here == there,
            };
            if !admits {
                problems.push(format!("{who}: the listener {section} does not allow routes from {here}"));
            }
            for host in items(&route["spec"]["hostnames"]) {
                if !listener["hostname"].is_null() && *host != listener["hostname"] {
                    problems.push(format!("{who}: {host} is not a host of the listener {section}"));
                }
            }
        }
        for backend in items(&route["spec"]["rules"]).flat_map(|rule| items(&rule["backendRefs"])) {
            let (there, wanted) = (backend["namespace"].as_str().unwrap_or(here), text(backend, "/name"));
            if there != here && !granted(set, ("HTTPRoute", here), ("Service", there, wanted)) {
                problems.push(format!("{who}: no ReferenceGrant in {there} allows it to refer to {wanted}"));
            }
            port_of(set, &who, there, wanted, &backend["port"], &mut problems);
        }
    }
    problems
}

/// Adds a problem if the Service does not exist or does not have this port.
fn port_of(
    set: &EnvironmentSet,
    who: &str,
    namespace: &str,
    wanted: &str,
    port: &Value,
    problems: &mut Vec<String>,
) {
    match set.get("Service", namespace, wanted) {
        None => problems.push(format!("{who}: no Service {namespace}/{wanted} found")),
        Some(service) if !items(&service["spec"]["ports"]).any(|p| p["port"] == *port) => {
            problems.push(format!("{who}: the Service {namespace}/{wanted} has no port {port}"));
        }
        Some(_) => {}
    }
}

/// The namespaces whose pods a Helm chart creates. This set does not contain them.
fn charts(set: &EnvironmentSet) -> BTreeSet<&str> {
    set.of("Application").map(|application| text(application, "/spec/destination/namespace")).collect()
}

pub(super) fn network_policies(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    let charts = charts(set);
    let namespaces: BTreeSet<&str> = set.of("Namespace").map(|ns| text(ns, "/metadata/name")).collect();
    // The set does not contain the pods of charts, of controllers, and of the cluster itself.
    let unseen = |namespace: &str| {
        charts.contains(namespace) || namespace == "gateway" || GIVEN_NAMESPACES.contains(&namespace)
    };
    for policy in set.of("NetworkPolicy") {
        let (who, here, spec) = (name(policy), namespace_of(policy), &policy["spec"]);
        let selected: Vec<_> = set.selected(here, &spec["podSelector"]).collect();
        let everybody = spec["podSelector"] == serde_json::json!({});
        if selected.is_empty() && !everybody && !unseen(here) && here != "kubewarden" {
            problems.push(format!("{who}: selects no pod"));
        }
        for port in items(&spec["ingress"]).flat_map(|rule| items(&rule["ports"])).map(|port| &port["port"]) {
            if !selected.is_empty() && !unseen(here) && !selected.iter().any(|pod| pod.has_port(port)) {
                problems.push(format!("{who}: no pod that it selects has the port {port}"));
            }
        }
        for (direction, side) in [("ingress", "from"), ("egress", "to")] {
            for rule in items(&spec[direction]) {
                for peer in items(&rule[side]) {
                    let there = text(peer, "/namespaceSelector/matchLabels/kubernetes.io~1metadata.name");
                    let there = if peer["namespaceSelector"].is_null() { here } else { there };
                    if peer["ipBlock"].is_object() {
                        continue;
                    }
                    let optional = ["kubewarden"];
                    if !namespaces.contains(there)
                        && !GIVEN_NAMESPACES.contains(&there)
                        && !optional.contains(&there)
                    {
                        problems.push(format!("{who}: no namespace {there} found"));
                        continue;
                    }
                    let selector = &peer["podSelector"];
                    if unseen(there) || optional.contains(&there) || selector.is_null() {
                        continue;
                    }
                    let pods: Vec<_> = set.selected(there, selector).collect();
                    if pods.is_empty() {
                        problems.push(format!("{who}: no pod in {there} matches a peer in {direction}"));
                    }
                    if direction == "egress" {
                        for port in items(&rule["ports"]).map(|port| &port["port"]) {
                            for pod in pods.iter().filter(|pod| !admits(set, pod, here, port)) {
                                problems.push(format!(
                                    "{who}: {} does not allow connections on {port} from {here}",
                                    pod.name()
                                ));
                            }
                        }
                    }
                }
            }
        }
    }
    problems
}

/// Whether a NetworkPolicy of the pod allows connections from a namespace to a port. It does not distinguish the pods
/// of that namespace.
pub(super) fn admits(set: &EnvironmentSet, pod: &EvaluatedTemplate<'_>, from: &str, port: &Value) -> bool {
    let same = |other: &Value| {
        other == port || pod.ports().iter().any(|(name, number)| other == name && port == number)
    };
    let theirs = set
        .of("NetworkPolicy")
        .filter(|policy| namespace_of(policy) == pod.namespace() && pod.has(&policy["spec"]["podSelector"]));
    theirs.flat_map(|policy| items(&policy["spec"]["ingress"])).any(|rule| {
        let peers = items(&rule["from"]).any(|peer| match peer["namespaceSelector"].is_null() {
            true => peer["podSelector"].is_object() && from == pod.namespace(),
            false => text(peer, "/namespaceSelector/matchLabels/kubernetes.io~1metadata.name") == from,
        });
        peers && items(&rule["ports"]).any(|p| same(&p["port"]))
    })
}

pub(super) fn namespaces(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    let used: BTreeSet<&str> = set.objects.iter().map(namespace_of).collect();
    for namespace in used.into_iter().filter(|ns| !ns.is_empty() && !GIVEN_NAMESPACES.contains(ns)) {
        if set.get("Namespace", "", namespace).is_none() {
            problems.push(format!("no Namespace {namespace} found, but the set has objects in it"));
        }
    }
    for namespace in set.of("Namespace") {
        let here = text(namespace, "/metadata/name");
        let policies = || set.of("NetworkPolicy").filter(move |policy| namespace_of(policy) == here);
        let denies = policies().any(|policy| {
            let spec = &policy["spec"];
            let both = ["Ingress", "Egress"].iter().all(|t| items(&spec["policyTypes"]).any(|p| p == t));
            spec["podSelector"] == serde_json::json!({})
                && both
                && spec["ingress"].is_null()
                && spec["egress"].is_null()
        });
        if !denies {
            problems.push(format!("{}: must have a default deny for both directions", name(namespace)));
        }
        let dns = policies().flat_map(|policy| items(&policy["spec"]["egress"])).any(|rule| {
            let both = ["UDP", "TCP"].iter().all(|protocol| {
                items(&rule["ports"]).any(|port| port["port"] == 53 && port["protocol"] == *protocol)
            });
            both && items(&rule["to"]).any(|peer| peer["podSelector"]["matchLabels"]["k8s-app"] == "kube-dns")
        });
        if !dns {
            problems.push(format!("{}: must allow its pods to use DNS", name(namespace)));
        }
        if namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].is_null() {
            problems.push(format!("{}: must have a Pod Security level", name(namespace)));
        }
    }
    problems
}

pub(super) fn called(set: &EnvironmentSet) -> Vec<String> {
    let mut problems = Vec::new();
    let services = set.of("APIService").map(|service| (name(service), &service["spec"]["service"]));
    let webhooks = set.of("ValidatingWebhookConfiguration").chain(set.of("MutatingWebhookConfiguration"));
    let webhooks = webhooks.flat_map(|configuration| {
        items(&configuration["webhooks"])
            .map(|webhook| (name(configuration), &webhook["clientConfig"]["service"]))
    });
    for (who, service) in services.chain(webhooks) {
        port_of(
            set,
            &who,
            text(service, "/namespace"),
            text(service, "/name"),
            &service["port"],
            &mut problems,
        );
    }
    for object in &set.objects {
        let from = text(object, "/metadata/annotations/cert-manager.io~1inject-ca-from");
        if let Some((namespace, wanted)) = from.split_once('/')
            && set.get("Certificate", namespace, wanted).is_none()
        {
            problems.push(format!("{}: no Certificate {from} found", name(object)));
        }
    }
    for certificate in set.of("Certificate") {
        let issuer = text(certificate, "/spec/issuerRef/name");
        if set.get("ClusterIssuer", "", issuer).is_none() {
            problems.push(format!("{}: no ClusterIssuer {issuer} found", name(certificate)));
        }
    }
    problems
}

/// The bases use documentation addresses (RFC 5737) as placeholders, which every environment must replace.
pub(super) fn addresses(set: &EnvironmentSet) -> Vec<String> {
    let left = set.objects.iter().filter(|object| object.to_string().contains("192.0.2."));
    left.map(|object| {
        format!("{}: a placeholder address in 192.0.2.0/24 has not been replaced", name(object))
    })
    .collect()
}
