//! Requires that NetworkPolicies isolate every pod, and that none of them is wide open or goes while a pod depends on it.

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

/// Holds workloads to the NetworkPolicies of their namespace, and NetworkPolicies to being of use.
///
/// ## What it denies
///
/// - A pod, or a workload whose template makes such pods, that no NetworkPolicy of its namespace isolates for ingress or for
///   egress; that lives in a namespace without a default deny; that is isolated for egress and may not ask the cluster's DNS,
///   over UDP and TCP.
/// - A NetworkPolicy that is wide open: a rule for everybody (`ingress: [{}]`), for every address (`0.0.0.0/0` without
///   `except`, or blocks that add up to it), for every pod of every namespace (`namespaceSelector: {}`).
/// - A NetworkPolicy that an API server would not take: an invalid selector, CIDR, port or protocol, with the field.
/// - The removal of a NetworkPolicy, or a change of one, by which running pods would come to lack any of that; the pods are
///   named. One that goes with its whole namespace may go.
///
/// ## Why
///
/// A pod that no policy selects can call, and be called by, everything. Whether it is selected is nowhere to be seen: it hangs
/// on labels, `policyTypes` that are not there, and on every other policy of the namespace.
///
/// ## What is special
///
/// - It reads policies as Kubernetes does: per direction, `matchExpressions` too, `policyTypes` that are missing mean Ingress,
///   and Egress where there are egress rules; a default deny isolates every pod of its namespace.
/// - What it cannot read of the cluster it does not guess: where it has to look and cannot, it denies. In `pratique check` the
///   other documents given are the cluster.
/// - In one sync a workload may come before its policies. With `grace: warn-workload` it is only warned of; its pods are denied
///   until the policies are there, and made by their controller then.
/// - A pod whose labels change is denied only if it would come to lack something: one from before this policy can be kept.
/// - A NetworkPolicy that isolates running pods, and so cuts them off from DNS, is warned of: the one that lets them ask may
///   follow. One that takes DNS away from pods that are isolated already is denied.
/// - A NetworkPolicy that is being deleted isolates nobody who is yet to come, whatever finalizer holds it. Pods that are being
///   deleted or have ended depend on nothing.
/// - Rules for a direction that `policyTypes` does not list have no effect; they are warned of.
/// - A pod on the network of its node is isolated by no NetworkPolicy for certain, and denied, unless a setting allows it.
/// - It judges one request at a time, by what is known then. Two policies of which each is enough can be removed in the same
///   second, and a pod can be made in the second in which its policy goes; the next check of the namespace says so. Whoever may
///   write `pods/status`, as nodes and controllers may, can change a pod's labels unseen.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct NetworkPolicyRequired {
    /// The directions in which every pod must be isolated.
    pub isolated: Vec<DirectionSetting>,
    /// The directions in which every namespace with workloads must have a default deny: a NetworkPolicy that selects all pods
    /// and allows nothing.
    pub default_deny: Vec<DirectionSetting>,
    /// Whether a pod that is isolated for egress must be let through to DNS.
    pub dns: bool,
    /// Which pods answer DNS.
    pub dns_server: DnsServer,
    /// The directions in which no NetworkPolicy may be wide open.
    pub narrow: Vec<DirectionSetting>,
    /// Ports that a rule may open to everybody, if it opens no other.
    pub open_ports: Vec<u16>,
    /// What to do with pods on the network of their node.
    pub host_network: HostNetwork,
    /// Whether a workload may come before its NetworkPolicies.
    pub grace: Grace,
    /// Judge all but these controls.
    pub exempt_controls: Vec<ControlId>,
    /// Custom kinds that make pods, beside the built-in ones.
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
        summary: "Denies workloads that no NetworkPolicy isolates, NetworkPolicies that are wide open, and the removal of one that pods depend on.",
        remediation: "Add or narrow the NetworkPolicy that the message asks for, in the namespace of the workload; it may be applied first.",
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
