//! The mistakes: what is written instead of what, in which file, and what the platform shows of it.

/// A mistake.
pub(crate) struct ManifestMutation {
    /// What somebody did.
    pub(crate) what: &'static str,
    /// The file, below `manifests`.
    pub(crate) file: &'static str,
    /// What stands there; the first of it is replaced.
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    /// The policy of `check` that is to find it.
    pub(crate) policy: &'static str,
    /// What the platform is to show.
    pub(crate) shown: MutationEvidence,
}

/// What the platform shows of a mistake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MutationEvidence {
    /// Not all targets of a job are there and up: `serviceMonitor/shop/api/`.
    Target(&'static str),
    /// An autoscaler asks for a metric and has no value of it.
    Metric(&'static str, &'static str),
    /// An autoscaler does not find what it scales.
    Scale(&'static str),
    /// A pod of a namespace, whose name begins so, has a container that waits, for that.
    Waits(&'static str, &'static str, &'static str),
    /// NetworkPolicies, as they are stored, do not let one reach the other on a port. No network plugin runs here: that is what
    /// `connectivity` says of them.
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
    ManifestMutation { what, file, from, to, policy: REFERENCES, shown }
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

/// In rounds: each of a round is shown by something of its own, that no other of the round touches; and of the custom metrics one
/// is left whole.
pub(crate) const ROUNDS: &[&[ManifestMutation]] = &[
    &[
        path(
            "a metric that is called otherwise in the adapter",
            ADAPTER,
            "as: process_cpu_usage",
            "as: process_cpu",
            Metric("worker", "process_cpu_usage"),
        ),
        path(
            "a label that names nothing in the adapter",
            ADAPTER,
            "pod: {resource: pod}",
            "pod: {resource: node}",
            Metric("web", "http_requests_per_second"),
        ),
        path(
            "a Service that the adapter cannot tell",
            ADAPTER,
            "service: {resource: service}",
            "service: {resource: node}",
            Metric("api", "http_request_duration_p95_seconds"),
        ),
    ],
    &[
        path(
            "a series that nobody records in the adapter",
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
            "a record of another Service",
            RULES,
            "service: api",
            "service: apis",
            Metric("api", "database_query_latency_seconds"),
        ),
    ],
    &[
        path(
            "a query that tells no pods apart",
            ADAPTER,
            "as: process_cpu_usage\n  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
            "as: process_cpu_usage\n  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})",
            Metric("worker", "process_cpu_usage"),
        ),
        path(
            "a query of a series that nobody records",
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
            "a monitor that looks elsewhere",
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
            "an autoscaler of what is not there",
            SCALER[2],
            "kind: Deployment\n    name: worker",
            "kind: Deployment\n    name: workers",
            Scale("worker"),
        ),
        path(
            "a container that is not there",
            SCALER[1],
            "container: web\n      name: cpu",
            "container: nginx\n      name: cpu",
            Metric("web", "cpu"),
        ),
        path(
            "a metric that nobody makes",
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
            "a Service that selects nobody",
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
            "a Service's port renamed, of Loki",
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
            "a ConfigMap that is not there",
            "apps/shop/web/deployment.yaml",
            "configMap:\n          name: web",
            "configMap:\n          name: nginx",
            Waits("shop", "web-", "ConfigMap nginx is not there"),
        ),
        reference(
            "a Secret that is not there",
            "platform/security/falco/sidekick.yaml",
            "name: falcosidekick, key",
            "name: sidekick, key",
            Waits("falco", "falcosidekick-", "Secret sidekick is not there"),
        ),
        reference(
            "a Secret of another name",
            "apps/shop/api/deployment.yaml",
            "name: databases\n              key: mongodb-uri",
            "name: database\n              key: mongodb-uri",
            Waits("shop", "api-", "Secret database is not there"),
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
            Waits("mongodb", "mongodb-", "there is no key keyfile"),
        ),
        path(
            "a request that is missing",
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
