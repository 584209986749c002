//! The configuration as its file has it, for as long as the process lives.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use policy_core::WatchedKind;

use crate::args::{ClusterArgs, ServeArgs};
use crate::config::Config;
use crate::server::cluster::WatchedCluster;
use crate::server::file_watcher::{WatchedFiles, aside};
use crate::server::webhook::Webhook;

/// How long a cluster that policies want to know more of may take to tell.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long after a file could not be taken it is tried again: what was missing may not be in the file.
const AGAIN: Duration = Duration::from_secs(30);

/// Asks by what is in the file, whenever that changes. What cannot be used is left alone: what was asked before goes on being
/// asked, a metric and a line of the log say so.
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
                tracing::info!("the policies are now those of {file}");
                failed = None;
            }
            Err(error) => {
                webhook.metrics().config(false);
                let reason = format!("{error:#}");
                if is_new || failed.as_ref() != Some(&reason) {
                    tracing::error!("the policies stay as they were, for {reason}");
                }
                failed = Some(reason);
            }
        }
    }
}

/// A field of a kind that policies look at.
pub(super) type Fields = (&'static str, &'static str, &'static str);

/// All that these look at.
pub(super) fn fields(reads: &[WatchedKind]) -> BTreeSet<Fields> {
    let of = |read: &WatchedKind| {
        read.fields.iter().map(|field| (read.group, read.kind, *field)).collect::<Vec<_>>()
    };
    reads.iter().flat_map(of).collect()
}

/// Takes the file, and what it wants to know of the cluster before it is asked.
async fn take(
    args: &ServeArgs,
    webhook: &Webhook,
    known: &BTreeSet<Fields>,
) -> anyhow::Result<BTreeSet<Fields>> {
    let given = args.cluster.is_given();
    let file = args.selection.config.as_deref().unwrap_or(Path::new(""));
    if !file.is_file() {
        bail!("{} is no file", file.display());
    }
    let selection = args.selection.clone();
    let config = aside(move || Config::load(&selection, given)?.serving()).await?;
    super::warn_of_ignorance(&config, given);
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
    aside(move || starting.start(kubeconfig.as_deref())).await?;
    let known = async {
        while !watched.unknown().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, known).await.is_err() {
        bail!("the cluster does not tell of {} within {PATIENCE:?}", watched.unknown().join(", "));
    }
    Ok(watched)
}
