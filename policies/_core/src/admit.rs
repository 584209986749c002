//! The engine: asks every policy that wants the request, merges what they say, and decides what an error means.

use serde::{Serialize, Serializer};

use crate::cluster::Cluster;
use crate::field::{Field, Undecided};
use crate::patch::{self, Operation};
use crate::path::excerpt;
use crate::policy::{About, Evaluate};
use crate::request::{self, Request};
use crate::value::Value;
use crate::verdict::{Finding, Verdict};

/// Which half of admission is asked: an API server calls webhooks for one and then for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The object may still be changed: what the policies change is made, and the result judged.
    Mutate,
    /// The object is what it will be: it is judged as it is, and nothing is changed.
    Validate,
}

impl Half {
    /// As paths and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Half::Mutate => "mutate",
            Half::Validate => "validate",
        }
    }
}

/// A policy with its settings, as a host runs it.
pub struct Configured {
    /// What is said about it.
    pub about: &'static About,
    /// The policy.
    pub policy: Box<dyn Evaluate>,
}

/// What all policies say of one request.
#[derive(Debug)]
pub struct Verdicts<'a> {
    /// One row for each policy whose scope takes the request, in the order of the policies.
    pub rows: Vec<Row>,
    /// What the policies make of the object, all together, if they change it.
    pub patched: Option<Value<'a>>,
    /// The object that they were given.
    pub original: Value<'a>,
    /// Why the patch must not be sent, though nothing is wrong with the object: a fault of ours, and no answer.
    pub fault: Option<String>,
}

/// What one policy says.
#[derive(Debug)]
pub struct Row {
    /// Which policy.
    pub about: &'static About,
    /// What it says.
    pub verdict: Verdict,
}

/// What the audit log is told, a policy each; serializes as an object.
#[derive(Debug)]
pub struct Audit<'v>(pub Vec<(&'static str, &'v str)>);

impl Serialize for Audit<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl Default for Verdicts<'_> {
    fn default() -> Self {
        Verdicts { rows: Vec::new(), patched: None, original: Value::Null, fault: None }
    }
}

impl<'a> Verdicts<'a> {
    /// Whether no policy denies.
    pub fn allowed(&self) -> bool {
        self.fault.is_none() && self.rows.iter().all(|row| row.verdict.denials.is_empty())
    }

    /// Keeps what is said to whoever asks for one half: in the mutating one only the policies that change objects speak.
    /// Others may yet change the object before the validating half asks them all.
    pub fn keep(&mut self, half: Half) {
        self.rows.retain(|row| half == Half::Validate || row.about.mutates);
    }

    /// What the policies change, all together; empty if nothing.
    pub fn patch(&self) -> Vec<Operation<Value<'a>>> {
        self.patched.map(|patched| patch::between(self.original, patched)).unwrap_or_default()
    }

    /// Every denial of every policy in one line, for the person whose request it was; empty if there is none.
    pub fn message(&self) -> String {
        let mut message = self.fault.clone().unwrap_or_default();
        for row in self.rows.iter().filter(|row| !row.verdict.denials.is_empty()) {
            if !message.is_empty() {
                message.push_str(". ");
            }
            message.push_str(row.about.name);
            for (i, denial) in row.verdict.denials.iter().enumerate() {
                message.push_str(if i == 0 { ": " } else { "; " });
                message.push_str(&denial.sentence());
            }
            if row.verdict.left_out > 0 {
                message.push_str(&format!("; and {} more", row.verdict.left_out));
            }
        }
        message
    }

    /// What the audit log is told, by policy.
    pub fn audit(&self) -> Audit<'_> {
        let noted = self.rows.iter().map(|row| (row.about.name, row.verdict.audit.as_deref()));
        Audit(noted.filter_map(|(policy, what)| Some((policy, what?))).collect())
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
    policies: &[Configured],
    request: &Request<'a>,
    cluster: &dyn Cluster,
    half: Half,
) -> Verdicts<'a> {
    let mut verdicts = Verdicts::default();
    if is_being_deleted(request) {
        return verdicts;
    }
    let takers: Vec<&Configured> = policies.iter().filter(|p| p.about.scope.takes(request)).collect();
    let empty = |configured: &&Configured| Row { about: configured.about, verdict: Verdict::default() };
    verdicts.rows = takers.iter().map(empty).collect();
    let changed = match half {
        Half::Mutate => mutate(&takers, request, cluster, &mut verdicts.rows),
        Half::Validate => None,
    };
    let judged = changed.map_or(*request, |object| request.with_object(object));
    for (configured, row) in takers.iter().zip(&mut verdicts.rows) {
        if half == Half::Validate || !configured.about.mutates {
            row.verdict = configured.judge(&judged, cluster);
            row.verdict.make_no_edits();
        }
    }
    let (Some(object), Ok(Some(original))) = (changed, request.object.value()) else { return verdicts };
    if !verdicts.allowed() {
        for (configured, row) in takers.iter().zip(&mut verdicts.rows) {
            let before = configured.judge(request, cluster).denials;
            for denial in std::mem::take(&mut row.verdict.denials) {
                // What a set lacks of what a patch reads is the set's fault, not the patch's.
                match before.contains(&denial) || row.about.of_sets {
                    true => drop(row.verdict.denials.insert(denial)),
                    false => blame(&mut verdicts.fault, row.about, &denial),
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
    takers: &[&Configured],
    request: &Request<'a>,
    cluster: &dyn Cluster,
    rows: &mut [Row],
) -> Option<Value<'a>> {
    let mut current = *request;
    let mut changed = None;
    for round in 1..=MOST_ROUNDS {
        let mut settled = true;
        for (configured, row) in takers.iter().zip(&mut *rows).filter(|(taker, _)| taker.about.mutates) {
            let mut verdict = configured.judge(&current, cluster);
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
fn blame(fault: &mut Option<String>, about: &About, denial: &Finding) {
    let so_far = fault.take().map_or_else(|| "the patch would be denied: ".to_owned(), |fault| fault + "; ");
    *fault = Some(format!("{so_far}{}: {}", about.name, denial.sentence()));
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

impl Configured {
    fn judge(&self, request: &Request<'_>, cluster: &dyn Cluster) -> Verdict {
        judge(self.about, &*self.policy, request, cluster)
    }
}

fn judge(about: &About, policy: &dyn Evaluate, request: &Request<'_>, cluster: &dyn Cluster) -> Verdict {
    let mut verdict = Verdict::default();
    if !about.scope.agrees(request) {
        let names = (excerpt(request.resource.name), excerpt(request.kind.name));
        verdict.could_not_decide(
            request.object.undecided(format!("resource `{}` holds no `{}`", names.0, names.1)),
        );
    } else if let Err(undecided) = policy.evaluate(request, cluster, &mut verdict) {
        match undecided.of_cluster && about.mutates {
            // What is not added for want of knowledge is missing; what is denied for it is an outage.
            true => verdict.could_not_look(undecided),
            false => verdict.could_not_decide(undecided),
        }
    }
    if !about.mutates && !verdict.edits.is_empty() {
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
        && (request.kind.name != "NetworkPolicy" || same("spec"))
}

#[cfg(test)]
mod tests;
