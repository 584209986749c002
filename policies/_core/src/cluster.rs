//! What else exists: the objects that a policy may look at beside the one it judges.

use crate::field::{Field, Undecided};
use crate::value::{Arena, Value};

/// The objects of the cluster, or of the manifest set that stands for it.
pub trait Cluster {
    /// The objects of that group and kind, in one namespace or in all, in a fixed order. Their fields live in the arena
    /// of the request, their values in the cluster.
    ///
    /// # Errors
    /// It is not known, because there is no cluster or what is known of it is too old.
    fn list<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        arena: &'a Arena,
    ) -> Result<Vec<Field<'a>>, Undecided>;
}

/// No cluster: whoever needs one cannot decide.
#[derive(Clone, Copy, Debug)]
pub struct NoCluster;

impl Cluster for NoCluster {
    fn list<'a>(
        &'a self,
        _: &str,
        kind: &str,
        _: Option<&str>,
        _: &'a Arena,
    ) -> Result<Vec<Field<'a>>, Undecided> {
        Err(Undecided {
            field: Default::default(),
            reason: format!("needs the cluster's {kind} objects, and no cluster was given"),
        })
    }
}

/// A cluster that is just these objects.
#[derive(Clone, Debug, Default)]
pub struct Objects<'o> {
    objects: Vec<Value<'o>>,
    namespace: &'o str,
}

impl<'o> Objects<'o> {
    /// The objects, in the order given, and the namespace of those that name none.
    pub fn new(objects: Vec<Value<'o>>, namespace: &'o str) -> Self {
        Objects { objects, namespace }
    }
}

impl Cluster for Objects<'_> {
    fn list<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        arena: &'a Arena,
    ) -> Result<Vec<Field<'a>>, Undecided> {
        let mut found = Vec::new();
        for value in &self.objects {
            let object = Field::root(*value, arena);
            let api_version = object.at("apiVersion").text()?;
            let of_group = api_version.split_once('/').map_or("", |(group, _)| group) == group;
            if !of_group || object.at("kind").text()? != kind {
                continue;
            }
            let named = object.at("metadata.namespace").text()?;
            let lives_in = if named.is_empty() { self.namespace } else { named };
            if namespace.is_none_or(|namespace| namespace == lives_in) {
                found.push(object);
            }
        }
        Ok(found)
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
        assert!(NoCluster.list("", "Pod", None, &arena).is_err());
    }
}
