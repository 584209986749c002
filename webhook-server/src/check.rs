//! `pratique check`: every object of every document becomes a CREATE request, and every policy judges it.

use std::cell::OnceCell;
use std::io::IsTerminal as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use policy_core::yaml::{Document, Places, Position, documents};
use policy_core::{Arena, Field, FieldPath, Finding, Half, Objects, Read, Request, Undecided, Value, admit};

use crate::args::{CheckArgs, End};
use crate::config::Config;
use crate::input::{self, Kustomizations, Place, Source};
use crate::report::{ExceptedFinding, Found, ObjectName, Report, Row, SourcePosition};

/// How many documents a thread takes at a time.
const BATCH: usize = 32;
/// After how long a progress bar appears.
const LONG: Duration = Duration::from_millis(400);

/// Runs the command.
///
/// # Errors
/// It cannot start: bad arguments, bad settings, a path that does not exist.
pub fn run(args: &CheckArgs) -> anyhow::Result<End> {
    let config = Config::load_for(&args.selection, &args.paths)?;
    let places = input::places(&args.paths, Kustomizations::Build)?;
    let mut report = Report::default();
    let reads: Vec<Read> =
        config.policies.iter().flat_map(|configured| configured.about.reads).copied().collect();
    let read = |place: &Place, report: &mut Report| {
        place.read().map_err(|error| report.errors.push(format!("{error:#}"))).ok()
    };
    if reads.is_empty() {
        // One source at a time is in memory.
        for place in &places {
            if let Some(source) = read(place, &mut report) {
                check(&source, &config, &Objects::default(), &args.namespace, &mut report);
            }
        }
    } else {
        let sources: Vec<Source> = places.iter().filter_map(|place| read(place, &mut report)).collect();
        let arena = Arena::new();
        let cluster = cluster(&sources, &reads, &args.namespace, &arena);
        for source in &sources {
            check(source, &config, &cluster, &args.namespace, &mut report);
        }
    }
    for exception in config.exceptions.unused(config.governs_all) {
        report.failures.push(format!("{}: nothing needs this {exception}: strike it", exception.place));
    }
    report.print(args.output)?;
    Ok(report.end())
}

/// The objects of these sources that policies look at, as the cluster. What cannot be read is said when it is judged.
fn cluster<'a>(sources: &'a [Source], reads: &[Read], namespace: &'a str, arena: &'a Arena) -> Objects<'a> {
    let mut kept = Vec::new();
    for document in sources.iter().flat_map(|source| documents(&source.text)) {
        let Ok(Some(value)) = document.decode(arena) else { continue };
        let mut objects = Vec::new();
        if unlist(Field::root(value, arena), FieldPath::default(), None, &mut objects).is_err() {
            continue;
        }
        for (object, _) in objects {
            let Ok(request) = Request::create(object, "default") else { continue };
            let wanted = |read: &Read| read.group == request.kind.group && read.kind == request.kind.name;
            if let (true, Ok(Some(value))) = (reads.iter().any(wanted), object.value()) {
                kept.push(*value);
            }
        }
    }
    Objects::new(kept, namespace)
}

/// Judges every object of a source, on all processors, and adds to the report in the source's order.
pub fn check(source: &Source, config: &Config, cluster: &Objects<'_>, namespace: &str, report: &mut Report) {
    let documents = documents(&source.text);
    let batches: Vec<&[Document<'_>]> = documents.chunks(BATCH).collect();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Report)>> = Mutex::new(Vec::with_capacity(batches.len()));
    let progress = Progress::new(source.text.len() as u64);
    let work = || {
        let mut arena = Arena::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(index) else { break };
            let mut part = Report::default();
            for (i, document) in batch.iter().enumerate() {
                let at = At { source, document, number: index * BATCH + i + 1, places: OnceCell::new() };
                let judge =
                    AssertUnwindSafe(|| judge_document(&at, config, cluster, namespace, &arena, &mut part));
                if catch_unwind(judge).is_err() {
                    let reason = "a bug in pratique: it could not be judged";
                    part.errors.push(format!("{}:{}: {reason}", source.name, document.start()));
                }
                arena.reset();
                progress.add(document.text.len() as u64);
            }
            if let Ok(mut done) = done.lock() {
                done.push((index, part));
            }
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
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(index, _)| *index);
    for (_, part) in done {
        report.extend(part);
    }
}

/// A document and where it comes from.
struct At<'s> {
    source: &'s Source,
    document: &'s Document<'s>,
    number: usize,
    /// Where its fields stand: most documents have no finding, and need no second look at their text.
    places: OnceCell<Places>,
}

impl At<'_> {
    fn place(&self, path: &FieldPath) -> Position {
        self.places.get_or_init(|| self.document.places()).of(path)
    }

    fn unreadable(&self, undecided: &Undecided, prefix: &FieldPath) -> String {
        let position = self.place(&undecided.field.below(prefix));
        format!("{}:{position}: not a Kubernetes object: {undecided}", self.source.name)
    }
}

fn judge_document<'a>(
    at: &At<'a>,
    config: &Config,
    cluster: &'a Objects<'_>,
    namespace: &'a str,
    arena: &'a Arena,
    report: &mut Report,
) {
    let value = match at.document.decode(arena) {
        Ok(Some(value)) => value,
        Ok(None) => return,
        Err(error) => {
            report.errors.push(format!("{}:{}: {error}", at.source.name, error.position));
            return;
        }
    };
    let mut objects = Vec::new();
    let unlisted = unlist(Field::root(value, arena), FieldPath::default(), None, &mut objects);
    if let Err(undecided) = unlisted {
        report.errors.push(at.unreadable(&undecided, &FieldPath::default()));
        return;
    }
    for (object, prefix) in objects {
        match Request::create(object, namespace) {
            Ok(request) => judge_object(at, config, cluster, &request, &prefix, report),
            Err(undecided) => report.errors.push(at.unreadable(&undecided, &prefix)),
        }
    }
}

/// The objects of a `List`, or the one object there is, each with its path in the document.
pub(crate) fn unlist<'a>(
    object: Field<'a>,
    prefix: FieldPath,
    of: Option<(&'a str, &'a str)>,
    objects: &mut Vec<(Field<'a>, FieldPath)>,
) -> Result<(), Undecided> {
    // What has items is a list to kubectl, whatever kind it says it is.
    let items = object.at("items");
    let is_list = matches!(items.value()?, Some(Value::Array(_)));
    let list_kind = object.at("kind").text()?.strip_suffix("List");
    // And it is itself to whoever decodes it as its kind.
    if !is_list || list_kind.is_none() {
        // The items of a PodList are Pods without saying so.
        let object = match of {
            Some((version, kind)) if object.at("kind").text()?.is_empty() => object.naming(version, kind)?,
            _ => object.rerooted(),
        };
        objects.push((object, prefix.clone()));
    }
    if !is_list {
        return Ok(());
    }
    let kind = list_kind.filter(|kind| !kind.is_empty());
    let version = object.at("apiVersion").text()?;
    for item in items.items()? {
        let path = item.path().below(&prefix);
        unlist(item.rerooted(), path, kind.map(|kind| (version, kind)), objects)?;
    }
    Ok(())
}

fn judge_object(
    at: &At<'_>,
    config: &Config,
    cluster: &Objects<'_>,
    request: &Request<'_>,
    prefix: &FieldPath,
    report: &mut Report,
) {
    let start = if prefix.0.is_empty() { at.document.start() } else { at.place(prefix) };
    if request.kind.name == "AdmissionReview" {
        let reason = "an AdmissionReview is no manifest: post it to the webhook, or check the object in it";
        report.errors.push(format!("{}:{start}: {reason}", at.source.name));
        return;
    }
    let mut verdicts = admit(&config.policies, request, cluster, Half::Mutate);
    let excepted = config.exceptions.apply(request, &mut verdicts);
    report.count(&verdicts);
    if verdicts.rows.is_empty() && has_pod_template(request) {
        let name = ObjectName::of(request);
        report
            .notes
            .push(format!("{}:{start}: {name}: no policy judges the pods that it makes", at.source.name));
    }
    for row in verdicts.rows {
        let found = |finding: &Finding| {
            let Position { line, column } = at.place(&finding.field.below(prefix));
            Found {
                field: finding.field.to_string(),
                message: finding.message.clone(),
                control: finding.control,
                line,
                column,
            }
        };
        let denials: Vec<Found> = row.verdict.denials.iter().map(found).collect();
        let warnings: Vec<Found> = row.verdict.warnings.iter().map(found).collect();
        let first = denials.first().or(warnings.first()).map(|found| (found.line, found.column));
        let (line, column) = first.unwrap_or((start.line, start.column));
        report.rows.push(Row {
            policy: row.about.name,
            remediation: row.about.remediation,
            outcome: row.verdict.outcome(),
            source: SourcePosition { file: at.source.name.clone(), line, column, document: at.number },
            object: ObjectName::of(request),
            denials,
            warnings,
            excepted: excepted
                .iter()
                .filter(|excepted| excepted.policy == row.about.name)
                .map(|excepted| ExceptedFinding::new(found(&excepted.finding), excepted.exception))
                .collect(),
            left_out: row.verdict.left_out,
            patch: if row.verdict.edits.is_empty() { Vec::new() } else { verdicts.patch.clone() },
        });
    }
}

/// Whether an object of a kind that no policy takes makes pods all the same, as those of many operators do.
fn has_pod_template(request: &Request<'_>) -> bool {
    let template = request.object.at("spec.template.spec.containers");
    template.is_set().unwrap_or(true)
}

/// A progress bar on standard error, if that is a terminal and the work is long.
struct Progress {
    bar: ProgressBar,
    wanted: bool,
    since: Instant,
}

impl Progress {
    fn new(length: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}") {
            bar.set_style(style);
        }
        Progress { bar, wanted: std::io::stderr().is_terminal(), since: Instant::now() }
    }

    fn add(&self, bytes: u64) {
        if !self.wanted {
            return;
        }
        self.bar.inc(bytes);
        if self.bar.is_hidden() && self.since.elapsed() > LONG {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use policy_core::{Cluster, Configured, Evaluate, Outcome, Verdict};

    use super::*;
    use crate::args::Selection;

    fn report(text: &str) -> Report {
        let config = Config::load(&Selection::default()).unwrap();
        let source = Source { name: "x.yaml".to_owned(), text: text.to_owned() };
        let mut report = Report::default();
        check(&source, &config, &Objects::default(), "default", &mut report);
        report
    }

    #[test]
    fn lists_are_judged_item_by_item() {
        let pod =
            "metadata: {name: web}\n    spec: {containers: [{name: c, securityContext: {privileged: true}}]}";
        let list =
            |kind: &str, head: &str| format!("apiVersion: v1\nkind: {kind}\nitems:\n  - {head}{pod}\n");
        let whole = "apiVersion: v1\n    kind: Pod\n    ";
        for text in [list("List", whole), list("PodList", ""), list("ConfigMap", whole), list("Pod", whole)] {
            let report = report(&text);
            assert_eq!(report.errors, Vec::<String>::new());
            let denial =
                report.rows.iter().flat_map(|row| &row.denials).find(|d| d.control == Some("privileged"));
            let denial = denial.unwrap();
            assert_eq!(denial.field, "spec.containers[0].securityContext.privileged");
            let line = text.lines().position(|line| line.contains("privileged")).unwrap() + 1;
            assert_eq!(denial.line, line);
        }
    }

    /// To `kubectl` what has items is a list; to others it is what it says it is, with a field that they do not know.
    #[test]
    fn a_pod_does_not_hide_behind_items() {
        let pod = "apiVersion: v1\nkind: Pod\nspec: {hostNetwork: true, containers: [{name: c}]}\nitems: ";
        for items in ["[]", "[{apiVersion: v1, kind: ConfigMap}]", "{a: 1}", "null", "7"] {
            let report = report(&format!("{pod}{items}\n"));
            let denied =
                report.rows.iter().flat_map(|row| &row.denials).any(|d| d.field == "spec.hostNetwork");
            assert!(denied, "{items}");
        }
    }

    /// A policy that looks at the cluster sees the documents that were given, in whatever order.
    #[test]
    fn the_other_documents_are_the_cluster() {
        struct WantsConfigMap;
        impl Evaluate for WantsConfigMap {
            fn evaluate(
                &self,
                request: &Request<'_>,
                cluster: &dyn Cluster,
                verdict: &mut Verdict,
            ) -> Result<(), Undecided> {
                let arena = request.object.arena();
                if cluster.list("", "ConfigMap", Some(request.namespace), arena)?.is_empty() {
                    verdict.deny(request.object.at("metadata.namespace"), "must have a ConfigMap");
                }
                Ok(())
            }
        }
        const READS: &[Read] = &[Read { group: "", version: "v1", kind: "ConfigMap" }];
        let about = policy_catalog::POLICIES[0].about;
        let policies = vec![Configured { about, policy: Box::new(WantsConfigMap) }];
        let config = Config { policies, ..Config::default() };
        let pod = |namespace: &str| {
            format!("apiVersion: v1\nkind: Pod\nmetadata: {{namespace: {namespace}}}\n---\n")
        };
        let config_map = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {namespace: a}}\n";
        let sources = [
            Source { name: "pods.yaml".to_owned(), text: pod("a") + &pod("b") },
            Source { name: "maps.yaml".to_owned(), text: config_map.to_owned() },
        ];
        let arena = Arena::new();
        let cluster = cluster(&sources, READS, "default", &arena);
        let mut report = Report::default();
        check(&sources[0], &config, &cluster, "default", &mut report);
        let outcomes: Vec<Outcome> = report.rows.iter().map(|row| row.outcome).collect();
        assert_eq!(outcomes, [Outcome::Allow, Outcome::Deny]);
        assert_eq!(report.rows[1].source.line, 7);
    }

    #[test]
    fn what_is_no_object_is_an_error_with_its_place() {
        let report = report("a: 1\n---\nkind: Pod\n---\n- x\n---\n# nothing\n");
        assert_eq!(
            report.errors,
            [
                "x.yaml:1:1: not a Kubernetes object: apiVersion: must be set",
                "x.yaml:3:1: not a Kubernetes object: apiVersion: must be set",
                "x.yaml:5:1: not a Kubernetes object: must be an object, is a list",
            ]
        );
        assert_eq!(report.end(), End::Unreadable);
    }

    #[test]
    fn order_is_the_files_whatever_the_threads_do() {
        let text: String = (0..500)
            .map(|i| format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{i}}}\nspec: {{containers: [{{name: c}}]}}\n"))
            .collect();
        let names: Vec<String> = report(&text).rows.into_iter().map(|row| row.object.name).collect();
        assert_eq!(names, (0..500).map(|i| format!("p{i}")).collect::<Vec<_>>());
    }
}
