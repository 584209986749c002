//! The engine: asks every policy that wants the request, merges what they say, and decides what an error means.

use crate::cluster::Cluster;
use crate::field::{Field, Undecided};
use crate::patch::{self, Operation};
use crate::path::excerpt;
use crate::policy::{About, Evaluate};
use crate::request::{self, Request};
use crate::value::Value;
use crate::verdict::Verdict;

/// Which half of admission is asked: an API server calls webhooks for one and then for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The object may still be changed: what the policies change is made, and the result judged.
    Mutate,
    /// The object is what it will be: it is judged as it is, and nothing is changed.
    Validate,
}

/// A policy with its settings, as a host runs it.
pub struct Configured {
    /// What is said about it.
    pub about: &'static About,
    /// The policy.
    pub policy: Box<dyn Evaluate>,
}

/// What all policies say of one request.
#[derive(Debug, Default)]
pub struct Verdicts<'a> {
    /// One row for each policy whose scope takes the request, in the order of the policies.
    pub rows: Vec<Row>,
    /// What the policies change, all together.
    pub patch: Vec<Operation>,
    /// The object with that patch, when there is one.
    pub patched: Option<Value<'a>>,
}

/// What one policy says.
#[derive(Debug)]
pub struct Row {
    /// Which policy.
    pub about: &'static About,
    /// What it says.
    pub verdict: Verdict,
}

impl Verdicts<'_> {
    /// Whether no policy denies.
    pub fn allowed(&self) -> bool {
        self.rows.iter().all(|row| row.verdict.denials.is_empty())
    }

    /// Every denial of every policy in one line, for the person whose request it was; empty if there is none.
    pub fn message(&self) -> String {
        let mut message = String::new();
        for row in self.rows.iter().filter(|row| !row.verdict.denials.is_empty()) {
            if !message.is_empty() {
                message.push_str(". ");
            }
            message.push_str(row.about.name);
            message.push_str(": ");
            let sentences: Vec<String> = row.verdict.denials.iter().map(|denial| denial.sentence()).collect();
            message.push_str(&sentences.join("; "));
            if row.verdict.left_out > 0 {
                message.push_str(&format!("; and {} more", row.verdict.left_out));
            }
        }
        message
    }

    /// Every warning, a line each, the policy first.
    pub fn warnings(&self) -> Vec<String> {
        self.rows
            .iter()
            .flat_map(|row| {
                row.verdict.warnings.iter().map(|w| format!("{}: {}", row.about.name, w.sentence()))
            })
            .collect()
    }
}

/// Judges a request by every policy whose scope takes it, in their order.
///
/// A policy sees what those before it have changed. If anything was changed, all are asked again about the result:
/// a patch that another policy denies is denied, and so is one that its own policy would make twice.
/// An [`Undecided`] denies; this is the only place that says so. Housekeeping on what is being deleted is not denied.
pub fn admit<'a>(
    policies: &[Configured],
    request: &Request<'a>,
    cluster: &dyn Cluster,
    half: Half,
) -> Verdicts<'a> {
    let mut verdicts = Verdicts::default();
    if is_being_deleted(request) {
        return verdicts;
    }
    let mut current = *request;
    let takers: Vec<&Configured> = policies.iter().filter(|p| p.about.scope.takes(request)).collect();
    for configured in &takers {
        let mut verdict = judge(configured.about, &*configured.policy, &current, cluster);
        if half == Half::Validate {
            verdict.edits.clear();
        }
        match change(&current, &verdict) {
            Ok(Some((operations, object))) => {
                verdicts.patch.extend(operations);
                current = current.with_object(object);
            }
            Ok(None) => verdict.edits.clear(),
            Err(undecided) => verdict.could_not_decide(undecided),
        }
        verdicts.rows.push(Row { about: configured.about, verdict });
    }
    if !verdicts.patch.is_empty() {
        for (configured, row) in takers.iter().zip(&mut verdicts.rows) {
            confirm(configured, &current, cluster, &mut row.verdict);
        }
        verdicts.patched = current.object.value().ok().flatten().copied();
    }
    verdicts
}

/// Judges a request by one policy that changes nothing: [`admit()`] without what patches need, for small guests.
///
/// `None` if the request is not the policy's to judge.
pub fn judge_only(
    about: &'static About,
    policy: &dyn Evaluate,
    request: &Request<'_>,
    cluster: &dyn Cluster,
) -> Option<Row> {
    let judged = about.scope.takes(request) && !is_being_deleted(request);
    judged.then(|| Row { about, verdict: judge(about, policy, request, cluster) })
}

fn judge(about: &About, policy: &dyn Evaluate, request: &Request<'_>, cluster: &dyn Cluster) -> Verdict {
    let mut verdict = Verdict::default();
    if !about.scope.agrees(request) {
        let names = (excerpt(request.resource.name), excerpt(request.kind.name));
        verdict.could_not_decide(
            request.object.undecided(format!("resource `{}` holds no `{}`", names.0, names.1)),
        );
    } else if let Err(undecided) = policy.evaluate(request, cluster, &mut verdict) {
        verdict.could_not_decide(undecided);
    }
    if !about.mutates && !verdict.edits.is_empty() {
        verdict.could_not_decide(
            request.object.undecided("the policy changes the object and does not say that it does"),
        );
    }
    verdict
}

/// What the verdict's edits make of the object; `None` if they change nothing.
fn change<'a>(
    request: &Request<'a>,
    verdict: &Verdict,
) -> Result<Option<(Vec<Operation>, Value<'a>)>, Undecided> {
    if verdict.edits.is_empty() {
        return Ok(None);
    }
    let Some(object) = request.object.value()? else {
        return Err(request.object.undecided("there is no object to change"));
    };
    let undecided = |error: patch::PatchError| request.object.undecided(error.to_string());
    let (operations, patched) =
        patch::apply(*object, &verdict.edits, request.object.arena()).map_err(undecided)?;
    Ok((!operations.is_empty()).then_some((operations, patched)))
}

/// Judges the patched object: its denials are the ones that count, and nothing is left to change.
fn confirm(configured: &Configured, patched: &Request<'_>, cluster: &dyn Cluster, verdict: &mut Verdict) {
    let mut again = judge(configured.about, &*configured.policy, patched, cluster);
    match change(patched, &again) {
        Ok(None) => again.edits.clear(),
        Ok(Some(_)) => {
            again.could_not_decide(patched.object.undecided("the policy would patch its own patch again"))
        }
        Err(undecided) => again.could_not_decide(undecided),
    }
    verdict.denials = again.denials;
    verdict.undecided = again.undecided;
    verdict.left_out = again.left_out;
    verdict.warnings.append(&mut again.warnings);
}

/// Whether the request is housekeeping on an object that is on its way out, such as the removal of a finalizer.
///
/// The old object says so, which no user can make up. Subresources are judged all the same: an ephemeral container
/// is no housekeeping.
fn is_being_deleted(request: &Request<'_>) -> bool {
    let deleted = |object: Field<'_>| object.at("metadata.deletionTimestamp").is_set().unwrap_or(false);
    request.operation == request::Operation::Update
        && request.sub_resource.is_empty()
        && deleted(request.old_object)
}

#[cfg(test)]
mod tests;
