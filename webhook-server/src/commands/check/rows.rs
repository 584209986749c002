//! The rows of a report: what the policies say of an object, and of the pods that it makes.

use policy_core::yaml::Position;
use policy_core::{AdmissionPhase, ConfiguredPolicy, FieldPath, Finding, Objects, Request, Verdicts, patch};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::WorkloadPods;
use policy_manifests::{ManifestEvaluator, ObjectName, Unreadable, evaluate};

use crate::config::Config;
use crate::config::exceptions::Excepted;
use crate::evaluator::Evaluation;
use crate::report::{self, ExceptedFinding, Found, Report, Row, SourcePosition};
use crate::sources::source_location::{At, Field, Place, Stands};

/// Judges an object, and the pods that its controller would make of it, and adds what is said to the report.
pub(super) fn add(
    at: &At<'_>,
    config: &Config,
    cluster: &Objects<'_>,
    request: &Request<'_>,
    prefix: &FieldPath,
    report: &mut Report,
) {
    let stands = Stands::new(at, request, prefix);
    let evaluated = match evaluate(request, at.namespace, cluster, &ConfigEvaluator { config, cluster }) {
        Ok(evaluated) => evaluated,
        Err(reason) => return report.errors.push(format!("{}: {reason}", stands.written_start())),
    };
    let mut rows = Vec::new();
    let object = Rows { stands: &stands, request, of: None };
    object.report(&evaluated.own, &evaluated.exceptions, &mut rows, report);
    if let Some((pods, verdicts)) = &evaluated.pods {
        Rows { of: Some(pods), ..object }.report(verdicts, &[], &mut rows, report);
    }
    if let Some(undecided) = &evaluated.unreadable {
        report.errors.push(format!("{}:{}", at.source.name, Unreadable::of(at.document, undecided, prefix)));
    }
    let noted = |note: &String| format!("{}: {}: {note}", stands.start(), ObjectName::of(request));
    report.notes.extend(evaluated.notes.iter().map(noted));
    report.objects.push(report::Judged { rows, is_judged: evaluated.is_evaluated });
}

/// The policies of a configuration, as they judge manifests.
struct ConfigEvaluator<'s> {
    config: &'s Config,
    cluster: &'s Objects<'s>,
}

impl<'s> ManifestEvaluator for ConfigEvaluator<'s> {
    type Exceptions = Vec<Excepted<'s>>;

    fn policies(&self) -> &[ConfiguredPolicy] {
        &self.config.policies
    }

    fn kinds(&self) -> WorkloadKinds<'_> {
        self.config.kinds()
    }

    fn evaluate<'a>(&self, request: &Request<'a>) -> (Verdicts<'a>, Self::Exceptions) {
        let Evaluation { verdicts, excepted, .. } =
            self.config.all().evaluate(request, self.cluster, AdmissionPhase::Mutating);
        (verdicts, excepted)
    }

    fn is_reported(&self, verdicts: &Verdicts<'_>, excepted: &Self::Exceptions, finding: &Finding) -> bool {
        let rows = verdicts.rows.iter().map(|row| &row.verdict);
        let found = rows.flat_map(|verdict| verdict.denials.iter().chain(&verdict.warnings));
        let mut all = found.chain(excepted.iter().map(|excepted| &excepted.finding));
        all.any(|said| said.field == finding.field && is_same(&said.message, &finding.message))
    }
}

/// Whether two messages say the same, whatever is said of an exception.
fn is_same(said: &str, message: &str) -> bool {
    said.strip_prefix(message).is_some_and(|rest| rest.is_empty() || rest.starts_with("; its exception "))
}

/// The rows of an object in its document, or of the pods that it makes.
#[derive(Clone, Copy)]
struct Rows<'s, 'd> {
    stands: &'s Stands<'s, 'd>,
    request: &'s Request<'s>,
    of: Option<&'s WorkloadPods<'s>>,
}

impl Rows<'_, '_> {
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
            report.errors.push(format!("{}: {name}: {fault}", self.stands.written_start()));
        }
        for row in &verdicts.rows {
            let found = |finding: &Finding| self.found(finding);
            let denials: Vec<Found> = row.verdict.denials.iter().map(found).collect();
            let warnings: Vec<Found> = row.verdict.warnings.iter().map(found).collect();
            let excepted: Vec<ExceptedFinding> = excepted
                .iter()
                .filter(|excepted| excepted.policy == row.metadata.name)
                .map(|excepted| ExceptedFinding::new(found(&excepted.finding), excepted.exception))
                .collect();
            let is_found = !(denials.is_empty() && warnings.is_empty() && excepted.is_empty());
            let Place { file, position: start, document } =
                if is_found { self.stands.written_start() } else { self.stands.start() };
            let first = denials.first().or(warnings.first()).map(|found| (found.line, found.column));
            let (line, column) = first.unwrap_or((start.line, start.column));
            rows.push(Row {
                policy: row.metadata.name,
                remediation: row.metadata.remediation,
                outcome: row.verdict.outcome(),
                source: SourcePosition { file: file.to_owned(), line, column, document },
                object: ObjectName::of(self.request),
                of: self.of.map(|_| "pods"),
                denials,
                warnings,
                excepted,
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
        let Field { position: Position { line, column }, written, built } = self.stands.field(&field);
        Found {
            field: field.to_string(),
            message: finding.message.clone(),
            control: finding.control,
            line,
            column,
            written,
            built,
        }
    }
}
