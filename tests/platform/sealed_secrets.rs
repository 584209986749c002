//! Do the sealed secrets unseal, and who would not start without one?

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
    /// Every one of the environment, by the real controller, to the keys that it has.
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
                ensure!(!text(&secret["data"], &format!("/{key}")).is_empty(), "{at}: {key} is not there");
            }
            unsealed += 1;
        }
        ensure!(unsealed == 6, "{unsealed} sealed secrets");
        Ok(())
    }

    /// The shop's, copied into another namespace beside a workload that reads it.
    pub(crate) async fn one_for_another_stays_sealed(&mut self) -> anyhow::Result<()> {
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
        let output = api.get(&at).await?.well()?["status"]["conditions"].to_string();
        ensure!(output.contains("no key could decrypt secret"), "{output}");
        let waiting = || {
            let waiting = self.platform.kubelet.waiting();
            waiting
                .into_iter()
                .find(|((namespace, pod, _), _)| namespace == ELSEWHERE && pod.starts_with("worker-"))
        };
        until("its reader waits", || async { Ok(waiting().is_some()) }).await?;
        let (name, why) = waiting().context("it waits")?;
        ensure!(why.contains("Secret databases is not there"), "{name:?}: {why}");
        for object in [&reader, &moved] {
            api.delete(&path(object)?).await?.well()?;
        }
        Ok(())
    }
}
