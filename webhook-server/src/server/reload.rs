//! Reloads the configuration when its file changes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use policy_core::WatchedKind;

use crate::args::{ClusterArgs, ServeArgs};
use crate::config::Config;
use crate::server::cluster::WatchedCluster;
use crate::server::file_watcher::{WatchedFiles, on_blocking_thread};
use crate::server::webhook::Webhook;

/// How long listing additional kinds of the cluster may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// When to retry after a failed reload. The cause may be outside of the file, such as an API server that does not respond.
const AGAIN: Duration = Duration::from_secs(30);

/// Reloads the configuration whenever its file changes. If that fails, the previous configuration stays in use, and the failure
/// is logged and recorded in a metric.
pub(super) async fn follow(
    mut files: WatchedFiles,
    args: ServeArgs,
    webhook: Webhook,
    mut reads: BTreeSet<Fields>,
) {
    let mut failed: Option<String> = None;
    loop {
        let wait = if failed.is_some() { AGAIN } else { Duration::MAX };
        let is_new = tokio::time::timeout(wait, files.changed()).await.is_ok();
        let file = args.selection.config.as_deref().unwrap_or(Path::new("")).display();
        match take(&args, &webhook, &reads).await {
            Ok(now_read) => {
                reads = now_read;
                webhook.metrics().config(true);
                tracing::info!("reloaded the configuration from {file}");
                failed = None;
            }
            Err(error) => {
                webhook.metrics().config(false);
                let reason = format!("{error:#}");
                if is_new || failed.as_ref() != Some(&reason) {
                    tracing::error!("configuration not reloaded, the previous one stays in use: {reason}");
                }
                failed = Some(reason);
            }
        }
    }
}

/// A field that policies read: group, kind and path.
pub(super) type Fields = (&'static str, &'static str, &'static str);

/// All fields of these kinds.
pub(super) fn fields(reads: &[WatchedKind]) -> BTreeSet<Fields> {
    let of = |read: &WatchedKind| {
        read.fields.iter().map(|field| (read.group, read.kind, *field)).collect::<Vec<_>>()
    };
    reads.iter().flat_map(of).collect()
}

/// Loads the file, and lists any additional kinds before the new policies run.
async fn take(
    args: &ServeArgs,
    webhook: &Webhook,
    known: &BTreeSet<Fields>,
) -> anyhow::Result<BTreeSet<Fields>> {
    let given = args.cluster.is_given();
    let file = args.selection.config.as_deref().unwrap_or(Path::new(""));
    if !file.is_file() {
        bail!("{}: not a regular file", file.display());
    }
    let selection = args.selection.clone();
    let config = on_blocking_thread(move || Config::load(&selection, given)?.serving()).await?;
    super::warn_without_cluster(&config, given);
    let wanted = fields(&config.reads());
    let watched = match given && wanted != *known {
        true => Some(watch(&config, &args.cluster).await?),
        false => None,
    };
    webhook.replace(config, watched);
    Ok(wanted)
}

async fn watch(config: &Config, args: &ClusterArgs) -> anyhow::Result<Arc<WatchedCluster>> {
    let watched = Arc::new(WatchedCluster::for_policies(config, args));
    let (starting, kubeconfig) = (watched.clone(), args.kubeconfig.clone());
    on_blocking_thread(move || starting.start(kubeconfig.as_deref())).await?;
    let known = async {
        while !watched.unknown().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, known).await.is_err() {
        bail!("the API server did not list {} within {PATIENCE:?}", watched.unknown().join(", "));
    }
    Ok(watched)
}
