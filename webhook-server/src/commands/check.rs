//! `pratique check`: evaluates every object of every document as a CREATE request, with every policy.

mod decoded;
mod order;
mod progress;
mod results;

use policy_core::yaml::documents;
use policy_core::{AdmissionPhase, Arena, NoCluster, Objects, Request, Value, WatchedKind, admit};
use policy_manifests::{as_admitted, each_decoded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::args::{CheckArgs, ExitStatus};
use crate::config::Config;
use crate::report::{Printer, Report, ReportSink};
use crate::sources::source_location::DocumentOrigin;
use crate::sources::{self, Input, Kustomizations, Source};
use decoded::{DecodedDocument, DocumentValue};
use order::ReportOrder;
use progress::CheckProgress;

/// Number of documents that a thread processes at a time.
const BATCH: usize = 32;

/// Runs the command.
///
/// # Errors
/// The arguments or settings are invalid, or a path does not exist.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitStatus> {
    let config = Config::load_for(&args.manifests.selection, &args.manifests.paths)?;
    if !config.skipped.is_empty() {
        print_error!(
            "pratique: skipped {}: they need a complete manifest set; to run them on one, list all policies in its policies.yaml",
            config.skipped.join(", ")
        );
    }
    let places = sources::places(&args.manifests.paths, Kustomizations::Build)?;
    let mut printer = Printer::new(&args.report)?;
    let reads = reads(&config);
    let namespace = args.manifests.namespace.as_str();
    let read = |place: &Input, printer: &mut Printer| {
        let unreadable =
            |error| printer.take(Report { errors: vec![format!("{error:#}")], ..Report::default() });
        place.read().map_err(unreadable).ok()
    };
    if reads.is_empty() {
        // Only one source at a time is in memory.
        for place in &places {
            if let Some(source) = read(place, &mut printer) {
                check(&source, &config, &Objects::default(), namespace, &mut printer);
            }
        }
    } else {
        let sources: Vec<Source> = places.iter().filter_map(|place| read(place, &mut printer)).collect();
        let mut arenas = decoded::arenas();
        let decoded = decoded::decode(&sources, &mut arenas);
        let arena = Arena::new();
        let all = decoded.iter().flat_map(|(_, documents)| documents);
        let cluster = Objects::new(stored(all, &reads, &config, namespace, &arena), namespace);
        for (source, documents) in &decoded {
            check_documents(source, documents, &config, &cluster, namespace, &mut printer);
        }
    }
    let unused = config.exceptions.unused(config.is_from_checked_directory);
    let failures = unused.map(|unused| format!("{}: unused {unused}: remove it", unused.place));
    printer.take(Report { failures: failures.collect(), ..Report::default() });
    printer.end()
}

/// The kinds of other objects that the evaluation reads: those that policies read, and those of prerequisites.
pub(crate) fn reads(config: &Config) -> Vec<WatchedKind> {
    config.reads().into_iter().chain(config.prerequisites()).collect()
}

/// Builds cluster data from the objects of these sources that policies read. Workloads include the changes of admission to
/// their pods. Objects that cannot be read are reported when they are evaluated.
pub fn cluster<'a>(
    sources: &'a [Source],
    reads: &[WatchedKind],
    config: &Config,
    namespace: &'a str,
    arena: &'a Arena,
) -> Objects<'a> {
    let documents = sources.iter().flat_map(|source| documents(&source.text));
    let documents: Vec<DecodedDocument<'a>> =
        documents.map(|document| DecodedDocument::decoded(document, arena)).collect();
    Objects::new(stored(&documents, reads, config, namespace, arena), namespace)
}

/// The objects of the kinds in `reads`, as they are after admission.
fn stored<'a, 'd>(
    documents: impl IntoIterator<Item = &'d DecodedDocument<'a>>,
    reads: &[WatchedKind],
    config: &Config,
    namespace: &'a str,
    arena: &'a Arena,
) -> Vec<Value<'a>>
where
    'a: 'd,
{
    let mut kept = Vec::new();
    for DecodedDocument { document, value } in documents {
        let DocumentValue::Now(value) = value else { continue };
        each_decoded(document, value.clone(), namespace, arena, |object| {
            let Ok((request, _)) = object else { return };
            let is_read =
                |read: &WatchedKind| read.group == request.kind.group && read.kind == request.kind.kind;
            // Policies do not list custom workload kinds, but those that read workloads also read these.
            if config.kinds().adds(&request) || reads.iter().any(is_read) {
                let patched = |pod: &Request<'a>| {
                    admit(&config.policies, pod, &NoCluster, AdmissionPhase::Mutating).patched
                };
                kept.extend(as_admitted(&request, config.kinds(), patched));
            }
        });
    }
    kept
}

/// Evaluates every object of a source. Each document is decoded just before it is evaluated.
pub fn check(
    source: &Source,
    config: &Config,
    cluster: &Objects<'_>,
    namespace: &str,
    taker: &mut dyn ReportSink,
) {
    let documents: Vec<DecodedDocument<'_>> =
        documents(&source.text).into_iter().map(DecodedDocument::new).collect();
    check_documents(source, &documents, config, cluster, namespace, taker);
}

/// Evaluates every object of a source on all processors. Results are passed on early, but in the order of the source.
fn check_documents(
    source: &Source,
    documents: &[DecodedDocument<'_>],
    config: &Config,
    cluster: &Objects<'_>,
    namespace: &str,
    taker: &mut dyn ReportSink,
) {
    let batches: Vec<&[DecodedDocument<'_>]> = documents.chunks(BATCH).collect();
    let next = AtomicUsize::new(0);
    let progress = CheckProgress::new(source.text.len() as u64);
    let (order, lines) = (ReportOrder::new(taker), OnceLock::new());
    let work = || {
        let mut arena = Arena::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(index) else { break };
            let mut part = Report::default();
            for (i, decoded) in batch.iter().enumerate() {
                let document = &decoded.document;
                let at = DocumentOrigin::new(source, document, index * BATCH + i + 1, namespace, &lines);
                let evaluate = AssertUnwindSafe(|| {
                    let evaluation = DocumentEvaluator { config, cluster, namespace };
                    evaluation.document(&at, decoded, &arena, &mut part);
                });
                if catch_unwind(evaluate).is_err() {
                    let reason = "a bug in pratique: the document could not be evaluated";
                    part.errors.push(format!("{}:{}: {reason}", source.name, document.start()));
                }
                arena.reset();
                progress.add(document.text.len() as u64);
            }
            order.give(index, part);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(batches.len());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    progress.finish();
}

/// Evaluates documents with this configuration, cluster data and default namespace.
struct DocumentEvaluator<'e> {
    config: &'e Config,
    cluster: &'e Objects<'e>,
    namespace: &'e str,
}

impl DocumentEvaluator<'_> {
    fn document<'a>(
        &'a self,
        at: &DocumentOrigin<'_>,
        decoded: &DecodedDocument<'a>,
        arena: &'a Arena,
        report: &mut Report,
    ) {
        let value = decoded.value(arena);
        each_decoded(&decoded.document, value, self.namespace, arena, |object| match object {
            Ok((request, prefix)) => results::add(at, self.config, self.cluster, &request, prefix, report),
            Err(unreadable) => report.errors.push(format!("{}:{unreadable}", at.source.name)),
        });
    }
}

#[cfg(test)]
mod tests;
