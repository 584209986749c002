//! What a configuration says of a request: what the enforced policies deny and change, what is excepted of it, and what the
//! others would have denied.

use policy_core::verdict::NOT_CHANGED;
use policy_core::{
    AdmissionPhase, Cluster, ConfiguredPolicy, Finding, Outcome, PolicyMetadata, Request, Verdicts, admit,
};

use crate::config::exceptions::ExceptedDenial;
use crate::config::{Config, Mode, UnenforcedPolicy};

/// How many fields of a denial are named where there is little room.
const MOST_FIELDS: usize = 8;
/// How much of what an unenforced policy would deny the audit log is told, in characters.
const MOST_AUDITED: usize = 1024;

/// What is said of a request.
#[derive(Debug, Default)]
pub struct Evaluation<'a, 'c> {
    /// The verdicts, those of policies that are not enforced as warnings, or as notes for the audit log.
    pub verdicts: Verdicts<'a>,
    /// The denials that exceptions took back.
    pub excepted: Vec<ExceptedDenial<'c>>,
    /// What each policy said by itself.
    pub outcomes: Vec<PolicyOutcome>,
}

/// What one policy said, before its mode was looked at.
#[derive(Debug)]
pub struct PolicyOutcome {
    /// The policy.
    pub metadata: &'static PolicyMetadata,
    /// What follows from a denial.
    pub mode: Mode,
    /// Its verdict in one word.
    pub outcome: Outcome,
    /// Whether it could not decide.
    pub undecided: bool,
    /// Some of the fields that it denies.
    pub fields: Vec<String>,
}

/// The policies that are asked: all of a configuration, or one.
#[derive(Clone, Copy)]
pub struct PolicySet<'c> {
    config: &'c Config,
    policies: &'c [ConfiguredPolicy],
    unenforced: &'c [UnenforcedPolicy],
}

impl Config {
    /// All of them.
    pub fn all(&self) -> PolicySet<'_> {
        PolicySet { config: self, policies: &self.policies, unenforced: &self.unenforced }
    }

    /// The one of that name, if it is asked here.
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
    /// Whether any of them changes objects, or would, were it enforced.
    pub fn mutates(&self) -> bool {
        let unenforced = self.unenforced.iter().map(|unenforced| &unenforced.configured);
        self.policies.iter().chain(unenforced).any(|configured| configured.metadata.mutates)
    }

    /// Judges a request.
    pub fn evaluate<'a>(
        &self,
        request: &Request<'a>,
        cluster: &dyn Cluster,
        half: AdmissionPhase,
    ) -> Evaluation<'a, 'c> {
        let exceptions = &self.config.exceptions;
        let mut verdicts = admit(self.policies, request, cluster, half);
        let mut excepted = exceptions.apply(request, self.config.kinds(), &mut verdicts);
        let mut outcomes: Vec<PolicyOutcome> =
            verdicts.rows.iter().map(|row| PolicyOutcome::of(row, Mode::Enforce)).collect();
        // What is not enforced judges what the others have made of the object, and changes nothing.
        let patched = verdicts.patched.map_or(*request, |object| request.with_object(object));
        for UnenforcedPolicy { mode, configured } in self.unenforced {
            let mut would_be =
                admit(std::slice::from_ref(configured), &patched, cluster, AdmissionPhase::Validating);
            excepted.extend(exceptions.apply(&patched, self.config.kinds(), &mut would_be));
            for mut row in would_be.rows {
                outcomes.push(PolicyOutcome::of(&row, *mode));
                soften(&mut row, *mode, half);
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
    /// Keeps what is said to whoever asks for one half ([`Verdicts::keep`]).
    pub fn keep(&mut self, half: AdmissionPhase) {
        self.verdicts.keep(half);
        self.outcomes.retain(|outcomes| half == AdmissionPhase::Validating || outcomes.metadata.mutates);
        // So that what the other half says is not counted twice.
        self.excepted.retain(|excepted| {
            self.outcomes.iter().any(|outcomes| outcomes.metadata.name == excepted.policy)
        });
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

/// Makes of a denial what its mode wants: a warning, or a note for the audit log.
fn soften(row: &mut policy_core::verdicts::PolicyVerdict, mode: Mode, half: AdmissionPhase) {
    let verdict = &mut row.verdict;
    let denials = std::mem::take(&mut verdict.denials);
    if mode == Mode::Warn {
        if half == AdmissionPhase::Mutating && verdict.audit.as_deref() == Some(NOT_CHANGED) {
            let message = "would change the object, were the policy enforced".to_owned();
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
