//! What else exists: the objects that a policy may look at beside the one it judges.

use crate::field::{Field, Undecided};
use crate::value::{Arena, Value};

/// The objects of the cluster, or of the manifest set that stands for it.
pub trait Cluster {
    /// The objects of that kind, in one namespace or in all, in a fixed order.
    ///
    /// # Errors
    /// It is not known, because there is no cluster or what is known of it is too old.
    fn list(&self, kind: &str, namespace: Option<&str>) -> Result<Vec<Field<'_>>, Undecided>;
}

/// No cluster: whoever needs one cannot decide.
#[derive(Clone, Copy, Debug)]
pub struct NoCluster;

impl Cluster for NoCluster {
    fn list(&self, kind: &str, _: Option<&str>) -> Result<Vec<Field<'_>>, Undecided> {
        Err(Undecided {
            field: Default::default(),
            reason: format!("needs the cluster's {kind} objects, and no cluster was given"),
        })
    }
}

/// A cluster that is just these objects.
#[derive(Debug)]
pub struct Objects<'a> {
    arena: &'a Arena,
    objects: Vec<Value<'a>>,
}

impl<'a> Objects<'a> {
    /// The objects, in the order given.
    pub fn new(objects: Vec<Value<'a>>, arena: &'a Arena) -> Self {
        Objects { arena, objects }
    }
}

impl Cluster for Objects<'_> {
    fn list(&self, kind: &str, namespace: Option<&str>) -> Result<Vec<Field<'_>>, Undecided> {
        let mut found = Vec::new();
        for value in &self.objects {
            let object = Field::root(*value, self.arena);
            let lives_there = namespace.is_none() || object.at("metadata.namespace").str()? == namespace;
            if object.at("kind").str()? == Some(kind) && lives_there {
                found.push(object);
            }
        }
        Ok(found)
    }
}
