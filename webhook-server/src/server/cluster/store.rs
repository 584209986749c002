//! The objects of one kind, as JSON that is reduced to the fields that policies read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use policy_core::WatchedKind;
use serde_json::{Map, Value};

use super::KindStatus;

/// The objects of one kind.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) read: WatchedKind,
    /// The fields that any policy reads.
    fields: BTreeSet<&'static str>,
    contents: RwLock<StoreContents>,
    /// When the store was created; `heard` counts from here.
    since: Instant,
    /// When the data was last known to be complete: milliseconds after `since`, plus one; 0 for never.
    heard: AtomicU64,
    failures: AtomicU64,
}

/// Objects by namespace and name. The namespace of cluster-scoped objects is empty.
#[derive(Debug, Default)]
pub(super) struct StoreContents {
    objects: BTreeMap<Box<str>, ByName>,
    count: usize,
    bytes: usize,
}

/// The JSON of each object, by name.
type ByName = BTreeMap<Box<str>, Box<[u8]>>;

/// The stored form of an object.
pub(super) struct StoredObject {
    namespace: Box<str>,
    name: Box<str>,
    json: Box<[u8]>,
}

impl StoreContents {
    /// Adds an object, or replaces the one with the same name.
    pub(super) fn put(&mut self, kept: StoredObject) {
        self.remove(&kept.namespace, &kept.name);
        self.count += 1;
        self.bytes += kept.json.len();
        self.objects.entry(kept.namespace).or_default().insert(kept.name, kept.json);
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        let Some(named) = self.objects.get_mut(namespace) else { return };
        if let Some(json) = named.remove(name) {
            self.count -= 1;
            self.bytes -= json.len();
        }
        if named.is_empty() {
            self.objects.remove(namespace);
        }
    }
}

impl Store {
    /// An empty store for a kind, with the fields to keep of its objects.
    pub(super) fn new(read: WatchedKind, fields: BTreeSet<&'static str>) -> Self {
        Store {
            read,
            fields,
            contents: RwLock::default(),
            since: Instant::now(),
            heard: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    pub(super) fn is_of(&self, group: &str, kind: &str) -> bool {
        self.read.group == group && self.read.kind == kind
    }

    /// The stored form of an object of this kind.
    pub(super) fn kept(&self, object: &Value) -> anyhow::Result<StoredObject> {
        let metadata = &object["metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap_or_default();
        let (namespace, name) = (text("namespace"), text("name"));
        anyhow::ensure!(!name.is_empty(), "a {} has no metadata.name", self.read.kind);
        let mut kept = Map::new();
        for path in ["metadata.name", "metadata.namespace"].iter().chain(&self.fields) {
            copy(object, path, &mut kept);
        }
        let json = serde_json::to_vec(&kept).context("cannot encode the object as JSON")?.into_boxed_slice();
        Ok(StoredObject { namespace: namespace.into(), name: name.into(), json })
    }

    /// Replaces all objects with those of a complete list.
    pub(super) fn replace(&self, contents: StoreContents) {
        let mut known = self.contents.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *known, contents);
        drop(known);
        self.hear();
        // Dropped after the lock is released, so that requests do not wait.
        drop(before);
    }

    pub(super) fn put(&self, kept: StoredObject) {
        self.contents.write().unwrap_or_else(PoisonError::into_inner).put(kept);
    }

    pub(super) fn remove(&self, kept: &StoredObject) {
        let mut contents = self.contents.write().unwrap_or_else(PoisonError::into_inner);
        contents.remove(&kept.namespace, &kept.name);
    }

    /// Notes that the API server responded and the data is complete.
    pub(super) fn hear(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.heard.store(now + 1, Ordering::Release);
    }

    /// Counts a failed list or watch.
    pub(super) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The time since the data was last known to be complete.
    pub(super) fn age(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.since.elapsed().saturating_sub(Duration::from_millis(heard)))
    }

    /// Calls `show` with the JSON of each object in one namespace or in all, in the order of their names.
    pub(super) fn each(&self, namespace: Option<&str>, mut show: impl FnMut(&[u8])) {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        match namespace {
            Some(namespace) => {
                contents.objects.get(namespace).into_iter().flatten().for_each(|(_, json)| show(json));
            }
            None => contents.objects.values().flatten().for_each(|(_, json)| show(json)),
        }
    }

    /// The JSON of one object. `namespace` is `None` for a cluster-scoped object.
    pub(super) fn get<T>(
        &self,
        namespace: Option<&str>,
        name: &str,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        contents.objects.get(namespace.unwrap_or_default())?.get(name).map(|json| take(json))
    }

    pub(super) fn known(&self) -> KindStatus {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        KindStatus {
            kind: self.read.kind,
            objects: contents.count,
            bytes: contents.bytes,
            age: self.age(),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}

/// Copies the value at a path, if it exists.
fn copy(from: &Value, path: &str, to: &mut Map<String, Value>) {
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    let Some(value) = from.get(key).filter(|value| !value.is_null()) else { return };
    match rest {
        None => drop(to.insert(key.to_owned(), value.clone())),
        Some(rest) => {
            let below = to.entry(key).or_insert_with(|| Value::Object(Map::new()));
            match below {
                // A value of the wrong type is kept, so that the policy that reads it can report it.
                Value::Object(below) if value.is_object() => copy(value, rest, below),
                below => *below = value.clone(),
            }
        }
    }
}
