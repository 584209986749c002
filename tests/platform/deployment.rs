//! Everything is admitted, runs as configured, and stays so.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use conformance::control_plane::kinds::path;
use conformance::platform::apply::{applied, until_applied, until_ready, versions};
use conformance::platform::network;
use conformance::platform::objects::{containers, text};
use conformance::serving::until;
use serde_json::{Value, json};

use crate::fixture::PlatformFixture;

impl PlatformFixture {
    /// Deploys all waves. The webhook is active from its own wave on.
    pub(crate) async fn comes_up(&mut self) -> anyhow::Result<()> {
        self.platform.deploy().await?;
        match self.platform.environment.name.as_str() {
            "production" => self.start_simulated_services().await,
            _ => Ok(()),
        }
    }

    pub(crate) async fn no_packet_can_leave(&mut self) -> anyhow::Result<()> {
        network::is_closed()
    }

    /// Every pod is running with the sidecars that admission adds, and no container is waiting.
    pub(crate) async fn every_pod_runs_with_its_sidecar(&mut self) -> anyhow::Result<()> {
        let kubelet = &self.platform.kubelet;
        let not_running = || {
            let (pods, _) = kubelet.seen();
            let others = pods.into_iter().filter(|pod| pod["status"]["phase"] != "Running");
            others.map(|pod| pod["metadata"]["name"].to_string()).collect::<Vec<_>>()
        };
        until("all pods exist and are running, and no container is waiting", || async {
            Ok(kubelet.seen().0.len() > 32 && not_running().is_empty() && kubelet.waiting().is_empty())
        })
        .await
        .with_context(|| {
            format!("pods not running: {:?}; containers waiting: {:?}", not_running(), kubelet.waiting())
        })?;
        let (pods, _) = kubelet.seen();
        let mut sidecars: BTreeMap<&str, usize> = BTreeMap::new();
        for pod in &pods {
            for container in containers(pod).filter(|container| container["restartPolicy"] == "Always") {
                *sidecars.entry(text(container, "/name")).or_default() += 1;
            }
        }
        let added = |name: &str| sidecars.get(name).copied().unwrap_or_default();
        let wanted = (added("mysqld-exporter"), added("mongodb-exporter"));
        ensure!(wanted == (3, 3), "sidecars: {sidecars:?}");
        for pod in
            pods.iter().filter(|pod| matches!(text(pod, "/metadata/namespace"), "mysql" | "mongodb" | "shop"))
        {
            ensure!(pod["metadata"]["labels"]["pratique.dev/scrape"] == "true", "{}", pod["metadata"]);
        }
        Ok(())
    }

    /// No program has ended by itself. Those in `monitoring` may, because they start before their configuration is written.
    pub(crate) async fn no_program_has_ended(&mut self) -> anyhow::Result<()> {
        let ended = self.platform.kubelet.ended();
        let others: Vec<_> = ended.iter().filter(|((namespace, ..), _)| namespace != "monitoring").collect();
        ensure!(others.is_empty(), "ended by themselves: {others:?}");
        Ok(())
    }

    /// Applying everything again changes nothing: admission does not modify fields that Git owns.
    pub(crate) async fn nothing_drifts(&mut self) -> anyhow::Result<()> {
        let (api, environment) = (&self.platform.api, &self.platform.environment);
        // The autoscalers' first change of the replicas is not drift, so wait for it.
        for scaler in environment.objects().filter(|object| object["kind"] == "HorizontalPodAutoscaler") {
            let target = text(scaler, "/spec/scaleTargetRef/name");
            let at = format!(
                "/apis/apps/v1/namespaces/{}/deployments/{target}",
                text(scaler, "/metadata/namespace")
            );
            until(&format!("{target} has its minimum number of replicas"), || async {
                let replicas = api.get(&at).await?.well()?["spec"]["replicas"].as_i64();
                Ok(replicas >= scaler["spec"]["minReplicas"].as_i64())
            })
            .await?;
        }
        let before = versions(api, environment.objects()).await?;
        let objects: Vec<Value> = environment.objects().cloned().collect();
        until_applied(api, &objects).await?;
        let after = versions(api, environment.objects()).await?;
        ensure!(before.len() > 150, "only {} objects", before.len());
        for (path, was) in &before {
            ensure!(after.get(path) == Some(was), "{path}: was {was}, is now {:?}", after.get(path));
        }
        Ok(())
    }

    /// Changes an image, scales up, and returns to the state in Git.
    pub(crate) async fn an_upgrade_a_scale_a_rollback(&mut self) -> anyhow::Result<()> {
        let (api, environment) = (&self.platform.api, &self.platform.environment);
        let deployment = environment.object("Deployment", "shop", "worker")?;
        let at = path(deployment)?;
        let mut upgraded = deployment.clone();
        let image = &mut upgraded["spec"]["template"]["spec"]["containers"][0]["image"];
        *image = json!(image.as_str().context("an image")?.replace(":1.8.2", ":1.9.0"));
        ensure!(upgraded != *deployment, "the image has not changed");
        applied(api, &upgraded).await?;
        until_ready(api, &at).await?;
        self.versions_are("worker-", "1.9.0").await?;
        applied(api, deployment).await?;
        until_ready(api, &at).await?;
        self.versions_are("worker-", "1.8.2").await?;
        let sidekick = environment.object("Deployment", "falco", "falcosidekick")?;
        let at = path(sidekick)?;
        let replicas = sidekick["spec"]["replicas"].clone();
        api.merge(&format!("{at}/scale"), &json!({"spec": {"replicas": 4}})).await?.well()?;
        until_ready(api, &at).await?;
        ensure!(
            api.get(&at).await?.well()?["status"]["readyReplicas"] == 4,
            "falcosidekick has not been scaled"
        );
        applied(api, sidekick).await?;
        let wanted = replicas.as_i64().unwrap_or(1);
        if replicas.is_null() {
            api.merge(&format!("{at}/scale"), &json!({"spec": {"replicas": wanted}})).await?.well()?;
        }
        until_ready(api, &at).await?;
        ensure!(
            api.get(&at).await?.well()?["status"]["readyReplicas"] == wanted,
            "falcosidekick has not been scaled back"
        );
        Ok(())
    }

    /// Waits until all shop pods with this prefix have the version label that admission derives from the image's tag.
    async fn versions_are(&self, prefix: &str, version: &str) -> anyhow::Result<()> {
        until(&format!("{prefix} has version {version}"), || async {
            let pods = self.platform.kubelet.pods("shop", prefix);
            let label = |pod: &Value| pod["metadata"]["labels"]["app.kubernetes.io/version"] == version;
            Ok(!pods.is_empty() && pods.iter().all(label))
        })
        .await
    }
}
