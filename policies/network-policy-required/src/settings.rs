//! What can be set.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policy_kubernetes::network_policy;
use policy_kubernetes::selector::is_label_value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::NetworkPolicyRequired;

/// A direction, seen from the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DirectionSetting {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

/// Whether a workload may come before its NetworkPolicies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grace {
    /// Workloads and pods are denied alike.
    #[default]
    None,
    /// Workloads are warned of what their pods will be denied for.
    WarnWorkload,
}

/// What to do with pods on the network of their node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostNetwork {
    /// They are denied: no NetworkPolicy isolates them for certain.
    #[default]
    Deny,
    /// They are let alone.
    Allow,
}

/// Who answers DNS: pods, and perhaps a cache on each node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct DnsServer {
    /// The namespace of its pods.
    pub namespace: String,
    /// The labels of its pods.
    pub labels: BTreeMap<String, String>,
    /// The port of its pods; OpenShift's is 5353.
    pub port: u16,
    /// The address of a cache on the nodes, such as NodeLocal DNSCache's `169.254.20.10`, if there is one: a rule for that
    /// address will do as well then.
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
            Some(value) => Err(format!("dnsServer: `{value}` is no label value")),
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
    /// Pods that are isolated for egress can ask DNS.
    Dns = "dns" {
        remediation: "Allow egress to the DNS pods, UDP and TCP.",
        fix: false,
    },
    /// No NetworkPolicy is wide open for ingress.
    NarrowIngress = "narrowIngress" {
        remediation: "Name the peers in `from`.",
        fix: false,
    },
    /// No NetworkPolicy is wide open for egress.
    NarrowEgress = "narrowEgress" {
        remediation: "Name the peers in `to`.",
        fix: false,
    },
    /// No pod is on the network of its node.
    HostNetwork = "hostNetwork" {
        remediation: "Remove `hostNetwork`.",
        fix: true,
    },
}

impl NetworkPolicyRequired {
    /// Whether a control is in force.
    pub(crate) fn wants(&self, control: ControlId) -> bool {
        let requested = match control {
            ControlId::IsolatedIngress => self.isolated.contains(&DirectionSetting::Ingress),
            ControlId::IsolatedEgress => self.isolated.contains(&DirectionSetting::Egress),
            ControlId::DefaultDenyIngress => self.default_deny.contains(&DirectionSetting::Ingress),
            ControlId::DefaultDenyEgress => self.default_deny.contains(&DirectionSetting::Egress),
            ControlId::Dns => self.dns,
            ControlId::NarrowIngress => self.narrow.contains(&DirectionSetting::Ingress),
            ControlId::NarrowEgress => self.narrow.contains(&DirectionSetting::Egress),
            ControlId::HostNetwork => self.host_network == HostNetwork::Deny,
        };
        requested && !self.exempt_controls.contains(&control)
    }
}

/// The control of a direction, of two.
pub(crate) fn of(direction: network_policy::Direction, ingress: ControlId, egress: ControlId) -> ControlId {
    match direction {
        network_policy::Direction::Ingress => ingress,
        network_policy::Direction::Egress => egress,
    }
}
