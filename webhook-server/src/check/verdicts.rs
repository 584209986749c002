//! The rows of a report: what the policies say of an object, and of the pods that it makes.

use policy_core::yaml::Position;
use policy_core::{Cluster, FieldPath, Finding, Half, Objects, Request, Verdicts, patch};
use policy_manifests::{ObjectName, Pods, Unreadable, beside};

use super::At;
use crate::config::Config;
use crate::exceptions::Excepted;
use crate::judge::Judgement;
use crate::report::{self, ExceptedFinding, Found, Report, Row, SourcePosition};

/// Judges an object, and the pods that its controller would make of it, and adds what is said to the report.
pub(super) fn add(
    at: &At<'_>,
    config: &Config,
    cluster: &Objects<'_>,
    request: &Request<'_>,
    prefix: &FieldPath,
    report: &mut Report,
) {
    let start = if prefix.0.is_empty() { at.document.start() } else { at.place(prefix) };
    if request.kind.name == "AdmissionReview" {
        let reason = "an AdmissionReview is no manifest: post it to the webhook, or check the object in it";
        report.errors.push(format!("{}:{start}: {reason}", at.source.name));
        return;
    }
    let object = Judged { at, request, prefix, start, of: None };
    let Judgement { mut verdicts, excepted, .. } = config.all().judge(request, cluster, Half::Mutate);
    let excepted_too = excepted.iter().map(|excepted| &excepted.finding);
    let found = verdicts.rows.iter().flat_map(|row| row.verdict.denials.iter().chain(&row.verdict.warnings));
    let before: Vec<Finding> = found.chain(excepted_too).cloned().collect();
    let mut is_judged = !verdicts.rows.is_empty();
    let mut rows = Vec::new();
    // What does not change pods has judged them by their template already.
    let pods = if config.mutates() { Pods::of(request) } else { Ok(None) };
    if config.mutates() && request.kind.name == "Pod" {
        object.beside(&mut verdicts, cluster, report);
    }
    object.report(&verdicts, &excepted, &mut rows, report);
    match &pods {
        Ok(Some(pods)) => {
            object.pods(config, cluster, pods, &before, &mut rows, report);
            is_judged = true;
        }
        Ok(None) => {}
        // Some policy has denied it for that; if none has, somebody should know.
        Err(undecided) if !is_judged => {
            let unreadable = Unreadable::of(at.document, undecided, prefix);
            report.errors.push(format!("{}:{unreadable}", at.source.name));
        }
        Err(_) => {}
    }
    if !is_judged && has_pod_template(request) {
        let name = ObjectName::of(request);
        report
            .notes
            .push(format!("{}:{start}: {name}: no policy judges the pods that it makes", at.source.name));
    }
    report.objects.push(report::Judged { rows, is_judged });
}

/// Whether an object of a kind that no policy takes makes pods all the same, as those of many operators do.
fn has_pod_template(request: &Request<'_>) -> bool {
    let template = request.object.at("spec.template.spec.containers");
    template.is_set().unwrap_or(true)
}

/// Whether two messages say the same, whatever is said of an exception.
fn is_same(said: &str, message: &str) -> bool {
    said.strip_prefix(message).is_some_and(|rest| rest.is_empty() || rest.starts_with("; its exception "))
}

/// An object in its document.
struct Judged<'s> {
    at: &'s At<'s>,
    request: &'s Request<'s>,
    /// Where in the document it stands, or the pods that it makes.
    prefix: &'s FieldPath,
    start: Position,
    of: Option<&'s Pods<'s>>,
}

impl<'s> Judged<'s> {
    /// Judges the pods that the object makes. What is found in their template as it is written is said of the object already.
    fn pods(
        &self,
        config: &Config,
        cluster: &Objects<'_>,
        pods: &'s Pods<'s>,
        before: &[Finding],
        rows: &mut Vec<Row>,
        report: &mut Report,
    ) {
        let mut verdicts = config.all().judge(&pods.request, cluster, Half::Mutate).verdicts;
        pods.strike_said(&mut verdicts, |finding| {
            before.iter().any(|said| said.field == finding.field && is_same(&said.message, &finding.message))
        });
        let judged = Judged { of: Some(pods), ..*self };
        judged.beside(&mut verdicts, cluster, report);
        judged.report(&verdicts, &[], rows, report);
    }

    /// Adds what is missing beside a pod for its exporter to be scraped.
    fn beside(&self, verdicts: &mut Verdicts<'s>, cluster: &dyn Cluster, report: &mut Report) {
        let pod = self.of.map_or(self.request, |pods| &pods.request);
        if let Err(undecided) = beside::add(verdicts, pod, self.at.namespace, cluster) {
            let name = ObjectName::of(self.request);
            report.notes.push(format!("{}:{}: {name}: {undecided}", self.at.source.name, self.start));
        }
    }

    /// Adds a row for each policy.
    fn report(
        &self,
        verdicts: &Verdicts<'_>,
        excepted: &[Excepted<'_>],
        rows: &mut Vec<Row>,
        report: &mut Report,
    ) {
        let name = ObjectName::of(self.request);
        if let Some(fault) = &verdicts.fault {
            report.errors.push(format!("{}:{}: {name}: {fault}", self.at.source.name, self.start));
        }
        for row in &verdicts.rows {
            let found = |finding: &Finding| self.found(finding);
            let denials: Vec<Found> = row.verdict.denials.iter().map(found).collect();
            let warnings: Vec<Found> = row.verdict.warnings.iter().map(found).collect();
            let first = denials.first().or(warnings.first()).map(|found| (found.line, found.column));
            let (line, column) = first.unwrap_or((self.start.line, self.start.column));
            let file = self.at.source.name.clone();
            rows.push(Row {
                policy: row.about.name,
                remediation: row.about.remediation,
                outcome: row.verdict.outcome(),
                source: SourcePosition { file, line, column, document: self.at.number },
                object: ObjectName::of(self.request),
                of: self.of.map(|_| "pods"),
                denials,
                warnings,
                excepted: excepted
                    .iter()
                    .filter(|excepted| excepted.policy == row.about.name)
                    .map(|excepted| ExceptedFinding::new(found(&excepted.finding), excepted.exception))
                    .collect(),
                left_out: row.verdict.left_out,
                patch: self.patch(verdicts, &row.verdict.edits),
            });
        }
    }

    /// What one policy changes, as far as it can be told apart from what the others do.
    fn patch(&self, verdicts: &Verdicts<'_>, edits: &[patch::Edit]) -> Vec<patch::Operation> {
        let request = self.of.map_or(self.request, |pods| &pods.request);
        let object = request.object.value().ok().flatten();
        let (false, Some(object)) = (edits.is_empty() || verdicts.patched.is_none(), object) else {
            return Vec::new();
        };
        let patch = match patch::apply(*object, edits, request.object.arena()) {
            Ok(patched) => patch::between(*object, patched),
            Err(_) => verdicts.patch(),
        };
        patch.into_iter().map(patch::Operation::owned).collect()
    }

    /// A finding and where it stands; that of a pod in the template that makes it.
    fn found(&self, finding: &Finding) -> Found {
        let field = self.of.map_or_else(|| finding.field.clone(), |pods| pods.in_workload(finding).field);
        let place = self.at.place(&field.below(self.prefix));
        let Position { line, column } = place;
        Found {
            field: field.to_string(),
            message: finding.message.clone(),
            control: finding.control,
            line,
            column,
            written: self.at.written(place),
        }
    }
}
