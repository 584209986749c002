//! The settings, and the page.

use std::collections::BTreeMap;

use policy_kubernetes::PodTemplate;
use policy_kubernetes::monitor::{MonitorLink, Prometheus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Follows every metric of a set of manifests to where it comes from.
///
/// ```text
/// autoscaler ──▶ adapter's rule ──▶ recorded series ──▶ exporter, or application
/// Prometheus ──▶ monitor ──▶ Service ──▶ port, NetworkPolicies ──▶ exporter, or application
/// ```
///
/// ## What it denies
///
/// - A HorizontalPodAutoscaler that scales what is not there, or on a container, a request or a metric that is not there. For a
///   custom metric it follows the rule of prometheus-adapter that makes it, the PrometheusRule that records its series, the
///   series that are counted there, and the monitor that has them scraped from the pods in question.
/// - A ServiceMonitor or PodMonitor that Prometheus does not select, that selects no Service or pod, whose port they do not have,
///   or whose targets Prometheus may not reach by NetworkPolicy, on either side.
///
/// The message names the link that is broken and the two ends that disagree; `pratique explain-metric` draws the way.
///
/// ## Why
///
/// None of these is an error anywhere. A monitor that selects nothing has no target, an alert on a series that nobody records
/// never fires, and an autoscaler that waits for a metric stands still, on the day when there is most to do.
///
/// ## What is special
///
/// - It judges a set of manifests, in `pratique check`, in the playground and by its cases: what it reads comes one after the
///   other when it is applied, so that no webhook is registered for it and Kubewarden is not given it.
/// - Workloads are read with what admission adds to their pods, exporters among it.
/// - PromQL is read for the names of series, their matchers, and the labels that aggregations leave; nothing is computed. Of what
///   an `or` parts one is enough, of all else each must be exported.
/// - Relabelings, matchers of labels, and the adapter's `seriesFilters` and `name.matches` are evaluated as regular expressions; of
///   one that is not valid nothing is concluded.
/// - What a container exports is not written anywhere. A known exporter, told by its image (`redis_exporter`), has series of its
///   own (`redis_…`) and those of every process; any other container may have any.
/// - A rule of the adapter that selects series by a regular expression cannot be followed, nor can a series of the cluster's own
///   parts (`container_…`, `kube_…`); where all hangs on such, that is a warning. The same holds
///   of a `metricsQuery` whose template does more than name the series, the matchers and the label to group by.
/// - A Service may lead to a port by a number that its pods do not declare, as long as they declare none.
/// - What charts and controllers make is not in the set: the setting `pods` says so of pods that monitors select.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct MetricPath {
    /// Who scrapes, and what it selects.
    pub prometheus: Prometheus,
    /// Pods that the set does not hold, for charts or controllers make them.
    pub pods: Vec<ExternalPods>,
    /// Judge all but these controls.
    pub exempt_controls: Vec<ControlId>,
    /// Custom kinds that make pods, beside the built-in ones.
    pub pod_templates: Vec<PodTemplate>,
}

/// Pods that are not in the set.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalPods {
    /// What makes them.
    pub name: String,
    /// Where they are.
    pub namespace: String,
    /// Their labels.
    pub labels: BTreeMap<String, String>,
    /// Their ports.
    #[serde(default)]
    pub ports: Vec<ExternalPort>,
}

/// A port of such pods.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalPort {
    /// What it is called.
    pub name: String,
    /// Its number.
    pub number: u16,
}

policy_core::controls! {
    /// What an autoscaler scales is in the set.
    Target = "target" {
        remediation: "Name a workload of the set in `scaleTargetRef`.",
        fix: false,
    },
    /// The container that it measures is there, and requests what is measured.
    Request = "request" {
        remediation: "Add the request to every container of the workload, or name a container that has it.",
        fix: false,
    },
    /// A rule of the adapter makes the metric, and says of which object it is.
    AdapterRule = "adapterRule" {
        remediation: "Add the rule to the configuration of prometheus-adapter, or name a metric that one makes.",
        fix: false,
    },
    /// A rule records the series, with the labels that the adapter asks for.
    Series = "series" {
        remediation: "Add the PrometheusRule, and keep the labels in its expression.",
        fix: false,
    },
    /// An exporter or application exports the series, and is scraped.
    Source = "source" {
        remediation: "Add a monitor that has the exporter scraped, or fix the one that the message names.",
        fix: false,
    },
    /// Prometheus selects the monitor, and the monitor selects something.
    Monitor = "monitor" {
        remediation: "Make the labels of the monitor, the Services and the pods agree.",
        fix: false,
    },
    /// The port has the same name at both ends.
    Port = "port" {
        remediation: "Use the name that the Service and the container give to the port.",
        fix: false,
    },
    /// NetworkPolicies let Prometheus reach it.
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
