//! Makes pods and Services that serve metrics findable for Prometheus.

mod derive;
mod ports;

use policy_core::path::excerpt;
use policy_core::{
    Category, Cluster, Context, Evaluate, Field, Policy, PolicyMetadata, Request, Severity, Undecided,
    Verdict, WatchedKind,
};
use policy_kubernetes::pod::MIRROR;
use policy_kubernetes::selector::{Labels, is_label_value};
use policy_kubernetes::service::Service;
use policy_kubernetes::{Pod, WorkloadKinds, scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The label by which monitors select what is to be scraped; `"false"` opts out.
pub const SCRAPE: &str = "pratique.dev/scrape";

/// Adds to a pod or a Service with a metrics port what Prometheus finds it by, when it is made.
///
/// ## What it changes
///
/// A pod or a Service is one that serves metrics if a port is named `metrics`, `prometheus`, `metrics-…` or `…-metrics`, or
/// has the number of a known exporter. It gets, where it has none yet:
///
/// - the label `pratique.dev/scrape: "true"`, which a ServiceMonitor or PodMonitor can select by;
/// - the label `release`, if the setting names one: what the selectors of kube-prometheus-stack ask for;
/// - `app.kubernetes.io/name`, from the labels `app`, `k8s-app` or `name`, from the Service's selector or name, or from the
///   workload that makes the pod; `app.kubernetes.io/instance` from Helm's annotation or the label `release`;
///   `app.kubernetes.io/version` from the tag of the first container's image;
/// - the name `metrics` for its metrics port, if that has none and no other port is called so. Monitors select by name.
///
/// With `mark: annotations` a pod gets `prometheus.io/scrape` and `prometheus.io/port` instead of labels, for a Prometheus
/// that is configured by that convention; Services are left alone, or each pod would be scraped twice.
///
/// What is there is never changed, selectors and workloads are never touched, and what has the label
/// `pratique.dev/scrape: "false"` or the annotation `prometheus.io/scrape: "false"` is left as it is.
///
/// ## Why
///
/// A target that no monitor selects is not an error anywhere: its metrics are just not there, and the alert that waits for
/// them never fires. Labels that every team writes by hand are wrong in one place of ten.
///
/// ## What is special
///
/// - A label can make a pod match more than the monitor: a Service would send it requests, a NetworkPolicy isolate it, or
///   no longer. Where an added label does that, the request is warned of, with the name of the object. This needs to know the
///   cluster's Services and NetworkPolicies. A webhook without a cluster says nothing; a Kubewarden that may not read them
///   changes nothing and says so (`cluster-unknown` in the audit log).
/// - It changes nothing on UPDATE: the labels of a running pod are what controllers count by.
/// - A mirror pod and a Service of type ExternalName are left as they are.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct PrometheusLabels {
    /// What targets are marked with.
    pub mark: Mark,
    /// The value of the label `release`; none is added if it is empty.
    pub release: String,
    /// Numbers of further ports that serve metrics, beside those of known exporters.
    pub metrics_ports: Vec<u32>,
}

/// What targets are marked with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Labels, for the selectors of ServiceMonitors and PodMonitors.
    #[default]
    Labels,
    /// Annotations `prometheus.io/*`, for a Prometheus that is configured by them.
    Annotations,
}

impl Policy for PrometheusLabels {
    const METADATA: PolicyMetadata = PolicyMetadata {
        name: "prometheus-labels",
        title: "Prometheus labels",
        summary: "Adds the labels and the port name by which Prometheus finds pods and Services that serve metrics.",
        remediation: "Mend the named field: the object is not as Kubernetes has it.",
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
            return Err(format!("release: `{}` is no label value", self.release));
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

/// Labels and what they become, where that is known.
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

    /// What pods and Services get alike.
    fn common(&self, metadata: Field<'_>) -> Result<Derived, Undecided> {
        let release = Some(self.release.clone()).filter(|release| !release.is_empty());
        Ok(vec![
            (SCRAPE, Some("true".to_owned())),
            ("release", release),
            (derive::INSTANCE, derive::instance(metadata, &self.release)?),
        ])
    }

    /// Adds the labels that are missing to a pod, and warns of what selects it for them.
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
            verdict
                .warn(labels, format!("the labels that are added {how} the {kind} `{name}` {what} the pod"));
        }
        add(verdict, added.into_iter().map(|(key, value)| (labels.key(key), value)))
    }
}

/// The Services and NetworkPolicies to which added labels make a difference: kind, name, and whether they select the pod then.
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
            let matches = |labels: &Labels<'_>| match kind {
                "Service" => Service::new(object, request.namespace)?.selects(labels),
                _ => labels.are_selected_by(object.at("spec.podSelector")),
            };
            let of_object = |undecided: Undecided| undecided.in_object(kind, name);
            let (before, after) = (matches(&without).map_err(of_object)?, matches(&with).map_err(of_object)?);
            if before != after {
                changed.push((kind, excerpt(name).into_owned(), after));
            }
        }
    }
    Ok(changed)
}

/// Those of the labels that are not there, and whose value is known.
fn missing(labels: Field<'_>, added: Derived) -> Result<Vec<(&'static str, String)>, Undecided> {
    let mut missing = Vec::new();
    for (key, value) in added {
        // What is there stays, also if it is empty.
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
