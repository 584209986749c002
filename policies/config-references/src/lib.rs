//! Holds pods to Secrets and ConfigMaps that are there, with the keys that they read.

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

/// Holds what pods read of Secrets and ConfigMaps to what the set of manifests has of them.
///
/// ## What it denies
///
/// A pod, or a workload whose template makes such pods, that reads a Secret or ConfigMap that the set does not hold in its
/// namespace, or a key that it does not have: as a variable (`env`, `envFrom`) of any container, or in a volume (`secret`,
/// `configMap`, `projected`). What is `optional` may be missing.
///
/// ## Why
///
/// A pod with a wrong name in a reference is admitted everywhere, and waits in `CreateContainerConfigError` or
/// `ContainerCreating` for ever. The rename that did it was reviewed, and looked right.
///
/// ## What is special
///
/// - It judges a set of manifests, in `pratique check`, in the playground and by its cases: in a cluster a Secret may well come
///   after its reader, and no webhook should read Secrets. So no webhook is registered for it and Kubewarden is not given it.
/// - A Secret is there if the set has it, or what makes it: a SealedSecret, an ExternalSecret, a Certificate of cert-manager.
///   Whether a SealedSecret can be unsealed is not known here.
/// - What charts and controllers make is not in the set: the setting `given` says so.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct ConfigReferences {
    /// Secrets and ConfigMaps that the set does not hold, for charts or controllers make them.
    pub given: Vec<ExternalObject>,
    /// Custom kinds that make pods, beside the built-in ones.
    pub pod_templates: Vec<PodTemplate>,
}

/// One that is not in the set; its keys are not known.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalObject {
    /// Which of the two it is.
    pub kind: ReferencedKind,
    /// Where it is.
    pub namespace: String,
    /// What it is called.
    pub name: String,
}

/// What pods read their configuration from.
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
        summary: "Denies pods that read Secrets or ConfigMaps that a set of manifests does not hold, or keys that they do not have.",
        remediation: "Name what is there, add what is missing, or say with `given` what a chart or controller makes.",
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

/// The pods of a namespace, and what they may read there.
struct ReferenceChecker<'a> {
    settings: &'a ConfigReferences,
    namespace: &'a str,
    cluster: &'a dyn Cluster,
}

impl<'a> ReferenceChecker<'a> {
    /// A volume, or a part of one, of which Secrets are named by another field than ConfigMaps.
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

    /// Denies a reference to what is not there.
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
        // Every namespace has the cluster's root certificate.
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
                format!("must be a {kind} of `{namespace}`, is `{}`; there are {there}", excerpt(name)),
            );
        }
        for key in keys {
            let wanted = key.text()?;
            if !named.is_empty() && named.iter().all(|kept| !kept.has(wanted)) {
                let there = sorted(named.iter().flat_map(|kept| kept.keys.iter().flatten()).copied());
                let (kind, name) = (kind.as_str(), excerpt(name));
                verdict.deny(
                    *key,
                    format!("must be a key of {kind} `{name}`, is `{}`; there are {there}", excerpt(wanted)),
                );
            }
        }
        Ok(())
    }
}

/// Names, each once, in their order.
fn sorted<'s>(names: impl Iterator<Item = &'s str>) -> String {
    listed(names.collect::<BTreeSet<&str>>())
}
