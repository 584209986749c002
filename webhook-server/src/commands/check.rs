//! `pratique check`: every object of every document becomes a CREATE request, and every policy judges it.

mod order;
mod progress;
mod rows;

use policy_core::yaml::{Document, documents};
use policy_core::{AdmissionPhase, Arena, NoCluster, Objects, Request, WatchedKind, admit};
use policy_manifests::{as_admitted, each};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::args::{CheckArgs, End};
use crate::config::Config;
use crate::report::{Printer, Report, Take};
use crate::sources::source_location::At;
use crate::sources::{self, Kustomizations, Place, Source};
use order::Order;
use progress::Progress;

/// How many documents a thread takes at a time.
const BATCH: usize = 32;

/// Runs the command.
///
/// # Errors
/// It cannot start: bad arguments, bad settings, a path that does not exist.
pub fn run(args: &CheckArgs) -> anyhow::Result<End> {
    let config = Config::load_for(&args.manifests.selection, &args.manifests.paths)?;
    for name in &config.unasked {
        anstream::eprintln!(
            "pratique: {name} is not asked: it would take what is given for the whole cluster; name it with --policy"
        );
    }
    let places = sources::places(&args.manifests.paths, Kustomizations::Build)?;
    let mut printer = Printer::new(&args.report)?;
    let reads = reads(&config);
    let read = |place: &Place, printer: &mut Printer| {
        let unreadable =
            |error| printer.take(Report { errors: vec![format!("{error:#}")], ..Report::default() });
        place.read().map_err(unreadable).ok()
    };
    if reads.is_empty() {
        // One source at a time is in memory.
        for place in &places {
            if let Some(source) = read(place, &mut printer) {
                check(&source, &config, &Objects::default(), &args.manifests.namespace, &mut printer);
            }
        }
    } else {
        let sources: Vec<Source> = places.iter().filter_map(|place| read(place, &mut printer)).collect();
        let arena = Arena::new();
        let cluster = cluster(&sources, &reads, &config, &args.manifests.namespace, &arena);
        for source in &sources {
            check(source, &config, &cluster, &args.manifests.namespace, &mut printer);
        }
    }
    let unused = config.exceptions.unused(config.governs_all);
    let failures = unused.map(|unused| format!("{}: nothing needs this {unused}: strike it", unused.place));
    printer.take(Report { failures: failures.collect(), ..Report::default() });
    printer.end()
}

/// The kinds of objects that are looked at beside the one that is judged: by policies, and by what follows from them.
pub(crate) fn reads(config: &Config) -> Vec<WatchedKind> {
    config.reads().into_iter().chain(config.prerequisites()).collect()
}

/// The objects of these sources that policies look at, as the cluster: workloads with what admission adds to their pods. What
/// cannot be read is said when it is judged.
pub fn cluster<'a>(
    sources: &'a [Source],
    reads: &[WatchedKind],
    config: &Config,
    namespace: &'a str,
    arena: &'a Arena,
) -> Objects<'a> {
    let mut kept = Vec::new();
    for document in sources.iter().flat_map(|source| documents(&source.text)) {
        if !could_be(document.text, reads) {
            continue;
        }
        each(&document, namespace, arena, |object| {
            let Ok((request, _)) = object else { return };
            let wanted =
                |read: &WatchedKind| read.group == request.kind.group && read.kind == request.kind.name;
            if reads.iter().any(wanted) {
                let patched = |pod: &Request<'a>| {
                    admit(&config.policies, pod, &NoCluster, AdmissionPhase::Mutating).patched
                };
                kept.extend(as_admitted(&request, config.kinds(), patched));
            }
        });
    }
    Objects::new(kept, namespace)
}

/// Whether a text could hold an object of one of these kinds, at a glance: most documents are of others, and reading them all
/// takes as long as judging them. Where the glance cannot tell, it could.
fn could_be(text: &str, kinds: &[WatchedKind]) -> bool {
    if text.contains('\\') {
        return true;
    }
    text.match_indices("kind").any(|(at, key)| {
        let rest =
            text.get(at + key.len()..).unwrap_or_default().trim_start_matches(['"', '\'']).trim_start();
        let Some(value) = rest.strip_prefix(':') else { return false };
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        match value.starts_with(|c: char| c.is_ascii_alphabetic()) {
            true => {
                let end = value.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(value.len());
                let kind = value.get(..end).unwrap_or_default();
                kinds.iter().any(|read| read.kind == kind)
            }
            // A tag, an anchor, an alias, a block scalar or a comment.
            false => true,
        }
    })
}

/// Judges every object of a source, on all processors, and gives what is found in the source's order, as soon as that is known.
pub fn check(source: &Source, config: &Config, cluster: &Objects<'_>, namespace: &str, taker: &mut dyn Take) {
    let documents = documents(&source.text);
    let batches: Vec<&[Document<'_>]> = documents.chunks(BATCH).collect();
    let next = AtomicUsize::new(0);
    let progress = Progress::new(source.text.len() as u64);
    let (order, lines) = (Order::new(taker), OnceLock::new());
    let work = || {
        let mut arena = Arena::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(index) else { break };
            let mut part = Report::default();
            for (i, document) in batch.iter().enumerate() {
                let at = At::new(source, (document, index * BATCH + i + 1), namespace, &lines);
                let judge =
                    AssertUnwindSafe(|| judge_document(&at, config, cluster, namespace, &arena, &mut part));
                if catch_unwind(judge).is_err() {
                    let reason = "a bug in pratique: it could not be judged";
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

fn judge_document<'a>(
    at: &At<'_>,
    config: &Config,
    cluster: &'a Objects<'_>,
    namespace: &'a str,
    arena: &'a Arena,
    report: &mut Report,
) {
    each(at.document, namespace, arena, |object| match object {
        Ok((request, prefix)) => rows::add(at, config, cluster, &request, prefix, report),
        Err(unreadable) => report.errors.push(format!("{}:{unreadable}", at.source.name)),
    });
}

#[cfg(test)]
mod tests;
