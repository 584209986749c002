//! What is said of a text, in the shape in which the page shows it, and no more than it can show, whatever the text.

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

/// How many objects are shown, of which there is something to say.
const MOST_TELLING: usize = 200;
/// How many others are named.
const MOST_QUIET: usize = 500;
/// How many findings are shown, of all objects together.
const MOST_FINDINGS: usize = 500;
/// How many errors and how many notes are shown.
const MOST_LINES: usize = 100;
/// How many changed documents are shown, and how large they may be, in bytes, one and all together.
const MOST_CHANGED: usize = 30;
const LARGEST_CHANGED: usize = 128 * 1024;
const MOST_CHANGED_BYTES: usize = 512 * 1024;

/// All that is said.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaygroundReport {
    /// What became of all of it.
    pub(crate) outcome: Option<Outcome>,
    /// Whether the text is a case.
    pub(crate) is_case: bool,
    /// The objects, and the results of each.
    pub(crate) objects: Vec<ObjectEntry>,
    /// How many objects and findings there are.
    pub(crate) summary: ReportSummary,
    /// What could not be read.
    pub(crate) errors: Vec<LocatedMessage>,
    /// What a reader should know beside the verdicts.
    pub(crate) notes: Vec<String>,
    /// Settings that a policy does not take, by policy.
    pub(crate) settings: BTreeMap<&'static str, String>,
    /// The documents that admission would change.
    pub(crate) changed: Vec<DocumentChange>,
    /// Who can talk to whom.
    pub(crate) picture: Option<MapDiagram>,
    /// How much is shown.
    #[serde(skip)]
    shown: ShownCounts,
}

/// How much is shown, of what there is a bound on.
#[derive(Default)]
struct ShownCounts {
    telling: usize,
    quiet: usize,
    findings: usize,
    changed_bytes: usize,
}

/// How many there are, shown or not.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportSummary {
    /// How many objects there are.
    pub(crate) objects: usize,
    /// How many objects any policy has judged, or the pods that they make.
    pub(crate) evaluated: usize,
    /// How many findings deny.
    pub(crate) denials: usize,
    /// How many findings only warn.
    pub(crate) warnings: usize,
    /// How many objects would be changed, or the pods that they make.
    pub(crate) changed: usize,
    /// How many objects are not shown.
    pub(crate) objects_left_out: usize,
    /// How many findings are not shown.
    pub(crate) findings_left_out: usize,
    /// How many changed documents are not shown.
    pub(crate) changes_left_out: usize,
}

/// Something that is said of a place in the text.
#[derive(Serialize, JsonSchema)]
pub(crate) struct LocatedMessage {
    /// What is said.
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
    /// One for each policy.
    pub(crate) results: Vec<PolicyResult>,
    /// What all policies together change in the object, and then in the pods that it makes.
    patches: Vec<ObjectPatch>,
}

/// What is changed, as a JSON Patch.
#[derive(Serialize, JsonSchema)]
struct ObjectPatch {
    /// `pods` if it is changed in the pods that the object makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<ResultSubject>,
    /// The patch.
    operations: Vec<PatchOperation>,
}

impl PlaygroundReport {
    /// That nothing can be said, and why.
    pub(crate) fn error(message: String) -> Box<Self> {
        let errors = vec![LocatedMessage { message, place: TextRange::default() }];
        Box::new(PlaygroundReport { errors, ..PlaygroundReport::default() })
    }

    /// Adds what could not be read.
    pub(crate) fn fail(&mut self, message: String, place: TextRange) {
        if self.errors.len() < MOST_LINES {
            self.errors.push(LocatedMessage { message, place });
        }
    }

    /// Adds what a reader should know.
    pub(crate) fn note(&mut self, note: String) {
        if self.notes.len() < MOST_LINES {
            self.notes.push(note);
        }
    }

    /// Adds a document that is changed, if there is room for it.
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

    /// Adds an object with what is said of it, and of the pods that it makes; `find` says where a finding of it stands.
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
        // Those of which there is nothing to say take no room from the others.
        let is_telling = outcome != Outcome::Allow;
        let (shown, most) = match is_telling {
            true => (&mut self.shown.telling, MOST_TELLING),
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
        let options = pods.map_or(about.request, |pods| &pods.request);
        let reported = ResultTarget { object: about.name.clone(), of: pods.map(|_| ResultSubject::Pods) };
        let mut result = PolicyResult::new(row, verdicts, options, reported);
        result.audit.clone_from(&row.verdict.audit);
        let TextRange { line, column, .. } = about.place;
        // The text has no name, and what stands in which document the editor does not ask.
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

/// The TypeScript types of what the page gets, a [`PlaygroundReport`].
pub fn typescript() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    policy_report::typescript(
        "Said",
        settings.into_generator().into_root_schema_for::<PlaygroundReport>().as_value(),
    )
}

/// Of which object something is said.
#[derive(Clone, Copy)]
pub(crate) struct ObjectHeading<'s> {
    pub(crate) name: &'s ObjectName,
    pub(crate) request: &'s Request<'s>,
    pub(crate) place: TextRange,
    /// Whether any policy evaluates it.
    pub(crate) is_evaluated: bool,
}
