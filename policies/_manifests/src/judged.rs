//! What is said of an object: of itself, of the pods that it makes, and of what is missing beside these.

use policy_core::{
    Cluster, Field, FieldPath, Finding, Request, Undecided, Verdicts, path::printable, workload,
};

use crate::beside;

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

    /// A finding of a pod, as one of the workload that makes it.
    pub fn in_workload(&self, finding: &Finding) -> Finding {
        Finding { field: finding.field.below(&self.template), ..finding.clone() }
    }
}

/// Who judges a request, and what else follows from it.
pub trait Judge {
    /// What is known beside the verdicts, such as what was excepted of them.
    type Beside;

    /// Whether any policy that is asked changes objects. What does not change pods has judged them by their template.
    fn mutates(&self) -> bool;

    /// What the policies say of a request.
    fn judge<'a>(&self, request: &Request<'a>) -> (Verdicts<'a>, Self::Beside);

    /// Whether that was said of an object already.
    fn is_said(&self, verdicts: &Verdicts<'_>, beside: &Self::Beside, finding: &Finding) -> bool;
}

/// All that is said of one object.
#[derive(Debug)]
pub struct Judged<'a, B> {
    /// What the policies say of it.
    pub own: Verdicts<'a>,
    /// What is known beside that.
    pub beside: B,
    /// The pods that it makes, and what is said of them that is not said of the object.
    pub pods: Option<(Pods<'a>, Verdicts<'a>)>,
    /// Whether any policy has judged it, or the pods that it makes.
    pub is_judged: bool,
    /// Why the pods that it makes could not be judged, where no policy has denied it for that.
    pub unreadable: Option<Undecided>,
    /// What a reader should know beside the verdicts.
    pub notes: Vec<String>,
}

/// Judges an object as it would be made, in the namespace that it is made in, and the pods that its controller would make.
///
/// # Errors
/// It is no object that could be made.
pub fn judged<'a, J: Judge>(
    request: &Request<'a>,
    default_namespace: &str,
    cluster: &dyn Cluster,
    judge: &J,
) -> Result<Judged<'a, J::Beside>, String> {
    if request.kind.name == "AdmissionReview" {
        let reason = "an AdmissionReview is no manifest: post it to the webhook, or check the object in it";
        return Err(reason.to_owned());
    }
    let (own, beside) = judge.judge(request);
    let is_judged = !own.rows.is_empty();
    let mut judged = Judged { own, beside, pods: None, is_judged, unreadable: None, notes: Vec::new() };
    let mut missing = Ok(());
    if judge.mutates() {
        match Pods::of(request) {
            Ok(Some(pods)) => {
                let mut verdicts = judged.of_pods(&pods, judge);
                missing = beside::add(&mut verdicts, &pods.request, default_namespace, cluster);
                judged.pods = Some((pods, verdicts));
                judged.is_judged = true;
            }
            Ok(None) if request.kind.name == "Pod" => {
                missing = beside::add(&mut judged.own, request, default_namespace, cluster);
            }
            Ok(None) => {}
            // Some policy has denied it for that; if none has, somebody should know.
            Err(undecided) => judged.unreadable = (!is_judged).then_some(undecided),
        }
    }
    if let Err(undecided) = missing {
        judged.notes.push(printable(&undecided.to_string()).into_owned());
    }
    if !judged.is_judged && has_pod_template(request) {
        judged.notes.push("no policy judges the pods that it makes".to_owned());
    }
    Ok(judged)
}

impl<'a, B> Judged<'a, B> {
    /// What is said of the pods, and not of the object already: of their template as it is written. Rows with nothing left stay
    /// if their policy changes objects, for that happens to pods alone.
    fn of_pods<J: Judge<Beside = B>>(&self, pods: &Pods<'a>, judge: &J) -> Verdicts<'a> {
        let (mut verdicts, _) = judge.judge(&pods.request);
        verdicts.rows.retain_mut(|row| {
            let is_new =
                |finding: &Finding| !judge.is_said(&self.own, &self.beside, &pods.in_workload(finding));
            row.verdict.denials.retain(is_new);
            row.verdict.warnings.retain(is_new);
            row.about.mutates || !row.verdict.denials.is_empty() || !row.verdict.warnings.is_empty()
        });
        verdicts
    }
}

/// Whether an object of a kind that no policy takes makes pods all the same, as those of many operators do.
fn has_pod_template(request: &Request<'_>) -> bool {
    request.object.at("spec.template.spec.containers").is_set().unwrap_or(true)
}
