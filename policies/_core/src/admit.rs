//! The engine: runs every policy that matches the request, merges the verdicts, and decides how errors are handled.

use crate::cluster::Cluster;
use crate::field::{Field, Undecided};
use crate::metadata::PolicyMetadata;
use crate::patch;
use crate::path::excerpt;
use crate::policy::Evaluate;
use crate::request::{self, Request};
use crate::value::Value;
use crate::verdict::{Finding, Verdict};
use crate::verdicts::{AdmissionPhase, PolicyVerdict, Verdicts};

/// A policy with its settings, as a host runs it.
pub struct ConfiguredPolicy {
    /// The metadata of the policy.
    pub metadata: &'static PolicyMetadata,
    /// The policy with its settings.
    pub policy: Box<dyn Evaluate>,
}

/// The maximum number of rounds in which mutating policies run.
const MOST_ROUNDS: usize = 4;

/// Evaluates a request with every policy that matches it.
///
/// In the mutating phase, mutating policies run first, in order. Each sees the changes of the others, and they run again until
/// the object stops changing. The other policies then evaluate the result. If a policy denies the result but not the original
/// object, the patch is at fault: [`Verdicts::fault`] is set and no patch is sent. Policies for complete manifest sets are an
/// exception: their denials always count.
/// An [`Undecided`] error denies the request, except if a mutating policy lacks cluster data. No other function decides this.
/// Cleanup of an object that is being deleted is always allowed.
pub fn admit<'a>(
    policies: &[ConfiguredPolicy],
    request: &Request<'a>,
    cluster: &dyn Cluster,
    phase: AdmissionPhase,
) -> Verdicts<'a> {
    let mut verdicts = Verdicts::default();
    if is_being_deleted(request) {
        return verdicts;
    }
    let matching: Vec<&ConfiguredPolicy> = policies.iter().filter(|policy| policy.matches(request)).collect();
    let empty = |configured: &&ConfiguredPolicy| PolicyVerdict {
        metadata: configured.metadata,
        verdict: Verdict::default(),
    };
    verdicts.rows = matching.iter().map(empty).collect();
    let changed = match phase {
        AdmissionPhase::Mutating => mutate(&matching, request, cluster, &mut verdicts.rows),
        AdmissionPhase::Validating => None,
    };
    let evaluated = changed.map_or(*request, |object| request.with_object(object));
    for (configured, row) in matching.iter().zip(&mut verdicts.rows) {
        if phase == AdmissionPhase::Validating || !configured.metadata.mutates {
            row.verdict = configured.evaluate(&evaluated, cluster);
            row.verdict.discard_edits();
        }
    }
    let (Some(object), Ok(Some(original))) = (changed, request.object.value()) else { return verdicts };
    if !verdicts.allowed() {
        for (configured, row) in matching.iter().zip(&mut verdicts.rows) {
            let before = configured.evaluate(request, cluster).denials;
            for denial in std::mem::take(&mut row.verdict.denials) {
                // If an object is missing from a manifest set, the set is at fault, not the patch.
                match before.contains(&denial) || row.metadata.for_manifest_sets() {
                    true => drop(row.verdict.denials.insert(denial)),
                    false => add_fault(&mut verdicts.fault, row.metadata, &denial),
                }
            }
        }
    }
    if verdicts.fault.is_none() {
        // Also for a denied object, because an exception may still admit it.
        (verdicts.original, verdicts.patched) = (*original, Some(object));
    }
    verdicts
}

/// Runs the mutating policies until the object stops changing, and returns it; `None` if no policy changed it.
fn mutate<'a>(
    matching: &[&ConfiguredPolicy],
    request: &Request<'a>,
    cluster: &dyn Cluster,
    rows: &mut [PolicyVerdict],
) -> Option<Value<'a>> {
    let mut current = *request;
    let mut changed = None;
    for round in 1..=MOST_ROUNDS {
        let mut settled = true;
        for (configured, row) in matching.iter().zip(&mut *rows).filter(|(taker, _)| taker.metadata.mutates) {
            let mut verdict = configured.evaluate(&current, cluster);
            match change(&current, &verdict) {
                Ok(None) => verdict.edits.clear(),
                Ok(Some(_)) if round == MOST_ROUNDS => verdict
                    .deny_undecided(current.object.undecided("the policy keeps changing its own patch")),
                Ok(Some(object)) => {
                    current = current.with_object(object);
                    (changed, settled) = (Some(object), false);
                }
                Err(undecided) => verdict.deny_undecided(undecided),
            }
            row.verdict.replace_with(verdict);
        }
        if settled {
            break;
        }
    }
    changed
}

/// Adds a denial that the patch causes to the reason why the patch is not sent.
fn add_fault(fault: &mut Option<String>, metadata: &PolicyMetadata, denial: &Finding) {
    let so_far = fault.take().map_or_else(|| "the patch would be denied: ".to_owned(), |fault| fault + "; ");
    *fault = Some(format!("{so_far}{}: {}", metadata.name, denial.sentence()));
}

/// Evaluates a request with one validating policy: [`admit()`] without the code for patches, to keep guests small.
///
/// `None` if the policy does not match the request, or if the object is being deleted.
pub fn validate_only(
    metadata: &'static PolicyMetadata,
    policy: &dyn Evaluate,
    request: &Request<'_>,
    cluster: &dyn Cluster,
) -> Option<PolicyVerdict> {
    let matches = metadata.scope.matches(request) || policy.extends_scope_to(request);
    (matches && !is_being_deleted(request))
        .then(|| PolicyVerdict { metadata, verdict: evaluate(metadata, policy, request, cluster) })
}

impl ConfiguredPolicy {
    /// Whether the policy evaluates the request.
    pub fn matches(&self, request: &Request<'_>) -> bool {
        self.metadata.scope.matches(request) || self.policy.extends_scope_to(request)
    }

    fn evaluate(&self, request: &Request<'_>, cluster: &dyn Cluster) -> Verdict {
        evaluate(self.metadata, &*self.policy, request, cluster)
    }
}

fn evaluate(
    metadata: &PolicyMetadata,
    policy: &dyn Evaluate,
    request: &Request<'_>,
    cluster: &dyn Cluster,
) -> Verdict {
    let mut verdict = Verdict::default();
    if !metadata.scope.agrees(request) {
        let names = (excerpt(request.resource.resource), excerpt(request.kind.kind));
        verdict.deny_undecided(
            request.object.undecided(format!("resource `{}` does not match kind `{}`", names.0, names.1)),
        );
    } else if let Err(undecided) = policy.evaluate(request, cluster, &mut verdict) {
        match undecided.is_cluster_error && metadata.mutates {
            // A mutating policy must not deny for lack of data: a missing change is better than an outage.
            true => verdict.skip_without_cluster_data(undecided),
            false => verdict.deny_undecided(undecided),
        }
    }
    if !metadata.mutates && !verdict.edits.is_empty() {
        verdict.deny_undecided(
            request.object.undecided("the policy changes the object but does not declare `mutates`"),
        );
    }
    verdict
}

/// The object with the verdict's edits applied; `None` if they change nothing.
fn change<'a>(request: &Request<'a>, verdict: &Verdict) -> Result<Option<Value<'a>>, Undecided> {
    if verdict.edits.is_empty() {
        return Ok(None);
    }
    let Some(object) = request.object.value()? else {
        return Err(request.object.undecided("the request has no object to change"));
    };
    let undecided = |error: patch::PatchError| request.object.undecided(error.to_string());
    let patched = patch::apply(*object, &verdict.edits, request.object.arena()).map_err(undecided)?;
    Ok((patched != *object).then_some(patched))
}

/// Whether the request is cleanup of an object that is being deleted, such as the removal of a finalizer.
///
/// The old object has the deletion timestamp, which users cannot forge. Subresources are still evaluated, such as a new ephemeral
/// container. So are changes that affect other objects until the deletion completes: to labels, because other objects select by
/// them, and to the spec of a NetworkPolicy, because it isolates pods until its last finalizer is removed.
fn is_being_deleted(request: &Request<'_>) -> bool {
    let deleted = |object: Field<'_>| object.at("metadata.deletionTimestamp").is_set().unwrap_or(false);
    let same = |at: &'static str| match (request.object.at(at).value(), request.old_object.at(at).value()) {
        (Ok(new), Ok(old)) => new == old,
        _ => false,
    };
    request.operation == request::Operation::Update
        && request.sub_resource.is_empty()
        && deleted(request.old_object)
        && same("metadata.labels")
        && (request.kind.kind != "NetworkPolicy" || same("spec"))
}

#[cfg(test)]
mod tests;
