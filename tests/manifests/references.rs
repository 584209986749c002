//! Checks references between objects: names, keys, ports, selectors, grants, waves.

mod keys;
mod services;
mod traffic;
mod waves;
mod workloads;

use libtest_mimic::Trial;

use self::keys::{keys_are_used, keys_exist};
use self::services::{autoscalers, monitors, scrapes, services};
use self::traffic::{addresses, called, namespaces, network_policies, routes};
use self::waves::waves;
use self::workloads::{accounts, applications, budgets, pods};
use crate::none;
use crate::set::{self, EnvironmentSet};

type Check = fn(&EnvironmentSet) -> Vec<String>;

/// All checks.
const CHECKS: [(&str, Check); 16] = [
    ("every_key_of_a_secret_or_config_map_exists", keys_exist),
    ("every_sealed_key_is_used", keys_are_used),
    ("every_service_selects_pods_that_have_its_ports", services),
    ("every_monitor_selects_a_port_and_each_once", monitors),
    ("every_autoscaler_scales_what_can_be_scaled", autoscalers),
    ("every_route_has_a_listener_and_a_service", routes),
    ("every_disruption_budget_allows_evictions", budgets),
    ("every_network_policy_matches_pods", network_policies),
    ("every_pod_template_is_consistent", pods),
    ("every_account_and_role_exists", accounts),
    ("every_namespace_exists_and_denies_by_default", namespaces),
    ("every_service_that_the_api_server_calls_exists", called),
    ("every_application_deploys_a_folder", applications),
    ("every_dependency_is_in_an_earlier_wave", waves),
    ("every_metrics_port_is_open_to_prometheus", scrapes),
    ("no_placeholder_address_remains", addresses),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = CHECKS
        .into_iter()
        .map(|(name, check)| {
            Trial::test(format!("references::{name}"), move || {
                let found = |set: &'static EnvironmentSet| {
                    check(set).into_iter().map(|p| format!("{}: {p}", set.name))
                };
                none(set::all().iter().flat_map(found).collect())
            })
        })
        .collect();
    trials.push(Trial::test("references::every_mistake_is_detected", || {
        none(
            breakages()
                .into_iter()
                .filter_map(|(set, check, wanted)| unnoticed(&set, check, wanted))
                .collect(),
        )
    }));
    trials
}

/// Sets with one mistake each, the check that must detect it, and a part of the expected message.
fn breakages() -> Vec<(EnvironmentSet, Check, &'static str)> {
    let set = &set::all()[0];
    let with = |object, from, to| set.with(object, from, to);
    vec![
        (
            with("Deployment shop/api", "mysql-password", "mysql-pass"),
            keys_exist,
            "databases has no key mysql-pass",
        ),
        (
            with("Deployment shop/api", "\"name\":\"databases\"", "\"name\":\"database\""),
            keys_exist,
            "no Secret shop/database",
        ),
        (set.without("SealedSecret falco/falcosidekick"), keys_exist, "no Secret falco/falcosidekick"),
        (set.without("Certificate pratique/webhook"), keys_exist, "no Secret pratique/webhook-tls"),
        (
            with("StatefulSet mysql/mysql", "mysql/exporter-password", "mysql/exporter"),
            keys_exist,
            "mysql has no key exporter",
        ),
        (
            with("StatefulSet mongodb/mongodb", "\"key\":\"keyfile\"", "\"key\":\"key\""),
            keys_exist,
            "mongodb has no key key",
        ),
        (
            with(
                "Application argocd/kube-prometheus-stack",
                "\"passwordKey\":\"password\"",
                "\"passwordKey\":\"pass\"",
            ),
            keys_exist,
            "grafana-admin has no key pass",
        ),
        (
            with("Deployment shop/worker", "mongodb-uri", "mysql-password"),
            |set| keys_are_used(&set.with("Deployment shop/api", "mongodb-uri", "mysql-password")),
            "nothing reads the key mongodb-uri",
        ),
        (
            with(
                "Service shop/api",
                "\"selector\":{\"app.kubernetes.io/name\":\"api\"",
                "\"selector\":{\"app.kubernetes.io/name\":\"app\"",
            ),
            services,
            "Service shop/api: selects no pod",
        ),
        (
            with("Service shop/api", "\"targetPort\":\"http\"", "\"targetPort\":\"web\""),
            services,
            "Service shop/api: no port \"web\"",
        ),
        (with("Service mysql/mysql", "\"targetPort\":9104", "\"targetPort\":9105"), services, "no port 9105"),
        // The same checks apply to the sidecars that admission adds: the key of a Secret, and the port behind a Service.
        (
            with("StatefulSet mysql/mysql", "mysql/exporter-password", "mysql/exporter-passwd"),
            keys_exist,
            "has no key exporter-passwd",
        ),
        (
            with("StatefulSet mongodb/mongodb", "mongodb/exporter-uri", "mongodb/exporter-url"),
            keys_exist,
            "has no key exporter-url",
        ),
        (
            with("StatefulSet mysql/mysql", "inject-exporter\":\"mysqld\"", "inject-exporter\":\"false\""),
            services,
            "no port 9104",
        ),
        (
            with("StatefulSet mysql/mysql", "\"serviceName\":\"mysql\"", "\"serviceName\":\"db\""),
            services,
            "no Service mysql/db",
        ),
        (
            with("ServiceMonitor shop/api", "\"port\":\"metrics\"", "\"port\":\"metric\""),
            monitors,
            "selects nothing with a port named metric",
        ),
        (
            with("ServiceMonitor shop/api", "\"release\":", "\"releases\":"),
            monitors,
            "must have the label release",
        ),
        (
            with("ServiceMonitor mysql/mysql", "\"app.kubernetes.io/component\":\"members\",", ""),
            |set| {
                let second = "\"name\":\"metrics\",\"port\":3306,\"targetPort\":9104";
                let first = "\"name\":\"mysql\",\"port\":3306,\"targetPort\":\"mysql\"";
                monitors(&set.with("Service mysql/mysql-read", first, second))
            },
            "StatefulSet mysql/mysql: its port 9104 is scraped 2 times",
        ),
        (
            with("PodMonitor log-collector/alloy", "\"port\":\"metrics\"", "\"port\":\"http\""),
            monitors,
            "selects nothing with a port named http",
        ),
        (
            with(
                "HorizontalPodAutoscaler shop/api",
                "\"kind\":\"Deployment\",\"name\":\"api\"",
                "\"kind\":\"Deployment\",\"name\":\"app\"",
            ),
            autoscalers,
            "no Deployment shop/app found",
        ),
        (
            with("HorizontalPodAutoscaler shop/api", "\"container\":\"api\"", "\"container\":\"app\""),
            autoscalers,
            "no container app",
        ),
        (
            with("Deployment shop/api", "\"spec\":{", "\"spec\":{\"replicas\":3,"),
            autoscalers,
            "spec.replicas",
        ),
        (with("Deployment shop/api", "\"cpu\":", "\"ephemeral-storage\":"), autoscalers, "requests no cpu"),
        (
            with(
                "HorizontalPodAutoscaler shop/api",
                "\"kind\":\"Service\",\"name\":\"api\"",
                "\"kind\":\"Service\",\"name\":\"app\"",
            ),
            autoscalers,
            "no Service shop/app found",
        ),
        (
            with("HTTPRoute shop/api", "\"sectionName\":\"shop\"", "\"sectionName\":\"shops\""),
            routes,
            "no listener shops",
        ),
        (
            with("HTTPRoute shop/api", "\"sectionName\":\"shop\"", "\"sectionName\":\"http\""),
            routes,
            "does not allow routes from shop",
        ),
        (with("HTTPRoute shop/api", "shop.example.com", "store.example.com"), routes, "not a host of"),
        (with("HTTPRoute shop/api", "\"port\":80", "\"port\":8080"), routes, "has no port 8080"),
        (set.without("ReferenceGrant shop/gateway"), routes, "no ReferenceGrant"),
        (
            with("PodDisruptionBudget pratique/webhook", "\"minAvailable\":2", "\"minAvailable\":3"),
            budgets,
            "no pod could ever be evicted",
        ),
        (
            with("NetworkPolicy shop/api", "\"port\":\"metrics\"", "\"port\":\"metric\""),
            network_policies,
            "no pod that it selects has the port \"metric\"",
        ),
        (
            with(
                "NetworkPolicy shop/api",
                "\"podSelector\":{\"matchLabels\":{\"app.kubernetes.io/name\":\"api\"",
                "\"podSelector\":{\"matchLabels\":{\"app.kubernetes.io/name\":\"app\"",
            ),
            network_policies,
            "selects no pod",
        ),
        (
            with(
                "NetworkPolicy shop/api",
                "\"kubernetes.io/metadata.name\":\"monitoring\"",
                "\"kubernetes.io/metadata.name\":\"monitor\"",
            ),
            network_policies,
            "no namespace monitor found",
        ),
        (
            with("NetworkPolicy shop/api", "\"port\":3306", "\"port\":3307"),
            network_policies,
            "does not allow connections on 3307",
        ),
        (
            with(
                "Deployment shop/web",
                "\"mountPath\":\"/tmp\",\"name\":\"tmp\"",
                "\"mountPath\":\"/tmp\",\"name\":\"temp\"",
            ),
            pods,
            "no volume temp",
        ),
        (
            with(
                "Deployment shop/api",
                "\"path\":\"/healthz\",\"port\":\"http\"",
                "\"path\":\"/healthz\",\"port\":\"https\"",
            ),
            pods,
            "no port \"https\"",
        ),
        (with("Deployment shop/api", "shop/api:1.8.2", "shop/api:latest"), pods, "must have an exact tag"),
        (with("Deployment shop/api", "shop/api:1.8.2", "shop/api"), pods, "must have an exact tag"),
        (
            with(
                "RoleBinding mysql/mysql-label",
                "\"kind\":\"Role\",\"name\":\"mysql-label\"",
                "\"kind\":\"Role\",\"name\":\"mysql\"",
            ),
            accounts,
            "no Role mysql/mysql",
        ),
        (set.without("ServiceAccount shop/api"), accounts, "no ServiceAccount shop/api"),
        (
            set.without("NetworkPolicy falco/default-deny"),
            namespaces,
            "Namespace falco: must have a default deny",
        ),
        (
            with("NetworkPolicy shop/default-deny", ",\"Egress\"", ""),
            namespaces,
            "Namespace shop: must have a default deny",
        ),
        (set.without("Namespace mongodb"), namespaces, "no Namespace mongodb"),
        (
            with("APIService v1beta1.custom.metrics.k8s.io", "\"port\":443", "\"port\":6443"),
            called,
            "has no port 6443",
        ),
        (
            with("ValidatingWebhookConfiguration pratique", "\"name\":\"webhook\"", "\"name\":\"webhooks\""),
            called,
            "no Service pratique/webhooks",
        ),
        (
            with("Application argocd/data", "production/data", "production/date"),
            applications,
            "no folder manifests/clusters/production/date",
        ),
        (
            with("Application argocd/certificates", "sync-wave\":\"3\"", "sync-wave\":\"5\""),
            waves,
            "needs ClusterIssuer internal of certificates, a later wave",
        ),
        (
            with("Application argocd/admission", "sync-wave\":\"4\"", "sync-wave\":\"6\""),
            waves,
            "monitoring must be in a later wave than admission",
        ),
        (
            with("Application argocd/gateway", "sync-wave\":\"7\"", "sync-wave\":\"6\""),
            waves,
            "Gateway gateway/public is deployed by gateway, and needs Certificate shop/shop-tls of apps",
        ),
        (
            with("PodDisruptionBudget shop/api", "\"maxUnavailable\":1", "\"maxUnavailable\":0"),
            budgets,
            "no pod could ever be evicted",
        ),
        (with("StatefulSet mysql/mysql", "mysql:8.4.10", "mysql:8.4"), pods, "must have an exact tag"),
        (
            with("NetworkPolicy monitoring/prometheus", "9113", "9114"),
            scrapes,
            "Deployment shop/web: Prometheus is not allowed to connect to its port 9113",
        ),
        (
            with("NetworkPolicy shop/worker", "\"metrics\"", "9999"),
            scrapes,
            "Deployment shop/worker: does not allow Prometheus on port 9090",
        ),
        (with("NetworkPolicy pratique/webhook", "10.20.0.0/28", "192.0.2.0/28"), addresses, "192.0.2."),
        (
            with("Application argocd/cert-manager", "v1.20.2", "v1.x"),
            applications,
            "must be one exact version",
        ),
    ]
}

fn unnoticed(set: &EnvironmentSet, check: Check, wanted: &str) -> Option<String> {
    let problems = check(set);
    (!problems.iter().any(|problem| problem.contains(wanted)))
        .then(|| format!("not found: {wanted}; found: {problems:?}"))
}
