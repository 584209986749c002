//! The settings of the policy.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policy_kubernetes::network_policy;
use policy_kubernetes::selector::is_label_value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::NetworkPolicyRequired;

/// The direction of a connection, from the point of view of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DirectionSetting {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

/// Whether a workload may be applied before its NetworkPolicies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grace {
    /// Workloads and pods are both denied.
    #[default]
    None,
    /// Workloads are admitted with a warning; their pods are denied.
    WarnWorkload,
}

/// How to treat pods on the host network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostNetwork {
    /// Denied, because NetworkPolicies do not reliably isolate them.
    #[default]
    Deny,
    /// Not checked.
    Allow,
}

/// The cluster's DNS server: pods, and optionally a cache on each node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct DnsServer {
    /// The namespace of the DNS pods.
    pub namespace: String,
    /// The labels of the DNS pods.
    pub labels: BTreeMap<String, String>,
    /// The port of the DNS pods; 5353 on OpenShift.
    pub port: u16,
    /// The address of a DNS cache on the nodes, such as `169.254.20.10` for NodeLocal DNSCache. If set, a rule that allows
    /// this address is also sufficient.
    pub address: Option<IpAddr>,
}

impl Default for DnsServer {
    fn default() -> Self {
        let mut labels = BTreeMap::new();
        labels.insert("k8s-app".to_owned(), "kube-dns".to_owned());
        DnsServer { namespace: "kube-system".to_owned(), labels, port: 53, address: None }
    }
}

impl DnsServer {
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.namespace.is_empty() || self.port == 0 {
            return Err("dnsServer: must have a namespace and a port".to_owned());
        }
        match self.labels.values().find(|value| !is_label_value(value)) {
            Some(value) => Err(format!("dnsServer: `{value}` is not a valid label value")),
            None => Ok(()),
        }
    }
}

policy_core::controls! {
    /// Every pod is isolated for ingress.
    IsolatedIngress = "isolatedIngress" {
        remediation: "Add a NetworkPolicy that selects the pod and lists Ingress in `policyTypes`.",
        fix: false,
    },
    /// Every pod is isolated for egress.
    IsolatedEgress = "isolatedEgress" {
        remediation: "Add a NetworkPolicy that selects the pod and lists Egress in `policyTypes`.",
        fix: false,
    },
    /// Every namespace with workloads has a default deny for ingress.
    DefaultDenyIngress = "defaultDenyIngress" {
        remediation: "Add a NetworkPolicy with `podSelector: {}`, `policyTypes: [Ingress]` and no rules.",
        fix: true,
    },
    /// Every namespace with workloads has a default deny for egress.
    DefaultDenyEgress = "defaultDenyEgress" {
        remediation: "Add a NetworkPolicy with `podSelector: {}`, `policyTypes: [Egress]` and no rules.",
        fix: true,
    },
    /// Pods that are isolated for egress can reach DNS.
    Dns = "dns" {
        remediation: "Allow egress to the DNS pods over UDP and TCP.",
        fix: false,
    },
    /// NetworkPolicies are not overly permissive for ingress.
    NarrowIngress = "narrowIngress" {
        remediation: "List the peers in `from`.",
        fix: false,
    },
    /// NetworkPolicies are not overly permissive for egress.
    NarrowEgress = "narrowEgress" {
        remediation: "List the peers in `to`.",
        fix: false,
    },
    /// Pods do not use the host network.
    HostNetwork = "hostNetwork" {
        remediation: "Remove `hostNetwork`.",
        fix: true,
    },
}

impl NetworkPolicyRequired {
    /// Whether a control is evaluated.
    pub(crate) fn wants(&self, control: ControlId) -> bool {
        let is_enabled = match control {
            ControlId::IsolatedIngress => self.isolated.contains(&DirectionSetting::Ingress),
            ControlId::IsolatedEgress => self.isolated.contains(&DirectionSetting::Egress),
            ControlId::DefaultDenyIngress => self.default_deny.contains(&DirectionSetting::Ingress),
            ControlId::DefaultDenyEgress => self.default_deny.contains(&DirectionSetting::Egress),
            ControlId::Dns => self.dns,
            ControlId::NarrowIngress => self.narrow.contains(&DirectionSetting::Ingress),
            ControlId::NarrowEgress => self.narrow.contains(&DirectionSetting::Egress),
            ControlId::HostNetwork => self.host_network == HostNetwork::Deny,
        };
        is_enabled && !self.exempt_controls.contains(&control)
    }
}

/// Returns the control for a direction.
pub(crate) fn of(direction: network_policy::Direction, ingress: ControlId, egress: ControlId) -> ControlId {
    match direction {
        network_policy::Direction::Ingress => ingress,
        network_policy::Direction::Egress => egress,
    }
}
