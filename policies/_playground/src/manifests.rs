//! Evaluates a text of manifests like `check`: each object as it would be created, with all objects as cluster data.

use std::cell::OnceCell;
use std::collections::VecDeque;

use policy_core::yaml::Document;
use policy_core::{
    AdmissionPhase, Arena, ConfiguredPolicy, FieldPath, Finding, Objects, Request, Verdicts, admit,
};
use policy_kubernetes::WorkloadKinds;
use policy_manifests::{
    ManifestError, ManifestEvaluator, ObjectName, as_admitted, each, evaluate as evaluate_object, rendered,
};

use crate::diagram::MapBuilder;
use crate::options::Options;
use crate::positions::EditorText;
use crate::report::{ObjectHeading, PlaygroundReport};

/// Evaluates the objects in the documents of a text.
pub(crate) fn evaluate(documents: &[Document<'_>], text: &str, options: &Options) -> PlaygroundReport {
    let arena = Arena::new();
    let text = EditorText::new(text);
    let mut report = PlaygroundReport::default();
    let mut gathered = MapBuilder::new(&arena);
    let mut values = Vec::new();
    for document in documents {
        each(document, &options.namespace, &arena, |object| match object {
            Ok((request, _)) => {
                gathered.add(&request);
                match options.for_manifest_sets() {
                    true => values
                        .extend(as_admitted(&request, WorkloadKinds::BUILT_IN, |pod| options.patched(pod))),
                    false => values.extend(request.object.value().ok().flatten()),
                }
            }
            Err(unreadable) => report.fail(unreadable.reason, text.place(unreadable.position)),
        });
    }
    let cluster = Objects::new(values, &options.namespace);
    for document in documents {
        DocumentContext { document, text: &text, options, cluster: &cluster }.evaluate(&mut report);
    }
    report.picture = gathered.picture();
    report
}

/// A document of the text, and the options and cluster data to evaluate it with.
struct DocumentContext<'s, 'd> {
    document: &'s Document<'d>,
    text: &'s EditorText<'s>,
    options: &'s Options,
    cluster: &'s Objects<'s>,
}

impl DocumentContext<'_, '_> {
    fn evaluate(&self, report: &mut PlaygroundReport) {
        let DocumentContext { document, options, .. } = self;
        let arena = Arena::new();
        let places = OnceCell::new();
        let place = |path: &FieldPath| self.text.place(places.get_or_init(|| document.places()).of(path));
        // Each object after mutation, followed by the pods that it creates, in the order in which `rendered` requests them.
        let mut patched = VecDeque::new();
        each(document, &options.namespace, &arena, |object| {
            // `evaluate` has already reported unreadable objects.
            let Ok((request, prefix)) = object else { return };
            let start = if prefix.0.is_empty() { self.text.place(document.start()) } else { place(prefix) };
            let evaluated = match evaluate_object(&request, &options.namespace, self.cluster, self) {
                Ok(evaluated) => evaluated,
                Err(reason) => {
                    // `rendered` requests this object too, although it was not evaluated.
                    patched.push_back(None);
                    return report.fail(reason, start);
                }
            };
            if let Some(undecided) = &evaluated.unreadable {
                let ManifestError { position, reason, .. } = ManifestError::of(document, undecided, prefix);
                report.fail(reason, self.text.place(position));
            }
            let name = ObjectName::of(&request);
            for note in &evaluated.notes {
                report.note(format!("{name}: {note}"));
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
            report.add(about, &evaluated.own, pods, |finding| place(&finding.field.below(prefix)));
        });
        if patched.iter().any(Option::is_some) {
            let next = |_: &Request<'_>, _: &Request<'_>, _: &FieldPath| patched.pop_front().flatten();
            report.change(document, || {
                let changed = rendered(document, &options.namespace, WorkloadKinds::BUILT_IN, &arena, next);
                changed
                    .map_err(|unreadable| format!("line {}: {}", unreadable.position.line, unreadable.reason))
            });
        }
    }
}

impl ManifestEvaluator for DocumentContext<'_, '_> {
    type Exceptions = ();

    fn policies(&self) -> &[ConfiguredPolicy] {
        &self.options.policies
    }

    fn kinds(&self) -> WorkloadKinds<'_> {
        WorkloadKinds::BUILT_IN
    }

    fn evaluate<'a>(&self, request: &Request<'a>) -> (Verdicts<'a>, ()) {
        (admit(&self.options.policies, request, self.cluster, AdmissionPhase::Mutating), ())
    }

    fn is_reported(&self, own: &Verdicts<'_>, (): &(), finding: &Finding) -> bool {
        let mut rows = own.rows.iter().map(|row| &row.verdict);
        let is_same = |other: &Finding| other.field == finding.field && other.message == finding.message;
        rows.any(|verdict| verdict.denials.iter().chain(&verdict.warnings).any(is_same))
    }
}
