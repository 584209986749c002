//! An AdmissionRequest: the fields that policies and hosts need.

use crate::field::{Field, Undecided};
use crate::kinds;
use crate::path::excerpt;
use crate::value::{Arena, Value};

/// The operation on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// An object is created; the request has no old object.
    Create,
    /// An object is changed, by update, patch or apply.
    Update,
    /// An object is deleted; the request has no new object.
    Delete,
    /// A connection to an object is opened, such as `exec`; the new object holds the connection options.
    Connect,
}

impl Operation {
    /// The name in an AdmissionReview.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete, Self::Connect].into_iter().find(|op| op.as_str() == text)
    }
}

/// The group, version and kind of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupVersionKind<'a> {
    /// `apps`; empty for the core group.
    pub group: &'a str,
    /// `v1`.
    pub version: &'a str,
    /// `Deployment`.
    pub kind: &'a str,
}

/// The group, version and plural name of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupVersionResource<'a> {
    /// `apps`; empty for the core group.
    pub group: &'a str,
    /// `v1`.
    pub version: &'a str,
    /// `deployments`.
    pub resource: &'a str,
}

/// The `apiVersion` of a group and version: `apps/v1`, or `v1` for the core group.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// One AdmissionRequest (admission.k8s.io/v1).
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Identifies this call; the response repeats it.
    pub uid: &'a str,
    /// The kind of `object`, after any conversion for `matchPolicy: Equivalent`.
    pub kind: GroupVersionKind<'a>,
    /// The resource of the request, after the same conversion.
    pub resource: GroupVersionResource<'a>,
    /// `ephemeralcontainers`, `resize`, `status` …; empty for the object itself.
    pub sub_resource: &'a str,
    /// The object's name; empty if the API server has yet to generate one.
    pub name: &'a str,
    /// The namespace of the request; empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// The operation.
    pub operation: Operation,
    /// Whether the request is a dry run, which changes nothing in the cluster.
    pub dry_run: bool,
    /// The user who sent the request: `username`, `groups`, …
    pub user_info: Field<'a>,
    /// The new object; not set on DELETE. Paths start at the object.
    pub object: Field<'a>,
    /// The existing object; set on UPDATE and DELETE. Paths start at the object.
    pub old_object: Field<'a>,
}

impl<'a> Request<'a> {
    /// Reads an AdmissionRequest.
    ///
    /// # Errors
    /// A required field (`uid`, `kind`, `operation`) is missing, or a field has the wrong type.
    pub fn read(request: Field<'a>) -> Result<Self, Undecided> {
        let text = |keys| request.at(keys).text();
        let operation = required(request.at("operation"))?;
        let kind = request.at("kind");
        let resource = request.at("resource");
        Ok(Request {
            uid: required(request.at("uid"))?,
            kind: GroupVersionKind {
                group: kind.at("group").text()?,
                version: kind.at("version").text()?,
                kind: required(kind.at("kind"))?,
            },
            resource: GroupVersionResource {
                group: resource.at("group").text()?,
                version: resource.at("version").text()?,
                resource: resource.at("resource").text()?,
            },
            sub_resource: text("subResource")?,
            name: text("name")?,
            namespace: text("namespace")?,
            operation: Operation::parse(operation).ok_or_else(|| {
                request.at("operation").undecided(format!(
                    "must be CREATE, UPDATE, DELETE or CONNECT, is `{}`",
                    excerpt(operation)
                ))
            })?,
            dry_run: request.at("dryRun").is_true()?,
            user_info: request.at("userInfo").rerooted(),
            object: request.at("object").rerooted(),
            old_object: request.at("oldObject").rerooted(),
        })
    }

    /// The CREATE request for `object`, in its own namespace if it sets one, otherwise in `namespace`.
    ///
    /// # Errors
    /// The object has no `apiVersion` or no `kind`.
    pub fn create(object: Field<'a>, namespace: &'a str) -> Result<Self, Undecided> {
        let arena: &'a Arena = object.arena();
        let api_version = required(object.at("apiVersion"))?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = required(object.at("kind"))?;
        let metadata = object.at("metadata");
        let nothing = Field::missing(arena);
        Ok(Request {
            uid: "",
            kind: GroupVersionKind { group, version, kind },
            resource: GroupVersionResource { group, version, resource: arena.text(&kinds::plural(kind)) },
            sub_resource: "",
            name: metadata.at("name").str()?.or(metadata.at("generateName").str()?).unwrap_or_default(),
            namespace: match kind {
                kind if kinds::is_cluster_scoped(kind) => "",
                _ => metadata.at("namespace").str()?.filter(|named| !named.is_empty()).unwrap_or(namespace),
            },
            operation: Operation::Create,
            dry_run: false,
            user_info: nothing,
            object,
            old_object: nothing,
        })
    }

    /// The same request with another object, such as the patched one.
    #[must_use]
    pub fn with_object(self, object: Value<'a>) -> Self {
        Request { object: Field::root(object, self.object.arena()), ..self }
    }

    /// The object's name, or the prefix from which the API server generates it.
    ///
    /// # Errors
    /// `metadata` is not valid.
    pub fn display_name(&self) -> Result<&'a str, Undecided> {
        if !self.name.is_empty() {
            return Ok(self.name);
        }
        let metadata = self.object.at("metadata");
        Ok(metadata.at("name").str()?.or(metadata.at("generateName").str()?).unwrap_or_default())
    }
}

fn required(field: Field<'_>) -> Result<&str, Undecided> {
    match field.str()? {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(field.undecided("must be set")),
    }
}
