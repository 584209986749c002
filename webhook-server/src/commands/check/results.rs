//! Builds the results of a report: the verdicts on an object and its pods, with the source locations of their findings.

use policy_core::verdicts::PolicyVerdict;
use policy_core::yaml::Position;
use policy_core::{AdmissionPhase, ConfiguredPolicy, FieldPath, Finding, Objects, Request, Verdicts};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::WorkloadPods;
use policy_manifests::{ManifestError, ManifestEvaluator, ObjectName, evaluate};
use policy_report::{
    ExceptedFinding, PolicyResult, ReportedFinding, ResultSubject, ResultTarget, SourceLocation,
};

use crate::config::Config;
use crate::config::exceptions::ExceptedDenial;
use crate::evaluator::Evaluation;
use crate::report::{ObjectReport, Report};
use crate::sources::source_location::{DocumentOrigin, FieldLocation, FilePosition, ObjectLocation};

/// Evaluates an object and the pods that its controller would create, and adds the results to the report.
pub(super) fn add(
    at: &DocumentOrigin<'_>,
    config: &Config,
    cluster: &Objects<'_>,
    request: &Request<'_>,
    prefix: &FieldPath,
    report: &mut Report,
) {
    let location = ObjectLocation::new(at, request, prefix);
    let evaluated = match evaluate(request, at.namespace, cluster, &ConfigEvaluator { config, cluster }) {
        Ok(evaluated) => evaluated,
        Err(reason) => return report.errors.push(format!("{}: {reason}", location.written_start())),
    };
    let object = EvaluationTarget { location: &location, request, pods: None };
    let mut results = object.results(&evaluated.own, &evaluated.exceptions, report);
    if let Some((pods, verdicts)) = &evaluated.pods {
        results.extend(EvaluationTarget { pods: Some(pods), ..object }.results(verdicts, &[], report));
    }
    if let Some(undecided) = &evaluated.unreadable {
        report.errors.push(format!(
            "{}:{}",
            at.source.name,
            ManifestError::of(at.document, undecided, prefix)
        ));
    }
    let noted = |note: &String| format!("{}: {}: {note}", location.start(), ObjectName::of(request));
    report.notes.extend(evaluated.notes.iter().map(noted));
    report.objects.push(ObjectReport { results, is_evaluated: evaluated.is_evaluated });
}

/// Evaluates manifests with the policies of a configuration.
struct ConfigEvaluator<'s> {
    config: &'s Config,
    cluster: &'s Objects<'s>,
}

impl<'s> ManifestEvaluator for ConfigEvaluator<'s> {
    type Exceptions = Vec<ExceptedDenial<'s>>;

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
        all.any(|reported| reported.field == finding.field && is_same(&reported.message, &finding.message))
    }
}

/// Whether a reported message is the given one, possibly with a note about an expired exception.
fn is_same(reported: &str, message: &str) -> bool {
    reported.strip_prefix(message).is_some_and(|rest| rest.is_empty() || rest.starts_with("; its exception "))
}

/// An object in its document, or the pods that it creates.
#[derive(Clone, Copy)]
struct EvaluationTarget<'s, 'd> {
    location: &'s ObjectLocation<'s, 'd>,
    request: &'s Request<'s>,
    pods: Option<&'s WorkloadPods<'s>>,
}

impl EvaluationTarget<'_, '_> {
    /// A result for each policy.
    fn results(
        &self,
        verdicts: &Verdicts<'_>,
        excepted: &[ExceptedDenial<'_>],
        report: &mut Report,
    ) -> Vec<PolicyResult> {
        if let Some(fault) = &verdicts.fault {
            let name = ObjectName::of(self.request);
            report.errors.push(format!("{}: {name}: {fault}", self.location.written_start()));
        }
        verdicts.rows.iter().map(|row| self.result(row, verdicts, excepted)).collect()
    }

    fn result(
        &self,
        row: &PolicyVerdict,
        verdicts: &Verdicts<'_>,
        excepted: &[ExceptedDenial<'_>],
    ) -> PolicyResult {
        let found = |finding: &Finding| self.found(finding);
        let request = self.pods.map_or(self.request, |pods| &pods.request);
        let target =
            ResultTarget { object: ObjectName::of(self.request), of: self.pods.map(|_| ResultSubject::Pods) };
        let mut result = PolicyResult::new(row, verdicts, request, target);
        result.denials = row.verdict.denials.iter().map(found).collect();
        result.warnings = row.verdict.warnings.iter().map(found).collect();
        result.excepted = excepted
            .iter()
            .filter(|excepted| excepted.policy == row.metadata.name)
            .map(|ExceptedDenial { finding, exception, .. }| ExceptedFinding {
                finding: found(finding),
                reason: exception.reason.clone(),
                owner: exception.owner.clone(),
                expires: exception.expires.to_string(),
            })
            .collect();
        let first = result.findings().next().map(|(_, finding)| (finding.line, finding.column));
        let has_findings = first.is_some() || !result.excepted.is_empty();
        let FilePosition { file, position: start, document } =
            if has_findings { self.location.written_start() } else { self.location.start() };
        let (line, column) = first.unwrap_or((start.line, start.column));
        result.source = SourceLocation { file: file.to_owned(), line, column, document };
        result
    }

    /// Adds the source location to a finding. A finding in a pod is reported in the pod template.
    fn found(&self, finding: &Finding) -> ReportedFinding {
        let field = self.pods.map_or_else(|| finding.field.clone(), |pods| pods.in_workload(finding).field);
        let FieldLocation { position: Position { line, column }, written, built } =
            self.location.field(&field);
        let reported = ReportedFinding::new(finding, &field);
        ReportedFinding { line, column, written, built, ..reported }
    }
}
