//! Tests that cases cannot express: the syntax of settings, and the list of controls.

use policy_core::policy::configure;

use super::*;

fn error(settings: &str) -> String {
    configure::<PodSecurityStandards>(settings).unwrap_err().to_string()
}

fn version(text: &str) -> Result<Version, String> {
    Version::try_from(text.to_owned())
}

#[test]
fn versions_are_read_as_namespace_labels_are() {
    for wrong in
        ["", "1.29", "v1", "v1.", "v1.01", "v1.x", "v2.0", "V1.2", "v1.2 ", "v1.+2", "v1.-1", "v1.2.3"]
    {
        assert!(version(wrong).is_err(), "{wrong}");
    }
    assert_eq!(version("v1.0").unwrap(), Version::FIRST);
    assert_eq!(version("latest").unwrap(), Version::LATEST);
    assert_eq!(version("v1.99").unwrap(), Version::LATEST);
    assert_eq!(version("v1.99999999999999999999").unwrap(), Version::LATEST);
    assert_eq!(version("v1.29").unwrap().to_string(), "v1.29");
}

#[test]
fn settings_name_what_is_wrong() {
    let unknown = error(r#"{"levle":"baseline"}"#);
    assert!(
        unknown.contains("unknown field `levle`, expected one of `level`, `version`, `controls`"),
        "{unknown}"
    );
    assert!(
        error(r#"{"level":"strict"}"#).contains("unknown variant `strict`, expected one of `privileged`")
    );
    assert!(error(r#"{"version":"1.29"}"#).contains("must be `latest` or like `v1.29`, is `1.29`"));
    assert!(error(r#"{"controls":["privilegd"]}"#).contains("unknown variant `privilegd`"));
    assert!(
        error(r#"{"version":"v1.20","controls":["hostProbesAndHostLifecycle"]}"#)
            .contains("does not exist in v1.20 yet")
    );
    for defaults in ["", "null", "{}"] {
        let policy = configure::<PodSecurityStandards>(defaults).unwrap();
        assert_eq!((policy.level, policy.version), (Level::Restricted, Version::LATEST));
    }
}

#[test]
fn the_list_is_in_order() {
    assert_eq!(CONTROLS.len(), 19);
    let order: Vec<_> = CONTROLS.iter().map(|control| (control.level, control.id.as_str())).collect();
    assert!(order.is_sorted(), "{order:?}");
    for control in CONTROLS {
        assert!(control.versions.is_sorted_by_key(|(version, _)| *version), "{:?}", control.id);
        assert!(control.versions.iter().all(|(version, _)| *version <= Version::LATEST), "{:?}", control.id);
    }
}

#[test]
fn exempting_a_restricted_control_restores_the_baseline_control() {
    let wanted = |settings: &str| -> Vec<&str> {
        let policy = configure::<PodSecurityStandards>(settings).unwrap();
        CONTROLS.iter().filter(|control| policy.wants(control)).map(|control| control.id.as_str()).collect()
    };
    assert_eq!(wanted("{}").len(), 15);
    assert!(!wanted("{}").contains(&"capabilities_baseline"));
    let exempt = wanted(r#"{"exemptControls":["capabilities_restricted"]}"#);
    assert!(exempt.contains(&"capabilities_baseline") && !exempt.contains(&"capabilities_restricted"));
    assert_eq!(wanted(r#"{"level":"baseline"}"#).len(), 12);
    assert_eq!(wanted(r#"{"level":"privileged"}"#).len(), 0);
    assert_eq!(wanted(r#"{"controls":["capabilities_baseline"]}"#), ["capabilities_baseline"]);
    assert!(wanted(r#"{"version":"v1.21"}"#).contains(&"capabilities_baseline"), "not yet overridden");
}
