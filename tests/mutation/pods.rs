//! Generates pods for the property tests, with their namespace and the settings of the policies.

use policy_kubernetes::pod::EXPORTER_STATUS;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

/// A pod, its namespace, and the settings of the two policies.
#[derive(Clone, Debug)]
pub(crate) struct MutationInput {
    pub(crate) pod: Json,
    pub(crate) cluster: Vec<Json>,
    pub(crate) exporter: Json,
    pub(crate) labels: Json,
}

pub(crate) fn input() -> impl Strategy<Value = MutationInput> {
    let cluster = prop_oneof![
        Just(vec![]),
        Just(vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "data", "labels": {"pratique.dev/inject-exporter": "enabled"}}})
        ]),
        Just(vec![
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "data"}, "spec": {"selector": {"app.kubernetes.io/name": "db"}}})
        ]),
    ];
    let exporter = (select(vec!["native", "classic"]), select(vec!["allow", "deny"]))
        .prop_map(|(form, missing)| json!({"form": form, "onMissing": missing}));
    let labels = (select(vec!["labels", "annotations"]), select(vec!["", "kube-prometheus-stack"]))
        .prop_map(|(mark, release)| json!({"mark": mark, "release": release, "metricsPorts": [8080]}));
    (pod(), cluster, exporter, labels).prop_map(|(pod, cluster, exporter, labels)| MutationInput {
        pod,
        cluster,
        exporter,
        labels,
    })
}

fn pod() -> impl Strategy<Value = Json> {
    let one = |values: &[&str]| select(values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>());
    let map = |pairs: Vec<(&'static str, f64, &'static [&'static str])>| {
        let chosen = pairs.into_iter().map(|(key, often, values)| {
            proptest::option::weighted(often, select(values.to_vec())).prop_map(move |value| (key, value))
        });
        chosen.collect::<Vec<_>>().prop_map(|pairs| {
            let set = pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Json::from(value?))));
            set.collect::<serde_json::Map<_, _>>()
        })
    };
    let annotations = map(vec![
        (
            "pratique.dev/inject-exporter",
            0.7,
            &["auto", "mysqld", "redis", "nginx", "kafka", "false", "nope", ""],
        ),
        ("pratique.dev/exporter-secret", 0.8, &["db/password", "db/password", "db"]),
        (EXPORTER_STATUS, 0.1, &["forged", r#"{"container":"mysqld-exporter"}"#]),
        ("prometheus.io/port", 0.1, &["1"]),
        ("kubernetes.io/config.mirror", 0.03, &["x"]),
        ("a/b~c", 0.3, &["d"]),
    ]);
    let labels = map(vec![
        ("app", 0.5, &["db", "web"]),
        ("release", 0.3, &["mine"]),
        ("app.kubernetes.io/name", 0.3, &["", "db"]),
        ("pratique.dev/scrape", 0.2, &["true", "false"]),
        ("pod-template-hash", 0.5, &["7d9f"]),
    ]);
    let port = (
        proptest::option::of(one(&["metrics", "http", "metrics-9104", "exporter-9104", "prometheus"])),
        select(vec![80, 8080, 9104, 9113, 9121]),
        proptest::option::of(one(&["TCP", "UDP"])),
    )
        .prop_map(|(name, number, protocol)| {
            let mut port = json!({"containerPort": number});
            if let Some(name) = name {
                port["name"] = name.into();
            }
            if let Some(protocol) = protocol {
                port["protocol"] = protocol.into();
            }
            port
        });
    let container = (
        one(&["db", "web", "mysqld-exporter", "redis-exporter"]),
        one(&[
            "mysql:8.4",
            "redis:8",
            "nginx:1.29",
            "app:1",
            "prom/mysqld-exporter:v0.1.0",
            "Not An Image",
            "rabbitmq:4",
        ]),
        proptest::option::of(proptest::collection::vec(port, 0..3)),
        any::<bool>(),
    )
        .prop_map(|(name, image, ports, always)| {
            let mut container = json!({"name": name, "image": image, "unknownField": {"x": [1, null]},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}});
            if let Some(ports) = ports {
                container["ports"] = ports.into();
            }
            (container, always)
        });
    let metadata = (
        proptest::option::weighted(0.8, annotations),
        proptest::option::weighted(0.7, labels),
        any::<bool>(),
        any::<bool>(),
    );
    let spec = (
        proptest::collection::vec(container.clone(), 1..3),
        prop_oneof![
            3 => Just(None),
            1 => Just(Some(None)),
            3 => proptest::collection::vec(container, 0..3).prop_map(|list| Some(Some(list))),
        ],
        proptest::option::weighted(0.1, any::<bool>()),
        proptest::option::weighted(0.2, one(&["Never", "Always"])),
    );
    (metadata, spec).prop_map(|((annotations, labels, owned, generated), (containers, init, host_network, restart))| {
        let mut metadata = json!({"namespace": "data"});
        metadata[if generated { "generateName" } else { "name" }] = "db-7d9f-".into();
        if let Some(annotations) = annotations {
            metadata["annotations"] = annotations.into();
        }
        if let Some(labels) = labels {
            metadata["labels"] = labels.into();
        }
        if owned {
            metadata["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "db-7d9f", "uid": "u", "controller": true}]);
        }
        let mut spec = json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}});
        spec["containers"] = containers.into_iter().map(|(container, _)| container).collect();
        if let Some(init) = init {
            spec["initContainers"] = init.map_or(Json::Null, |list| {
                let sidecar = |(mut container, always): (Json, bool)| {
                    if always {
                        container["restartPolicy"] = "Always".into();
                    }
                    container
                };
                list.into_iter().map(sidecar).collect()
            });
        }
        if let Some(host_network) = host_network {
            spec["hostNetwork"] = host_network.into();
        }
        if let Some(restart) = restart {
            spec["restartPolicy"] = restart.into();
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    })
}
