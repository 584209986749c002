//! The volumes of a pod as folders, and the environment variables of its containers, from the API server's objects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::control_plane::Api;

/// The data of Secrets or ConfigMaps, by key.
type Data = BTreeMap<String, Vec<u8>>;

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The data of a Secret or ConfigMap; `None` if it is optional and does not exist.
async fn data(api: &Api, namespace: &str, kind: &str, source: &Value) -> anyhow::Result<Option<Data>> {
    let name = ["secretName", "name"].iter().find_map(|key| source[*key].as_str()).context("a name")?;
    let answer = api.get(&format!("/api/v1/namespaces/{namespace}/{kind}/{name}")).await?;
    if answer.status == 404 {
        if source["optional"] == true {
            return Ok(None);
        }
        bail!("{} {name} does not exist", if kind == "secrets" { "Secret" } else { "ConfigMap" });
    }
    let object = answer.well()?;
    let mut data = Data::new();
    for (list, is_text) in [("data", kind == "configmaps"), ("binaryData", false)] {
        for (key, value) in object[list].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            let bytes = match is_text {
                true => value.as_bytes().to_vec(),
                false => base64::engine::general_purpose::STANDARD.decode(value)?,
            };
            data.insert(key.clone(), bytes);
        }
    }
    Ok(Some(data))
}

/// The files of a volume source: all keys, or those that `items` lists.
fn files(data: Data, source: &Value) -> anyhow::Result<Data> {
    if source["items"].is_null() {
        return Ok(data);
    }
    let mut files = Data::new();
    for item in items(&source["items"]) {
        let key = item["key"].as_str().context("a key")?;
        let bytes = data.get(key).with_context(|| format!("no key {key} found"))?;
        files.insert(item["path"].as_str().context("a path")?.to_owned(), bytes.clone());
    }
    Ok(files)
}

/// The files of a volume; `None` for a volume that containers write to.
///
/// # Errors
/// A Secret, a ConfigMap or a key does not exist.
pub async fn content(api: &Api, pod: &Value, volume: &Value) -> anyhow::Result<Option<Data>> {
    let namespace = pod["metadata"]["namespace"].as_str().context("a namespace")?;
    for (field, kind) in [("secret", "secrets"), ("configMap", "configmaps")] {
        let source = &volume[field];
        if source.is_object() {
            let data = data(api, namespace, kind, source).await?.unwrap_or_default();
            return Ok(Some(files(data, source)?));
        }
    }
    if !volume["projected"].is_object() {
        return Ok(None);
    }
    let mut all = Data::new();
    for source in items(&volume["projected"]["sources"]) {
        for (field, kind) in [("secret", "secrets"), ("configMap", "configmaps")] {
            if source[field].is_object() {
                let data = data(api, namespace, kind, &source[field]).await?.unwrap_or_default();
                all.extend(files(data, &source[field])?);
            }
        }
        if let Some(path) = source["serviceAccountToken"]["path"].as_str() {
            let audience = source["serviceAccountToken"]["audience"].as_str();
            all.insert(path.to_owned(), token(api, pod, audience).await?.into_bytes());
        }
        for item in items(&source["downwardAPI"]["items"]) {
            let value = field(pod, item["fieldRef"]["fieldPath"].as_str().unwrap_or_default());
            all.insert(item["path"].as_str().context("a path")?.to_owned(), value.into_bytes());
        }
    }
    Ok(Some(all))
}

/// A token of the pod's ServiceAccount.
async fn token(api: &Api, pod: &Value, audience: Option<&str>) -> anyhow::Result<String> {
    let namespace = pod["metadata"]["namespace"].as_str().context("a namespace")?;
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default");
    let audiences: Vec<&str> = audience.into_iter().collect();
    let token_request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 7200, "audiences": audiences}});
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let given = api.post(&path, &token_request).await?.well()?;
    Ok(given["status"]["token"].as_str().context("a token")?.to_owned())
}

/// A field of a pod for the downward API.
fn field(pod: &Value, path: &str) -> String {
    let pointer = match path {
        "metadata.name" => "/metadata/name",
        "metadata.namespace" => "/metadata/namespace",
        "metadata.uid" => "/metadata/uid",
        "spec.nodeName" => "/spec/nodeName",
        "status.podIP" => "/status/podIP",
        "status.hostIP" => "/status/hostIP",
        _ => "",
    };
    pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Writes the changed volumes of a pod, and returns their folders by name. Tokens are written once.
///
/// # Errors
/// A Secret, a ConfigMap or a key does not exist.
pub async fn written(api: &Api, pod: &Value, folder: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut folders = BTreeMap::new();
    for volume in items(&pod["spec"]["volumes"]) {
        let name = volume["name"].as_str().context("a volume must have a name")?;
        let own = folder.join(name);
        let is_new = !own.is_dir();
        std::fs::create_dir_all(&own)?;
        let has_token = items(&volume["projected"]["sources"]).any(|s| s["serviceAccountToken"].is_object());
        if is_new || !has_token {
            let content = content(api, pod, volume).await.with_context(|| format!("volume {name}"));
            match content {
                Ok(Some(files)) => write(&own, &files)?,
                Ok(None) => {}
                Err(error) => {
                    if is_new {
                        std::fs::remove_dir_all(&own)?;
                    }
                    return Err(error);
                }
            }
        }
        folders.insert(name.to_owned(), own);
    }
    Ok(folders)
}

/// Writes changed files in place, because a file may be mounted by itself, and removes files that are gone.
fn write(folder: &Path, files: &Data) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && !files.contains_key(&name) {
            std::fs::remove_file(entry.path())?;
        }
    }
    for (name, bytes) in files {
        let file = folder.join(name);
        if std::fs::read(&file).ok().as_ref() != Some(bytes) {
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&file, bytes)?;
        }
    }
    Ok(())
}

/// The environment variables of a container.
///
/// # Errors
/// A Secret, a ConfigMap or a key does not exist.
pub async fn variables(
    api: &Api,
    pod: &Value,
    container: &Value,
) -> anyhow::Result<BTreeMap<String, String>> {
    let namespace = pod["metadata"]["namespace"].as_str().context("a namespace")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut variables = BTreeMap::new();
    for from in items(&container["envFrom"]) {
        for (field, kind) in [("secretRef", "secrets"), ("configMapRef", "configmaps")] {
            if from[field].is_object() {
                let data = data(api, namespace, kind, &from[field]).await?.unwrap_or_default();
                variables.extend(data.into_iter().map(|(key, value)| (key, text(value))));
            }
        }
    }
    for variable in items(&container["env"]) {
        let name = variable["name"].as_str().context("a variable must have a name")?;
        let from = &variable["valueFrom"];
        let mut value = variable["value"].as_str().map(|value| expanded(value, &variables));
        for (reference, kind) in [("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")] {
            let reference = &from[reference];
            if reference.is_object() {
                let key = reference["key"].as_str().context("a key")?;
                let data = data(api, namespace, kind, reference).await?.unwrap_or_default();
                match data.get(key) {
                    Some(bytes) => value = Some(text(bytes.clone())),
                    None if reference["optional"] == true => {}
                    None => bail!("variable {name}: {} has no key {key}", reference["name"]),
                }
            }
        }
        if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
            value = Some(field(pod, path));
        }
        if let Some(value) = value {
            variables.insert(name.to_owned(), value);
        }
    }
    Ok(variables)
}

/// Replaces `$(NAME)` in a text, as Kubernetes does in commands, arguments and variables.
pub fn expanded(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = text.to_owned();
    for (name, value) in variables {
        expanded = expanded.replace(&format!("$({name})"), value);
    }
    expanded
}
