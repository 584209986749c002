//! The engine: asks every policy that wants the request, merges what they say, and decides what an error means.

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
    /// What it is.
    pub metadata: &'static PolicyMetadata,
    /// The policy.
    pub policy: Box<dyn Evaluate>,
}

/// How often the policies are asked in turn, until nothing changes any more.
const MOST_ROUNDS: usize = 4;

/// Judges a request by every policy whose scope takes it.
///
/// In the mutating half those that change objects are asked first, in their order, each seeing what the others have done,
/// again and again until nothing changes. The object as it is then is what the others judge. What is denied of it that is
/// not denied of the object as it was sent is the patch's own doing: [`Verdicts::fault`], and no patch; unless it is a policy that
/// judges sets which denies it.
/// An [`Undecided`] denies, unless it is only that a policy which changes objects cannot look at others; this is the only
/// place that says so. Housekeeping on what is being deleted is not denied.
pub fn admit<'a>(
    policies: &[ConfiguredPolicy],
    request: &Request<'a>,
    cluster: &dyn Cluster,
    half: AdmissionPhase,
) -> Verdicts<'a> {
    let mut verdicts = Verdicts::default();
    if is_being_deleted(request) {
        return verdicts;
    }
    let takers: Vec<&ConfiguredPolicy> = policies.iter().filter(|policy| policy.matches(request)).collect();
    let empty = |configured: &&ConfiguredPolicy| PolicyVerdict {
        metadata: configured.metadata,
        verdict: Verdict::default(),
    };
    verdicts.rows = takers.iter().map(empty).collect();
    let changed = match half {
        AdmissionPhase::Mutating => mutate(&takers, request, cluster, &mut verdicts.rows),
        AdmissionPhase::Validating => None,
    };
    let evaluated = changed.map_or(*request, |object| request.with_object(object));
    for (configured, row) in takers.iter().zip(&mut verdicts.rows) {
        if half == AdmissionPhase::Validating || !configured.metadata.mutates {
            row.verdict = configured.evaluate(&evaluated, cluster);
            row.verdict.make_no_edits();
        }
    }
    let (Some(object), Ok(Some(original))) = (changed, request.object.value()) else { return verdicts };
    if !verdicts.allowed() {
        for (configured, row) in takers.iter().zip(&mut verdicts.rows) {
            let before = configured.evaluate(request, cluster).denials;
            for denial in std::mem::take(&mut row.verdict.denials) {
                // What a set lacks of what a patch reads is the set's fault, not the patch's.
                match before.contains(&denial) || row.metadata.for_manifest_sets() {
                    true => drop(row.verdict.denials.insert(denial)),
                    false => blame(&mut verdicts.fault, row.metadata, &denial),
                }
            }
        }
    }
    if verdicts.fault.is_none() {
        // Also of an object that is denied: an exception may yet let it in.
        (verdicts.original, verdicts.patched) = (*original, Some(object));
    }
    verdicts
}

/// Asks those that change objects, in turn, and gives the object that they agree on; `None` if it is the one they were given.
fn mutate<'a>(
    takers: &[&ConfiguredPolicy],
    request: &Request<'a>,
    cluster: &dyn Cluster,
    rows: &mut [PolicyVerdict],
) -> Option<Value<'a>> {
    let mut current = *request;
    let mut changed = None;
    for round in 1..=MOST_ROUNDS {
        let mut settled = true;
        for (configured, row) in takers.iter().zip(&mut *rows).filter(|(taker, _)| taker.metadata.mutates) {
            let mut verdict = configured.evaluate(&current, cluster);
            match change(&current, &verdict) {
                Ok(None) => verdict.edits.clear(),
                Ok(Some(_)) if round == MOST_ROUNDS => verdict
                    .could_not_decide(current.object.undecided("the policy would patch its own patch again")),
                Ok(Some(object)) => {
                    current = current.with_object(object);
                    (changed, settled) = (Some(object), false);
                }
                Err(undecided) => verdict.could_not_decide(undecided),
            }
            row.verdict.become_later(verdict);
        }
        if settled {
            break;
        }
    }
    changed
}

/// Adds a denial that only the patch brings about to the reason why it must not be sent.
fn blame(fault: &mut Option<String>, metadata: &PolicyMetadata, denial: &Finding) {
    let so_far = fault.take().map_or_else(|| "the patch would be denied: ".to_owned(), |fault| fault + "; ");
    *fault = Some(format!("{so_far}{}: {}", metadata.name, denial.sentence()));
}

/// Judges a request by one policy that changes nothing: [`admit()`] without what patches need, for small guests.
///
/// `None` if the request is not the policy's to judge.
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
    /// Whether the policy evaluates that request.
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
        verdict.could_not_decide(
            request.object.undecided(format!("resource `{}` holds no `{}`", names.0, names.1)),
        );
    } else if let Err(undecided) = policy.evaluate(request, cluster, &mut verdict) {
        match undecided.of_cluster && metadata.mutates {
            // What is not added for want of knowledge is missing; what is denied for it is an outage.
            true => verdict.could_not_look(undecided),
            false => verdict.could_not_decide(undecided),
        }
    }
    if !metadata.mutates && !verdict.edits.is_empty() {
        verdict.could_not_decide(
            request.object.undecided("the policy changes the object and does not say that it does"),
        );
    }
    verdict
}

/// What the verdict's edits make of the object; `None` if they change nothing.
fn change<'a>(request: &Request<'a>, verdict: &Verdict) -> Result<Option<Value<'a>>, Undecided> {
    if verdict.edits.is_empty() {
        return Ok(None);
    }
    let Some(object) = request.object.value()? else {
        return Err(request.object.undecided("there is no object to change"));
    };
    let undecided = |error: patch::PatchError| request.object.undecided(error.to_string());
    let patched = patch::apply(*object, &verdict.edits, request.object.arena()).map_err(undecided)?;
    Ok((patched != *object).then_some(patched))
}

/// Whether the request is housekeeping on an object that is on its way out, such as the removal of a finalizer.
///
/// The old object says so, which no user can make up. Subresources are judged all the same: an ephemeral container
/// is no housekeeping. Nor is what concerns others for as long as the object is there: other labels, by which others select
/// it, and another spec of a NetworkPolicy, which goes on isolating until its last finalizer is gone.
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
