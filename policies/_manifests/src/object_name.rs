//! The name of an object in reports and messages.

use std::fmt;

use policy_core::Request;
use policy_core::path::printable;
use policy_core::request::api_version;
use schemars::JsonSchema;
use serde::Serialize;

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are named as in Kubernetes")]
pub struct ObjectName {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl ObjectName {
    /// The name of the request's object.
    pub fn of(request: &Request<'_>) -> Self {
        let kind = &request.kind;
        ObjectName {
            api_version: api_version(kind.group, kind.version),
            kind: kind.kind.to_owned(),
            namespace: request.namespace.to_owned(),
            name: request.display_name().unwrap_or_default().to_owned(),
        }
    }
}

/// `Deployment shop/web`, or `Namespace shop` if the object is cluster-scoped.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}", printable(&self.kind), printable(&self.namespace), printable(&self.name))
    }
}
