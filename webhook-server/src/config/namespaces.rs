//! Policies that are limited to some namespaces, chosen by their labels.

use policy_core::{
    Arena, Cluster, Evaluate, Field, ManifestSet, Request, Undecided, Value, Verdict, WatchedKind,
};
use policy_kubernetes::Selector;
use policy_kubernetes::namespace::{NAMESPACE_NAME, namespace_labels, namespace_labels_in};

/// A policy that is evaluated in the namespaces that a selector matches. Objects without a namespace are always evaluated, like
/// with the `namespaceSelector` of a webhook (admissionregistration.k8s.io/v1).
pub(super) struct NamespaceLimitedPolicy {
    policy: Box<dyn Evaluate>,
    selector: Selector<'static>,
}

impl NamespaceLimitedPolicy {
    /// `selector` is a LabelSelector as JSON.
    ///
    /// # Errors
    /// The API server would reject the selector.
    pub(super) fn new(policy: Box<dyn Evaluate>, selector: &str) -> anyhow::Result<Self> {
        let arena = Arena::new();
        let value = Value::from_json(selector.as_bytes(), &arena)?;
        let selector = Selector::read(Field::root(value, &arena))?.into_owned();
        Ok(NamespaceLimitedPolicy { policy, selector })
    }

    /// The kind that the selector reads from the cluster.
    pub(super) fn reads(&self) -> Option<WatchedKind> {
        self.needs_labels().then_some(WatchedKind::NAMESPACE)
    }

    /// Whether the selector uses other labels than the name of the namespace.
    fn needs_labels(&self) -> bool {
        self.selector.keys().any(|key| key != NAMESPACE_NAME)
    }

    fn matches(&self, request: &Request<'_>, cluster: &dyn Cluster) -> Result<bool, Undecided> {
        if request.namespace.is_empty() {
            return Ok(true);
        }
        let arena = request.object.arena();
        let labels = match self.needs_labels() {
            true => namespace_labels_in(cluster, request.namespace, arena)?,
            false => namespace_labels(None, request.namespace)?,
        };
        Ok(self.selector.matches(&labels))
    }
}

impl Evaluate for NamespaceLimitedPolicy {
    fn extends_scope_to(&self, request: &Request<'_>) -> bool {
        self.policy.extends_scope_to(request)
    }

    fn check_prerequisites(
        &self,
        request: &Request<'_>,
        set: &ManifestSet<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        match self.matches(request, set.cluster)? {
            true => self.policy.check_prerequisites(request, set, verdict),
            false => Ok(()),
        }
    }

    fn evaluate(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        match self.matches(request, cluster)? {
            true => self.policy.evaluate(request, cluster, verdict),
            false => Ok(()),
        }
    }
}
