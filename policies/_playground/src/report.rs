//! The report on a text for the page. Its size is limited, because the page cannot show an unlimited number of findings.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::patch::PatchOperation;
use policy_core::verdicts::PolicyVerdict;
use policy_core::yaml::Document;
use policy_core::{Finding, Outcome, Request, Value, Verdict, Verdicts};
use policy_kubernetes::workloads::WorkloadPods;
use policy_manifests::ObjectName;
use policy_report::{PolicyResult, ReportedFinding, ResultSubject, ResultTarget, SourceLocation};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use crate::diagram::MapDiagram;
use crate::positions::{DocumentChange, TextRange};

/// The maximum number of objects to show with an outcome other than allow.
const MAX_OBJECTS_WITH_FINDINGS: usize = 200;
/// The maximum number of other objects to list.
const MOST_QUIET: usize = 500;
/// The maximum number of findings to show, for all objects together.
const MOST_FINDINGS: usize = 500;
/// The maximum number of errors, and of notes.
const MOST_LINES: usize = 100;
/// The maximum number of changed documents to show, and their maximum size in bytes, for each and for all together.
const MOST_CHANGED: usize = 30;
const LARGEST_CHANGED: usize = 128 * 1024;
const MOST_CHANGED_BYTES: usize = 512 * 1024;

/// The report on a text.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaygroundReport {
    /// The most severe outcome of all objects; null if no policy evaluated any.
    pub(crate) outcome: Option<Outcome>,
    /// Whether the text is a test case.
    pub(crate) is_case: bool,
    /// The objects, and the results of each.
    pub(crate) objects: Vec<ObjectEntry>,
    /// How many objects and findings there are.
    pub(crate) summary: ReportSummary,
    /// Objects and documents that could not be read or evaluated.
    pub(crate) errors: Vec<LocatedMessage>,
    /// Notes about the evaluation.
    pub(crate) notes: Vec<String>,
    /// Errors in the settings, by policy.
    pub(crate) settings: BTreeMap<&'static str, String>,
    /// The documents that admission would change.
    pub(crate) changed: Vec<DocumentChange>,
    /// The map of allowed connections.
    pub(crate) picture: Option<MapDiagram>,
    /// The counts that are limited.
    #[serde(skip)]
    shown: ShownCounts,
}

/// How many of the limited items are in the report already.
#[derive(Default)]
struct ShownCounts {
    telling: usize,
    quiet: usize,
    findings: usize,
    changed_bytes: usize,
}

/// Counts of all objects, findings and changes, including those that are not shown.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportSummary {
    /// How many objects there are.
    pub(crate) objects: usize,
    /// How many objects, or the pods that they create, any policy has evaluated.
    pub(crate) evaluated: usize,
    /// How many findings deny.
    pub(crate) denials: usize,
    /// How many findings only warn.
    pub(crate) warnings: usize,
    /// How many objects, or the pods that they create, would be changed.
    pub(crate) changed: usize,
    /// How many objects are not shown.
    pub(crate) objects_left_out: usize,
    /// How many findings are not shown.
    pub(crate) findings_left_out: usize,
    /// How many changed documents are not shown.
    pub(crate) changes_left_out: usize,
}

/// A message about a location in the text.
#[derive(Serialize, JsonSchema)]
pub(crate) struct LocatedMessage {
    /// The message.
    pub(crate) message: String,
    #[serde(flatten)]
    pub(crate) place: TextRange,
}

/// An object, and the results of the policies.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ObjectEntry {
    /// `Deployment shop/web`.
    pub(crate) name: String,
    /// The most severe outcome of the results.
    pub(crate) outcome: Outcome,
    #[serde(flatten)]
    pub(crate) place: TextRange,
    /// One result for each policy.
    pub(crate) results: Vec<PolicyResult>,
    /// The changes that all policies together make to the object, and then to the pods that it creates.
    patches: Vec<ObjectPatch>,
}

/// A change as a JSON Patch.
#[derive(Serialize, JsonSchema)]
struct ObjectPatch {
    /// `pods` if the change applies to the pods that the object creates.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<ResultSubject>,
    /// The patch.
    operations: Vec<PatchOperation>,
}

impl PlaygroundReport {
    /// A report that consists of one error.
    pub(crate) fn error(message: String) -> Box<Self> {
        let errors = vec![LocatedMessage { message, place: TextRange::default() }];
        Box::new(PlaygroundReport { errors, ..PlaygroundReport::default() })
    }

    /// Adds an error, unless there are too many.
    pub(crate) fn fail(&mut self, message: String, place: TextRange) {
        if self.errors.len() < MOST_LINES {
            self.errors.push(LocatedMessage { message, place });
        }
    }

    /// Adds a note, unless there are too many.
    pub(crate) fn note(&mut self, note: String) {
        if self.notes.len() < MOST_LINES {
            self.notes.push(note);
        }
    }

    /// Adds a changed document, unless there are too many or they are too large.
    pub(crate) fn change(
        &mut self,
        document: &Document<'_>,
        render: impl FnOnce() -> Result<String, String>,
    ) {
        let size = document.text.len();
        let has_room = self.changed.len() < MOST_CHANGED
            && size <= LARGEST_CHANGED
            && self.shown.changed_bytes + size <= MOST_CHANGED_BYTES;
        if !has_room {
            self.summary.changes_left_out += 1;
            return;
        }
        match render() {
            Ok(after) => {
                self.shown.changed_bytes += size;
                let before = document.text.to_owned();
                self.changed.push(DocumentChange { line: document.line, before, after });
            }
            Err(reason) => self.note(reason),
        }
    }

    /// Adds an object with the verdicts on it and on the pods that it creates. `find` locates a finding in the text.
    pub(crate) fn add(
        &mut self,
        about: ObjectHeading<'_>,
        own: &Verdicts<'_>,
        pods: Option<&(WorkloadPods<'_>, Verdicts<'_>)>,
        find: impl Fn(&Finding) -> TextRange,
    ) {
        let ObjectHeading { name, place, is_evaluated, .. } = about;
        let of_pods = pods.map(|(pods, verdicts)| (Some(pods), verdicts));
        let both: Vec<(Option<&WorkloadPods<'_>>, &Verdicts<'_>)> =
            [(None, own)].into_iter().chain(of_pods).collect();
        let all = || both.iter().flat_map(|(_, verdicts)| &verdicts.rows).map(|row| &row.verdict);
        let outcome = all().map(Verdict::outcome).max().unwrap_or(Outcome::Allow);
        if is_evaluated {
            self.outcome = self.outcome.max(Some(outcome));
        }
        let count = |of: fn(&Verdict) -> usize| all().map(of).sum::<usize>();
        self.summary.objects += 1;
        self.summary.evaluated += usize::from(is_evaluated);
        self.summary.denials += count(|verdict| verdict.denials.len() + verdict.left_out);
        self.summary.warnings += count(|verdict| verdict.warnings.len());
        self.summary.changed += usize::from(both.iter().any(|(_, verdicts)| verdicts.patched.is_some()));
        let before = self.shown.findings;
        // Allowed objects have their own limit, so that they do not displace the others.
        let is_telling = outcome != Outcome::Allow;
        let (shown, most) = match is_telling {
            true => (&mut self.shown.telling, MAX_OBJECTS_WITH_FINDINGS),
            false => (&mut self.shown.quiet, MOST_QUIET),
        };
        if *shown < most {
            *shown += 1;
            let mut object = ObjectEntry {
                name: name.to_string(),
                outcome,
                place,
                results: Vec::new(),
                patches: Vec::new(),
            };
            for (pods, verdicts) in &both {
                if let Some(fault) = &verdicts.fault {
                    self.fail(format!("{name}: {fault}"), place);
                }
                let results =
                    verdicts.rows.iter().map(|row| self.result(&about, *pods, row, verdicts, &find));
                object.results.extend(results);
                if verdicts.patched.is_some() {
                    let operations =
                        verdicts.patch().into_iter().map(PatchOperation::<Value<'_>>::owned).collect();
                    object.patches.push(ObjectPatch { of: pods.map(|_| ResultSubject::Pods), operations });
                }
            }
            self.objects.push(object);
        } else {
            self.summary.objects_left_out += 1;
        }
        let found = count(|verdict| verdict.denials.len() + verdict.warnings.len() + verdict.left_out);
        self.summary.findings_left_out += found - (self.shown.findings - before);
    }

    fn result(
        &mut self,
        about: &ObjectHeading<'_>,
        pods: Option<&WorkloadPods<'_>>,
        row: &PolicyVerdict,
        verdicts: &Verdicts<'_>,
        find: impl Fn(&Finding) -> TextRange,
    ) -> PolicyResult {
        let request = pods.map_or(about.request, |pods| &pods.request);
        let reported = ResultTarget { object: about.name.clone(), of: pods.map(|_| ResultSubject::Pods) };
        let mut result = PolicyResult::new(row, verdicts, request, reported);
        result.audit.clone_from(&row.verdict.audit);
        let TextRange { line, column, .. } = about.place;
        // The text has no file name, and the editor does not need the document number.
        result.source = SourceLocation { line, column, ..SourceLocation::default() };
        let mut found = |findings: &BTreeSet<Finding>| -> Vec<ReportedFinding> {
            let room = MOST_FINDINGS.saturating_sub(self.shown.findings);
            let shown = findings.iter().take(room).map(|finding| {
                let finding = pods.map_or_else(|| finding.clone(), |pods| pods.in_workload(finding));
                let TextRange { line, column, start, end } = find(&finding);
                let reported = ReportedFinding::new(&finding, &finding.field);
                ReportedFinding { line, column, start: Some(start), end: Some(end), ..reported }
            });
            let shown: Vec<ReportedFinding> = shown.collect();
            self.shown.findings += shown.len();
            shown
        };
        (result.denials, result.warnings) = (found(&row.verdict.denials), found(&row.verdict.warnings));
        result
    }
}

/// The TypeScript types of a [`PlaygroundReport`] for the page.
pub fn typescript() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    policy_report::typescript(
        "PlaygroundReport",
        settings.into_generator().into_root_schema_for::<PlaygroundReport>().as_value(),
    )
}

/// The object that verdicts are reported for.
#[derive(Clone, Copy)]
pub(crate) struct ObjectHeading<'s> {
    pub(crate) name: &'s ObjectName,
    pub(crate) request: &'s Request<'s>,
    pub(crate) place: TextRange,
    /// Whether any policy evaluates it.
    pub(crate) is_evaluated: bool,
}
