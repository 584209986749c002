//! A text of manifests: every object is judged as it would be made, and the others are the cluster, as `check` does it.

use policy_core::yaml::Document;
use std::collections::VecDeque;

use policy_core::{Arena, FieldPath, Finding, Half, Objects, Request, Verdicts, admit};
use policy_manifests::{ObjectName, Pods, beside, each, rendered};

use crate::asked::Asked;
use crate::picture::Gathered;
use crate::said::Said;
use crate::text::{Changed, Text};

/// How large a document may be for what would be changed in it to be shown, in bytes.
const MOST_TO_COMPARE: usize = 256 * 1024;

/// Judges the objects of these documents of a text.
pub(crate) fn judge(documents: &[Document<'_>], text: &str, asked: &Asked) -> Said {
    let arena = Arena::new();
    let text = Text::new(text);
    let mut said = Said::default();
    let mut gathered = Gathered::new(&arena);
    let mut values = Vec::new();
    for document in documents {
        each(document, &asked.namespace, &arena, |object| match object {
            Ok((request, _)) => {
                gathered.add(&request);
                values.extend(request.object.value().ok().flatten());
            }
            Err(unreadable) => said.fail(unreadable.reason, text.place(unreadable.position)),
        });
    }
    let cluster = Objects::new(values, &asked.namespace);
    for document in documents {
        let judged = Judged { document, text: &text, asked, cluster: &cluster };
        judged.add(&mut said);
    }
    said.picture = gathered.picture();
    said
}

/// A document, and what it is judged with.
struct Judged<'s, 'd> {
    document: &'s Document<'d>,
    text: &'s Text<'s>,
    asked: &'s Asked,
    cluster: &'s Objects<'s>,
}

impl Judged<'_, '_> {
    fn add(&self, said: &mut Said) {
        let Judged { document, asked, .. } = self;
        let arena = Arena::new();
        let places = std::cell::OnceCell::new();
        let place = |path: &FieldPath| self.text.place(places.get_or_init(|| document.places()).of(path));
        // What each object becomes, and then the pods that it makes, in the order in which `rendered` asks.
        let mut patched = VecDeque::new();
        each(document, &asked.namespace, &arena, |object| {
            // What cannot be read is said already.
            let Ok((request, prefix)) = object else { return };
            let mut own = self.admit(&request);
            let pods = if asked.mutates() { Pods::of(&request).ok().flatten() } else { None };
            let mut of_pods = pods.as_ref().map(|pods| (pods, self.of_pods(pods, &own)));
            let beside = match &mut of_pods {
                Some((pods, verdicts)) => {
                    beside::add(verdicts, &pods.request, &asked.namespace, self.cluster)
                }
                None if request.kind.name == "Pod" => {
                    beside::add(&mut own, &request, &asked.namespace, self.cluster)
                }
                None => Ok(()),
            };
            let name = ObjectName::of(&request);
            if let Err(undecided) = beside {
                said.note(format!("{name}: {undecided}"));
            }
            let start = if prefix.0.is_empty() { self.text.place(document.start()) } else { place(prefix) };
            let of_pods = of_pods.as_ref().map(|(_, verdicts)| verdicts);
            patched.push_back(own.patched);
            patched.extend(of_pods.map(|verdicts| verdicts.patched));
            said.add(&name, start, &own, of_pods, |of_pods, finding| match &pods {
                Some(pods) if of_pods => place(&pods.in_workload(finding).field.below(prefix)),
                _ => place(&finding.field.below(prefix)),
            });
        });
        let is_changed = patched.iter().any(Option::is_some);
        if is_changed && document.text.len() <= MOST_TO_COMPARE {
            let next = |_: &Request<'_>, _: &Request<'_>, _: &FieldPath| patched.pop_front().flatten();
            match rendered(document, &asked.namespace, &arena, next) {
                Ok(changed) => said.changed.push(Changed::of(document, changed)),
                Err(unreadable) => said.note(format!("line {unreadable}")),
            }
        }
    }

    fn admit<'a>(&self, request: &Request<'a>) -> Verdicts<'a> {
        admit(&self.asked.policies, request, self.cluster, Half::Mutate)
    }

    /// What is said of the pods that an object makes, and not of the object already.
    fn of_pods<'a>(&self, pods: &Pods<'a>, own: &Verdicts<'a>) -> Verdicts<'a> {
        let mut verdicts = self.admit(&pods.request);
        let is_said = |finding: &Finding| {
            let mut rows = own.rows.iter().map(|row| &row.verdict);
            rows.any(|verdict| verdict.denials.contains(finding) || verdict.warnings.contains(finding))
        };
        pods.strike_said(&mut verdicts, is_said);
        verdicts
    }
}
