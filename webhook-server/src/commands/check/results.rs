//! The results of a report: the verdicts on an object, and on the pods that it makes, with the places of the findings.

use policy_core::verdicts::Row;
use policy_core::yaml::Position;
use policy_core::{AdmissionPhase, ConfiguredPolicy, FieldPath, Finding, Objects, Request, Verdicts};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::WorkloadPods;
use policy_manifests::{ManifestEvaluator, ObjectName, Unreadable, evaluate};
use policy_report::{ExceptedFinding, Part, PolicyResult, Reported, ReportedFinding, SourceLocation};

use crate::config::Config;
use crate::config::exceptions::Excepted;
use crate::evaluator::Evaluation;
use crate::report::{ObjectReport, Report};
use crate::sources::source_location::{At, Field, Place, Stands};

/// Evaluates an object, and the pods that its controller would make of it, and adds the results to the report.
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
    let object = Evaluated { stands: &stands, request, pods: None };
    let mut results = object.results(&evaluated.own, &evaluated.exceptions, report);
    if let Some((pods, verdicts)) = &evaluated.pods {
        results.extend(Evaluated { pods: Some(pods), ..object }.results(verdicts, &[], report));
    }
    if let Some(undecided) = &evaluated.unreadable {
        report.errors.push(format!("{}:{}", at.source.name, Unreadable::of(at.document, undecided, prefix)));
    }
    let noted = |note: &String| format!("{}: {}: {note}", stands.start(), ObjectName::of(request));
    report.notes.extend(evaluated.notes.iter().map(noted));
    report.objects.push(ObjectReport { results, is_evaluated: evaluated.is_evaluated });
}

/// The policies of a configuration, as they evaluate manifests.
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

/// An object in its document, or the pods that it makes.
#[derive(Clone, Copy)]
struct Evaluated<'s, 'd> {
    stands: &'s Stands<'s, 'd>,
    request: &'s Request<'s>,
    pods: Option<&'s WorkloadPods<'s>>,
}

impl Evaluated<'_, '_> {
    /// A result for each policy.
    fn results(
        &self,
        verdicts: &Verdicts<'_>,
        excepted: &[Excepted<'_>],
        report: &mut Report,
    ) -> Vec<PolicyResult> {
        if let Some(fault) = &verdicts.fault {
            let name = ObjectName::of(self.request);
            report.errors.push(format!("{}: {name}: {fault}", self.stands.written_start()));
        }
        verdicts.rows.iter().map(|row| self.result(row, verdicts, excepted)).collect()
    }

    fn result(&self, row: &Row, verdicts: &Verdicts<'_>, excepted: &[Excepted<'_>]) -> PolicyResult {
        let found = |finding: &Finding| self.found(finding);
        let asked = self.pods.map_or(self.request, |pods| &pods.request);
        let reported = Reported { object: ObjectName::of(self.request), of: self.pods.map(|_| Part::Pods) };
        let mut result = PolicyResult::new(row, verdicts, asked, reported);
        result.denials = row.verdict.denials.iter().map(found).collect();
        result.warnings = row.verdict.warnings.iter().map(found).collect();
        result.excepted = excepted
            .iter()
            .filter(|excepted| excepted.policy == row.metadata.name)
            .map(|Excepted { finding, exception, .. }| ExceptedFinding {
                finding: found(finding),
                reason: exception.reason.clone(),
                owner: exception.owner.clone(),
                expires: exception.expires.to_string(),
            })
            .collect();
        let first = result.findings().next().map(|(_, finding)| (finding.line, finding.column));
        let has_findings = first.is_some() || !result.excepted.is_empty();
        let Place { file, position: start, document } =
            if has_findings { self.stands.written_start() } else { self.stands.start() };
        let (line, column) = first.unwrap_or((start.line, start.column));
        result.source = SourceLocation { file: file.to_owned(), line, column, document };
        result
    }

    /// A finding and where it stands; that of a pod in the template that makes it.
    fn found(&self, finding: &Finding) -> ReportedFinding {
        let field = self.pods.map_or_else(|| finding.field.clone(), |pods| pods.in_workload(finding).field);
        let Field { position: Position { line, column }, written, built } = self.stands.field(&field);
        let reported = ReportedFinding::new(finding, &field);
        ReportedFinding { line, column, written, built, ..reported }
    }
}
