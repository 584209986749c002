//! The sealed secrets can be unsealed, and a pod that needs a missing one does not start.

use anyhow::{Context as _, ensure};
use conformance::control_plane::kinds::path;
use conformance::platform::apply::applied;
use conformance::platform::objects::text;
use conformance::serving::until;
use serde_json::{Value, json};

use crate::fixture::PlatformFixture;

fn is_synced(sealed: &Value) -> Option<bool> {
    let conditions = sealed["status"]["conditions"].as_array()?;
    let synced = conditions.iter().find(|condition| condition["type"] == "Synced")?;
    Some(synced["status"] == "True")
}

impl PlatformFixture {
    /// The real controller unseals every SealedSecret of the environment with all its keys.
    pub(crate) async fn every_secret_unseals(&mut self) -> anyhow::Result<()> {
        let (api, environment) = (&self.platform.api, &self.platform.environment);
        let mut unsealed = 0;
        for sealed in environment.objects().filter(|object| object["kind"] == "SealedSecret") {
            let at = path(sealed)?;
            until(&format!("{at} unseals"), || async {
                Ok(is_synced(&api.get(&at).await?.body) == Some(true))
            })
            .await?;
            let (namespace, name) = (text(sealed, "/metadata/namespace"), text(sealed, "/metadata/name"));
            let secret = api.get(&format!("/api/v1/namespaces/{namespace}/secrets/{name}")).await?.well()?;
            for (key, _) in sealed["spec"]["encryptedData"].as_object().into_iter().flatten() {
                ensure!(!text(&secret["data"], &format!("/{key}")).is_empty(), "{at}: no key {key} found");
            }
            unsealed += 1;
        }
        ensure!(unsealed == 6, "{unsealed} sealed secrets");
        Ok(())
    }

    /// Copies the shop's SealedSecret to another namespace, together with a workload that needs it.
    pub(crate) async fn a_secret_moved_to_another_namespace_stays_sealed(&mut self) -> anyhow::Result<()> {
        let (api, environment) = (&self.platform.api, &self.platform.environment);
        const ELSEWHERE: &str = "logging";
        let mut moved = environment.object("SealedSecret", "shop", "databases")?.clone();
        moved["metadata"]["namespace"] = json!(ELSEWHERE);
        moved["spec"]["template"]["metadata"]["namespace"] = json!(ELSEWHERE);
        let worker = environment.object("Deployment", "shop", "worker")?;
        let mut reader = worker.clone();
        reader["metadata"]["namespace"] = json!(ELSEWHERE);
        let pod = &mut reader["spec"]["template"]["spec"];
        pod["serviceAccountName"] = json!("default");
        pod["containers"][0].as_object_mut().context("a container")?.remove("envFrom");
        applied(api, &moved).await?;
        applied(api, &reader).await?;
        let at = path(&moved)?;
        until(&format!("{at} stays sealed"), || async {
            Ok(is_synced(&api.get(&at).await?.body) == Some(false))
        })
        .await?;
        let conditions = api.get(&at).await?.well()?["status"]["conditions"].to_string();
        ensure!(conditions.contains("no key could decrypt secret"), "{conditions}");
        let waiting = || {
            let waiting = self.platform.kubelet.waiting();
            waiting
                .into_iter()
                .find(|((namespace, pod, _), _)| namespace == ELSEWHERE && pod.starts_with("worker-"))
        };
        until("the pod that needs it waits", || async { Ok(waiting().is_some()) }).await?;
        let (name, why) = waiting().context("no container is waiting")?;
        ensure!(why.contains("Secret databases does not exist"), "{name:?}: {why}");
        for object in [&reader, &moved] {
            api.delete(&path(object)?).await?.well()?;
        }
        Ok(())
    }
}
