//! Cluster data: the objects that a policy can read in addition to the object under review.

use std::collections::BTreeMap;

use crate::field::{Field, Undecided};
use crate::value::{Arena, Value};

/// The objects of the cluster, or of the manifest set that is used in its place.
pub trait Cluster {
    /// Whether objects of that group and kind are available. Only for policies that can work without them. A policy that needs
    /// them calls [`Cluster::list`] and returns its error.
    fn has(&self, group: &str, kind: &str) -> bool;

    /// The objects of that group and kind, in one namespace or in all namespaces, in a fixed order. Their fields are allocated in
    /// the arena of the request; their values belong to the cluster.
    ///
    /// # Errors
    /// Cluster data is not available, or it is too old.
    fn list<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        arena: &'a Arena,
    ) -> Result<Vec<Field<'a>>, Undecided>;

    /// The object of that name; `None` if it does not exist. For a cluster-scoped object, `namespace` is `None`.
    ///
    /// # Errors
    /// See [`Cluster::list`].
    fn get<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
        arena: &'a Arena,
    ) -> Result<Option<Field<'a>>, Undecided> {
        for object in self.list(group, kind, namespace, arena)? {
            if object.at("metadata.name").text()? == name {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }
}

/// No cluster: a policy that needs cluster data cannot decide.
#[derive(Clone, Copy, Debug)]
pub struct NoCluster;

impl Cluster for NoCluster {
    fn has(&self, _: &str, _: &str) -> bool {
        false
    }

    fn list<'a>(
        &'a self,
        _: &str,
        kind: &str,
        _: Option<&str>,
        _: &'a Arena,
    ) -> Result<Vec<Field<'a>>, Undecided> {
        Err(Undecided::cluster_error(format!("needs the cluster's {kind} objects, and no cluster was given")))
    }
}

/// A cluster that consists of the given objects.
#[derive(Clone, Debug, Default)]
pub struct Objects<'o> {
    /// Objects with their namespaces, indexed by group and kind because many requests use one set.
    objects: BTreeMap<(&'o str, &'o str), Vec<(&'o str, Value<'o>)>>,
}

impl<'o> Objects<'o> {
    /// Indexes the objects in the given order. Objects that do not set a namespace get `namespace`. Objects without `apiVersion`
    /// or `kind` are ignored.
    pub fn new(objects: Vec<Value<'o>>, namespace: &'o str) -> Self {
        let mut by_kind: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for object in objects {
            let (Some(Value::String(version)), Some(Value::String(kind))) =
                (object.get("apiVersion"), object.get("kind"))
            else {
                continue;
            };
            let group = version.split_once('/').map_or("", |(group, _)| group);
            let object_namespace = match object.get("metadata").and_then(|metadata| metadata.get("namespace"))
            {
                Some(Value::String(named)) if !named.is_empty() => named,
                _ => namespace,
            };
            by_kind.entry((group, *kind)).or_default().push((object_namespace, object));
        }
        Objects { objects: by_kind }
    }

    /// The objects of that group and kind, in one namespace or in all namespaces.
    pub fn values(&self, group: &str, kind: &str, namespace: Option<&str>) -> Vec<Value<'o>> {
        let of_kind = self.objects.get(&(group, kind)).into_iter().flatten();
        let wanted = of_kind
            .filter(|(object_namespace, _)| namespace.is_none_or(|namespace| namespace == *object_namespace));
        wanted.map(|(_, object)| *object).collect()
    }
}

impl Cluster for Objects<'_> {
    fn has(&self, _: &str, _: &str) -> bool {
        true
    }

    fn list<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        arena: &'a Arena,
    ) -> Result<Vec<Field<'a>>, Undecided> {
        Ok(self.values(group, kind, namespace).into_iter().map(|object| Field::root(object, arena)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_by_group_kind_and_namespace() {
        let arena = Arena::new();
        let decode = |text: &'static str| Value::from_json(text.as_bytes(), &arena).unwrap();
        let objects = Objects::new(
            vec![
                decode(
                    r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"namespace":"a"}}"#,
                ),
                decode(
                    r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"n"}}"#,
                ),
                decode(
                    r#"{"apiVersion":"crd.projectcalico.org/v1","kind":"NetworkPolicy","metadata":{"namespace":"a"}}"#,
                ),
                decode(r#"{"apiVersion":"v1","kind":"Odd","metadata":7}"#),
            ],
            "default",
        );
        let count =
            |namespace| objects.list("networking.k8s.io", "NetworkPolicy", namespace, &arena).unwrap().len();
        assert_eq!((count(None), count(Some("a")), count(Some("default")), count(Some("b"))), (2, 1, 1, 0));
        let name =
            |name| objects.get("networking.k8s.io", "NetworkPolicy", None, name, &arena).unwrap().is_some();
        assert!(name("n") && !name("m"));
        assert!(NoCluster.list("", "Pod", None, &arena).is_err());
        assert!(NoCluster.get("", "Pod", None, "n", &arena).is_err());
        assert!(objects.has("", "Pod") && !NoCluster.has("", "Pod"));
    }
}
