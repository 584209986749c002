//! `pratique explain-metric`: shows where an autoscaler's metric comes from, link by link.

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::{Context as _, bail};
use metric_path::{MetricPath, Trace, traces};
use policy_core::path::printable;
use policy_core::yaml::documents;
use policy_core::{Arena, Cluster, Objects, Policy as _, WatchedKind, policy};

use crate::args::{ExitStatus, ExplainMetricArgs};
use crate::commands::check;
use crate::config::Config;
use crate::report::{BOLD, GREEN, RED, wrapped};
use crate::sources::{self, Kustomizations, Source};

/// The kind of object whose metrics are traced.
const AUTOSCALER: WatchedKind =
    WatchedKind { version: "v2", ..WatchedKind::of("autoscaling", "HorizontalPodAutoscaler", &["spec"]) };

/// Runs the command.
///
/// # Errors
/// The arguments or settings are invalid, a file or object cannot be read, or no autoscaler uses the metric.
pub fn run(args: &ExplainMetricArgs) -> anyhow::Result<ExitStatus> {
    let given = &args.manifests;
    let config = Config::load_for(&given.selection, &given.paths)?;
    let name = MetricPath::METADATA.name;
    let listed = config.listed.iter().find(|listed| listed.entry.metadata.name == name);
    let settings = listed.map(|listed| listed.settings.as_str()).unwrap_or_default();
    let settings = policy::configure::<MetricPath>(settings)?;
    let places = sources::places(&given.paths, Kustomizations::Build)?;
    let sources = places.iter().map(sources::Input::read).collect::<anyhow::Result<Vec<Source>>>()?;
    for source in &sources {
        for document in documents(&source.text) {
            let arena = Arena::new();
            document.decode(&arena).map_err(|e| anyhow::anyhow!("{}:{}: {e}", source.name, e.position))?;
        }
    }
    let arena = Arena::new();
    let reads: Vec<WatchedKind> = MetricPath::METADATA.reads.iter().copied().chain([AUTOSCALER]).collect();
    let cluster = check::cluster(&sources, &reads, &config, &given.namespace, &arena);
    let found = found(&settings, &cluster, args, &arena)?;
    let mut out = anstream::stdout();
    for (i, trace) in found.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        draw(trace, &mut out)?;
    }
    let is_broken = found.iter().any(|trace| trace.links.iter().any(|link| link.broken.is_some()));
    Ok(if is_broken { ExitStatus::Denied } else { ExitStatus::Success })
}

/// Traces the metric for every autoscaler that uses it.
fn found<'a>(
    settings: &'a MetricPath,
    cluster: &'a Objects<'a>,
    args: &'a ExplainMetricArgs,
    arena: &'a Arena,
) -> anyhow::Result<Vec<Trace>> {
    let (mut found, mut others) = (Vec::new(), BTreeSet::new());
    for object in cluster.list(AUTOSCALER.group, AUTOSCALER.kind, None, arena)? {
        let request = policy_core::Request::create(object, &args.manifests.namespace)?;
        let name = object.at("metadata.name").text()?.to_owned();
        let is_wanted = |metric: &str| {
            others.insert(metric.to_owned());
            metric == args.metric
        };
        let found_here = traces(settings, &request, cluster, is_wanted);
        found.extend(
            found_here.with_context(|| format!("HorizontalPodAutoscaler {}/{name}", request.namespace))?,
        );
    }
    if found.is_empty() {
        let others: Vec<String> = others.iter().map(|name| printable(name).into_owned()).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        bail!("no autoscaler uses `{}`; metrics of autoscalers: {others}", printable(&args.metric));
    }
    Ok(found)
}

/// Prints the links of a trace, each below the one that it feeds.
fn draw(trace: &Trace, out: &mut impl std::io::Write) -> std::io::Result<()> {
    let last = trace.links.len().saturating_sub(1);
    for (i, link) in trace.links.iter().enumerate() {
        let mark = match link.broken {
            Some(_) => format!("{RED}✗{RED:#}"),
            None => format!("{GREEN}●{GREEN:#}"),
        };
        let place = if i == 0 { format!(" ({})", trace.field) } else { String::new() };
        writeln!(out, "{mark} {BOLD}{}{BOLD:#}{}", printable(&link.object), printable(&place))?;
        let rail = if i == last { ' ' } else { '│' };
        let on_rail = |text: &str, first: usize| wrapped(text, first, 3).replace('\n', &format!("\n{rail}"));
        writeln!(out, "{rail}   {}", on_rail(&printable(&link.role), 4))?;
        if let Some(broken) = &link.broken {
            let lines = on_rail(&printable(broken), 4 + "broken: ".len());
            writeln!(out, "{rail}   {RED}broken: {lines}{RED:#}")?;
        }
        if i < last {
            writeln!(out, "│")?;
        }
    }
    Ok(())
}
