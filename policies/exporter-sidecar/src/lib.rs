//! Adds the Prometheus exporter of a database to the pods that ask for one.

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

/// The pod's annotation, and the namespace's label: which exporter, or whether to look for one.
pub const INJECT_EXPORTER: &str = "pratique.dev/inject-exporter";
/// The pod's annotation: the Secret and its key, `SECRET/KEY`, that hold the exporter's password or URI.
pub const EXPORTER_SECRET: &str = "pratique.dev/exporter-secret";

/// Adds the Prometheus exporter of a database to a pod when it is made, and says why where it does not.
///
/// ## What it changes
///
/// A pod that asks for an exporter gets one more container, and the annotation `pratique.dev/exporter-status`, which says
/// what was added, by which policy of which version. The container is a native sidecar behind the init containers that are
/// there, or by setting a classic one; it has a numeric user, all that the Pod Security Standards ask for at restricted,
/// requests and limits, a liveness probe that does not ask the database, no readiness probe, and a port
/// `metrics-PORT` (`exporter-PORT` if that name is taken).
///
/// A pod asks by its annotation `pratique.dev/inject-exporter`: the name of an exporter, or `auto` to have it recognised by
/// the image. In a namespace with the label `pratique.dev/inject-exporter: enabled` a pod without the annotation is taken
/// for `auto`; `"false"` opts out.
///
/// Its password or URI comes from the Secret and key that the annotation `pratique.dev/exporter-secret: SECRET/KEY` names,
/// or a setting, and is in no manifest. The database's user is `exporter` unless settings name another.
///
/// The exporters are listed at the end of this page.
///
/// ## When it changes nothing
///
/// Each with its word in the audit log (`exporter-sidecar: not-requested`), and where the pod itself asked also as a warning.
///
/// | word | why |
/// |---|---|
/// | `not-requested` | neither the pod nor its namespace asks |
/// | `namespace-unknown` | the pod does not ask, and the host does not know the labels of namespaces (a webhook without a cluster) |
/// | `opted-out` | the pod says `"false"` |
/// | `mirror-pod` | a mirror pod cannot be changed |
/// | `host-network` | the exporter would listen on the node's own address |
/// | `windows` | exporters are built for Linux |
/// | `runs-to-completion` | a classic container would keep a pod from ending whose `restartPolicy` is not `Always` |
/// | `unknown-exporter` | the annotation names none |
/// | `image-not-recognised` | no container runs an image that an exporter is known for, or it is told to run another program |
/// | `several-recognised` | the images are those of two exporters; the annotation has to name one |
/// | `image-unreadable` | an image reference is none |
/// | `metrics-built-in` | RabbitMQ and HAProxy export metrics themselves |
/// | `already-present` | a container has the exporter's image already |
/// | `port-taken` | another container has the port |
/// | `secret-missing` | the exporter needs a password or URI, and no Secret is named |
/// | `secret-malformed` | what names the Secret is not `SECRET/KEY` |
///
/// With `onMissing: deny` a mistake denies the pod: `unknown-exporter`, `image-unreadable`, `port-taken`, `secret-missing`,
/// `secret-malformed`, and where the pod itself asks `image-not-recognised` and `several-recognised`.
///
/// ## What it denies
///
/// A pod that is to have an exporter, and in which another container has the name of its sidecar (`mysqld-exporter`) without
/// running that exporter's image.
///
/// ## Why
///
/// A database does not speak Prometheus' language. An exporter in every manifest is the same thirty lines again and again,
/// with one of them wrong: no requests, so that autoscalers stop; a user that is no number, so that the pod does not start;
/// a readiness probe, so that a database leaves its Service when only its exporter is ill.
///
/// ## What is special
///
/// - Only pods are changed, and only when they are made: the workload in Git stays what it is. `pratique render` shows
///   the pods as they will run; applied, that form is left alone.
/// - What is beside the pod stays yours: a Service with the port, a ServiceMonitor, a NetworkPolicy that lets Prometheus in.
///   `pratique check` says which of them is missing.
/// - Images are recognised by the last segment of their path, from whatever registry. `mysqld-exporter`, `mongo-express` or
///   `mysql-operator` are not `mysql`; a container that runs `mysqldump` of the image `mysql` is no server.
/// - On Kubewarden it looks up the namespace's labels (`contextAwareResources`); where it may not, it changes nothing and says so
///   (`cluster-unknown`). A policy that changes objects is asked only while they are changed there, and fails open: the
///   denial above is certain in the native webhook alone.
/// - In a pod with resources of its own (`spec.resources`) the exporter has none: the sum of its containers would exceed them.
/// - A pod whose every container has limits equal to its requests loses that class (`Guaranteed`) by an exporter whose limits
///   are higher than its requests; settings can make them equal.
/// - Where the API server goes on without the patch, the audit log has `not-changed` from the validating webhook.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct ExporterSidecar {
    /// The form of the container: `native` (Kubernetes 1.29 and later) or `classic`.
    pub form: SidecarForm,
    /// What becomes of a pod that is to have an exporter and cannot for a mistake in it: it is admitted without, or
    /// denied.
    pub on_missing: OnMissing,
    /// Exporters: what is said of one that is built in replaces just that, another one is added.
    pub exporters: Vec<ExporterSettings>,
    /// The Prometheus that scrapes: in complete manifest sets a pod with an exporter is warned of if it is not scraped.
    pub prometheus: Prometheus,
}

impl Policy for ExporterSidecar {
    const METADATA: PolicyMetadata = PolicyMetadata {
        name: "exporter-sidecar",
        title: "Exporter sidecars",
        summary: "Adds the right Prometheus exporter to the pods of databases that ask for one.",
        remediation: "Change each named field to what its message says, or set the annotation pratique.dev/inject-exporter to \"false\".",
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
    /// Adds the exporter, or says why not.
    fn inject<'a>(
        &self,
        request: &Request<'a>,
        cluster: &dyn Cluster,
        pod: &Pod<'a>,
        verdict: &mut Verdict,
    ) -> Result<(), NoExporter<'a>> {
        exporter_request::by_anybody(request, cluster, pod)?;
        exporter_request::suitable(pod)?;
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
            let message = format!("adds no exporter: this container is one of {} already", exporter.name);
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

    /// All exporters that there are.
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

/// What [`EXPORTER_STATUS`] says.
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
