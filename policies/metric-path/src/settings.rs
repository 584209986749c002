//! The settings and the documentation of the policy.

use std::collections::BTreeMap;

use policy_kubernetes::PodTemplate;
use policy_kubernetes::monitor::{MonitorLink, Prometheus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Follows every metric in a complete manifest set to its source.
///
/// ```text
/// autoscaler ──▶ adapter's rule ──▶ recorded series ──▶ exporter, or application
/// Prometheus ──▶ monitor ──▶ Service ──▶ port, NetworkPolicies ──▶ exporter, or application
/// ```
///
/// ## What it denies
///
/// - A HorizontalPodAutoscaler with a missing scale target, container, resource request or metric. For a custom metric, the
///   policy follows the rule of prometheus-adapter that provides it, the PrometheusRule that records its series, the series in
///   that expression, and the monitor through which they are scraped.
/// - A ServiceMonitor or PodMonitor that Prometheus does not select, that selects no Service or pod, that names a port which does
///   not exist, or that has targets which NetworkPolicies on either side prevent Prometheus from reaching.
///
/// The message names the broken link and the two objects that disagree. Run `pratique explain-metric` to see the whole path.
///
/// ## Why
///
/// Kubernetes and Prometheus accept all of these mistakes. A monitor that selects nothing has no targets, an alert on a series
/// that is not recorded never fires, and an autoscaler without its metric stops scaling, even when load is highest.
///
/// ## Notes and limits
///
/// - The policy needs a complete manifest set, so it runs in `pratique check`, in the playground and in its cases. Objects
///   reach a cluster one after another, so no webhook is registered for it and it is not published for Kubewarden.
/// - Pods are evaluated with everything that admission adds to them, such as exporters.
/// - PromQL is parsed for series names, matchers and the labels that aggregations keep; no values are computed. One operand of
///   `or` with exported series is enough; otherwise every series must be exported.
/// - Relabelings, label matchers, and the adapter's `seriesFilters` and `name.matches` are evaluated as regular expressions. An
///   expression that is not valid never causes a denial.
/// - Manifests do not list the series that a container exports. A known exporter, recognized by its image (`redis_exporter`), has
///   its own series (`redis_…`) and those of every process (`go_…`, `process_…`); any other container may export any series.
/// - An adapter rule that selects series by a regular expression cannot be followed, and neither can series of cluster components
///   (`container_…`, `kube_…`). A metric that depends on them causes a warning.
/// - If a `metricsQuery` does more than insert the series, the matchers and the label to group by, only the series is followed.
/// - A Service may refer to a port number that its pods do not declare if they declare no ports.
/// - The manifests do not contain pods that charts and controllers create. Add those that monitors select to the setting `pods`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct MetricPath {
    /// The Prometheus that scrapes, and the labels by which it selects monitors and rules.
    pub prometheus: Prometheus,
    /// Pods that are not in the manifests because charts or controllers create them.
    pub pods: Vec<ExternalPods>,
    /// Controls that are not evaluated.
    pub exempt_controls: Vec<ControlId>,
    /// Custom kinds that create pods, in addition to the built-in kinds.
    pub pod_templates: Vec<PodTemplate>,
}

/// Pods that are not in the manifests.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalPods {
    /// The name of the chart or controller that creates them, for messages.
    pub name: String,
    /// Their namespace.
    pub namespace: String,
    /// Their labels.
    pub labels: BTreeMap<String, String>,
    /// Their ports.
    #[serde(default)]
    pub ports: Vec<ExternalPort>,
}

/// A port of pods that are not in the manifests.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalPort {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u16,
}

policy_core::controls! {
    /// The scale target of an autoscaler is in the manifest set.
    Target = "target" {
        remediation: "Set `scaleTargetRef` to a workload in the manifest set.",
        fix: false,
    },
    /// The measured container exists and requests the measured resource.
    Request = "request" {
        remediation: "Add the request to every container of the workload, or name a container that has it.",
        fix: false,
    },
    /// A rule of prometheus-adapter provides the metric and maps it to its object.
    AdapterRule = "adapterRule" {
        remediation: "Add the rule to the configuration of prometheus-adapter, or use a metric that an existing rule provides.",
        fix: false,
    },
    /// A PrometheusRule records the series with the labels that the adapter needs.
    Series = "series" {
        remediation: "Add the PrometheusRule, and keep the labels in its expression.",
        fix: false,
    },
    /// An exporter or application exports the series and is scraped.
    Source = "source" {
        remediation: "Add a monitor that scrapes the exporter, or fix the monitor that the message names.",
        fix: false,
    },
    /// Prometheus selects the monitor, and the monitor selects a Service or pods.
    Monitor = "monitor" {
        remediation: "Make the labels of the monitor, the Services and the pods agree.",
        fix: false,
    },
    /// The port has the same name at both ends.
    Port = "port" {
        remediation: "Use the name that the Service and the container give to the port.",
        fix: false,
    },
    /// NetworkPolicies allow Prometheus to reach the target.
    NetworkPolicy = "networkPolicy" {
        remediation: "Allow the connection on both sides: egress of Prometheus, ingress of the target.",
        fix: false,
    },
}

impl From<MonitorLink> for ControlId {
    fn from(link: MonitorLink) -> Self {
        match link {
            MonitorLink::Selection => ControlId::Monitor,
            MonitorLink::Port => ControlId::Port,
            MonitorLink::NetworkPolicy => ControlId::NetworkPolicy,
        }
    }
}
