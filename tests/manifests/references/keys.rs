//! Secrets and ConfigMaps: every referenced key exists, and every sealed key is referenced.

use std::collections::{BTreeMap, BTreeSet};

use crate::set::{EnvironmentSet, items, keys, name, namespace_of, secrets, text};

/// A reference to a Secret or ConfigMap: the referencing object, the kind, namespace, name, and the key if there is one.
pub(super) type Reading<'s> = (String, &'static str, &'s str, &'s str, Option<&'s str>);

pub(super) fn readings(set: &EnvironmentSet) -> Vec<Reading<'_>> {
    let mut readings = Vec::new();
    for template in set.templates() {
        let (who, namespace) = (template.name(), template.namespace());
        for container in template.containers() {
            for variable in items(&container["env"]) {
                for (kind, field) in [("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")] {
                    let reference = &variable["valueFrom"][field];
                    if reference.is_object() {
                        let (name, key) = (text(reference, "/name"), text(reference, "/key"));
                        readings.push((who.clone(), kind, namespace, name, Some(key)));
                    }
                }
            }
            for from in items(&container["envFrom"]) {
                for (kind, field) in [("Secret", "secretRef"), ("ConfigMap", "configMapRef")] {
                    if from[field].is_object() {
                        readings.push((who.clone(), kind, namespace, text(&from[field], "/name"), None));
                    }
                }
            }
        }
        let volumes = items(&template.spec()["volumes"]);
        let sources =
            volumes.flat_map(|volume| std::iter::once(volume).chain(items(&volume["projected"]["sources"])));
        for source in sources {
            for (kind, field) in [("Secret", "secret"), ("ConfigMap", "configMap")] {
                let reference = &source[field];
                if !reference.is_object() {
                    continue;
                }
                // The field is `secretName` in a volume, and `name` in a projected source.
                let names = ["/secretName", "/name"].map(|pointer| text(reference, pointer));
                let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
                readings.push((who.clone(), kind, namespace, name, None));
                let keys = items(&reference["items"]).map(|item| text(item, "/key"));
                let mounts = template.containers().flat_map(|container| items(&container["volumeMounts"]));
                let mounted = mounts.filter(|mount| mount["name"] == source["name"] && kind == "ConfigMap");
                let keys =
                    keys.chain(mounted.map(|mount| text(mount, "/subPath")).filter(|key| !key.is_empty()));
                readings.extend(keys.map(|key| (who.clone(), kind, namespace, name, Some(key))));
            }
        }
        let exporter = text(template.pod, "/metadata/annotations/pratique.dev~1exporter-secret");
        if let Some((name, key)) = exporter.split_once('/') {
            readings.push((who.clone(), "Secret", namespace, name, Some(key)));
        }
    }
    for issuer in set.of("ClusterIssuer") {
        // cert-manager looks up the Secrets of a ClusterIssuer in this namespace.
        let place = "cert-manager";
        if let Some(secret) = issuer["spec"]["ca"]["secretName"].as_str() {
            readings.push((name(issuer), "Secret", place, secret, Some("tls.crt")));
        }
        for solver in items(&issuer["spec"]["acme"]["solvers"]) {
            let secret = &solver["dns01"]["rfc2136"]["tsigSecretSecretRef"];
            readings.push((name(issuer), "Secret", place, text(secret, "/name"), Some(text(secret, "/key"))));
        }
    }
    for gateway in set.of("Gateway") {
        let references = items(&gateway["spec"]["listeners"])
            .flat_map(|listener| items(&listener["tls"]["certificateRefs"]));
        for reference in references {
            let place = reference["namespace"].as_str().unwrap_or(namespace_of(gateway));
            readings.push((name(gateway), "Secret", place, text(reference, "/name"), Some("tls.crt")));
        }
    }
    for application in set.of("Application") {
        let admin = &application["spec"]["source"]["helm"]["valuesObject"]["grafana"]["admin"];
        if let Some(secret) = admin["existingSecret"].as_str() {
            let place = text(application, "/spec/destination/namespace");
            for key in ["userKey", "passwordKey"] {
                readings.push((name(application), "Secret", place, secret, admin[key].as_str()));
            }
        }
    }
    readings
}

pub(super) fn keys_exist(set: &EnvironmentSet) -> Vec<String> {
    let mut there: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for ((namespace, name), keys) in secrets(set) {
        there.insert(("Secret", namespace, name), keys);
    }
    for map in set.of("ConfigMap") {
        let keys = keys(&map["data"]).chain(keys(&map["binaryData"])).collect();
        there.insert(("ConfigMap", namespace_of(map), text(map, "/metadata/name")), keys);
    }
    let mut problems = Vec::new();
    for (who, kind, namespace, name, key) in readings(set) {
        // The controller manager creates it in every namespace.
        if (kind, name) == ("ConfigMap", "kube-root-ca.crt") {
            continue;
        }
        match (there.get(&(kind, namespace, name)), key) {
            (None, _) => problems.push(format!("{who}: no {kind} {namespace}/{name} found")),
            (Some(keys), Some(key)) if !keys.contains(&key) => {
                problems.push(format!("{who}: the {kind} {namespace}/{name} has no key {key}"));
            }
            _ => {}
        }
    }
    problems
}

pub(super) fn keys_are_used(set: &EnvironmentSet) -> Vec<String> {
    let read: BTreeSet<_> = readings(set).into_iter().map(|(_, _, ns, name, key)| (ns, name, key)).collect();
    let mut problems = Vec::new();
    for sealed in set.of("SealedSecret") {
        let (namespace, secret) = (namespace_of(sealed), text(sealed, "/metadata/name"));
        for key in keys(&sealed["spec"]["encryptedData"]) {
            if !read.contains(&(namespace, secret, Some(key))) {
                problems.push(format!("{}: nothing reads the key {key}", name(sealed)));
            }
        }
    }
    problems
}
