//! Keeps a store in sync with the API server: lists all objects, then follows the changes.
//!
//! The data counts as up to date after a complete list, at a bookmark, and when a watch lasted for the requested time. The start
//! of a watch does not count, because earlier events may still be on their way.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use futures_util::pin_mut;
use kube::api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

use super::error_chain;
use super::store::{Store, StoreContents};

/// The number of objects in a page of a list.
const PAGE: u32 = 500;
/// How long a response may take beyond the requested time.
const SLACK: Duration = Duration::from_secs(10);
/// The first wait before a new list after an error; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait. After a watch that lasted longer than this, waits start at the first again.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Watches forever. Each watch lasts for `window`, then the next one continues from there. If a watch ends early, all objects
/// are listed again after a wait.
pub(super) async fn forever(client: Client, store: Arc<Store>, window: Duration) {
    let read = store.read;
    let kind = GroupVersionKind::gvk(read.group, read.version, read.kind);
    // The plural is guessed from the kind. All kinds that policies read have regular plurals.
    let api: Api<DynamicObject> = Api::all_with(client, &ApiResource::from_gvk(&kind));
    let mut wait = FIRST_WAIT;
    loop {
        let began = Instant::now();
        if let Err(error) = follow(&api, &store, window).await {
            store.fail();
            tracing::warn!("cannot list or watch {} objects, retrying: {}", read.kind, error_chain(&error));
        }
        if began.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Lists all objects, then follows the changes until a watch ends early.
async fn follow(api: &Api<DynamicObject>, store: &Store, window: Duration) -> anyhow::Result<()> {
    let mut version = list(api, store).await?;
    loop {
        let began = Instant::now();
        watch(api, store, &mut version, window).await?;
        if began.elapsed() < window {
            // The watch ended early, for example because of a proxy. The last events may be missing.
            return Ok(());
        }
        store.hear();
    }
}

/// Replaces the store with a new list, and returns the resource version of the list.
async fn list(api: &Api<DynamicObject>, store: &Store) -> anyhow::Result<String> {
    let mut contents = StoreContents::default();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = timeout(SLACK, api.list(&page))
            .await
            .context("the API server did not respond to a list request")??;
        for object in &list.items {
            contents.put(store.kept(&serde_json::to_value(object)?)?);
        }
        match list.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => page.continue_token = Some(more),
            None => {
                store.replace(contents);
                return list.metadata.resource_version.context("the list has no resourceVersion");
            }
        }
    }
}

/// Applies the changes after a resource version until the watch ends, and updates the version.
async fn watch(
    api: &Api<DynamicObject>,
    store: &Store,
    version: &mut String,
    window: Duration,
) -> anyhow::Result<()> {
    let seconds = u32::try_from(window.as_secs()).unwrap_or(u32::MAX).max(1);
    let parameters = WatchParams::default().timeout(seconds);
    let events = timeout(SLACK, api.watch(&parameters, version))
        .await
        .context("the API server did not respond to a watch request")??;
    pin_mut!(events);
    while let Some(event) =
        timeout(window + SLACK, events.next()).await.context("the watch did not end in time")?
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
