//! Keeps a store as the API server has it: a list, then what changes, for as long as the process lives.
//!
//! What is known counts as new when everything has been listed, at a bookmark, and when a watch has lasted for as long as it was
//! asked for. That a watch begins says nothing: what happened before is yet to come.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use futures_util::pin_mut;
use kube::api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

use super::store::{Store, StoreContents};
use super::told;

/// How many objects a page of a list has.
const PAGE: u32 = 500;
/// How long one answer may take beyond what was asked for.
const SLACK: Duration = Duration::from_secs(10);
/// The first wait before everything is listed anew; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait. What has gone well for that long begins at the first again.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Watches until the process ends. Each watch lasts for `window`, and is followed by the next; whatever else ends one, a list is
/// next, after a wait.
pub(super) async fn forever(client: Client, store: Arc<Store>, window: Duration) {
    let read = store.read;
    let kind = GroupVersionKind::gvk(read.group, read.version, read.kind);
    // As Kubernetes forms plurals; the kinds that are read are all regular.
    let api: Api<DynamicObject> = Api::all_with(client, &ApiResource::from_gvk(&kind));
    let mut wait = FIRST_WAIT;
    loop {
        let began = Instant::now();
        if let Err(error) = follow(&api, &store, window).await {
            store.fail();
            tracing::warn!("{} objects of the cluster cannot be had: {}", read.kind, told(&error));
        }
        if began.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Lists everything, and takes what changes for as long as one watch goes on where the other ended.
async fn follow(api: &Api<DynamicObject>, store: &Store, window: Duration) -> anyhow::Result<()> {
    let mut version = list(api, store).await?;
    loop {
        let began = Instant::now();
        watch(api, store, &mut version, window).await?;
        if began.elapsed() < window {
            // Cut short, by whatever is in between: what came last may be missing.
            return Ok(());
        }
        store.hear();
    }
}

/// Takes everything anew; returns the version that it is of.
async fn list(api: &Api<DynamicObject>, store: &Store) -> anyhow::Result<String> {
    let mut contents = StoreContents::default();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = timeout(SLACK, api.list(&page)).await.context("no answer to a list")??;
        for object in &list.items {
            contents.put(store.kept(&serde_json::to_value(object)?)?);
        }
        match list.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => page.continue_token = Some(more),
            None => {
                store.replace(contents);
                return list.metadata.resource_version.context("a list without a resourceVersion");
            }
        }
    }
}

/// Takes what changes after a version until the watch ends, and keeps the version where it has come to.
async fn watch(
    api: &Api<DynamicObject>,
    store: &Store,
    version: &mut String,
    window: Duration,
) -> anyhow::Result<()> {
    let seconds = u32::try_from(window.as_secs()).unwrap_or(u32::MAX).max(1);
    let parameters = WatchParams::default().timeout(seconds);
    let events = timeout(SLACK, api.watch(&parameters, version)).await.context("no answer to a watch")??;
    pin_mut!(events);
    while let Some(event) =
        timeout(window + SLACK, events.next()).await.context("a watch that does not end")?
    {
        match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                store.put(store.kept(&serde_json::to_value(&object)?)?);
                reach(version, object);
            }
            WatchEvent::Deleted(object) => {
                store.remove(&store.kept(&serde_json::to_value(&object)?)?);
                reach(version, object);
            }
            WatchEvent::Bookmark(bookmark) => {
                store.hear();
                *version = bookmark.metadata.resource_version;
            }
            WatchEvent::Error(status) => bail!("{} ({})", status.message, status.code),
        }
    }
    Ok(())
}

fn reach(version: &mut String, object: DynamicObject) {
    if let Some(reached) = object.metadata.resource_version {
        *version = reached;
    }
}
