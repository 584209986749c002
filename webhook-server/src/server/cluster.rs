//! The cluster as its API server tells: of each kind that policies look at, the objects, and of these the fields.
//!
//! Nothing is asked of the API server while a request is judged. What is known is as old as the last word from it; when it
//! has been silent for too long, what follows is a setting.

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

/// How long a connection to the API server may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A cluster of which everything that policies look at is in memory.
#[derive(Debug)]
pub struct WatchedCluster {
    stores: Vec<Arc<Store>>,
    max_age: Duration,
    when_stale: WhenStale,
    /// Ends the watches when it goes.
    watching: OnceLock<oneshot::Sender<()>>,
}

/// What is known of one kind, for metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct KindStatus {
    /// `NetworkPolicy`.
    pub kind: &'static str,
    /// How many objects.
    pub objects: usize,
    /// The bytes of what is kept of them.
    pub bytes: usize,
    /// The time since the API server last said that this is all there is; `None` before it ever did.
    pub age: Option<Duration>,
    /// How often it could not be asked.
    pub failures: u64,
}

impl WatchedCluster {
    /// A cluster of which nothing is known yet.
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

    /// A cluster of which nothing is known yet of what these policies look at.
    pub(crate) fn for_policies(config: &crate::config::Config, args: &ClusterArgs) -> Self {
        WatchedCluster::new(config.reads(), Duration::from_secs(args.stale_after), args.when_stale)
    }

    /// A cluster that is just these objects, as an API server would have told them.
    ///
    /// # Errors
    /// An object has no name.
    pub fn holding(
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

    /// Starts to watch every kind, on a thread of its own, so that long lists keep no review waiting, for as long as this is there.
    ///
    /// # Errors
    /// The kubeconfig, or where none is given the pod's service account, gives no client.
    pub fn start(&self, kubeconfig: Option<&Path>) -> anyhow::Result<()> {
        // A watch ends, and is begun again, twice within the time after which what is known counts as too old.
        let window = (self.max_age / 2).clamp(Duration::from_secs(1), Duration::from_secs(290));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(client(kubeconfig)).map_err(|error| anyhow::anyhow!(told(&error)))?;
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

    /// The kinds of which nothing is known yet.
    pub fn unknown(&self) -> Vec<&'static str> {
        self.stores.iter().filter(|store| store.age().is_none()).map(|store| store.read.kind).collect()
    }

    /// What is known, by kind.
    pub fn known(&self) -> Vec<KindStatus> {
        self.stores.iter().map(|store| store.known()).collect()
    }

    /// The store of a kind, if what it has may be believed.
    fn store(&self, group: &str, kind: &str) -> Result<&Store, Undecided> {
        let store = self.stores.iter().find(|store| store.is_of(group, kind));
        let store = store.ok_or_else(|| {
            Undecided::of_cluster(format!("needs the cluster's {kind} objects, which are not watched"))
        })?;
        let Some(age) = store.age() else {
            return Err(Undecided::of_cluster(format!(
                "needs the cluster's {kind} objects, which the API server has not told yet"
            )));
        };
        if age > self.max_age && self.when_stale == WhenStale::Deny {
            return Err(Undecided::of_cluster(format!(
                "needs the cluster's {kind} objects, of which what is known is more than {} s old",
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
        value.map_err(|error| Undecided::of_cluster(format!("the cluster's {kind} objects: {error}")))?;
    Ok(Field::root(value, arena))
}

/// An error and what is behind it, without what has been said already.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    printable(&told).into_owned()
}

/// A client for the cluster that a kubeconfig names, or for the one that this process runs in.
///
/// # Errors
/// The file cannot be read or is none; there is no service account; the client cannot be made of it.
pub(crate) async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let mut config = match kubeconfig {
        Some(path) => {
            let named = || format!("--kubeconfig {}", path.display());
            let file = Kubeconfig::read_from(path).with_context(named)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.with_context(named)?
        }
        None => Config::incluster().context("--in-cluster: there is no service account to use")?,
    };
    config.connect_timeout = Some(CONNECT);
    Client::try_from(config).context("the API server cannot be called with this configuration")
}
