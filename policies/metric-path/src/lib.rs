//! Follows each metric from what it is made for to where it comes from, and says which link of that way is broken.

mod adapter;
mod autoscaler;
mod broken;
mod chain;
mod dropped;
mod monitor;
mod promql;
mod query;
mod reach;
mod recorded;
mod scrape;
mod set;
mod settings;
mod source;
mod targets;
mod words;

use policy_core::{About, Cluster, Evaluate, Policy, Read, Request, Scope, Severity, Undecided, Verdict};

pub use chain::{Chain, Link, chains};
pub use settings::{ControlId, GivenPods, GivenPort, MetricPath, Prometheus};
pub use targets::{Target, targets};

/// Prometheus' operator's group.
const MONITORING: &str = "monitoring.coreos.com";

impl Policy for MetricPath {
    const ABOUT: About = About {
        name: "metric-path",
        title: "Metric path",
        summary: "Denies autoscalers whose metrics nobody makes, and monitors that lead to no target, in a set of manifests.",
        remediation: "Make the two ends agree that the message names: one of them says what the other does not have.",
        source: "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/",
        severity: Severity::Medium,
        scope: Scope::AUTOSCALERS_AND_MONITORS,
        reads: &[
            Read::NAMESPACE,
            Read::NETWORK_POLICY,
            Read::of("", "ConfigMap", &["data"]),
            Read::of("", "Pod", &["metadata.labels", "metadata.ownerReferences", "spec"]),
            Read::of("", "ReplicationController", &["spec.template"]),
            Read::of("", "Service", &["metadata.labels", "spec"]),
            Read::of("apps", "DaemonSet", &["spec.template"]),
            Read::of("apps", "Deployment", &["spec.template"]),
            Read::of("apps", "ReplicaSet", &["spec.template"]),
            Read::of("apps", "StatefulSet", &["spec.template"]),
            Read::of("batch", "CronJob", &["spec.jobTemplate"]),
            Read::of("batch", "Job", &["spec.template"]),
            Read::of(MONITORING, "PodMonitor", &["metadata.labels", "spec"]),
            Read::of(MONITORING, "PrometheusRule", &["metadata.labels", "spec"]),
            Read::of(MONITORING, "ServiceMonitor", &["metadata.labels", "spec"]),
        ],
        needs_cluster: true,
        of_sets: true,
        mutates: false,
        denies: true,
    };

    fn validate(&self) -> Result<(), String> {
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
            return Err(request.object.undecided("there is no object in the request"));
        }
        let set = set::Set::new(self, request, cluster);
        match request.kind.name {
            "HorizontalPodAutoscaler" => autoscaler::judge(&set, request, verdict),
            _ => monitor::judge(&set, request, verdict),
        }
    }
}

policy_core::export!(MetricPath);
