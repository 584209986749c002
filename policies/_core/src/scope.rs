//! Which requests a policy wants; webhook rules, Kubewarden metadata and documentation are rendered from it.

use crate::kinds::is_same_group;
use crate::request::{GroupVersionKind, GroupVersionResource, Operation, Request};

/// The requests that a policy judges.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// On which resources, each with its operations.
    pub resources: &'static [Resource],
}

/// One resource of a scope.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    /// `apps`; empty for the core group.
    pub group: &'static str,
    /// The version that webhook rules name. A request of another version is judged all the same.
    pub version: &'static str,
    /// `Deployment`.
    pub kind: &'static str,
    /// `deployments`.
    pub plural: &'static str,
    /// Which subresources are judged.
    pub subresources: Subresources,
    /// On which operations.
    pub operations: &'static [Operation],
}

/// The subresources of a resource that a policy judges, beside the resource itself.
#[derive(Clone, Copy, Debug)]
pub enum Subresources {
    /// None: they carry other objects (`deployments/scale`) or no change of `spec` (`deployments/status`).
    None,
    /// Whatever is sent but these. An unknown one is judged, so that a newer API server fails safe
    /// (pod-security-admission, `admission.go`). Webhook rules name the known ones.
    AllBut {
        /// What webhook rules ask for.
        known: &'static [&'static str],
        /// What is never judged.
        ignored: &'static [&'static str],
    },
}

/// Creation and change: what most policies evaluate.
pub const CHANGES: &[Operation] = &[Operation::Create, Operation::Update];
/// Creation alone: what mutating policies evaluate.
pub const CREATION: &[Operation] = &[Operation::Create];

impl Scope {
    /// Whether a policy of this scope evaluates that request.
    ///
    /// By kind or by resource, whichever matches: a request whose two names disagree is judged, and found wanting
    /// by the policy that cannot read it.
    pub fn matches(&self, request: &Request<'_>) -> bool {
        self.resources.iter().any(|resource| resource.matches(request))
    }

    /// Whether the request's kind is what its resource holds. No API server sends another; who does wants to be judged by
    /// the rules of something else.
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

    /// The names that webhook rules give it: `pods`, `pods/ephemeralcontainers`, `pods/resize`.
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
