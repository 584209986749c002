//! Evaluates an object of a manifest set: the object itself, the pods that it creates, and the objects that these require.

use policy_core::path::printable;
use policy_core::{Cluster, ConfiguredPolicy, Finding, ManifestSet, Request, Undecided, Verdicts};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::{WorkloadPods, pods_of};

/// Evaluates requests with the policies of a configuration.
pub trait ManifestEvaluator {
    /// Data in addition to the verdicts, such as the exceptions that were applied.
    type Exceptions;

    /// The policies that are enforced.
    fn policies(&self) -> &[ConfiguredPolicy];

    /// The kinds that create pods.
    fn kinds(&self) -> WorkloadKinds<'_>;

    /// The verdicts of all policies on a request.
    fn evaluate<'a>(&self, request: &Request<'a>) -> (Verdicts<'a>, Self::Exceptions);

    /// Whether the verdicts on the object already contain that finding.
    fn is_reported(&self, own: &Verdicts<'_>, exceptions: &Self::Exceptions, finding: &Finding) -> bool;
}

/// An object with its verdicts.
#[derive(Debug)]
pub struct EvaluatedObject<'a, E> {
    /// The verdicts on the object.
    pub own: Verdicts<'a>,
    /// Data in addition to the verdicts, such as the exceptions that were applied.
    pub exceptions: E,
    /// The pods that it creates, and the verdicts on them, without findings that are already reported for the object.
    pub pods: Option<(WorkloadPods<'a>, Verdicts<'a>)>,
    /// Whether any policy matches it, or the pods that it creates.
    pub is_evaluated: bool,
    /// Why its pods could not be evaluated, if no policy has denied it for that reason.
    pub unreadable: Option<Undecided>,
    /// Notes for the user in addition to the verdicts.
    pub notes: Vec<String>,
}

/// Evaluates the creation of an object, and of the pods that its controller creates. The cluster is the manifest set.
///
/// # Errors
/// The object cannot be created.
pub fn evaluate<'a, E: ManifestEvaluator>(
    request: &Request<'a>,
    default_namespace: &str,
    cluster: &dyn Cluster,
    evaluator: &E,
) -> Result<EvaluatedObject<'a, E::Exceptions>, String> {
    if request.kind.kind == "AdmissionReview" {
        let reason = "an AdmissionReview is not a manifest: post it to the webhook or check the object in it";
        return Err(reason.to_owned());
    }
    let (own, exceptions) = evaluator.evaluate(request);
    let is_evaluated = !own.rows.is_empty();
    let mut object =
        EvaluatedObject { own, exceptions, pods: None, is_evaluated, unreadable: None, notes: Vec::new() };
    let set = ManifestSet { cluster, default_namespace };
    let policies = evaluator.policies();
    // Policies that do not change pods have already evaluated the pod template.
    if policies.iter().any(|policy| policy.metadata.mutates) {
        match pods_of(request, evaluator.kinds()) {
            Ok(Some(pods)) => {
                let mut verdicts = object.pod_verdicts(&pods, evaluator);
                object.notes.extend(check_prerequisites(&mut verdicts, policies, &pods.request, &set));
                object.pods = Some((pods, verdicts));
                object.is_evaluated = true;
            }
            Ok(None) if request.kind.kind == "Pod" => {
                let notes = check_prerequisites(&mut object.own, policies, request, &set);
                object.notes.extend(notes);
            }
            Ok(None) => {}
            // Policies that evaluated the object have denied it for this reason; otherwise, tell the user.
            Err(undecided) => object.unreadable = (!is_evaluated).then_some(undecided),
        }
    }
    if !object.is_evaluated && has_pod_template(request) {
        object.notes.push("no policy evaluates the pods that it creates".to_owned());
    }
    Ok(object)
}

/// Adds warnings about missing objects that the policies' changes to a pod require. Returns a note if an object cannot be read.
fn check_prerequisites<'a>(
    verdicts: &mut Verdicts<'a>,
    policies: &[ConfiguredPolicy],
    pod: &Request<'a>,
    set: &ManifestSet<'_>,
) -> Option<String> {
    let pod = verdicts.patched.map_or(*pod, |patched| pod.with_object(patched));
    let mut note = None;
    for row in &mut verdicts.rows {
        let name = row.metadata.name;
        let Some(policy) = policies.iter().find(|policy| policy.metadata.name == name) else { continue };
        if let Err(undecided) = policy.policy.check_prerequisites(&pod, set, &mut row.verdict) {
            note.get_or_insert(printable(&undecided.to_string()).into_owned());
        }
    }
    note
}

impl<'a, X> EvaluatedObject<'a, X> {
    /// The verdicts on the pods, without findings that are already reported for the object. Rows of mutating policies stay even
    /// without findings, because only pods are changed.
    fn pod_verdicts<E: ManifestEvaluator<Exceptions = X>>(
        &self,
        pods: &WorkloadPods<'a>,
        evaluator: &E,
    ) -> Verdicts<'a> {
        let (mut verdicts, _) = evaluator.evaluate(&pods.request);
        verdicts.rows.retain_mut(|row| {
            let is_new = |finding: &Finding| {
                !evaluator.is_reported(&self.own, &self.exceptions, &pods.in_workload(finding))
            };
            row.verdict.denials.retain(is_new);
            row.verdict.warnings.retain(is_new);
            row.metadata.mutates || !row.verdict.denials.is_empty() || !row.verdict.warnings.is_empty()
        });
        verdicts
    }
}

/// Whether an object has a pod template although its kind is not a known workload, such as the kinds of many operators.
fn has_pod_template(request: &Request<'_>) -> bool {
    request.object.at("spec.template.spec.containers").is_set().unwrap_or(true)
}
