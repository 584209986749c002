//! Mistakes in the manifests: the text that is replaced, in which file, and the effect that the platform shows.

/// A mistake in the manifests.
pub(crate) struct ManifestMutation {
    /// A description of the mistake.
    pub(crate) what: &'static str,
    /// The path of the file below `manifests`.
    pub(crate) file: &'static str,
    /// The original text. Its first occurrence is replaced with `to`.
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    /// The policy that must report it in `check`.
    pub(crate) policy: &'static str,
    /// The effect that the platform must show.
    pub(crate) shown: MutationEvidence,
}

/// The visible effect of a mistake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MutationEvidence {
    /// A target of a job is missing or down: `serviceMonitor/shop/api/`.
    Target(&'static str),
    /// An autoscaler requests a metric and has no value for it.
    Metric(&'static str, &'static str),
    /// An autoscaler does not find its scale target.
    Scale(&'static str),
    /// A container of a pod waits, with this reason: namespace, prefix of the pod's name, reason.
    Waits(&'static str, &'static str, &'static str),
    /// The stored NetworkPolicies do not allow this connection: source, destination, port. No network plugin runs
    /// here, so `connectivity` evaluates them.
    Unreachable(&'static str, &'static str, &'static str),
}

const PATH: &str = "metric-path";
const REFERENCES: &str = "config-references";

const fn path(
    what: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    shown: MutationEvidence,
) -> ManifestMutation {
    ManifestMutation { what, file, from, to, policy: PATH, shown }
}

const fn reference(
    what: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    shown: MutationEvidence,
) -> ManifestMutation {
    ManifestMutation { policy: REFERENCES, ..path(what, file, from, to, shown) }
}

use MutationEvidence::{Metric, Scale, Target, Unreachable, Waits};

const API: &str = "serviceMonitor/shop/api/";
const WEB: &str = "serviceMonitor/shop/web/";
const WORKER: &str = "serviceMonitor/shop/worker/";
const MYSQL: &str = "serviceMonitor/mysql/mysql/";
const MONGODB: &str = "serviceMonitor/mongodb/mongodb/";
const LOKI: &str = "serviceMonitor/logging/loki/";
const FALCO: &str = "serviceMonitor/falco/falco/";
const SIDEKICK: &str = "serviceMonitor/falco/falcosidekick/";
const WEBHOOK: &str = "serviceMonitor/pratique/webhook/";
const ALLOY: &str = "podMonitor/log-collector/alloy/";
const ENVOY: &str = "podMonitor/gateway/envoy/";
const PROMETHEUS: &str = "monitoring/prometheus-k8s[StatefulSet]";
const ADAPTER: &str = "platform/monitoring/adapter/config.yaml";
const RULES: &str = "platform/monitoring/rules/autoscaling.yaml";
const SCALER: [&str; 3] =
    ["apps/autoscaling/api.yaml", "apps/autoscaling/web.yaml", "apps/autoscaling/worker.yaml"];

/// The mistakes by round. Within a round, every mistake has an effect that no other one influences, and one custom
/// metric stays intact.
pub(crate) const ROUNDS: &[&[ManifestMutation]] = &[
    &[
        path(
            "a metric with another name in the adapter",
            ADAPTER,
            "as: process_cpu_usage",
            "as: process_cpu",
            Metric("worker", "process_cpu_usage"),
        ),
        path(
            "a wrong resource for the pod label in the adapter",
            ADAPTER,
            "pod: {resource: pod}",
            "pod: {resource: node}",
            Metric("web", "http_requests_per_second"),
        ),
        path(
            "a wrong resource for the service label in the adapter",
            ADAPTER,
            "service: {resource: service}",
            "service: {resource: node}",
            Metric("api", "http_request_duration_p95_seconds"),
        ),
    ],
    &[
        path(
            "a series in the adapter that no rule records",
            ADAPTER,
            "namespace_pod:http_requests:rate2m{",
            "namespace_pod:http_requests:rate5m{",
            Metric("web", "http_requests_per_second"),
        ),
        path(
            "a label aggregated away",
            RULES,
            "sum by (namespace, pod) (rate(process_cpu_seconds_total",
            "sum by (namespace) (rate(process_cpu_seconds_total",
            Metric("worker", "process_cpu_usage"),
        ),
        path(
            "a recorded series for another Service",
            RULES,
            "service: api",
            "service: apis",
            Metric("api", "database_query_latency_seconds"),
        ),
    ],
    &[
        path(
            "a query without grouping by pod",
            ADAPTER,
            "as: process_cpu_usage\n  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
            "as: process_cpu_usage\n  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})",
            Metric("worker", "process_cpu_usage"),
        ),
        path(
            "a query for a series that no rule records",
            ADAPTER,
            "as: http_request_duration_p95_seconds\n  metricsQuery: max(<<.Series>>{",
            "as: http_request_duration_p95_seconds\n  metricsQuery: max(namespace_service:http_request_duration:p95_2m{",
            Metric("api", "http_request_duration_p95_seconds"),
        ),
    ],
    &[
        path(
            "a wrong port name",
            "apps/shop/api/service-monitor.yaml",
            "port: metrics",
            "port: metrcs",
            Target(API),
        ),
        path(
            "a selector that misses the label",
            "apps/shop/web/service-monitor.yaml",
            "matchLabels:\n      app.kubernetes.io/name: web",
            "matchLabels:\n      app.kubernetes.io/name: webb",
            Target(WEB),
        ),
        path(
            "a target port that no container has",
            "apps/shop/worker/service.yaml",
            "targetPort: metrics",
            "targetPort: metrix",
            Target(WORKER),
        ),
        path(
            "a component that no Service has",
            "data/mysql/service-monitor.yaml",
            "component: members",
            "component: member",
            Target(MYSQL),
        ),
        path(
            "a number that the exporter does not listen on",
            "data/mongodb/service.yaml",
            "targetPort: 9216",
            "targetPort: 9217",
            Target(MONGODB),
        ),
        path(
            "a monitor of another release",
            "platform/logging/loki/service-monitor.yaml",
            "release: kube-prometheus-stack",
            "release: prometheus",
            Target(LOKI),
        ),
        path(
            "a port that pods do not have",
            "platform/logging/alloy/pod-monitor.yaml",
            "port: metrics",
            "port: http",
            Target(ALLOY),
        ),
        path(
            "a port of another Service",
            "platform/security/falco/service-monitor.yaml",
            "port: metrics",
            "port: http",
            Target(FALCO),
        ),
        path(
            "a monitor that selects another namespace",
            "admission/webhook/service-monitor.yaml",
            "spec:\n",
            "spec:\n  namespaceSelector: {matchNames: [monitoring]}\n",
            Target(WEBHOOK),
        ),
        path(
            "a component that no pod has",
            "platform/gateway/pod-monitor.yaml",
            "component: proxy",
            "component: gateway",
            Target(ENVOY),
        ),
        path(
            "an autoscaler for a missing Deployment",
            SCALER[2],
            "kind: Deployment\n    name: worker",
            "kind: Deployment\n    name: workers",
            Scale("worker"),
        ),
        path(
            "a container that does not exist",
            SCALER[1],
            "container: web\n      name: cpu",
            "container: nginx\n      name: cpu",
            Metric("web", "cpu"),
        ),
        path(
            "a metric that the adapter does not provide",
            SCALER[1],
            "name: http_requests_per_second",
            "name: http_requests",
            Metric("web", "http_requests"),
        ),
    ],
    &[
        path(
            "a Service without the label",
            "apps/shop/api/service.yaml",
            "labels:\n    app.kubernetes.io/name: api",
            "labels:\n    app.kubernetes.io/name: apis",
            Target(API),
        ),
        path(
            "a Service that selects no pods",
            "apps/shop/web/service.yaml",
            "selector:\n    app.kubernetes.io/name: web",
            "selector:\n    app.kubernetes.io/name: webb",
            Target(WEB),
        ),
        path(
            "a container's port renamed",
            "apps/shop/worker/deployment.yaml",
            "- name: metrics\n          containerPort",
            "- name: prometheus\n          containerPort",
            Target(WORKER),
        ),
        path(
            "a Service's port renamed",
            "data/mysql/services.yaml",
            "- name: metrics",
            "- name: exporter",
            Target(MYSQL),
        ),
        path(
            "a monitor without its release",
            "data/mongodb/service-monitor.yaml",
            "release: kube-prometheus-stack",
            "team: data",
            Target(MONGODB),
        ),
        path(
            "a renamed port of Loki's Service",
            "platform/logging/loki/service.yaml",
            "- name: http",
            "- name: loki",
            Target(LOKI),
        ),
        path(
            "a DaemonSet's port renamed",
            "platform/logging/alloy/daemon-set.yaml",
            "{name: metrics, containerPort",
            "{name: http, containerPort",
            Target(ALLOY),
        ),
        path(
            "a Service that selects another pod",
            "platform/security/falco/services.yaml",
            "selector:\n    app.kubernetes.io/name: falcosidekick",
            "selector:\n    app.kubernetes.io/name: sidekick",
            Target(SIDEKICK),
        ),
        path(
            "a webhook's Service without its label",
            "admission/webhook/service.yaml",
            "labels:\n    app.kubernetes.io/name: webhook",
            "labels:\n    app.kubernetes.io/name: pratique",
            Target(WEBHOOK),
        ),
        path(
            "a Service's target port that no container has",
            "platform/security/falco/services.yaml",
            "targetPort: metrics",
            "targetPort: metric",
            Target(FALCO),
        ),
        path(
            "a PodMonitor of another release",
            "platform/gateway/pod-monitor.yaml",
            "release: kube-prometheus-stack",
            "release: envoy",
            Target(ENVOY),
        ),
    ],
    &[
        reference(
            "a Secret's key renamed",
            "apps/shop/worker/deployment.yaml",
            "key: mysql-password",
            "key: mysql-pass",
            Waits("shop", "worker-", "has no key mysql-pass"),
        ),
        reference(
            "a ConfigMap that does not exist",
            "apps/shop/web/deployment.yaml",
            "configMap:\n          name: web",
            "configMap:\n          name: nginx",
            Waits("shop", "web-", "ConfigMap nginx does not exist"),
        ),
        reference(
            "a Secret that does not exist",
            "platform/security/falco/sidekick.yaml",
            "name: falcosidekick, key",
            "name: sidekick, key",
            Waits("falco", "falcosidekick-", "Secret sidekick does not exist"),
        ),
        reference(
            "a Secret with another name",
            "apps/shop/api/deployment.yaml",
            "name: databases\n              key: mongodb-uri",
            "name: database\n              key: mongodb-uri",
            Waits("shop", "api-", "Secret database does not exist"),
        ),
        reference(
            "the exporter's key renamed",
            "data/mysql/stateful-set.yaml",
            "exporter-secret: mysql/exporter-password",
            "exporter-secret: mysql/exporter-pass",
            Waits("mysql", "mysql-", "has no key exporter-pass"),
        ),
        reference(
            "a sealed key renamed",
            "clusters/production/secrets/mongodb-mongodb.yaml",
            "keyfile:",
            "keyfil:",
            Waits("mongodb", "mongodb-", "no key keyfile found"),
        ),
        path(
            "a missing resource request",
            "apps/shop/api/deployment.yaml",
            "            cpu: 100m\n",
            "",
            Metric("api", "cpu"),
        ),
        path(
            "a NetworkPolicy without the port",
            "data/mongodb/network-policy.yaml",
            "port: 9216",
            "port: 9217",
            Unreachable(PROMETHEUS, "mongodb/mongodb[StatefulSet]", "9216"),
        ),
        path(
            "an egress without the port",
            "platform/monitoring/network-policy.yaml",
            "port: 9104}",
            "port: 9105}",
            Unreachable(PROMETHEUS, "mysql/mysql[StatefulSet]", "9104"),
        ),
        path(
            "an egress to another namespace",
            "platform/monitoring/network-policy.yaml",
            "kubernetes.io/metadata.name: log-collector",
            "kubernetes.io/metadata.name: logs",
            Unreachable(PROMETHEUS, "log-collector/alloy[DaemonSet]", "12345"),
        ),
    ],
];
