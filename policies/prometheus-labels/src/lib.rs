//! Labels pods and Services that serve metrics, so that Prometheus can select them.

mod derive;
mod ports;

use policy_core::path::excerpt;
use policy_core::{
    Category, Cluster, Context, Evaluate, Field, Policy, PolicyMetadata, Request, Severity, Undecided,
    Verdict, WatchedKind,
};
use policy_kubernetes::pod::MIRROR;
use policy_kubernetes::selector::{Labels, Selector, is_label_value};
use policy_kubernetes::service::Service;
use policy_kubernetes::{Pod, WorkloadKinds, scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The label by which monitors select scrape targets; `"false"` opts out.
pub const SCRAPE: &str = "pratique.dev/scrape";

/// Labels new pods and Services that have a metrics port, so that Prometheus can select them.
///
/// ## What it changes
///
/// A pod or Service serves metrics if a TCP port is named `metrics`, `prometheus`, `metrics-…` or `…-metrics`, or has the
/// number of a known exporter. The policy adds the following if they are missing:
///
/// - the label `pratique.dev/scrape: "true"`, which a ServiceMonitor or PodMonitor can select by;
/// - the label `release`, if it is set in the settings, because the selectors of kube-prometheus-stack require it;
/// - `app.kubernetes.io/name`, from the labels `app`, `k8s-app` or `name`, from the Service's selector or name, or from the
///   workload that creates the pod; `app.kubernetes.io/instance` from Helm's annotation or the label `release`;
///   `app.kubernetes.io/version` from the tag of the first container's image;
/// - the port name `metrics`, if the metrics port has no name and no other port has this one. Monitors select ports by name.
///
/// With `mark: annotations`, a pod gets the annotations `prometheus.io/scrape` and `prometheus.io/port` instead of labels, for
/// a Prometheus that uses this convention. Services are not changed, because each pod would then be scraped twice.
///
/// Existing values, selectors and workloads are never changed. To opt out, set the label `pratique.dev/scrape: "false"` or the
/// annotation `prometheus.io/scrape: "false"`.
///
/// ## Why
///
/// If no monitor selects a target, nothing reports an error: its metrics are missing, and alerts on them never fire. Labels
/// that each team writes by hand are often wrong.
///
/// ## Notes and limits
///
/// - An added label can also make a Service or NetworkPolicy select the pod, or stop selecting it. The response then has a
///   warning that names the object. This requires the cluster's Services and NetworkPolicies. A webhook server without
///   cluster data does not warn. If Kubewarden is not allowed to read these objects, the policy changes nothing and reports
///   `cluster-unknown` in the audit log.
/// - UPDATE requests are not changed, because controllers select running pods by their labels.
/// - Mirror pods and Services of type ExternalName are not changed.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct PrometheusLabels {
    /// How targets are marked.
    pub mark: Mark,
    /// The value of the label `release`. If empty, the label is not added.
    pub release: String,
    /// Numbers of other ports that serve metrics, in addition to the ports of known exporters.
    pub metrics_ports: Vec<u32>,
}

/// How targets are marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Labels, for the selectors of ServiceMonitors and PodMonitors.
    #[default]
    Labels,
    /// The annotations `prometheus.io/*`, for a Prometheus that uses this convention.
    Annotations,
}

impl Policy for PrometheusLabels {
    const METADATA: PolicyMetadata = PolicyMetadata {
        name: "prometheus-labels",
        title: "Prometheus labels",
        summary: "Adds labels and a port name to pods and Services that serve metrics, so that Prometheus can select them.",
        remediation: "Correct the named field: its value is not valid in Kubernetes.",
        source: "https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/",
        severity: Severity::Low,
        category: Category::Observability,
        controls: &[],
        scope: scopes::NEW_PODS_AND_SERVICES,
        reads: &[WatchedKind::SERVICE, WatchedKind::NETWORK_POLICY],
        context: Context::Object,
        mutates: true,
        denies: false,
    };

    fn validate(&self) -> Result<(), String> {
        if !is_label_value(&self.release) {
            return Err(format!("release: `{}` is not a valid label value", self.release));
        }
        match self.metrics_ports.iter().find(|port| !(1..=65535).contains(*port)) {
            Some(port) => Err(format!("metricsPorts: must be from 1 to 65535, is `{port}`")),
            None => Ok(()),
        }
    }
}

impl Evaluate for PrometheusLabels {
    fn evaluate(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        let metadata = request.object.at("metadata");
        let annotations = metadata.at("annotations");
        if metadata.at("labels").key(SCRAPE).str()? == Some("false")
            || annotations.key("prometheus.io/scrape").str()? == Some("false")
            || annotations.key(MIRROR).is_set()?
        {
            return Ok(());
        }
        if request.kind.kind == "Service" {
            return self.service(request, verdict);
        }
        let Some(pod) = Pod::of(request, WorkloadKinds::BUILT_IN)? else { return Ok(()) };
        let Some(port) = ports::of_pod(&pod, &self.metrics_ports, verdict)? else { return Ok(()) };
        if self.mark == Mark::Annotations {
            let annotation = |key| annotations.key(key);
            return add(
                verdict,
                [
                    (annotation("prometheus.io/scrape"), "true".into()),
                    (annotation("prometheus.io/port"), port.to_string()),
                ],
            );
        }
        let mut added = self.common(metadata)?;
        added.push((derive::NAME, derive::name_of_pod(request.object)?));
        added.push((derive::VERSION, derive::version(&pod)?));
        self.label(request, cluster, added, verdict)
    }
}

/// Label keys with their values; `None` if the value cannot be derived.
type Derived = Vec<(&'static str, Option<String>)>;

impl PrometheusLabels {
    fn service(&self, request: &Request<'_>, verdict: &mut Verdict) -> Result<(), Undecided> {
        let (metadata, spec) = (request.object.at("metadata"), request.object.at("spec"));
        if self.mark == Mark::Annotations || spec.at("type").str()? == Some("ExternalName") {
            return Ok(());
        }
        if !ports::of_service(spec, &self.metrics_ports, verdict)? {
            return Ok(());
        }
        let mut added = self.common(metadata)?;
        added.push((derive::NAME, derive::name_of_service(metadata, spec)?));
        let labels = metadata.at("labels");
        add(verdict, missing(labels, added)?.into_iter().map(|(key, value)| (labels.key(key), value)))
    }

    /// The labels that pods and Services have in common.
    fn common(&self, metadata: Field<'_>) -> Result<Derived, Undecided> {
        let release = Some(self.release.clone()).filter(|release| !release.is_empty());
        Ok(vec![
            (SCRAPE, Some("true".to_owned())),
            ("release", release),
            (derive::INSTANCE, derive::instance(metadata, &self.release)?),
        ])
    }

    /// Adds missing labels to a pod, and warns if this changes which Services and NetworkPolicies select it.
    fn label(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        added: Derived,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        let labels = request.object.at("metadata.labels");
        let added = missing(labels, added)?;
        if added.is_empty() {
            return Ok(());
        }
        for (kind, name, after) in selectors_that_change(request, cluster, labels, &added)? {
            let (how, what) = if after { ("make", "select") } else { ("keep", "from selecting") };
            verdict.warn(labels, format!("the added labels {how} the {kind} `{name}` {what} the pod"));
        }
        add(verdict, added.into_iter().map(|(key, value)| (labels.key(key), value)))
    }
}

/// The Services and NetworkPolicies for which the added labels matter: kind, name, and whether they then select the pod.
fn selectors_that_change(
    request: &Request<'_>,
    cluster: &dyn Cluster,
    labels: Field<'_>,
    added: &[(&'static str, String)],
) -> Result<Vec<(&'static str, String, bool)>, Undecided> {
    let without = Labels::of(labels)?;
    let mut with = without.clone();
    for (key, value) in added {
        with.add(key, value);
    }
    let mut changed = Vec::new();
    for (group, kind) in [("", "Service"), ("networking.k8s.io", "NetworkPolicy")] {
        if !cluster.has(group, kind) {
            continue;
        }
        for object in cluster.list(group, kind, Some(request.namespace), request.object.arena())? {
            let name = object.at("metadata.name").text().unwrap_or_default();
            let of_object = |undecided: Undecided| undecided.in_object(kind, name);
            let [before, after] = if kind == "Service" {
                let service = Service::new(object, request.namespace);
                let selector = service.and_then(Service::selector).map_err(of_object)?;
                [&without, &with].map(|labels| selector.matches(labels))
            } else {
                let selector = Selector::read(object.at("spec.podSelector")).map_err(of_object)?;
                [&without, &with].map(|labels| selector.matches(labels))
            };
            if before != after {
                changed.push((kind, excerpt(name).into_owned(), after));
            }
        }
    }
    Ok(changed)
}

/// The labels that the object does not have and that have a known value.
fn missing(labels: Field<'_>, added: Derived) -> Result<Vec<(&'static str, String)>, Undecided> {
    let mut missing = Vec::new();
    for (key, value) in added {
        // Keep an existing label, even if it is empty.
        if let (None, Some(value)) = (labels.key(key).str()?, value) {
            missing.push((key, value));
        }
    }
    Ok(missing)
}

/// Sets the fields that have no value yet.
fn add<'a>(
    verdict: &mut Verdict,
    fields: impl IntoIterator<Item = (Field<'a>, String)>,
) -> Result<(), Undecided> {
    for (field, value) in fields {
        if !field.is_set()? {
            verdict.set(field, value);
        }
    }
    Ok(())
}

policy_core::export!(PrometheusLabels);
