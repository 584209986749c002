//! Evaluates a request with a configuration: enforced policies deny and change, exceptions suppress denials, and unenforced
//! policies report the denials that they would cause.

use policy_core::verdict::NOT_CHANGED;
use policy_core::{
    AdmissionPhase, Cluster, ConfiguredPolicy, Finding, Outcome, PolicyMetadata, Request, Verdicts, admit,
};

use crate::config::exceptions::ExceptedDenial;
use crate::config::{Config, Mode, UnenforcedPolicy};

/// The maximum number of fields in a [`PolicyOutcome`].
const MOST_FIELDS: usize = 8;
/// The maximum length of an unenforced policy's note in the audit log, in characters.
const MOST_AUDITED: usize = 1024;

/// The result of evaluating a request.
#[derive(Debug, Default)]
pub struct Evaluation<'a, 'c> {
    /// The verdicts. Denials of unenforced policies become warnings, or notes for the audit log.
    pub verdicts: Verdicts<'a>,
    /// The denials that exceptions suppress.
    pub excepted: Vec<ExceptedDenial<'c>>,
    /// The outcome of each policy, before its mode is applied.
    pub outcomes: Vec<PolicyOutcome>,
}

/// The outcome of one policy, before its mode is applied.
#[derive(Debug)]
pub struct PolicyOutcome {
    /// The policy.
    pub metadata: &'static PolicyMetadata,
    /// The effect of a denial.
    pub mode: Mode,
    /// The outcome of its verdict.
    pub outcome: Outcome,
    /// Whether the policy could not decide.
    pub undecided: bool,
    /// The first of the fields that it denies.
    pub fields: Vec<String>,
}

/// The policies to evaluate: all of a configuration, or one.
#[derive(Clone, Copy)]
pub struct PolicySet<'c> {
    config: &'c Config,
    policies: &'c [ConfiguredPolicy],
    unenforced: &'c [UnenforcedPolicy],
}

impl Config {
    /// All policies.
    pub fn all(&self) -> PolicySet<'_> {
        PolicySet { config: self, policies: &self.policies, unenforced: &self.unenforced }
    }

    /// The policy with this name, if it is configured.
    pub fn only(&self, name: &str) -> Option<PolicySet<'_>> {
        let all = self.all();
        if let Some(index) = self.policies.iter().position(|policy| policy.metadata.name == name) {
            let policies = self.policies.get(index..=index)?;
            return Some(PolicySet { policies, unenforced: &[], ..all });
        }
        let named = |unenforced: &UnenforcedPolicy| unenforced.configured.metadata.name == name;
        let index = self.unenforced.iter().position(named)?;
        Some(PolicySet { policies: &[], unenforced: self.unenforced.get(index..=index)?, ..all })
    }
}

impl<'c> PolicySet<'c> {
    /// Whether any policy changes objects, or would change them if it were enforced.
    pub fn mutates(&self) -> bool {
        let unenforced = self.unenforced.iter().map(|unenforced| &unenforced.configured);
        self.policies.iter().chain(unenforced).any(|configured| configured.metadata.mutates)
    }

    /// Evaluates a request.
    pub fn evaluate<'a>(
        &self,
        request: &Request<'a>,
        cluster: &dyn Cluster,
        phase: AdmissionPhase,
    ) -> Evaluation<'a, 'c> {
        let exceptions = &self.config.exceptions;
        let mut verdicts = admit(self.policies, request, cluster, phase);
        let mut excepted = exceptions.apply(request, self.config.kinds(), &mut verdicts);
        let mut outcomes: Vec<PolicyOutcome> =
            verdicts.rows.iter().map(|row| PolicyOutcome::of(row, Mode::Enforce)).collect();
        // Unenforced policies evaluate the patched object, and change nothing.
        let patched = verdicts.patched.map_or(*request, |object| request.with_object(object));
        for UnenforcedPolicy { mode, configured } in self.unenforced {
            let mut unenforced_verdicts =
                admit(std::slice::from_ref(configured), &patched, cluster, AdmissionPhase::Validating);
            excepted.extend(exceptions.apply(&patched, self.config.kinds(), &mut unenforced_verdicts));
            for mut row in unenforced_verdicts.rows {
                outcomes.push(PolicyOutcome::of(&row, *mode));
                apply_mode(&mut row, *mode, phase);
                verdicts.rows.push(row);
            }
        }
        if !self.unenforced.is_empty() {
            verdicts.rows.sort_by_key(|row| row.metadata.name);
        }
        Evaluation { verdicts, excepted, outcomes }
    }
}

impl Evaluation<'_, '_> {
    /// Keeps only the results for one admission phase ([`Verdicts::keep`]).
    pub fn keep(&mut self, phase: AdmissionPhase) {
        self.verdicts.keep(phase);
        self.outcomes.retain(|outcome| phase == AdmissionPhase::Validating || outcome.metadata.mutates);
        // Drop the exceptions of the other phase, so that they are not counted twice.
        self.excepted
            .retain(|excepted| self.outcomes.iter().any(|outcome| outcome.metadata.name == excepted.policy));
    }
}

impl PolicyOutcome {
    fn of(row: &policy_core::verdicts::PolicyVerdict, mode: Mode) -> Self {
        let verdict = &row.verdict;
        let fields = verdict.denials.iter().take(MOST_FIELDS).map(|denial| denial.field.to_string());
        PolicyOutcome {
            metadata: row.metadata,
            mode,
            outcome: verdict.outcome(),
            undecided: verdict.undecided,
            fields: fields.collect(),
        }
    }
}

/// Turns denials into warnings or a note for the audit log, depending on the mode.
fn apply_mode(row: &mut policy_core::verdicts::PolicyVerdict, mode: Mode, phase: AdmissionPhase) {
    let verdict = &mut row.verdict;
    let denials = std::mem::take(&mut verdict.denials);
    if mode == Mode::Warn {
        if phase == AdmissionPhase::Mutating && verdict.audit.as_deref() == Some(NOT_CHANGED) {
            let message = "would change the object if the policy were enforced".to_owned();
            verdict.warnings.insert(Finding { field: Default::default(), message, control: None });
        }
        verdict.warnings.extend(denials);
    } else {
        verdict.warnings.clear();
        if !denials.is_empty() {
            let sentences: Vec<String> = denials.iter().map(Finding::sentence).collect();
            let note = format!("would deny: {}", sentences.join("; "));
            verdict.audit = Some(note.chars().take(MOST_AUDITED).collect());
        }
    }
}
