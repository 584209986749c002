//! Forty mistakes in the manifests, each by itself: does `check` find it without a cluster, and does the platform show that it
//! is one?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use conformance::platform::apply::{applied, built, path, until_ready};
use conformance::platform::kubelet::run;
use conformance::platform::proxy::text;
use conformance::process::pratique;
use conformance::root;
use serde_json::{Value, json};

use crate::breakages::{Breakage, ROUNDS, Shown};
use crate::faults::metric_of;
use crate::scaled::condition;
use crate::scraped::Targets;
use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(100);

/// What a mistake makes of the objects: new or changed ones, those that are gone, and what was there before.
struct Change {
    set: Vec<Value>,
    gone: Vec<Value>,
    before: BTreeMap<String, Value>,
}

impl Stage {
    pub(crate) async fn what_is_broken_is_found(&mut self) -> anyhow::Result<()> {
        ensure!(ROUNDS.iter().map(|round| round.len()).sum::<usize>() > 30, "there are more than thirty");
        let manifests = root().join("manifests");
        let whole = by_path(built(&manifests.join("clusters/production"))?)?;
        let promised = self.promised().await?;
        let mut problems = Vec::new();
        for (number, round) in ROUNDS.iter().enumerate() {
            let mut changes = Vec::new();
            for breakage in *round {
                match self.found(breakage, &manifests, &whole) {
                    Ok(change) => changes.push(change),
                    Err(error) => problems.push(format!("{}: {error:#}", breakage.what)),
                }
            }
            for change in &changes {
                self.make_change(change).await?;
            }
            for breakage in *round {
                if let Err(error) = self.until_shown(breakage, &promised).await {
                    problems.push(format!("{}: the platform does not show it: {error:#}", breakage.what));
                }
            }
            for change in &changes {
                self.undo(change).await?;
            }
            self.until_well().await.with_context(|| format!("after round {}", number + 1))?;
            self.platform.progress.step(&format!("{} mistakes found, and broken", round.len()));
        }
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
        Ok(())
    }

    /// Makes the mistake in a copy, and holds what `check` says of it to what it should say.
    fn found(
        &self,
        breakage: &Breakage,
        manifests: &Path,
        whole: &BTreeMap<String, Value>,
    ) -> anyhow::Result<Change> {
        let copy = self.platform.folder.join("copy");
        drop(std::fs::remove_dir_all(&copy));
        run(std::process::Command::new("cp").arg("-r").arg(manifests).arg(&copy))?;
        let file = copy.join(breakage.file);
        let written = std::fs::read_to_string(&file)?;
        ensure!(
            written.contains(breakage.from),
            "{}: `{}` does not stand there",
            breakage.file,
            breakage.from
        );
        std::fs::write(&file, written.replacen(breakage.from, breakage.to, 1))?;
        let production: PathBuf = copy.join("clusters/production");
        let mut check = pratique();
        check
            .args(["check", "--output", "json", "--config"])
            .arg(copy.join("policies.yaml"))
            .arg(&production);
        let output = check.output()?;
        ensure!(output.status.code() == Some(1), "check ends with {:?}", output.status.code());
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let rows = report["verdicts"].as_array().into_iter().flatten();
        let denied: Vec<&Value> = rows.filter(|row| row["outcome"] == "deny").collect();
        ensure!(
            !denied.is_empty() && denied.iter().any(|row| row["policy"] == breakage.policy),
            "denied: {denied:?}"
        );
        for row in denied {
            let line = row["source"]["line"].as_u64().unwrap_or_default();
            ensure!(
                line > 1 && text(row, "/source/file").contains("production"),
                "it has a place: {}",
                row["source"]
            );
        }
        let new = by_path(built(&production)?)?;
        let set: Vec<Value> = new
            .iter()
            .filter(|(path, object)| whole.get(*path) != Some(object))
            .map(|(_, object)| object.clone())
            .collect();
        let gone =
            whole.iter().filter(|(path, object)| !new.contains_key(*path) && object["kind"] != "ConfigMap");
        let gone: Vec<Value> = gone.map(|(_, object)| object.clone()).collect();
        ensure!(!set.is_empty(), "nothing is another");
        Ok(Change { set, gone, before: whole.clone() })
    }

    async fn make_change(&self, change: &Change) -> anyhow::Result<()> {
        for object in &change.set {
            applied(&self.platform.api, object).await?;
        }
        for object in &change.gone {
            self.platform.api.delete(&path(object)?).await?.well()?;
        }
        Ok(())
    }

    async fn undo(&self, change: &Change) -> anyhow::Result<()> {
        for object in change.set.iter().chain(&change.gone) {
            let at = path(object)?;
            match change.before.get(&at) {
                Some(before) => drop(applied(&self.platform.api, before).await?),
                None => drop(self.platform.api.delete(&at).await?.well()?),
            }
        }
        Ok(())
    }

    /// Waits until all is as it was before the mistakes.
    async fn until_well(&self) -> anyhow::Result<()> {
        for object in self.platform.environment.objects() {
            if matches!(object["kind"].as_str(), Some("Deployment" | "StatefulSet" | "DaemonSet")) {
                until_ready(&self.platform.api, &path(object)?).await?;
            }
        }
        self.until_as_promised().await?;
        for (name, metric) in [
            ("api", "process_cpu_usage"),
            ("web", "http_requests_per_second"),
            ("worker", "process_cpu_usage"),
        ] {
            self.until_scaler(name, "has its metrics", |scaler| {
                metric_of(scaler, metric).is_some() && condition(scaler, "ScalingActive").0 == "True"
            })
            .await?;
        }
        let waiting = self.platform.kubelet.waiting();
        ensure!(waiting.is_empty(), "containers wait: {waiting:?}");
        Ok(())
    }

    async fn until_shown(&self, breakage: &Breakage, promised: &Targets) -> anyhow::Result<()> {
        let since = Instant::now();
        while !self.is_shown(breakage, promised).await? {
            ensure!(since.elapsed() < PATIENCE, "{:?}", breakage.shown);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    async fn is_shown(&self, breakage: &Breakage, promised: &Targets) -> anyhow::Result<bool> {
        Ok(match breakage.shown {
            Shown::Target(job) => {
                let of_job = |targets: &Targets| -> Targets {
                    targets
                        .iter()
                        .filter(|((own, ..), _)| own.starts_with(job))
                        .map(|(k, v)| (k.clone(), *v))
                        .collect()
                };
                let (discovered, not_up) = self.discovered().await?;
                of_job(&discovered) != of_job(promised)
                    || not_up.iter().any(|one| one.starts_with(job) && one.contains("is down"))
            }
            Shown::Metric(name, metric) => metric_of(&self.scaler(name).await?, metric).is_none(),
            Shown::Scale(name) => condition(&self.scaler(name).await?, "AbleToScale").0 == "False",
            Shown::Waits(namespace, prefix) => {
                let waiting = self.platform.kubelet.waiting();
                // A pod that was there before reads what it has read: a new one is to be made.
                if breakage.what == "a sealed key renamed" && waiting.is_empty() {
                    let pod = self.platform.kubelet.pods(namespace, prefix);
                    let secret =
                        self.platform.api.get("/api/v1/namespaces/shop/secrets/databases").await?.well()?;
                    if !secret["data"]["mysql-passwd"].is_null()
                        && let Some(pod) = pod.first()
                    {
                        self.platform.api.delete(&path(pod)?).await?;
                    }
                }
                waiting.keys().any(|(own, pod, _)| own == namespace && pod.starts_with(prefix))
            }
            Shown::Unreachable(from, to, port) => !self.can_reach(from, to, port).await?,
        })
    }

    /// Whether NetworkPolicies let it through, as they are stored now.
    async fn can_reach(&self, from: &str, to: &str, port: &str) -> anyhow::Result<bool> {
        let mut items = Vec::new();
        for (at, version, kind) in [
            ("/api/v1/namespaces", "v1", "Namespace"),
            ("/api/v1/pods", "v1", "Pod"),
            ("/apis/networking.k8s.io/v1/networkpolicies", "networking.k8s.io/v1", "NetworkPolicy"),
            ("/apis/apps/v1/replicasets", "apps/v1", "ReplicaSet"),
        ] {
            for object in
                self.platform.api.get(at).await?.well()?["items"].as_array_mut().into_iter().flatten()
            {
                object["apiVersion"] = json!(version);
                object["kind"] = json!(kind);
                items.push(object.take());
            }
        }
        let file = self.platform.folder.join("stored.json");
        std::fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
        let output =
            pratique().arg("connectivity").arg(&file).args(["--explain", from, to, port]).output()?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => anyhow::bail!("{}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

/// The objects by their paths in the API, without what Argo CD alone reads.
fn by_path(objects: Vec<Value>) -> anyhow::Result<BTreeMap<String, Value>> {
    let is_argo = |object: &Value| {
        text(object, "/apiVersion").starts_with("argoproj.io") || object["metadata"]["name"] == "environment"
    };
    objects.into_iter().filter(|object| !is_argo(object)).map(|object| Ok((path(&object)?, object))).collect()
}
