//! A text of manifests: every object is judged as it would be made, and the others are the cluster, as `check` does it.

use std::cell::OnceCell;
use std::collections::VecDeque;

use policy_core::yaml::Document;
use policy_core::{
    AdmissionPhase, Arena, ConfiguredPolicy, FieldPath, Finding, Objects, Request, Verdicts, admit,
};
use policy_kubernetes::WorkloadKinds;
use policy_manifests::{ManifestEvaluator, ObjectName, Unreadable, as_admitted, each, evaluate, rendered};

use crate::asked::Asked;
use crate::picture::Gathered;
use crate::said::{ObjectHeading, Said};
use crate::text::Text;

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
                match asked.judges_sets() {
                    true => values
                        .extend(as_admitted(&request, WorkloadKinds::BUILT_IN, |pod| asked.patched(pod))),
                    false => values.extend(request.object.value().ok().flatten()),
                }
            }
            Err(unreadable) => said.fail(unreadable.reason, text.place(unreadable.position)),
        });
    }
    let cluster = Objects::new(values, &asked.namespace);
    for document in documents {
        InText { document, text: &text, asked, cluster: &cluster }.judge(&mut said);
    }
    said.picture = gathered.picture();
    said
}

/// A document of the text, and what it is judged with.
struct InText<'s, 'd> {
    document: &'s Document<'d>,
    text: &'s Text<'s>,
    asked: &'s Asked,
    cluster: &'s Objects<'s>,
}

impl InText<'_, '_> {
    fn judge(&self, said: &mut Said) {
        let InText { document, asked, .. } = self;
        let arena = Arena::new();
        let places = OnceCell::new();
        let place = |path: &FieldPath| self.text.place(places.get_or_init(|| document.places()).of(path));
        // What each object becomes, and then the pods that it makes, in the order in which `rendered` asks.
        let mut patched = VecDeque::new();
        each(document, &asked.namespace, &arena, |object| {
            // What cannot be read is said already.
            let Ok((request, prefix)) = object else { return };
            let start = if prefix.0.is_empty() { self.text.place(document.start()) } else { place(prefix) };
            let evaluated = match evaluate(&request, &asked.namespace, self.cluster, self) {
                Ok(evaluated) => evaluated,
                Err(reason) => {
                    // It is not asked, and `rendered` will ask for it.
                    patched.push_back(None);
                    return said.fail(reason, start);
                }
            };
            if let Some(undecided) = &evaluated.unreadable {
                let Unreadable { position, reason, .. } = Unreadable::of(document, undecided, prefix);
                said.fail(reason, self.text.place(position));
            }
            let name = ObjectName::of(&request);
            for note in &evaluated.notes {
                said.note(format!("{name}: {note}"));
            }
            patched.push_back(evaluated.own.patched);
            patched.extend(evaluated.pods.iter().map(|(_, verdicts)| verdicts.patched));
            let about = ObjectHeading {
                name: &name,
                request: &request,
                place: start,
                is_evaluated: evaluated.is_evaluated,
            };
            let pods = evaluated.pods.as_ref();
            said.add(about, &evaluated.own, pods, |finding| place(&finding.field.below(prefix)));
        });
        if patched.iter().any(Option::is_some) {
            let next = |_: &Request<'_>, _: &Request<'_>, _: &FieldPath| patched.pop_front().flatten();
            said.change(document, || {
                let changed = rendered(document, &asked.namespace, WorkloadKinds::BUILT_IN, &arena, next);
                changed
                    .map_err(|unreadable| format!("line {}: {}", unreadable.position.line, unreadable.reason))
            });
        }
    }
}

impl ManifestEvaluator for InText<'_, '_> {
    type Exceptions = ();

    fn policies(&self) -> &[ConfiguredPolicy] {
        &self.asked.policies
    }

    fn kinds(&self) -> WorkloadKinds<'_> {
        WorkloadKinds::BUILT_IN
    }

    fn evaluate<'a>(&self, request: &Request<'a>) -> (Verdicts<'a>, ()) {
        (admit(&self.asked.policies, request, self.cluster, AdmissionPhase::Mutating), ())
    }

    fn is_reported(&self, own: &Verdicts<'_>, (): &(), finding: &Finding) -> bool {
        let mut rows = own.rows.iter().map(|row| &row.verdict);
        let is_same = |said: &Finding| said.field == finding.field && said.message == finding.message;
        rows.any(|verdict| verdict.denials.iter().chain(&verdict.warnings).any(is_same))
    }
}
