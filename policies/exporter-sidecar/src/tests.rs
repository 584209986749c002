//! Tests that cases cannot express: invalid settings, and the completeness of the documentation.

use policy_core::{Field, NoCluster, PolicyDefinition};

use super::*;

fn refused(settings: &str) -> String {
    (PolicyDefinition::of::<ExporterSidecar>().configure)(settings)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

#[test]
fn invalid_exporter_settings_are_rejected() {
    for (settings, reason) in [
        (
            r#"{"exporters":[{"name":"mysqld","image":"x y"}]}"#,
            "exporters: mysqld: image: `x y` has no valid repository",
        ),
        (r#"{"exporters":[{"name":"mysqld","image":"x"}]}"#, "must have a tag other than latest"),
        (r#"{"exporters":[{"name":"mysqld","image":"x:latest"}]}"#, "must have a tag other than latest"),
        (r#"{"exporters":[{"name":"mysqld","port":0}]}"#, "port: must be from 1 to 65535"),
        (r#"{"exporters":[{"name":"mysqld","port":70000}]}"#, "port: must be from 1 to 65535"),
        (r#"{"exporters":[{"name":"mysqld","runAsUser":0}]}"#, "runAsUser: must be from 1 to 2147483647"),
        (
            r#"{"exporters":[{"name":"mysqld","runAsUser":3000000000}]}"#,
            "runAsUser: must be from 1 to 2147483647",
        ),
        (
            r#"{"exporters":[{"name":"mysqld","env":[{"name":"","value":"x"}]}]}"#,
            "env: `` must be a valid name",
        ),
        (
            r#"{"exporters":[{"name":"mysqld","env":[{"name":"A=B","value":"x"}]}]}"#,
            "env: `A=B` must be a valid name",
        ),
        (r#"{"exporters":[{"name":"redis","secretVariable":""}]}"#, "secretVariable: must be a valid name"),
        (
            r#"{"exporters":[{"name":"redis","env":[{"name":"REDIS_PASSWORD","value":"x"}]}]}"#,
            "env: `REDIS_PASSWORD` must be a valid name, be listed once, and not be the Secret's",
        ),
        (
            r#"{"exporters":[{"name":"redis","env":[{"name":"A","value":"x"},{"name":"A","value":"y"}]}]}"#,
            "env: `A` must be a valid name, be listed once",
        ),
        (r#"{"exporters":[{"name":"mysqld","secret":"name"}]}"#, "secret: must be SECRET/KEY, is `name`"),
        (r#"{"exporters":[{"name":"mysqld","livenessPath":"healthz"}]}"#, "livenessPath: must start with /"),
        (r#"{"exporters":[{"name":"mysqld","imagee":"x:1"}]}"#, "unknown field `imagee`"),
        (r#"{"exporters":[{"name":"mine","image":"x:1"}]}"#, "must have an image and a port"),
        (r#"{"exporters":[{"name":"Mine","image":"x:1","port":1}]}"#, "`Mine` must be a name of lower case"),
        (r#"{"exporters":[{"name":"auto","image":"x:1","port":1}]}"#, "`auto` must be a name"),
        (
            r#"{"exporters":[{"name":"mine","image":"x:1","port":1,"needsSecret":true}]}"#,
            "secretVariable must be set",
        ),
        (
            r#"{"exporters":[{"name":"mysqld","cpu":{"request":"1","limit":"500m"}}]}"#,
            "cpu: `1` must not be more than its limit `500m`",
        ),
        (
            r#"{"exporters":[{"name":"mysqld","memory":{"request":"1x","limit":"1"}}]}"#,
            "`1x` must be a whole quantity",
        ),
        (r#"{"exporters":[{"name":"mysqld"},{"name":"mysqld"}]}"#, "`mysqld` is listed twice"),
        (r#"{"form":"sidecar"}"#, "unknown variant `sidecar`"),
    ] {
        let error = refused(settings);
        assert!(error.contains(reason), "{settings}: {error}");
    }
    assert_eq!(refused(r#"{"exporters":[{"name":"mine","image":"host:5000/x:1","port":9999}]}"#), "");
}

#[test]
fn built_in_exporters_pass_validation() {
    for exporter in EXPORTERS {
        let name = exporter.name;
        let settings = serde_json::json!({
            "name": name, "image": exporter.image, "port": exporter.port, "runAsUser": exporter.run_as_user,
            "livenessPath": exporter.liveness_path,
            "cpu": {"request": exporter.cpu.request, "limit": exporter.cpu.limit},
            "memory": {"request": exporter.memory.request, "limit": exporter.memory.limit},
        });
        let settings: ExporterSettings = serde_json::from_value(settings).unwrap();
        assert_eq!(settings.validate(false), Ok(()), "{name}");
        assert!(!exporter.images.is_empty() && !exporter.programs.is_empty(), "{name}");
    }
    let ports: std::collections::BTreeSet<_> = EXPORTERS.iter().map(|exporter| exporter.port).collect();
    assert_eq!(ports.len(), EXPORTERS.len(), "each exporter must have its own port");
}

#[test]
fn the_page_names_every_reason_and_every_exporter() {
    let schema = schemars::schema_for!(ExporterSidecar).to_value();
    let page = schema["description"].as_str().unwrap().to_owned() + &ExporterSidecar::appendix();
    for word in SkipReason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .chain(EXPORTERS.iter().map(|exporter| exporter.name))
    {
        assert!(page.contains(&format!("| `{word}` |")), "{word}");
    }
}

/// A webhook without a cluster. This is not a case, because a WebAssembly guest always has a cluster.
#[test]
fn without_a_cluster_the_namespace_is_not_read() {
    let arena = Arena::new();
    let request = r#"{"uid":"u","operation":"CREATE","namespace":"data","kind":{"version":"v1","kind":"Pod"},
        "object":{"spec":{"containers":[{"name":"db","image":"mysql:8.4"}]}}}"#;
    let request = Value::from_json(request.as_bytes(), &arena).unwrap();
    let request = Request::read(Field::root(request, &arena)).unwrap();
    let mut verdict = Verdict::default();
    ExporterSidecar::default().evaluate(&request, &NoCluster, &mut verdict).unwrap();
    assert_eq!(verdict.audit.as_deref(), Some(SkipReason::NamespaceUnknown.as_str()));
    assert!(verdict.edits.is_empty() && verdict.warnings.is_empty() && verdict.denials.is_empty());
}
