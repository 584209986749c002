//! Follows each metric from the autoscaler that needs it to the port that exports it, and reports broken links.

mod adapter;
mod adapter_query;
mod autoscaler;
mod finding;
mod follow;
mod metric;
mod monitor;
mod recording_rules;
mod relabeling;
mod series_source;
mod settings;
mod targets;
mod trace;

use policy_core::{
    Category, Cluster, Context, Evaluate, Policy, PolicyMetadata, Request, Severity, Undecided, Verdict,
    WatchedKind,
};
use policy_kubernetes::inventory::{
    Inventory, MONITORING, POD_MONITOR, PodGroup, RunningContainer, SERVICE_MONITOR,
};
use policy_kubernetes::{PodTemplate, WorkloadKinds, scopes};

pub use metric::Link;
pub use settings::{ControlId, ExternalPods, ExternalPort, MetricPath};
pub use targets::{ScrapeTarget, targets};
pub use trace::{Trace, traces};

/// The kinds that the policy reads in addition to workloads.
const OTHER_KINDS: [WatchedKind; 10] = [
    WatchedKind::NAMESPACE,
    WatchedKind::NETWORK_POLICY,
    WatchedKind::of("", "ConfigMap", &["data"]),
    WatchedKind::of("", "Endpoints", &[]),
    WatchedKind::of("", "Pod", &["metadata.labels", "metadata.ownerReferences", "spec"]),
    WatchedKind::of("", "Service", &["metadata.labels", "spec"]),
    WatchedKind::of("discovery.k8s.io", "EndpointSlice", &["metadata.labels"]),
    POD_MONITOR,
    WatchedKind::of(MONITORING, "PrometheusRule", &["metadata.labels", "spec"]),
    SERVICE_MONITOR,
];

impl Policy for MetricPath {
    const METADATA: PolicyMetadata = PolicyMetadata {
        name: "metric-path",
        title: "Metric path",
        summary: "Denies autoscalers with metrics that have no source, and monitors without targets, in a complete manifest set.",
        remediation: "Make the two objects in the message agree: one of them refers to something that the other does not have.",
        source: "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/",
        severity: Severity::Medium,
        category: Category::Observability,
        controls: settings::CONTROL_METADATA,
        scope: scopes::AUTOSCALERS_AND_MONITORS,
        reads: &scopes::with_workloads_read::<{ scopes::WORKLOADS + OTHER_KINDS.len() }>(&OTHER_KINDS),
        context: Context::ManifestSet,
        mutates: false,
        denies: true,
    };

    fn validate(&self) -> Result<(), String> {
        self.pod_templates.iter().try_for_each(PodTemplate::validate)?;
        match self.pods.iter().any(|pods| pods.ports.iter().any(|port| port.number == 0)) {
            true => Err("pods: ports: number: must be from 1 to 65535, is `0`".to_owned()),
            false => Ok(()),
        }
    }
}

impl Evaluate for MetricPath {
    fn evaluate(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        if !request.object.is_set()? {
            return Err(request.object.undecided("the request has no object"));
        }
        let set = MetricContext::of_request(self, request, cluster);
        match request.kind.kind {
            "HorizontalPodAutoscaler" => autoscaler::evaluate(&set, request, verdict),
            _ => monitor::evaluate(&set, request, verdict),
        }
    }
}

/// A manifest set, and the settings that describe pods outside of it.
pub(crate) struct MetricContext<'a> {
    pub(crate) settings: &'a MetricPath,
    pub(crate) inventory: Inventory<'a>,
}

impl<'a> MetricContext<'a> {
    fn of_request(settings: &'a MetricPath, request: &Request<'a>, cluster: &'a dyn Cluster) -> Self {
        // If the object sets no namespace, other objects without one are in the same namespace.
        let own = request.object.at("metadata.namespace").text().unwrap_or_default();
        let default_namespace = if own.is_empty() { request.namespace } else { "default" };
        MetricContext::new(settings, cluster, request.object.arena(), default_namespace)
    }

    fn new(
        settings: &'a MetricPath,
        cluster: &'a dyn Cluster,
        arena: &'a policy_core::Arena,
        default_namespace: &'a str,
    ) -> Self {
        let given = settings.pods.iter().map(|given| given.group(arena)).collect();
        let kinds = WorkloadKinds::with(&settings.pod_templates);
        MetricContext { settings, inventory: Inventory::new(cluster, arena, kinds, default_namespace, given) }
    }
}

impl ExternalPods {
    fn group<'a>(&'a self, arena: &'a policy_core::Arena) -> PodGroup<'a> {
        let field = policy_core::Field::missing(arena);
        let ports = self.ports.iter().map(|port| (port.name.as_str(), port.number)).collect();
        PodGroup {
            kind: "Pods of",
            namespace: &self.namespace,
            name: &self.name,
            labels: self.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            containers: vec![RunningContainer { name: "", image: "", field, ports }],
            resources: field,
        }
    }
}
