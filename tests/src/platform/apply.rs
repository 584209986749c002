//! Applies an environment as Argo CD does: wave by wave, server-side, with strict validation, and with retries.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use webhook_server::sources::Input;

use crate::control_plane::Api;
use crate::control_plane::kinds::path;
use crate::root;

const PATIENCE: Duration = Duration::from_secs(90);

/// An environment and its Applications.
#[derive(Clone)]
pub struct Environment {
    /// `production`.
    pub name: String,
    applications: Vec<Application>,
}

/// An Application of the environment.
#[derive(Clone)]
pub struct Application {
    /// The name of the Application.
    pub name: String,
    wave: i64,
    /// The rendered objects, with the name suffixes that kustomize generates.
    pub objects: Vec<Value>,
}

impl Environment {
    /// Renders the objects of each Application.
    ///
    /// # Errors
    /// kustomize cannot render an Application.
    pub fn read(name: &str) -> anyhow::Result<Self> {
        let folder = root().join("manifests/clusters").join(name);
        let applications = built(&folder.join("argocd"))?;
        let mut read = Vec::new();
        for application in applications.iter().filter(|object| object["kind"] == "Application") {
            // `charts` replaces the Helm charts. The root Application is skipped because this function reads its content.
            let Some(path) = application["spec"]["source"]["path"].as_str() else { continue };
            let Some(part) = path.rsplit('/').next().filter(|part| *part != "argocd") else { continue };
            let wave = application["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"].as_str();
            read.push(Application {
                name: application["metadata"]["name"].as_str().context("a name")?.to_owned(),
                wave: wave.unwrap_or("0").parse()?,
                objects: built(&folder.join(part))?,
            });
        }
        ensure!(read.len() > 8, "only {} Applications have objects", read.len());
        Ok(Environment { name: name.to_owned(), applications: read })
    }

    /// The waves, in their order, each with its Applications.
    pub fn waves(&self) -> BTreeMap<i64, Vec<&Application>> {
        let mut waves: BTreeMap<i64, Vec<&Application>> = BTreeMap::new();
        for application in &self.applications {
            waves.entry(application.wave).or_default().push(application);
        }
        // Waves that contain only charts.
        for wave in 0..8 {
            waves.entry(wave).or_default();
        }
        waves
    }

    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.applications.iter().flat_map(|application| &application.objects)
    }

    /// Finds an object by kind, namespace and name.
    ///
    /// # Errors
    /// No such object exists.
    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> anyhow::Result<&Value> {
        let is_it = |object: &&Value| {
            let metadata = &object["metadata"];
            object["kind"] == kind
                && metadata["namespace"].as_str().unwrap_or_default() == namespace
                && metadata["name"] == name
        };
        self.objects().find(is_it).with_context(|| format!("no {kind} {namespace}/{name} found"))
    }
}

/// The rendered output of a kustomization.
///
/// # Errors
/// kustomize cannot render the folder.
pub fn built(folder: &std::path::Path) -> anyhow::Result<Vec<Value>> {
    crate::yaml(&Input::Kustomization(folder.to_owned()).read()?.text)
}

/// Applies an object and returns the API server's response.
///
/// # Errors
/// The API server does not respond, or rejects the object.
pub async fn applied(api: &Api, object: &Value) -> anyhow::Result<Value> {
    let path = path(object)?;
    api.apply(&path, object, false).await?.well().with_context(|| path)
}

/// Applies objects, and retries as Argo CD does: some depend on others, or on a webhook that is still starting.
///
/// # Errors
/// An object is still rejected after 90 seconds; the error has the reason.
pub async fn until_applied(api: &Api, objects: &[Value]) -> anyhow::Result<()> {
    let since = Instant::now();
    let is_namespace = |object: &&Value| object["kind"] == "Namespace";
    let mut left: Vec<&Value> = objects.iter().filter(is_namespace).collect();
    left.extend(objects.iter().filter(|object| !is_namespace(object)));
    loop {
        let mut failed = Vec::new();
        for object in left {
            if let Err(error) = applied(api, object).await {
                failed.push((object, error));
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        if since.elapsed() > PATIENCE {
            let reasons: Vec<String> = failed.iter().map(|(_, error)| format!("{error:#}")).collect();
            anyhow::bail!("{}", reasons.join("\n"));
        }
        left = failed.into_iter().map(|(object, _)| object).collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The number of pods that a workload requests; `None` for other kinds.
fn wanted(object: &Value) -> Option<i64> {
    let status = &object["status"];
    Some(match object["kind"].as_str()? {
        "Deployment" | "StatefulSet" => object["spec"]["replicas"].as_i64().unwrap_or(1),
        "DaemonSet" => status["desiredNumberScheduled"].as_i64().filter(|n| *n > 0)?,
        _ => return None,
    })
}

/// Waits until all pods of the Applications' workloads are up to date and ready.
///
/// # Errors
/// A workload does not become ready; the error contains its path and status.
pub async fn until_running(api: &Api, applications: &[&Application]) -> anyhow::Result<()> {
    let is_workload =
        |o: &&Value| matches!(o["kind"].as_str(), Some("Deployment" | "StatefulSet" | "DaemonSet"));
    for object in applications.iter().flat_map(|application| &application.objects).filter(is_workload) {
        until_ready(api, &path(object)?).await?;
    }
    Ok(())
}

/// Waits until all pods of a workload are up to date and ready.
///
/// # Errors
/// The workload does not become ready; the error contains its status.
pub async fn until_ready(api: &Api, path: &str) -> anyhow::Result<()> {
    let since = Instant::now();
    loop {
        let stored = api.get(path).await?.well()?;
        let status = &stored["status"];
        let count = |keys: &[&str]| keys.iter().find_map(|key| status[*key].as_i64()).unwrap_or(0);
        let updated = count(&["updatedReplicas", "updatedNumberScheduled"]);
        let ready = count(&["readyReplicas", "numberReady"]);
        let all = count(&["replicas", "currentNumberScheduled"]);
        let is_seen = status["observedGeneration"] == stored["metadata"]["generation"];
        if let Some(wanted) = wanted(&stored)
            && is_seen
            && (updated, ready, all) == (wanted, wanted, wanted)
        {
            return Ok(());
        }
        ensure!(since.elapsed() < PATIENCE, "{path} is not ready: {status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The stored objects without their status, by path. Two calls return the same value for an object that has not changed.
///
/// # Errors
/// An object does not exist.
pub async fn versions(
    api: &Api,
    objects: impl Iterator<Item = &Value>,
) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut versions = BTreeMap::new();
    for object in objects {
        let path = path(object)?;
        let stored = api.get(&path).await?.well().with_context(|| path.clone())?;
        // The status changes on its own, so only the desired state is compared.
        let metadata = &stored["metadata"];
        let mut desired = stored.clone();
        desired["status"] = Value::Null;
        desired["metadata"] = json!({"labels": metadata["labels"], "annotations": metadata["annotations"],
            "generation": metadata["generation"]});
        versions.insert(path, desired);
    }
    Ok(versions)
}
