//! Requires that the Secrets and ConfigMaps that pods reference exist, with the referenced keys.

mod available_keys;

use std::collections::BTreeSet;

use policy_core::path::{excerpt, listed};
use policy_core::{
    Category, Cluster, Context, Evaluate, Field, Policy, PolicyMetadata, Request, Severity, Undecided,
    Verdict, WatchedKind,
};
use policy_kubernetes::{Pod, PodTemplate, WorkloadKinds, scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use available_keys::AvailableKeys;

/// Requires that the manifest set contains the Secrets, ConfigMaps and keys that pods reference.
///
/// ## What it denies
///
/// A pod, or a workload with a pod template, that references a Secret, ConfigMap or key that its namespace in the manifest set
/// does not contain. The policy checks environment variables of all containers (`env`, `envFrom`) and volumes (`secret`,
/// `configMap`, `projected`). References that are `optional` may be missing.
///
/// ## Why
///
/// The API server admits a pod with a wrong reference. The pod then stays in `CreateContainerConfigError` or
/// `ContainerCreating`. A renamed key or Secret is easy to miss in a review.
///
/// ## Notes and limits
///
/// - This policy needs a complete manifest set, so it runs in `pratique check`, in the playground and in its test cases. It has
///   no webhook and is not built for Kubewarden, because in a cluster a Secret may be created after the pod, and webhooks should
///   not read Secrets.
/// - SealedSecrets, ExternalSecrets and Certificates of cert-manager count as the Secrets that they create. The policy does not
///   check whether a SealedSecret can be decrypted.
/// - List Secrets and ConfigMaps that charts and controllers create in the setting `given`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct ConfigReferences {
    /// Secrets and ConfigMaps that are missing from the manifest set because charts or controllers create them.
    pub given: Vec<ExternalObject>,
    /// Custom kinds that create pods, in addition to the built-in ones.
    pub pod_templates: Vec<PodTemplate>,
}

/// A Secret or ConfigMap outside the manifest set. Its keys are not checked.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalObject {
    /// The kind.
    pub kind: ReferencedKind,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// A kind that pods read their configuration from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ReferencedKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl ReferencedKind {
    fn as_str(self) -> &'static str {
        match self {
            ReferencedKind::ConfigMap => "ConfigMap",
            ReferencedKind::Secret => "Secret",
        }
    }
}

impl Policy for ConfigReferences {
    const METADATA: PolicyMetadata = PolicyMetadata {
        name: "config-references",
        title: "Config references",
        summary: "Denies pods that reference Secrets, ConfigMaps or keys that are missing from the manifest set.",
        remediation: "Correct the reference, add the missing object or key, or list objects that a chart or controller creates in `given`.",
        source: "https://kubernetes.io/docs/concepts/configuration/secret/",
        severity: Severity::Medium,
        category: Category::PodSecurity,
        controls: &[],
        scope: scopes::PODS_AND_WORKLOADS,
        reads: &[
            WatchedKind::of("", "ConfigMap", &["binaryData", "data"]),
            WatchedKind::of("", "Secret", &["data", "stringData"]),
            WatchedKind { version: "v1alpha1", ..WatchedKind::of("bitnami.com", "SealedSecret", &["spec"]) },
            WatchedKind::of("cert-manager.io", "Certificate", &["spec"]),
            WatchedKind::of("external-secrets.io", "ExternalSecret", &["spec"]),
        ],
        context: Context::ManifestSet,
        mutates: false,
        denies: true,
    };

    fn validate(&self) -> Result<(), String> {
        self.pod_templates.iter().try_for_each(PodTemplate::validate)
    }
}

impl Evaluate for ConfigReferences {
    fn extends_scope_to(&self, request: &Request<'_>) -> bool {
        WorkloadKinds::with(&self.pod_templates).adds(request)
    }

    fn evaluate(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        let Some(pod) = Pod::of(request, WorkloadKinds::with(&self.pod_templates))? else { return Ok(()) };
        let reader = ReferenceChecker { settings: self, namespace: request.namespace, cluster };
        for container in &pod.containers {
            for variable in container.field.at("env").items()? {
                let from = variable.at("valueFrom");
                for (kind, key) in
                    [(ReferencedKind::Secret, "secretKeyRef"), (ReferencedKind::ConfigMap, "configMapKeyRef")]
                {
                    let reference = from.at(key);
                    if reference.is_set()? {
                        reader.read(kind, reference, "name", &[reference.at("key")], verdict)?;
                    }
                }
            }
            for from in container.field.at("envFrom").items()? {
                for (kind, key) in
                    [(ReferencedKind::Secret, "secretRef"), (ReferencedKind::ConfigMap, "configMapRef")]
                {
                    if from.at(key).is_set()? {
                        reader.read(kind, from.at(key), "name", &[], verdict)?;
                    }
                }
            }
        }
        for volume in pod.spec.at("volumes").items()? {
            reader.volume(volume, "secretName", verdict)?;
            for source in volume.at("projected.sources").items()? {
                reader.volume(source, "name", verdict)?;
            }
        }
        Ok(())
    }
}

/// Checks references of pods in a namespace.
struct ReferenceChecker<'a> {
    settings: &'a ConfigReferences,
    namespace: &'a str,
    cluster: &'a dyn Cluster,
}

impl<'a> ReferenceChecker<'a> {
    /// Checks a volume or a projected source. `secret_name` is the field that names a Secret there.
    fn volume(
        &self,
        volume: Field<'a>,
        secret_name: &'a str,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        for (kind, key, name) in [
            (ReferencedKind::Secret, "secret", secret_name),
            (ReferencedKind::ConfigMap, "configMap", "name"),
        ] {
            let source = volume.at(key);
            if source.is_set()? {
                let keys: Vec<_> = source.at("items").items()?.map(|item| item.at("key")).collect();
                self.read(kind, source, name, &keys, verdict)?;
            }
        }
        Ok(())
    }

    /// Denies a reference to an object or key that does not exist.
    fn read(
        &self,
        kind: ReferencedKind,
        reference: Field<'a>,
        name: &'a str,
        keys: &[Field<'a>],
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        let field = reference.at(name);
        let name = field.text()?;
        let is_given = |given: &ExternalObject| {
            given.kind == kind && given.namespace == self.namespace && given.name == name
        };
        // Kubernetes creates this ConfigMap, with the cluster's root certificate, in every namespace.
        let is_everywhere = kind == ReferencedKind::ConfigMap && name == "kube-root-ca.crt";
        if reference.at("optional").is_true()? || is_everywhere || self.settings.given.iter().any(is_given) {
            return Ok(());
        }
        let kept = available_keys::of(kind, self.namespace, self.cluster, reference.arena())?;
        let named: Vec<&AvailableKeys<'_>> = kept.iter().filter(|kept| kept.name == name).collect();
        if named.is_empty() {
            let (kind, there) = (kind.as_str(), sorted(kept.iter().map(|kept| kept.name)));
            let namespace = excerpt(self.namespace);
            verdict.deny(
                field,
                format!("must be a {kind} in `{namespace}`, is `{}`; available: {there}", excerpt(name)),
            );
        }
        for key in keys {
            let wanted = key.text()?;
            if !named.is_empty() && named.iter().all(|kept| !kept.has(wanted)) {
                let there = sorted(named.iter().flat_map(|kept| kept.keys.iter().flatten()).copied());
                let (kind, name) = (kind.as_str(), excerpt(name));
                verdict.deny(
                    *key,
                    format!("must be a key of {kind} `{name}`, is `{}`; available: {there}", excerpt(wanted)),
                );
            }
        }
        Ok(())
    }
}

/// Lists names, sorted and without duplicates.
fn sorted<'s>(names: impl Iterator<Item = &'s str>) -> String {
    listed(names.collect::<BTreeSet<&str>>())
}
