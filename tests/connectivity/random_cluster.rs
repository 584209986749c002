//! Random clusters, small enough that selectors, labels and ports often match.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// A cluster of namespaces, pods and NetworkPolicies.
#[derive(Clone, Debug)]
pub(crate) struct RandomCluster {
    pub(crate) namespaces: Vec<Value>,
    pub(crate) pods: Vec<Value>,
    pub(crate) policies: Vec<Value>,
}

const KEYS: [&str; 3] = ["app", "tier", "example.com/team"];
const VALUES: [&str; 3] = ["a", "b", ""];
const NAMESPACES: [&str; 3] = ["one", "two", "three"];
const PORT_NAMES: [&str; 3] = ["http", "dns", "x-9"];
/// Ports to use in rules and pods, and to test.
pub(crate) const PORTS: [u16; 7] = [1, 53, 80, 81, 8080, 8090, 65535];
const CIDRS: [&str; 6] = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "::/0", "fd00::/8"];
/// Addresses inside and outside of these blocks.
pub(crate) const ADDRESSES: [&str; 7] =
    ["10.1.2.3", "10.1.9.9", "10.200.0.1", "8.8.8.8", "255.255.255.255", "fd00::1", "2001:db8::1"];

fn labels() -> impl Strategy<Value = Value> {
    vec((select(&KEYS[..]), select(&VALUES[..])), 0..3).prop_map(|pairs| {
        let map: Map<String, Value> = pairs.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
        Value::Object(map)
    })
}

fn expression(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let of = |operator: &'static str| {
        (select(keys), vec(select(&VALUES[..]), 1..3))
            .prop_map(move |(key, values)| json!({"key": key, "operator": operator, "values": values}))
    };
    let alone =
        |operator: &'static str| select(keys).prop_map(move |key| json!({"key": key, "operator": operator}));
    prop_oneof![of("In"), of("NotIn"), alone("Exists"), alone("DoesNotExist")]
}

fn selector(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let labelled = vec((select(keys), select(&VALUES[..])), 0..2).prop_map(|pairs| {
        let map: Map<String, Value> = pairs.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
        map
    });
    prop_oneof![
        2 => Just(json!({})),
        3 => (labelled, vec(expression(keys), 0..2))
            .prop_map(|(labels, expressions)| json!({"matchLabels": labels, "matchExpressions": expressions})),
    ]
}

fn namespace_selector() -> impl Strategy<Value = Value> {
    prop_oneof![
        selector(&KEYS),
        select(&NAMESPACES[..])
            .prop_map(|name| json!({"matchLabels": {"kubernetes.io/metadata.name": name}})),
    ]
}

fn block() -> impl Strategy<Value = Value> {
    (select(&CIDRS[..]), vec(select(&CIDRS[..]), 0..3)).prop_map(|(cidr, except)| {
        let net = |text: &str| text.parse::<ipnet::IpNet>().expect("a CIDR");
        let inside = |part: &&str| net(cidr).contains(&net(part)) && net(cidr) != net(part);
        json!({"ipBlock": {"cidr": cidr, "except": except.iter().filter(|part| inside(part)).collect::<Vec<_>>()}})
    })
}

fn peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        selector(&KEYS).prop_map(|pods| json!({"podSelector": pods})),
        namespace_selector().prop_map(|namespaces| json!({"namespaceSelector": namespaces})),
        (namespace_selector(), selector(&KEYS))
            .prop_map(|(namespaces, pods)| json!({"namespaceSelector": namespaces, "podSelector": pods})),
        block(),
    ]
}

fn protocol() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), select(&["TCP", "UDP", "SCTP"][..]).prop_map(|name| json!(name))]
}

fn port() -> impl Strategy<Value = Value> {
    let number = (select(&PORTS[..]), option::of(select(&PORTS[..]))).prop_map(|(first, last)| {
        match last.filter(|last| *last >= first) {
            Some(last) => json!({"port": first, "endPort": last}),
            None => json!({"port": first}),
        }
    });
    let named = select(&PORT_NAMES[..]).prop_map(|name| json!({"port": name}));
    (prop_oneof![3 => number, 2 => named, 1 => Just(json!({}))], protocol()).prop_map(
        |(mut port, protocol)| {
            port["protocol"] = protocol;
            port
        },
    )
}

fn rule(peers: &'static str) -> impl Strategy<Value = Value> {
    (option::of(vec(peer(), 0..3)), option::of(vec(port(), 0..3))).prop_map(move |(who, ports)| {
        let mut rule = json!({});
        if let Some(who) = who {
            rule[peers] = json!(who);
        }
        if let Some(ports) = ports {
            rule["ports"] = json!(ports);
        }
        rule
    })
}

fn policy() -> impl Strategy<Value = Value> {
    let types = prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!(["Ingress"])),
        Just(json!(["Egress"])),
        Just(json!(["Ingress", "Egress"])),
    ];
    let rules = |peers| option::of(vec(rule(peers), 0..3));
    (select(&NAMESPACES[..]), selector(&KEYS), types, rules("from"), rules("to")).prop_map(
        |(namespace, pods, types, ingress, egress)| {
            let mut spec = json!({"podSelector": pods, "policyTypes": types});
            for (direction, rules) in [("ingress", ingress), ("egress", egress)] {
                if let Some(rules) = rules {
                    spec[direction] = json!(rules);
                }
            }
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"namespace": namespace}, "spec": spec})
        },
    )
}

fn pod() -> impl Strategy<Value = Value> {
    let port = (select(&PORT_NAMES[..]), select(&PORTS[..]), protocol()).prop_map(
        |(name, number, protocol)| json!({"name": name, "containerPort": number, "protocol": protocol}),
    );
    (select(&NAMESPACES[..]), labels(), vec(port, 0..4)).prop_map(|(namespace, labels, ports)| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "labels": labels},
            "spec": {"containers": [{"name": "c", "ports": ports}]}})
    })
}

/// A cluster of three namespaces.
pub(crate) fn world() -> impl Strategy<Value = RandomCluster> {
    (vec(labels(), 3), vec(pod(), 1..6), vec(policy(), 0..6)).prop_map(|(labels, mut pods, mut policies)| {
        let namespaces = NAMESPACES.iter().zip(labels).map(|(name, labels)| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        });
        for (kind, objects) in [("pod", &mut pods), ("policy", &mut policies)] {
            for (i, object) in objects.iter_mut().enumerate() {
                object["metadata"]["name"] = json!(format!("{kind}-{i}"));
            }
        }
        RandomCluster { namespaces: namespaces.collect(), pods, policies }
    })
}
