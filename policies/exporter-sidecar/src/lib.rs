//! Adds a Prometheus exporter to database pods that request one.

mod detect;
mod exporter;
#[cfg(not(target_os = "wasi"))]
mod exporter_prerequisites;
mod exporter_request;
mod settings;
mod sidecar;
mod skip_reason;

#[cfg(not(target_os = "wasi"))]
use policy_core::ManifestSet;
use policy_core::{
    Arena, Category, Cluster, Context, Evaluate, Policy, PolicyMetadata, Request, Severity, Undecided, Value,
    Verdict, WatchedKind,
};
use policy_kubernetes::exporters::{self, EXPORTERS, SidecarForm};
use policy_kubernetes::monitor::Prometheus;
use policy_kubernetes::pod::EXPORTER_STATUS;
use policy_kubernetes::{Pod, WorkloadKinds, scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use exporter::EffectiveExporter;
pub use settings::{AmountSettings, ExporterSettings, OnMissing, Variable};
pub use skip_reason::SkipReason;
use skip_reason::{NoExporter, SkippedExporter};

/// The annotation of pods that selects an exporter, and the label of namespaces that enables exporters for all pods.
pub const INJECT_EXPORTER: &str = "pratique.dev/inject-exporter";
/// The annotation of pods that names the Secret and key, `SECRET/KEY`, with the exporter's password or URI.
pub const EXPORTER_SECRET: &str = "pratique.dev/exporter-secret";

/// Adds a Prometheus exporter to a database pod when the pod is created. If it adds none, it reports the reason.
///
/// ## What it changes
///
/// A pod that requests an exporter gets one more container, and the annotation `pratique.dev/exporter-status`, which
/// records the exporter, its container and port, and the policy and version that added it. By default the container is a
/// native sidecar after the existing init containers; a setting makes it a classic container. It runs as a numeric user,
/// meets the restricted Pod Security Standard, and has requests and limits. Its liveness probe does not query the database,
/// it has no readiness probe, and its port is named `metrics-PORT` (`exporter-PORT` if that name is taken).
///
/// A pod requests an exporter with the annotation `pratique.dev/inject-exporter`. The value is the name of an exporter, or
/// `auto` to select one by image. In a namespace with the label `pratique.dev/inject-exporter: enabled`, pods without the
/// annotation are treated as `auto`. To opt out, set the annotation to `"false"`.
///
/// The password or URI comes from a Secret and is in no manifest. Name the Secret and its key with the annotation
/// `pratique.dev/exporter-secret: SECRET/KEY` or in the settings. The database user is `exporter` unless you set another.
///
/// The exporters are listed at the end of this page.
///
/// ## When it changes nothing
///
/// The audit log records the reason (`exporter-sidecar: not-requested`). If the pod itself requests an exporter, the policy
/// also warns.
///
/// | reason | meaning |
/// |---|---|
/// | `not-requested` | neither the pod nor its namespace requests an exporter |
/// | `namespace-unknown` | the pod does not request one, and namespace labels are not available (a webhook without a cluster) |
/// | `opted-out` | the pod's annotation is `"false"` |
/// | `mirror-pod` | a mirror pod cannot be changed |
/// | `host-network` | the exporter would listen on the node's address |
/// | `windows` | exporters are built for Linux |
/// | `runs-to-completion` | `restartPolicy` is not `Always`, and a classic container would keep the pod from completing |
/// | `unknown-exporter` | the annotation does not name a known exporter |
/// | `image-not-recognised` | no container has an image of a known exporter, or the container runs another program |
/// | `several-recognised` | the images match more than one exporter; name one in the annotation |
/// | `image-unreadable` | an image reference is not valid |
/// | `metrics-built-in` | RabbitMQ and HAProxy export metrics themselves |
/// | `already-present` | a container already runs the exporter's image |
/// | `port-taken` | another container uses the port, or both port names |
/// | `secret-missing` | the exporter needs a password or URI, and no Secret is named |
/// | `secret-malformed` | the reference to the Secret is not `SECRET/KEY` |
///
/// With `onMissing: deny`, a mistake denies the pod: `unknown-exporter`, `image-unreadable`, `port-taken`, `secret-missing` or
/// `secret-malformed`. If the pod itself requests an exporter, so do `image-not-recognised` and `several-recognised`.
///
/// ## What it denies
///
/// A pod that should get an exporter, if another container already has the name of the sidecar (such as `mysqld-exporter`)
/// but is not a running instance of that exporter.
///
/// ## Why
///
/// Most databases do not export Prometheus metrics. Copying an exporter into every manifest repeats the same thirty lines,
/// and one mistake is enough: without requests, autoscalers stop; with a non-numeric user, the pod does not start; with a
/// readiness probe, a failing exporter removes its database from the Service.
///
/// ## Notes and limits
///
/// - The policy changes only pods, and only on creation; the workload in Git stays the same. `pratique render` shows the
///   pods as they will run. If you apply that output, the policy does not change it again.
/// - You must add the objects around the pod yourself: a Service with the port, a ServiceMonitor, and a NetworkPolicy that
///   allows Prometheus. `pratique check` reports which of them is missing.
/// - Images are matched by the last segment of their path, from any registry. `mysqld-exporter`, `mongo-express` and
///   `mysql-operator` do not match `mysql`. A container that runs `mysqldump` from the image `mysql` is not a server.
/// - On Kubewarden, the policy looks up the namespace's labels (`contextAwareResources`). Without that permission it changes
///   nothing and reports `cluster-unknown`. Kubewarden runs mutating policies only in the mutating phase, which fails open,
///   so only the native webhook guarantees the denial above.
/// - In a pod with `spec.resources`, the exporter has no requests or limits, because it shares the pod's.
/// - If every container of a pod has limits equal to its requests, an exporter with higher limits than requests changes the
///   pod's QoS class from `Guaranteed`. To keep the class, set the exporter's requests and limits to the same values.
/// - If the API server continues without the patch, the validating webhook records `not-changed` in the audit log.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct ExporterSidecar {
    /// The form of the container: `native` (Kubernetes 1.29 and later) or `classic`.
    pub form: SidecarForm,
    /// Whether a pod that should get an exporter, but has a mistake, is admitted without the exporter or denied.
    pub on_missing: OnMissing,
    /// Changes to built-in exporters, and additional exporters.
    pub exporters: Vec<ExporterSettings>,
    /// The Prometheus server that scrapes. In complete manifest sets, a pod gets a warning if its exporter is not scraped.
    pub prometheus: Prometheus,
}

impl Policy for ExporterSidecar {
    const METADATA: PolicyMetadata = PolicyMetadata {
        name: "exporter-sidecar",
        title: "Exporter sidecars",
        summary: "Adds the matching Prometheus exporter to database pods that request one.",
        remediation: "Change each named field as its message describes, or set the annotation pratique.dev/inject-exporter to \"false\".",
        source: "https://prometheus.io/docs/instrumenting/exporters/",
        severity: Severity::Low,
        category: Category::Observability,
        controls: &[],
        scope: scopes::NEW_PODS,
        reads: &[WatchedKind::NAMESPACE],
        context: Context::Object,
        mutates: true,
        denies: true,
    };

    fn validate(&self) -> Result<(), String> {
        settings::validate(&self.exporters)
    }

    #[cfg(not(target_os = "wasi"))]
    const PREREQUISITES: &'static [WatchedKind] = exporter_prerequisites::READS;

    #[cfg(not(target_os = "wasi"))]
    fn appendix() -> String {
        format!("## Exporters\n\n{}", exporters::table())
    }
}

impl Evaluate for ExporterSidecar {
    #[cfg(not(target_os = "wasi"))]
    fn check_prerequisites(
        &self,
        pod: &Request<'_>,
        set: &ManifestSet<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        exporter_prerequisites::check(self, pod, set, verdict)
    }

    fn evaluate(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        let Some(pod) = Pod::of(request, WorkloadKinds::BUILT_IN)? else { return Ok(()) };
        let skip = match self.inject(request, cluster, &pod, verdict) {
            Ok(()) => return Ok(()),
            Err(NoExporter::Undecided(undecided)) => return Err(undecided),
            Err(NoExporter::Skip(skip)) => skip,
        };
        verdict.audit(skip.reason.as_str());
        let pod_requests_it = !matches!(pod.annotations().key(INJECT_EXPORTER).str()?, None | Some("false"));
        if self.on_missing == OnMissing::Deny && skip.reason.is_a_mistake(pod_requests_it) {
            verdict.deny(skip.field, skip.message);
        } else if pod_requests_it {
            verdict.warn(skip.field, format!("{} ({})", skip.message, skip.reason.as_str()));
        }
        Ok(())
    }
}

impl ExporterSidecar {
    /// Adds the exporter, or returns the reason for adding none.
    fn inject<'a>(
        &self,
        request: &Request<'a>,
        cluster: &dyn Cluster,
        pod: &Pod<'a>,
        verdict: &mut Verdict,
    ) -> Result<(), NoExporter<'a>> {
        exporter_request::check_requested(request, cluster, pod)?;
        exporter_request::check_supported(pod)?;
        let annotation = pod.annotations().key(INJECT_EXPORTER);
        let exporter = match annotation.str()? {
            None | Some("auto") => detect::by_image(self, pod)?,
            Some(name) => detect::by_name(self, annotation, name)?,
        };
        let form = exporter.built_in.form.unwrap_or(self.form);
        exporter_request::suitable_for(form, pod)?;
        let present = sidecar::present(exporter, pod, verdict)?;
        if !verdict.denials.is_empty() {
            return Ok(());
        }
        let injected = format!("injected-{}", exporter.name);
        if let Some(container) = present {
            let name = container.field.at("name");
            if pod.added_container()? == name.str()? {
                verdict.audit(injected);
                return Ok(());
            }
            let message =
                format!("no exporter added: this container already runs the {} exporter", exporter.name);
            return Err(SkippedExporter::new(SkipReason::AlreadyPresent, name, message).into());
        }
        let port_name = sidecar::port_name(exporter.port(), pod)?;
        let secret = sidecar::secret(exporter, pod)?;
        let arena = request.object.arena();
        let has_pod_resources = pod.spec.at("resources").is_set()?;
        let container = sidecar::container(exporter, form, &port_name, secret, has_pod_resources, arena);
        verdict.append(sidecar::list(form, pod), container);
        verdict.set(pod.annotations().key(EXPORTER_STATUS), status_of(exporter, arena));
        verdict.audit(injected);
        Ok(())
    }

    /// All exporters: built-in ones, with their settings, and those that only the settings define.
    fn exporters(&self) -> Vec<EffectiveExporter<'_>> {
        let mut exporters = Vec::with_capacity(EXPORTERS.len() + self.exporters.len());
        for built_in in EXPORTERS {
            let name = built_in.name;
            let settings = self.exporters.iter().find(|settings| settings.name == name);
            exporters.push(EffectiveExporter { name, built_in, settings });
        }
        for settings in &self.exporters {
            let name = settings.name.as_str();
            if !exporters.iter().any(|exporter| exporter.name == name) {
                exporters.push(EffectiveExporter {
                    name,
                    built_in: &exporters::COMMON,
                    settings: Some(settings),
                });
            }
        }
        exporters
    }
}

/// The value of [`EXPORTER_STATUS`].
fn status_of(exporter: EffectiveExporter<'_>, arena: &Arena) -> String {
    let text = |text: &str| Value::String(arena.text(text));
    let status = [
        ("policy", text(ExporterSidecar::METADATA.name)),
        ("version", text(env!("CARGO_PKG_VERSION"))),
        ("exporter", text(exporter.name)),
        ("container", text(&sidecar::name(exporter))),
        ("port", Value::Int(exporter.port().into())),
    ];
    arena.object(&status).to_string()
}

policy_core::export!(ExporterSidecar);

#[cfg(test)]
mod tests;
