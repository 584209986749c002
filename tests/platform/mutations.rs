//! Mistakes in the manifests: `check` finds each of them without a cluster and reports it at a source line, and the
//! platform shows its effect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use conformance::control_plane::kinds::path;
use conformance::platform::apply::{applied, built, until_ready};
use conformance::platform::objects::text;
use conformance::process::{pratique, run};
use conformance::root;
use conformance::serving::until;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::autoscaling::condition;
use crate::faults::metric_of;
use crate::fixture::PlatformFixture;
use crate::mutation_cases::{ManifestMutation, MutationEvidence, ROUNDS};
use crate::scraping::Targets;

const PATIENCE: Duration = Duration::from_secs(240);

/// The changes to the objects: new or modified objects, removed objects, and the original ones by path.
struct ObjectChanges<'b> {
    set: Vec<Value>,
    gone: Vec<Value>,
    before: &'b BTreeMap<String, Value>,
}

/// Applies mistakes to a copy of the manifests, and returns the copy's folder of production.
fn apply_mistakes(breakages: &[ManifestMutation], copy: &Path) -> anyhow::Result<PathBuf> {
    drop(std::fs::remove_dir_all(copy));
    run(std::process::Command::new("cp").arg("-r").arg(root().join("manifests")).arg(copy))?;
    for ManifestMutation { file, from, to, .. } in breakages {
        let at = copy.join(file);
        let written = std::fs::read_to_string(&at)?;
        ensure!(written.contains(from), "{file}: `{from}` not found");
        std::fs::write(&at, written.replacen(from, to, 1))?;
    }
    Ok(copy.join("clusters/production"))
}

/// Applies each mistake separately and verifies the result of `check`. Returns the errors.
pub(crate) fn checked(folder: &Path) -> Vec<String> {
    let check = |breakage: &ManifestMutation| -> anyhow::Result<()> {
        let copy = folder.join("one");
        let production = apply_mistakes(std::slice::from_ref(breakage), &copy)?;
        let mut check = pratique();
        check
            .args(["check", "--output", "json", "--config"])
            .arg(copy.join("policies.yaml"))
            .arg(&production);
        let output = check.output()?;
        ensure!(output.status.code() == Some(1), "check exits with {:?}", output.status.code());
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let rows = report["verdicts"].as_array().into_iter().flatten();
        let denied: Vec<&Value> = rows.filter(|row| row["outcome"] == "deny").collect();
        ensure!(denied.iter().any(|row| row["policy"] == breakage.policy), "denied: {denied:?}");
        for row in denied {
            // The line contains a key of the field, or of a parent field if admission adds the field.
            let (source, field) = (&row["source"], text(row, "/denials/0/field"));
            let file = std::fs::read_to_string(Path::new(text(source, "/file")))
                .context("the finding has a file")?;
            let number = source["line"].as_u64().and_then(|line| usize::try_from(line).ok()).unwrap_or(0);
            let line = number
                .checked_sub(1)
                .and_then(|at| file.lines().nth(at))
                .context("the finding has a line")?;
            let mut keys = field.split(|c: char| !c.is_ascii_alphanumeric()).filter(|key| key.len() > 2);
            ensure!(keys.any(|key| line.contains(key)), "{field} is not at {source}: `{line}`");
        }
        Ok(())
    };
    let all = ROUNDS.iter().copied().flatten();
    all.filter_map(|breakage| Some(format!("{}: {:#}", breakage.what, check(breakage).err()?))).collect()
}

impl PlatformFixture {
    pub(crate) async fn check_finds_every_mistake(&mut self) -> anyhow::Result<()> {
        ensure!(
            ROUNDS.iter().map(|round| round.len()).sum::<usize>() > 40,
            "there should be more than 40 mistakes"
        );
        let checked = self.checked.take().unwrap_or_else(|| self.check_breakages());
        let whole = by_path(built(&root().join("manifests/clusters/production"))?)?;
        let promised = self.promised().await?;
        let mut problems = Vec::new();
        self.until_well().await.context("before the first mistake")?;
        for (number, round) in ROUNDS.iter().enumerate() {
            for breakage in *round {
                if self.is_shown(breakage, &promised).await? {
                    problems
                        .push(format!("{}: the effect is visible before the mistake is made", breakage.what));
                }
            }
            let change = ObjectChanges::of(round, &self.platform.folder.join("all"), &whole)?;
            let played = self.play_round(round, &change, &promised).await;
            problems.extend(played.unwrap_or_else(|error| vec![format!("round {}: {error:#}", number + 1)]));
            self.undo(&change).await?;
            // The next round does not need scraped targets and ready pods.
            let looks_at_metrics = |round: &&[ManifestMutation]| {
                round.iter().all(|b| matches!(b.shown, MutationEvidence::Metric(..)))
            };
            let is_well = match ROUNDS.get(number + 1).is_some_and(looks_at_metrics) {
                true => self.until_well().await,
                false => self.until_discovered(false).await,
            };
            problems.extend(is_well.err().map(|error| format!("after round {}: {error:#}", number + 1)));
            self.platform.progress.step(&format!("{} mistakes were made and undone", round.len()));
        }
        problems.extend(checked.await?);
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
        Ok(())
    }

    /// Applies the mistakes of a round and waits until the platform shows each one. Then checks all again, for effects that do
    /// not last.
    async fn play_round(
        &self,
        round: &[ManifestMutation],
        change: &ObjectChanges<'_>,
        promised: &Targets,
    ) -> anyhow::Result<Vec<String>> {
        self.make_change(change).await?;
        let mut problems = Vec::new();
        for (looks, again) in [(1, ""), (2, " for long")] {
            for breakage in round {
                if let Err(error) = self.until_shown(breakage, promised, looks).await {
                    problems.push(format!(
                        "{}: the platform does not show the effect{again}: {error:#}",
                        breakage.what
                    ));
                }
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        Ok(problems)
    }

    /// Runs `check` for each mistake in the background, without the cluster.
    pub(crate) fn check_breakages(&self) -> JoinHandle<Vec<String>> {
        let folder = self.platform.folder.clone();
        tokio::task::spawn_blocking(move || checked(&folder))
    }

    async fn make_change(&self, change: &ObjectChanges<'_>) -> anyhow::Result<()> {
        for object in &change.set {
            applied(&self.platform.api, object).await?;
        }
        for object in &change.gone {
            self.platform.api.delete(&path(object)?).await?.well()?;
        }
        // A running pod keeps its configuration, so a changed Secret needs a new pod.
        if change.set.iter().any(|object| object["kind"] == "SealedSecret") {
            until("the changed Secret is unsealed", || async {
                let secret =
                    self.platform.api.get("/api/v1/namespaces/mongodb/secrets/mongodb").await?.well()?;
                Ok(secret["data"]["keyfile"].is_null())
            })
            .await?;
            self.delete_a_pod("mongodb", "mongodb-2").await?;
        }
        Ok(())
    }

    async fn undo(&self, change: &ObjectChanges<'_>) -> anyhow::Result<()> {
        for object in change.set.iter().chain(&change.gone) {
            let at = path(object)?;
            match change.before.get(&at) {
                Some(before) => drop(applied(&self.platform.api, before).await?),
                None => drop(self.platform.api.delete(&at).await?.well()?),
            }
        }
        Ok(())
    }

    /// Waits until the platform has recovered from the mistakes.
    async fn until_well(&self) -> anyhow::Result<()> {
        for object in self.platform.environment.objects() {
            if matches!(object["kind"].as_str(), Some("Deployment" | "StatefulSet" | "DaemonSet")) {
                until_ready(&self.platform.api, &path(object)?).await?;
            }
        }
        self.until_discovered(false).await?;
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
        until("no container is waiting", || async { Ok(self.platform.kubelet.waiting().is_empty()) }).await?;
        Ok(())
    }

    /// Waits until the effect of a mistake is visible in this number of consecutive checks.
    async fn until_shown(
        &self,
        breakage: &ManifestMutation,
        promised: &Targets,
        wanted: usize,
    ) -> anyhow::Result<()> {
        let (since, mut looks) = (Instant::now(), 0);
        while looks < wanted {
            looks = if self.is_shown(breakage, promised).await? { looks + 1 } else { 0 };
            ensure!(since.elapsed() < PATIENCE, "{:?}", breakage.shown);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(())
    }

    async fn is_shown(&self, breakage: &ManifestMutation, promised: &Targets) -> anyhow::Result<bool> {
        Ok(match breakage.shown {
            MutationEvidence::Target(job) => {
                let (discovered, not_up) = self.discovered().await?;
                let missing = promised.iter().any(|(target, number)| {
                    target.0.starts_with(job) && discovered.get(target).copied().unwrap_or_default() < *number
                });
                missing || not_up.iter().any(|one| one.starts_with(job) && one.contains("is down"))
            }
            MutationEvidence::Metric(name, metric) => {
                let scaler = self.scaler(name).await?;
                let is_seen = scaler["status"]["observedGeneration"] == scaler["metadata"]["generation"];
                is_seen && requires(&scaler, metric) && metric_of(&scaler, metric).is_none()
            }
            MutationEvidence::Scale(name) => condition(&self.scaler(name).await?, "AbleToScale").0 == "False",
            MutationEvidence::Waits(namespace, prefix, reason) => {
                let waiting = self.platform.kubelet.waiting();
                waiting.iter().any(|((own, pod, _), why)| {
                    own == namespace && pod.starts_with(prefix) && why.contains(reason)
                })
            }
            MutationEvidence::Unreachable(from, to, port) => !self.can_reach(from, to, port).await?,
        })
    }

    /// Whether the NetworkPolicies that are stored now allow a connection.
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

/// Whether an autoscaler requests a metric.
fn requires(scaler: &Value, metric: &str) -> bool {
    let metrics = scaler["spec"]["metrics"].as_array().into_iter().flatten();
    metrics
        .flat_map(|item| ["pods", "object", "containerResource"].map(|kind| &item[kind]))
        .any(|item| item["metric"]["name"] == metric || item["name"] == metric)
}

impl<'b> ObjectChanges<'b> {
    /// Compares the production objects with mistakes to the original ones.
    fn of(
        breakages: &[ManifestMutation],
        copy: &Path,
        whole: &'b BTreeMap<String, Value>,
    ) -> anyhow::Result<Self> {
        let new = by_path(built(&apply_mistakes(breakages, copy)?)?)?;
        let set = new.iter().filter(|(path, object)| whole.get(*path) != Some(object));
        let set: Vec<Value> = set.map(|(_, object)| object.clone()).collect();
        let gone =
            whole.iter().filter(|(path, object)| !new.contains_key(*path) && object["kind"] != "ConfigMap");
        let gone: Vec<Value> = gone.map(|(_, object)| object.clone()).collect();
        ensure!(!set.is_empty(), "the mistakes do not change any object");
        Ok(ObjectChanges { set, gone, before: whole })
    }
}

/// The objects by their API paths, without those that only Argo CD uses.
fn by_path(objects: Vec<Value>) -> anyhow::Result<BTreeMap<String, Value>> {
    let is_argo = |object: &Value| {
        text(object, "/apiVersion").starts_with("argoproj.io") || object["metadata"]["name"] == "environment"
    };
    objects.into_iter().filter(|object| !is_argo(object)).map(|object| Ok((path(&object)?, object))).collect()
}
