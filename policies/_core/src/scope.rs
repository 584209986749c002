//! The requests that a policy matches. Webhook rules, Kubewarden metadata and documentation are rendered from it.

use crate::kinds::is_same_group;
use crate::request::{GroupVersionKind, GroupVersionResource, Operation, Request};

/// The requests that a policy evaluates.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// The resources, each with its operations.
    pub resources: &'static [Resource],
}

/// One resource of a scope.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    /// `apps`; empty for the core group.
    pub group: &'static str,
    /// The version in webhook rules. Requests with another version are evaluated too.
    pub version: &'static str,
    /// `Deployment`.
    pub kind: &'static str,
    /// `deployments`.
    pub plural: &'static str,
    /// The subresources to evaluate.
    pub subresources: Subresources,
    /// The operations to evaluate.
    pub operations: &'static [Operation],
}

/// The subresources that a policy evaluates in addition to the resource itself.
#[derive(Clone, Copy, Debug)]
pub enum Subresources {
    /// None, because they contain other objects (`deployments/scale`) or do not change `spec` (`deployments/status`).
    None,
    /// All except `ignored`. Unknown subresources are evaluated, so that a newer API server fails safe
    /// (pod-security-admission, `admission.go`). Webhook rules list the known ones.
    AllBut {
        /// The subresources in webhook rules.
        known: &'static [&'static str],
        /// The subresources that are never evaluated.
        ignored: &'static [&'static str],
    },
}

/// Create and update, for most policies.
pub const CHANGES: &[Operation] = &[Operation::Create, Operation::Update];
/// Only create, for mutating policies.
pub const CREATION: &[Operation] = &[Operation::Create];

impl Scope {
    /// Whether a policy with this scope evaluates the request.
    ///
    /// It is enough that the kind or the resource matches. If the two do not belong together, the engine denies the request.
    pub fn matches(&self, request: &Request<'_>) -> bool {
        self.resources.iter().any(|resource| resource.matches(request))
    }

    /// Whether the request's kind belongs to its resource. An API server never sends another kind; a forged request could use one
    /// to be evaluated by the rules of a different kind.
    pub(crate) fn agrees(&self, request: &Request<'_>) -> bool {
        let (kind, resource) = (&request.kind, &request.resource);
        resource.resource.is_empty()
            || self.resources.iter().all(|r| r.is_kind(kind) == r.is_resource(resource))
    }
}

impl Resource {
    /// A resource without its subresources.
    pub const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        operations: &'static [Operation],
    ) -> Self {
        Resource { group, version, kind, plural, subresources: Subresources::None, operations }
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        (self.is_kind(&request.kind) || self.is_resource(&request.resource))
            && self.operations.contains(&request.operation)
            && match self.subresources {
                Subresources::None => request.sub_resource.is_empty(),
                Subresources::AllBut { ignored, .. } => !ignored.contains(&request.sub_resource),
            }
    }

    fn is_kind(&self, kind: &GroupVersionKind<'_>) -> bool {
        kind.kind == self.kind && self.is_group(kind.group)
    }

    fn is_resource(&self, resource: &GroupVersionResource<'_>) -> bool {
        resource.resource == self.plural && self.is_group(resource.group)
    }

    fn is_group(&self, group: &str) -> bool {
        is_same_group(self.group, group)
    }

    /// The names in webhook rules: `pods`, `pods/ephemeralcontainers`, `pods/resize`.
    pub fn rule_names(&self) -> Vec<String> {
        let known = match self.subresources {
            Subresources::None => &[],
            Subresources::AllBut { known, .. } => known,
        };
        std::iter::once(self.plural.to_owned())
            .chain(known.iter().map(|sub| format!("{}/{sub}", self.plural)))
            .collect()
    }
}
