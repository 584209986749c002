//! Requires NetworkPolicies that isolate every pod. Denies overly permissive ones, and removing one that pods depend on.

mod missing;
mod overly_permissive;
mod pods;
mod removal;
mod settings;

use policy_core::{
    Category, Cluster, Context, Evaluate, Policy, PolicyMetadata, Request, Severity, Undecided, Verdict,
    WatchedKind,
};
use policy_kubernetes::{PodTemplate, WorkloadKinds, scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use settings::{ControlId, DirectionSetting, DnsServer, Grace, HostNetwork};

/// Requires that NetworkPolicies isolate every pod, and that NetworkPolicies are valid and not overly permissive.
///
/// ## What it denies
///
/// - A pod, or a workload with a pod template, that no NetworkPolicy in its namespace isolates for ingress or egress, or that
///   runs in a namespace without a default deny.
/// - A pod or workload that is isolated for egress but cannot reach the cluster's DNS over both UDP and TCP.
/// - An overly permissive NetworkPolicy: a rule that allows every peer (`ingress: [{}]`), every address (`0.0.0.0/0` without
///   `except`, or blocks that together cover it) or every pod in every namespace (`namespaceSelector: {}`).
/// - A NetworkPolicy that the API server would reject because a selector, CIDR, port or protocol is not valid.
/// - Deleting or changing a NetworkPolicy if running pods would lose isolation, the default deny or DNS. The message names
///   the pods. A NetworkPolicy can be deleted together with its namespace.
///
/// ## Why
///
/// A pod that no NetworkPolicy selects accepts every connection and can open any. You cannot tell from the pod alone, because
/// isolation depends on labels, on the defaults of `policyTypes`, and on every NetworkPolicy in the namespace.
///
/// ## Notes and limits
///
/// - Each direction is evaluated as in Kubernetes, including `matchExpressions`. Without `policyTypes`, a NetworkPolicy applies
///   to ingress, and to egress if it has egress rules. A default deny isolates every pod in its namespace.
/// - If the policy cannot read the cluster data that it needs, it denies. In `pratique check`, the other manifests are the
///   cluster data.
/// - In one sync, a workload may be applied before its NetworkPolicies. With `grace: warn-workload`, the workload is admitted
///   with a warning. Its pods are denied until the NetworkPolicies exist; the controller then creates them.
/// - A label change of a pod is denied only if the pod would lose isolation or DNS access. Pods that were created before this
///   policy was enabled can be updated.
/// - A NetworkPolicy that newly isolates running pods, and so cuts them off from DNS, causes only a warning, because the one
///   that allows DNS may be applied next. Removing DNS access from pods that are already isolated is denied.
/// - A NetworkPolicy that is being deleted does not count for new pods, even if a finalizer delays it. Pods that are being
///   deleted or have finished do not depend on any NetworkPolicy.
/// - Rules for a direction that `policyTypes` does not list have no effect and cause a warning.
/// - NetworkPolicies do not reliably isolate pods on the host network. Such pods are denied unless `hostNetwork` is `allow`.
/// - Each request is evaluated with the cluster data known at that time. Two redundant NetworkPolicies can be deleted within
///   a second, and a pod can be created while its NetworkPolicy is being deleted. The next check of the namespace reports it.
/// - Clients that can write `pods/status`, such as nodes and controllers, can change the labels of a pod undetected.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct NetworkPolicyRequired {
    /// The directions in which every pod must be isolated.
    pub isolated: Vec<DirectionSetting>,
    /// The directions in which every namespace with workloads must have a default deny: a NetworkPolicy that selects all pods
    /// and allows nothing.
    pub default_deny: Vec<DirectionSetting>,
    /// Whether a pod that is isolated for egress must be able to reach DNS.
    pub dns: bool,
    /// The DNS server that pods must be able to reach.
    pub dns_server: DnsServer,
    /// The directions in which overly permissive NetworkPolicies are denied.
    pub narrow: Vec<DirectionSetting>,
    /// Ports that a rule may open to every peer, if the rule opens no other ports.
    pub open_ports: Vec<u16>,
    /// How to treat pods on the host network.
    pub host_network: HostNetwork,
    /// Whether a workload may be applied before its NetworkPolicies.
    pub grace: Grace,
    /// Controls that are not evaluated.
    pub exempt_controls: Vec<ControlId>,
    /// Custom kinds that create pods, in addition to the built-in ones.
    pub pod_templates: Vec<PodTemplate>,
}

impl Default for NetworkPolicyRequired {
    fn default() -> Self {
        let both = || vec![DirectionSetting::Ingress, DirectionSetting::Egress];
        NetworkPolicyRequired {
            isolated: both(),
            default_deny: both(),
            dns: true,
            dns_server: DnsServer::default(),
            narrow: both(),
            open_ports: Vec::new(),
            host_network: HostNetwork::default(),
            grace: Grace::default(),
            exempt_controls: Vec::new(),
            pod_templates: Vec::new(),
        }
    }
}

impl Policy for NetworkPolicyRequired {
    const METADATA: PolicyMetadata = PolicyMetadata {
        name: "network-policy-required",
        title: "NetworkPolicy required",
        summary: "Denies workloads that no NetworkPolicy isolates, overly permissive NetworkPolicies, and removing one that pods depend on.",
        remediation: "Add or narrow the NetworkPolicy that the message describes, in the namespace of the workload. You can apply it first.",
        source: "https://kubernetes.io/docs/concepts/services-networking/network-policies/",
        severity: Severity::High,
        category: Category::NetworkSecurity,
        controls: settings::CONTROL_METADATA,
        scope: scopes::PODS_WORKLOADS_AND_NETWORK_POLICIES,
        reads: &[WatchedKind::NAMESPACE, WatchedKind::NETWORK_POLICY, WatchedKind::POD],
        context: Context::Cluster,
        mutates: false,
        denies: true,
    };

    fn validate(&self) -> Result<(), String> {
        self.dns_server.validate()?;
        self.pod_templates.iter().try_for_each(PodTemplate::validate)?;
        match self.open_ports.iter().position(|port| *port == 0) {
            Some(_) => Err("openPorts: must be from 1 to 65535, is `0`".to_owned()),
            None => Ok(()),
        }
    }
}

impl Evaluate for NetworkPolicyRequired {
    fn extends_scope_to(&self, request: &Request<'_>) -> bool {
        WorkloadKinds::with(&self.pod_templates).adds(request)
    }

    fn evaluate(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        match request.kind.kind {
            "NetworkPolicy" if removal::is_none(request)? => Ok(()),
            "NetworkPolicy" => {
                let policy = overly_permissive::evaluate(self, request, verdict)?;
                removal::evaluate(self, request, policy, cluster, verdict)
            }
            _ => pods::evaluate(self, request, cluster, verdict),
        }
    }
}

policy_core::export!(NetworkPolicyRequired);

#[cfg(test)]
mod tests;
