//! What is said of a text, in the shape in which the page shows it. There is a bound on everything, whatever the text.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::patch::Operation;
use policy_core::{Finding, Outcome, Value, Verdicts, admit};
use policy_manifests::ObjectName;
use serde::Serialize;

use crate::picture::Picture;
use crate::text::{Changed, Place};

/// How many objects are shown.
const MOST_OBJECTS: usize = 200;
/// How many findings are shown, of all objects together.
const MOST_FINDINGS: usize = 500;
/// How many errors and how many notes are shown.
const MOST_LINES: usize = 100;

/// All that is said.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// What became of all of it.
    pub(crate) outcome: Option<Outcome>,
    /// Whether the text is a case.
    pub(crate) is_case: bool,
    /// The objects, and what is said of each.
    pub(crate) objects: Vec<Object>,
    /// How many objects and findings there are.
    pub(crate) summary: Summary,
    /// What could not be read.
    pub(crate) errors: Vec<Located>,
    /// What a reader should know beside the verdicts.
    pub(crate) notes: Vec<String>,
    /// Settings that a policy does not take, by policy.
    pub(crate) settings: BTreeMap<&'static str, String>,
    /// The documents that admission would change.
    pub(crate) changed: Vec<Changed>,
    /// Who can talk to whom.
    pub(crate) picture: Option<Picture>,
    /// How many findings are shown.
    #[serde(skip)]
    shown: usize,
}

/// How many there are, shown or not.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) objects: usize,
    pub(crate) denials: usize,
    pub(crate) warnings: usize,
    /// How many objects would be changed, or the pods that they make.
    pub(crate) changed: usize,
    /// How many objects are not shown.
    pub(crate) objects_left_out: usize,
    /// How many findings are not shown.
    pub(crate) findings_left_out: usize,
}

/// Something that is said of a place in the text.
#[derive(Serialize)]
pub(crate) struct Located {
    pub(crate) message: String,
    #[serde(flatten)]
    pub(crate) place: Place,
}

/// An object.
#[derive(Serialize)]
pub(crate) struct Object {
    /// `Deployment shop/web`.
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    #[serde(flatten)]
    pub(crate) place: Place,
    pub(crate) rows: Vec<Row>,
    /// What is changed in the object, as JSON Patches, and then in the pods that it makes.
    patches: Vec<Patch>,
}

/// What is changed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Patch {
    of_pods: bool,
    operations: Vec<Operation>,
}

/// What one policy says of an object, or of the pods that it makes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    policy: &'static str,
    outcome: Outcome,
    /// Whether it is about the pods that the object makes.
    of_pods: bool,
    remediation: &'static str,
    denials: Vec<Found>,
    warnings: Vec<Found>,
    audit: Option<String>,
}

/// A finding, and where it stands.
#[derive(Serialize)]
pub(crate) struct Found {
    field: String,
    message: String,
    control: Option<&'static str>,
    #[serde(flatten)]
    place: Place,
}

impl Said {
    /// That nothing can be said, and why.
    pub(crate) fn error(message: String) -> Box<Self> {
        let errors = vec![Located { message, place: Place::default() }];
        Box::new(Said { errors, ..Said::default() })
    }

    /// Adds what could not be read.
    pub(crate) fn fail(&mut self, message: String, place: Place) {
        if self.errors.len() < MOST_LINES {
            self.errors.push(Located { message, place });
        }
    }

    /// Adds what a reader should know.
    pub(crate) fn note(&mut self, note: String) {
        if self.notes.len() < MOST_LINES {
            self.notes.push(note);
        }
    }

    /// Adds an object with what is said of it, and of the pods that it makes; `find` says where a finding stands.
    pub(crate) fn add(
        &mut self,
        name: &ObjectName,
        place: Place,
        own: &Verdicts<'_>,
        pods: Option<&Verdicts<'_>>,
        find: impl Fn(bool, &Finding) -> Place,
    ) {
        let both: Vec<(bool, &Verdicts<'_>)> =
            [(false, own)].into_iter().chain(pods.map(|pods| (true, pods))).collect();
        let mut rows = Vec::new();
        for (of_pods, verdicts) in &both {
            if let Some(fault) = &verdicts.fault {
                self.fail(format!("{name}: {fault}"), place);
            }
            rows.extend(verdicts.rows.iter().map(|row| self.row(*of_pods, row, &find)));
        }
        let outcome = rows.iter().map(|row| row.outcome).max().unwrap_or(Outcome::Allow);
        self.outcome = self.outcome.max(Some(outcome));
        self.summary.objects += 1;
        self.summary.changed += usize::from(both.iter().any(|(_, verdicts)| verdicts.patched.is_some()));
        if self.objects.len() < MOST_OBJECTS {
            let patches =
                both.iter().filter(|(_, verdicts)| verdicts.patched.is_some()).map(|(of_pods, verdicts)| {
                    Patch {
                        of_pods: *of_pods,
                        operations: verdicts.patch().into_iter().map(Operation::<Value<'_>>::owned).collect(),
                    }
                });
            let patches = patches.collect();
            self.objects.push(Object { name: name.to_string(), outcome, place, rows, patches });
        } else {
            self.summary.objects_left_out += 1;
        }
    }

    fn row(&mut self, of_pods: bool, row: &admit::Row, find: impl Fn(bool, &Finding) -> Place) -> Row {
        let verdict = &row.verdict;
        let mut found = |findings: &BTreeSet<Finding>| {
            let room = MOST_FINDINGS.saturating_sub(self.shown);
            let shown = findings.iter().take(room).map(|finding| Found {
                field: finding.field.to_string(),
                message: finding.message.clone(),
                control: finding.control,
                place: find(of_pods, finding),
            });
            let shown: Vec<Found> = shown.collect();
            self.shown += shown.len();
            self.summary.findings_left_out += findings.len() - shown.len();
            shown
        };
        let (denials, warnings) = (found(&verdict.denials), found(&verdict.warnings));
        self.summary.denials += verdict.denials.len() + verdict.left_out;
        self.summary.warnings += verdict.warnings.len();
        self.summary.findings_left_out += verdict.left_out;
        Row {
            policy: row.about.name,
            outcome: verdict.outcome(),
            of_pods,
            remediation: row.about.remediation,
            denials,
            warnings,
            audit: verdict.audit.clone(),
        }
    }
}
