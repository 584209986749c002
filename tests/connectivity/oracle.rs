//! A brute-force oracle that decides whether a connection is allowed. It follows the documentation of the NetworkPolicy API
//! (kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1), works on the objects directly, and uses no
//! code of the crate under test.

use std::net::IpAddr;

use serde_json::Value;

/// One end of a connection.
#[derive(Clone, Copy)]
pub(crate) enum OraclePeer<'v> {
    Pod(&'v Value),
    Address(IpAddr),
}

/// The objects of a cluster.
pub(crate) struct OracleCluster<'v> {
    pub(crate) namespaces: &'v [Value],
    pub(crate) policies: &'v [Value],
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn label(object: &Value, key: &str) -> Option<String> {
    if object["kind"] == "Namespace" && key == "kubernetes.io/metadata.name" {
        return object["metadata"]["name"].as_str().map(str::to_owned);
    }
    object["metadata"]["labels"].get(key).and_then(Value::as_str).map(str::to_owned)
}

/// "The result of matchLabels and matchExpressions are ANDed. An empty label selector matches all objects."
fn selects(selector: &Value, object: &Value) -> bool {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut all = labels.map(|(key, value)| label(object, key).as_deref() == value.as_str());
    let expressions = list(&selector["matchExpressions"]).all(|expression| {
        let value = label(object, expression["key"].as_str().expect("a key"));
        let listed =
            value.as_ref().is_some_and(|value| list(&expression["values"]).any(|listed| listed == value));
        match expression["operator"].as_str().expect("an operator") {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            other => panic!("{other}"),
        }
    });
    all.all(|holds| holds) && expressions
}

/// "If no policyTypes are specified on a NetworkPolicy then by default Ingress will always be set and Egress will be set if
/// the NetworkPolicy has any egress rules."
fn has_type(policy: &Value, direction: &str) -> bool {
    let spec = &policy["spec"];
    match list(&spec["policyTypes"]).next() {
        Some(_) => list(&spec["policyTypes"]).any(|listed| listed == direction),
        None => direction == "Ingress" || list(&spec["egress"]).next().is_some(),
    }
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

fn in_cidr(address: IpAddr, cidr: &str) -> bool {
    let (network, length) = cidr.split_once('/').expect("a CIDR");
    let (network, width) = bits(network.parse().expect("an address"));
    let (address, own_width) = bits(address);
    let length: u32 = length.parse().expect("a length");
    own_width == width && (length == 0 || (address >> (width - length)) == (network >> (width - length)))
}

impl OracleCluster<'_> {
    fn namespace_of(&self, object: &Value) -> &Value {
        let wanted = &object["metadata"]["namespace"];
        self.namespaces.iter().find(|namespace| namespace["metadata"]["name"] == *wanted).expect("it exists")
    }

    /// The policies that isolate a pod in a direction.
    pub(crate) fn isolating<'p>(
        &'p self,
        pod: &'p Value,
        direction: &'p str,
    ) -> impl Iterator<Item = &'p Value> {
        self.policies.iter().filter(move |policy| {
            policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
                && selects(&policy["spec"]["podSelector"], pod)
                && has_type(policy, direction)
        })
    }

    /// "In order for a connection from a source pod to a destination pod to be allowed, both the egress policy on the source pod
    /// and the ingress policy on the destination pod need to allow the connection."
    pub(crate) fn allows(&self, from: OraclePeer<'_>, to: OraclePeer<'_>, protocol: &str, port: u16) -> bool {
        let side = |own: OraclePeer<'_>, other, direction, rules, peers| match own {
            OraclePeer::Address(_) => true,
            OraclePeer::Pod(pod) => {
                let mut isolating = self.isolating(pod, direction).peekable();
                isolating.peek().is_none()
                    || isolating.any(|policy| {
                        list(&policy["spec"][rules]).any(|rule| {
                            self.names(policy, &rule[peers], other)
                                && opens(&rule["ports"], to, protocol, port)
                        })
                    })
            }
        };
        side(from, to, "Egress", "egress", "to") && side(to, from, "Ingress", "ingress", "from")
    }

    /// "If this field is empty or missing, this rule matches all sources (traffic not restricted by source)."
    fn names(&self, policy: &Value, peers: &Value, other: OraclePeer<'_>) -> bool {
        if list(peers).next().is_none() {
            return true;
        }
        list(peers).any(|peer| match other {
            OraclePeer::Address(address) => {
                let block = &peer["ipBlock"];
                let inside = |cidr: &Value| cidr.as_str().is_some_and(|cidr| in_cidr(address, cidr));
                inside(&block["cidr"]) && !list(&block["except"]).any(inside)
            }
            OraclePeer::Pod(_) if !peer["ipBlock"].is_null() => false,
            OraclePeer::Pod(pod) => {
                let namespace = match peer["namespaceSelector"].is_null() {
                    true => pod["metadata"]["namespace"] == policy["metadata"]["namespace"],
                    false => selects(&peer["namespaceSelector"], self.namespace_of(pod)),
                };
                namespace && (peer["podSelector"].is_null() || selects(&peer["podSelector"], pod))
            }
        })
    }
}

/// "If this field is empty or missing, this rule matches all ports (traffic not restricted by port)."
fn opens(ports: &Value, to: OraclePeer<'_>, protocol: &str, port: u16) -> bool {
    if list(ports).next().is_none() {
        return true;
    }
    list(ports).any(|listed| {
        if listed["protocol"].as_str().unwrap_or("TCP") != protocol {
            return false;
        }
        match &listed["port"] {
            Value::Null => true,
            Value::String(name) => match to {
                OraclePeer::Address(_) => false,
                OraclePeer::Pod(pod) => {
                    list(&pod["spec"]["containers"]).flat_map(|c| list(&c["ports"])).any(|own| {
                        own["name"] == *name
                            && own["protocol"].as_str().unwrap_or("TCP") == protocol
                            && own["containerPort"] == port
                    })
                }
            },
            number => {
                let first = number.as_u64().expect("a number");
                let last = listed["endPort"].as_u64().unwrap_or(first);
                (first..=last).contains(&u64::from(port))
            }
        }
    })
}
