//! The pods that an object makes, and what is to be said of them that is not said of the object already.

use policy_core::{Field, FieldPath, Finding, Request, Undecided, Verdicts, workload};

/// The pods that a workload's controller would make, all alike.
#[derive(Debug)]
pub struct Pods<'a> {
    /// The request by which one is made.
    pub request: Request<'a>,
    /// Where in the workload its fields stand.
    pub template: FieldPath,
}

impl<'a> Pods<'a> {
    /// The pods of the object in that request; `None` if it makes none.
    ///
    /// # Errors
    /// The workload is not as Kubernetes has it.
    pub fn of(request: &Request<'a>) -> Result<Option<Self>, Undecided> {
        let Some(made) = workload::made_by(request)? else { return Ok(None) };
        let template =
            Field::missing(made.object.arena()).at(workload::template_of(request.kind.name)).path();
        Ok(Some(Pods { request: made, template }))
    }

    /// Strikes from the verdicts on a pod what is said of its workload already: of the template as it is written.
    ///
    /// `is_said` is given each finding as the workload would have it. Rows with nothing left stay if their policy changes
    /// objects, for that happens to pods alone.
    pub fn strike_said(&self, verdicts: &mut Verdicts<'a>, is_said: impl Fn(&Finding) -> bool) {
        verdicts.rows.retain_mut(|row| {
            let is_new = |finding: &Finding| !is_said(&self.in_workload(finding));
            row.verdict.denials.retain(is_new);
            row.verdict.warnings.retain(is_new);
            row.about.mutates || !row.verdict.denials.is_empty() || !row.verdict.warnings.is_empty()
        });
    }

    /// A finding of a pod, as one of the workload that makes it.
    pub fn in_workload(&self, finding: &Finding) -> Finding {
        Finding { field: finding.field.below(&self.template), ..finding.clone() }
    }
}
