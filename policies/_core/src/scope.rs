//! Which requests a policy wants; webhook rules, Kubewarden metadata and documentation are rendered from it.

use crate::request::{GroupVersion, Operation, Request};

/// The requests that a policy judges.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// On which resources, each with its operations.
    pub resources: &'static [Resource],
}

/// One resource of a scope.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    /// `apps`; empty for the core group.
    pub group: &'static str,
    /// The version that webhook rules name. A request of another version is judged all the same.
    pub version: &'static str,
    /// `Deployment`.
    pub kind: &'static str,
    /// `deployments`.
    pub plural: &'static str,
    /// Which subresources are judged.
    pub subresources: Subresources,
    /// On which operations.
    pub operations: &'static [Operation],
}

/// The subresources of a resource that a policy judges, beside the resource itself.
#[derive(Clone, Copy, Debug)]
pub enum Subresources {
    /// None: they carry other objects (`deployments/scale`) or no change of `spec` (`deployments/status`).
    None,
    /// Whatever is sent but these. An unknown one is judged, so that a newer API server fails safe
    /// (pod-security-admission, `admission.go`). Webhook rules name the known ones.
    AllBut {
        /// What webhook rules ask for.
        known: &'static [&'static str],
        /// What is never judged.
        ignored: &'static [&'static str],
    },
}

/// What is made, and what is changed.
const CHANGES: &[Operation] = &[Operation::Create, Operation::Update];
/// What is made.
const CREATION: &[Operation] = &[Operation::Create];

const POD_TEMPLATES: Resource = Resource::plain("", "PodTemplate", "podtemplates", CHANGES);
const REPLICATION_CONTROLLERS: Resource =
    Resource::plain("", "ReplicationController", "replicationcontrollers", CHANGES);
const DAEMON_SETS: Resource = Resource::plain("apps", "DaemonSet", "daemonsets", CHANGES);
const DEPLOYMENTS: Resource = Resource::plain("apps", "Deployment", "deployments", CHANGES);
const REPLICA_SETS: Resource = Resource::plain("apps", "ReplicaSet", "replicasets", CHANGES);
const STATEFUL_SETS: Resource = Resource::plain("apps", "StatefulSet", "statefulsets", CHANGES);
const CRON_JOBS: Resource = Resource::plain("batch", "CronJob", "cronjobs", CHANGES);
const JOBS: Resource = Resource::plain("batch", "Job", "jobs", CHANGES);

impl Scope {
    /// Pods, with their ephemeral containers and resizes, and the eight kinds that make pods.
    pub const PODS_AND_WORKLOADS: Scope = Scope {
        resources: &[
            Resource {
                subresources: Subresources::AllBut {
                    known: &["ephemeralcontainers", "resize"],
                    ignored: &[
                        "attach",
                        "binding",
                        "eviction",
                        "exec",
                        "log",
                        "portforward",
                        "proxy",
                        "status",
                    ],
                },
                ..Resource::plain("", "Pod", "pods", CHANGES)
            },
            POD_TEMPLATES,
            REPLICATION_CONTROLLERS,
            DAEMON_SETS,
            DEPLOYMENTS,
            REPLICA_SETS,
            STATEFUL_SETS,
            CRON_JOBS,
            JOBS,
        ],
    };

    /// Pods, the eight kinds that make pods, and NetworkPolicies, which are judged when they go as well.
    pub const PODS_WORKLOADS_AND_NETWORK_POLICIES: Scope = Scope {
        resources: &[
            Resource::plain("", "Pod", "pods", CHANGES),
            POD_TEMPLATES,
            REPLICATION_CONTROLLERS,
            DAEMON_SETS,
            DEPLOYMENTS,
            REPLICA_SETS,
            STATEFUL_SETS,
            CRON_JOBS,
            JOBS,
            Resource::plain(
                "networking.k8s.io",
                "NetworkPolicy",
                "networkpolicies",
                &[Operation::Create, Operation::Update, Operation::Delete],
            ),
        ],
    };

    /// Pods as they are made: most of a pod cannot be changed afterwards, and workloads are Git's.
    pub const NEW_PODS: Scope = Scope { resources: &[Resource::plain("", "Pod", "pods", CREATION)] };

    /// Pods and Services as they are made.
    pub const NEW_PODS_AND_SERVICES: Scope = Scope {
        resources: &[
            Resource::plain("", "Pod", "pods", CREATION),
            Resource::plain("", "Service", "services", CREATION),
        ],
    };

    /// Autoscalers, and what has Prometheus scrape something.
    pub const AUTOSCALERS_AND_MONITORS: Scope = Scope {
        resources: &[
            Resource {
                version: "v2",
                ..Resource::plain(
                    "autoscaling",
                    "HorizontalPodAutoscaler",
                    "horizontalpodautoscalers",
                    CHANGES,
                )
            },
            Resource::plain("monitoring.coreos.com", "PodMonitor", "podmonitors", CHANGES),
            Resource::plain("monitoring.coreos.com", "ServiceMonitor", "servicemonitors", CHANGES),
        ],
    };

    /// Whether a policy of this scope judges that request.
    ///
    /// By kind or by resource, whichever matches: a request whose two names disagree is judged, and found wanting
    /// by the policy that cannot read it.
    pub fn takes(&self, request: &Request<'_>) -> bool {
        self.resources.iter().any(|resource| resource.takes(request))
    }

    /// Whether the request's kind is what its resource holds. No API server sends another; who does wants to be judged by
    /// the rules of something else.
    pub(crate) fn agrees(&self, request: &Request<'_>) -> bool {
        let (kind, resource) = (&request.kind, &request.resource);
        resource.name.is_empty() || self.resources.iter().all(|r| r.is_kind(kind) == r.is_resource(resource))
    }
}

impl Resource {
    const fn plain(
        group: &'static str,
        kind: &'static str,
        plural: &'static str,
        operations: &'static [Operation],
    ) -> Self {
        Resource { group, version: "v1", kind, plural, subresources: Subresources::None, operations }
    }

    fn takes(&self, request: &Request<'_>) -> bool {
        (self.is_kind(&request.kind) || self.is_resource(&request.resource))
            && self.operations.contains(&request.operation)
            && match self.subresources {
                Subresources::None => request.sub_resource.is_empty(),
                Subresources::AllBut { ignored, .. } => !ignored.contains(&request.sub_resource),
            }
    }

    fn is_kind(&self, kind: &GroupVersion<'_>) -> bool {
        kind.name == self.kind && self.is_group(kind.group)
    }

    fn is_resource(&self, resource: &GroupVersion<'_>) -> bool {
        resource.name == self.plural && self.is_group(resource.group)
    }

    /// What is in `apps` was in `extensions` before, where old API servers still serve it.
    fn is_group(&self, group: &str) -> bool {
        group == self.group || (group == "extensions" && self.group == "apps")
    }

    /// The names that webhook rules give it: `pods`, `pods/ephemeralcontainers`, `pods/resize`.
    pub fn rule_names(&self) -> Vec<String> {
        let known = match self.subresources {
            Subresources::None => &[],
            Subresources::AllBut { known, .. } => known,
        };
        std::iter::once(self.plural.to_owned())
            .chain(known.iter().map(|sub| format!("{}/{sub}", self.plural)))
            .collect()
    }
}

/// Kinds that live in no namespace, of Kubernetes and of what the manifests use. A file does not say so.
const CLUSTER_SCOPED: &[&str] = &[
    "APIService",
    "CSIDriver",
    "CertificateSigningRequest",
    "ClusterAdmissionPolicy",
    "ClusterAdmissionPolicyGroup",
    "ClusterIssuer",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "DeviceClass",
    "FlowSchema",
    "GatewayClass",
    "IngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PolicyServer",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

/// Whether objects of that kind live in no namespace.
pub(crate) fn is_cluster_scoped(kind: &str) -> bool {
    CLUSTER_SCOPED.contains(&kind)
}

/// The resource name of a kind that comes from a file, which names kinds only: its plural, as Kubernetes forms it.
pub(crate) fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.as_str() {
        "endpoints" => kind,
        word if word.ends_with(['s', 'x']) || word.ends_with("ch") => kind + "es",
        word => match word.strip_suffix('y') {
            Some(stem) if !stem.ends_with(['a', 'e', 'o']) => format!("{stem}ies"),
            _ => kind + "s",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_are_those_of_kubernetes() {
        for resource in Scope::PODS_AND_WORKLOADS.resources {
            assert_eq!(plural(resource.kind), resource.plural);
        }
        for (kind, resource) in [
            ("NetworkPolicy", "networkpolicies"),
            ("Ingress", "ingresses"),
            ("IngressClass", "ingressclasses"),
            ("Gateway", "gateways"),
            ("Endpoints", "endpoints"),
            ("ServiceMonitor", "servicemonitors"),
        ] {
            assert_eq!(plural(kind), resource);
        }
    }
}
