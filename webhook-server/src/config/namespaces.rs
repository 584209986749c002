//! Policies that are asked about some namespaces only, chosen by their labels.

use policy_core::{
    Arena, Cluster, Evaluate, Field, Labels, Read, Request, Selector, Undecided, Value, Verdict,
};

/// The label that the API server sets itself, and nobody can give to another namespace.
const NAME: &str = "kubernetes.io/metadata.name";

/// A policy that has nothing to say of what is in namespaces that a selector does not take. What is in no namespace is judged,
/// as by a webhook (admissionregistration.k8s.io/v1, `namespaceSelector`).
pub(super) struct Limited {
    policy: Box<dyn Evaluate>,
    /// The LabelSelector, as JSON.
    selector: String,
    /// Whether it asks for more than the namespace's name.
    needs_labels: bool,
}

impl Limited {
    /// # Errors
    /// It is no LabelSelector that an API server would take.
    pub(super) fn new(policy: Box<dyn Evaluate>, selector: &str) -> anyhow::Result<Self> {
        let arena = Arena::new();
        let value = Value::from_json(selector.as_bytes(), &arena)?;
        let read = Selector::read(Field::root(value, &arena))?;
        let needs_labels = read.keys().any(|key| key != NAME);
        Ok(Limited { policy, selector: selector.to_owned(), needs_labels })
    }

    /// What it needs to know of the cluster.
    pub(super) fn reads(&self) -> Option<Read> {
        self.needs_labels.then_some(Read::NAMESPACE)
    }

    fn takes(&self, request: &Request<'_>, cluster: &dyn Cluster) -> Result<bool, Undecided> {
        if request.namespace.is_empty() {
            return Ok(true);
        }
        let arena = request.object.arena();
        let unreadable = |error: policy_core::value::DecodeError| request.object.undecided(error.to_string());
        let selector = Value::from_json(arena.bytes(self.selector.as_bytes()), arena).map_err(unreadable)?;
        let mut labels = match self.needs_labels {
            false => Labels::from_iter([]),
            true => {
                let namespace = cluster.get("", "Namespace", None, request.namespace, arena)?;
                let namespace = namespace.ok_or_else(|| {
                    Undecided::of_cluster(format!(
                        "the namespace `{}` is not known, and the policy's namespaceSelector asks for its labels",
                        request.namespace
                    ))
                })?;
                Labels::of(namespace.at("metadata.labels"))?
            }
        };
        labels.add(NAME, request.namespace);
        labels.are_selected_by(Field::root(selector, arena))
    }
}

impl Evaluate for Limited {
    fn evaluate(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        match self.takes(request, cluster)? {
            true => self.policy.evaluate(request, cluster, verdict),
            false => Ok(()),
        }
    }
}
