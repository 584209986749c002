//! Cluster data from the API server: the objects of each kind that policies read, reduced to the fields that they read.
//!
//! No API calls are made while a request is evaluated. The data is as old as the last update from the API server; if it is too
//! old, the behavior depends on `--when-stale`.

pub(crate) mod metrics;
mod store;
mod watch;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use policy_core::path::printable;
use policy_core::{Arena, Cluster, Field, Undecided, Value, WatchedKind};
use tokio::sync::oneshot;

use crate::args::{ClusterArgs, WhenStale};
use store::{Store, StoreContents};

/// The timeout for connecting to the API server.
const CONNECT: Duration = Duration::from_secs(5);

/// A cluster with all data that policies read in memory.
#[derive(Debug)]
pub struct WatchedCluster {
    stores: Vec<Arc<Store>>,
    max_age: Duration,
    when_stale: WhenStale,
    /// Stops the watches when it is dropped.
    watching: OnceLock<oneshot::Sender<()>>,
}

/// The state of the data for one kind, for metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct KindStatus {
    /// The kind, such as `NetworkPolicy`.
    pub kind: &'static str,
    /// The number of objects.
    pub objects: usize,
    /// The bytes stored for them.
    pub bytes: usize,
    /// The time since the data was last known to be complete; `None` until the first list is complete.
    pub age: Option<Duration>,
    /// The number of failed lists and watches.
    pub failures: u64,
}

impl WatchedCluster {
    /// A cluster without data.
    pub fn new(
        reads: impl IntoIterator<Item = WatchedKind>,
        max_age: Duration,
        when_stale: WhenStale,
    ) -> Self {
        let mut kinds: Vec<(WatchedKind, BTreeSet<&'static str>)> = Vec::new();
        for read in reads {
            let known =
                kinds.iter_mut().find(|(known, _)| (known.group, known.kind) == (read.group, read.kind));
            match known {
                Some((_, fields)) => fields.extend(read.fields),
                None => kinds.push((read, read.fields.iter().copied().collect())),
            }
        }
        let stores = kinds.into_iter().map(|(read, fields)| Arc::new(Store::new(read, fields)));
        WatchedCluster { stores: stores.collect(), max_age, when_stale, watching: OnceLock::new() }
    }

    /// A cluster without data, for the kinds that these policies read.
    pub(crate) fn for_policies(config: &crate::config::Config, args: &ClusterArgs) -> Self {
        WatchedCluster::new(config.reads(), Duration::from_secs(args.stale_after), args.when_stale)
    }

    /// A cluster that consists of these objects, without an API server.
    ///
    /// # Errors
    /// An object has no name.
    pub fn with_objects(
        reads: impl IntoIterator<Item = WatchedKind>,
        objects: impl IntoIterator<Item = serde_json::Value>,
    ) -> anyhow::Result<Self> {
        let watched = WatchedCluster::new(reads, Duration::MAX, WhenStale::Deny);
        let mut contents: Vec<StoreContents> =
            watched.stores.iter().map(|_| StoreContents::default()).collect();
        for object in objects {
            let text = |key: &str| object.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
            let (group, _) = text("apiVersion").split_once('/').unwrap_or_default();
            let stores = watched.stores.iter().zip(&mut contents);
            for (store, contents) in stores.filter(|(store, _)| store.is_of(group, text("kind"))) {
                contents.put(store.kept(&object)?);
            }
        }
        for (store, contents) in watched.stores.iter().zip(contents) {
            store.replace(contents);
        }
        Ok(watched)
    }

    /// Watches every kind until this is dropped, on a separate thread so that long lists do not delay reviews.
    ///
    /// # Errors
    /// The kubeconfig, or without one the pod's service account, cannot be used to create a client.
    pub fn start(&self, kubeconfig: Option<&Path>) -> anyhow::Result<()> {
        // A watch ends and restarts twice within the time after which data is stale.
        let window = (self.max_age / 2).clamp(Duration::from_secs(1), Duration::from_secs(290));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client =
            runtime.block_on(client(kubeconfig)).map_err(|error| anyhow::anyhow!(error_chain(&error)))?;
        let stores = self.stores.clone();
        let (watching, ended) = oneshot::channel();
        drop(self.watching.set(watching));
        let watch = move || {
            let watches = stores.into_iter().map(|store| watch::forever(client.clone(), store, window));
            runtime.block_on(async {
                tokio::select! {
                    _ = futures_util::future::join_all(watches) => {}
                    _ = ended => {}
                }
            });
        };
        std::thread::Builder::new().name("cluster".to_owned()).spawn(watch)?;
        Ok(())
    }

    /// The kinds that have not been listed yet.
    pub fn unknown(&self) -> Vec<&'static str> {
        self.stores.iter().filter(|store| store.age().is_none()).map(|store| store.read.kind).collect()
    }

    /// The state of the data, by kind.
    pub fn known(&self) -> Vec<KindStatus> {
        self.stores.iter().map(|store| store.known()).collect()
    }

    /// The store of a kind, if its data may be used.
    fn store(&self, group: &str, kind: &str) -> Result<&Store, Undecided> {
        let store = self.stores.iter().find(|store| store.is_of(group, kind));
        let store = store.ok_or_else(|| {
            Undecided::cluster_error(format!("needs the cluster's {kind} objects, which are not watched"))
        })?;
        let Some(age) = store.age() else {
            return Err(Undecided::cluster_error(format!(
                "needs the cluster's {kind} objects, which have not been listed yet"
            )));
        };
        if age > self.max_age && self.when_stale == WhenStale::Deny {
            return Err(Undecided::cluster_error(format!(
                "needs the cluster's {kind} objects, last updated more than {} s ago",
                self.max_age.as_secs()
            )));
        }
        Ok(store)
    }
}

impl Cluster for WatchedCluster {
    fn has(&self, group: &str, kind: &str) -> bool {
        self.stores.iter().any(|store| store.is_of(group, kind))
    }

    fn list<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        arena: &'a Arena,
    ) -> Result<Vec<Field<'a>>, Undecided> {
        let mut objects = Vec::new();
        self.store(group, kind)?.each(namespace, |json| objects.push(arena.bytes(json)));
        objects.into_iter().map(|json| decoded(json, kind, arena)).collect()
    }

    fn get<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
        arena: &'a Arena,
    ) -> Result<Option<Field<'a>>, Undecided> {
        let found = self.store(group, kind)?.get(namespace, name, |json| arena.bytes(json));
        found.map(|json| decoded(json, kind, arena)).transpose()
    }
}

fn decoded<'a>(json: &'a [u8], kind: &str, arena: &'a Arena) -> Result<Field<'a>, Undecided> {
    let value = Value::from_json(json, arena);
    let value =
        value.map_err(|error| Undecided::cluster_error(format!("the cluster's {kind} objects: {error}")))?;
    Ok(Field::root(value, arena))
}

/// An error and its causes, without repetition.
fn error_chain(error: &anyhow::Error) -> String {
    let mut error_chain = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if error_chain.is_empty() {
            error_chain = cause;
        } else if !error_chain.contains(&cause) {
            error_chain = format!("{error_chain}: {cause}");
        }
    }
    printable(&error_chain).into_owned()
}

/// A client for the cluster that a kubeconfig names, or for the one that this process runs in.
///
/// # Errors
/// The kubeconfig cannot be read or is not valid, the service account is missing, or the client cannot be created.
pub(crate) async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let mut config = match kubeconfig {
        Some(path) => {
            let named = || format!("--kubeconfig {}", path.display());
            let file = Kubeconfig::read_from(path).with_context(named)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.with_context(named)?
        }
        None => Config::incluster().context(
            "--in-cluster: no service account found; run in a pod with a mounted token, or use --kubeconfig",
        )?,
    };
    config.connect_timeout = Some(CONNECT);
    Client::try_from(config).context("cannot create a client for the API server")
}
