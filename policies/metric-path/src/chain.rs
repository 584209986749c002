//! The way of a custom metric, link by link: from who asks for it to whoever exports what is counted in it.

use std::cell::Cell;

use policy_core::path::excerpt;
use policy_core::{Cluster, Field, Request, Undecided};

use crate::adapter::{self, Rule};
use crate::autoscaler;
use crate::broken::Broken;
use crate::recorded::{Labels, Raw, Walk, recorded};
use crate::scrape::Scrape;
use crate::set::{Object, Pods, Set};
use crate::settings::{ControlId, MetricPath};

/// How many monitors that are broken are named.
const MOST_REASONS: usize = 3;

/// The way of one metric of one autoscaler, to be shown.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Where in the autoscaler it is asked for.
    pub field: String,
    /// The links, from who asks to who exports; those after a broken one are not known.
    pub links: Vec<Link>,
}

/// A link.
#[derive(Clone, Debug)]
pub struct Link {
    /// Which object it is.
    pub who: String,
    /// What it has to do with the metric.
    pub says: String,
    /// What is the matter with it.
    pub broken: Option<String>,
}

impl Link {
    pub(crate) fn new(who: impl Into<String>, says: impl Into<String>) -> Self {
        Link { who: who.into(), says: says.into(), broken: None }
    }
}

/// What an autoscaler asks for.
pub(crate) struct Asked<'s, 'a> {
    /// Where it says the metric's name.
    pub(crate) field: Field<'a>,
    pub(crate) name: &'a str,
    pub(crate) of: Of<'a>,
    /// The pods that are scaled, if they are known.
    pub(crate) target: Option<&'s Pods<'a>>,
    pub(crate) namespace: &'a str,
}

/// Of what the metric is.
#[derive(Clone, Copy)]
pub(crate) enum Of<'a> {
    /// Of each pod that is scaled.
    Pods,
    /// Of an object, such as a Service.
    Object { kind: &'a str, name: &'a str },
    /// Of nothing in the cluster.
    Nothing,
}

/// The way as far as it goes.
#[derive(Default)]
pub(crate) struct Way<'a> {
    pub(crate) links: Vec<Link>,
    pub(crate) broken: Option<Broken<'a>>,
    /// Why it could not be followed to the end, where that is nobody's fault.
    pub(crate) note: Option<String>,
}

/// The ways of the metrics that an autoscaler asks for and that are wanted, by their names; a resource (`cpu`) is one too.
///
/// # Errors
/// An object is not as Kubernetes has it.
pub fn chains<'a>(
    settings: &'a MetricPath,
    request: &Request<'a>,
    cluster: &'a dyn Cluster,
    mut is_wanted: impl FnMut(&str) -> bool,
) -> Result<Vec<Chain>, Undecided> {
    let set = Set::new(settings, request, cluster);
    let own = format!("HorizontalPodAutoscaler {}/{}", request.namespace, request.display_name()?);
    let target = autoscaler::target(&set, request)?;
    let mut chains = Vec::new();
    for item in request.object.at("spec.metrics").items()? {
        let pods = target.as_ref().ok().copied().flatten();
        let asked = autoscaler::asked(request, item, pods)?;
        let (field, name) = match &asked {
            Some(asked) => (asked.field, asked.name),
            None => {
                let field = item.at("containerResource.name");
                let field = if field.is_set()? { field } else { item.at("resource.name") };
                (field, field.text()?)
            }
        };
        if !is_wanted(name) {
            continue;
        }
        let mut links = vec![Link::new(own.as_str(), format!("asks for `{}`", excerpt(name)))];
        let broken = match (&target, asked) {
            (Err(broken), _) => Some(broken.clone()),
            (Ok(_), Some(asked)) => {
                let way = follow(&set, &asked)?;
                links.extend(way.links);
                links.extend(way.note.map(|note| Link::new("not followed", note)));
                way.broken
            }
            (Ok(Some(pods)), None) => {
                links.push(Link::new(pods.shown(), "is measured by metrics-server, against its requests"));
                autoscaler::measured(item, pods)?
            }
            (Ok(None), None) => None,
        };
        if let (Some(broken), Some(last)) = (broken, links.last_mut()) {
            last.broken = Some(broken.message);
        }
        chains.push(Chain { field: field.path().to_string(), links });
    }
    Ok(chains)
}

/// Follows a custom metric.
///
/// # Errors
/// An object is not as Kubernetes has it.
pub(crate) fn follow<'a>(set: &Set<'a>, asked: &Asked<'_, 'a>) -> Result<Way<'a>, Undecided> {
    let mut way = Way::default();
    let list = if matches!(asked.of, Of::Nothing) { "externalRules" } else { "rules" };
    let rules = adapter::rules(set, list)?;
    // Of several that make it, the one that knows of which object it is.
    let mut named = Vec::new();
    for rule in rules.iter().filter(|rule| rule.metric.as_deref() == Some(asked.name)) {
        let knows = labels(asked, rule)?.is_ok();
        named.insert(if knows { 0 } else { named.len() }, rule);
    }
    let Some(rule) = named.first().copied() else {
        let open: Vec<String> = rules.iter().filter(|rule| rule.metric.is_none()).map(Rule::shown).collect();
        if open.is_empty() {
            let made: Vec<String> = rules.iter().map(Rule::called).collect();
            let made = if made.is_empty() { "none".to_owned() } else { made.join(", ") };
            let message = format!("must be made by a rule of prometheus-adapter, which makes {made}");
            way.broken = Some(Broken::new(ControlId::AdapterRule, asked.field, message));
        } else {
            way.note =
                Some(format!("is not followed: {} may make it, by a regular expression", open.join(", ")));
        }
        return Ok(way);
    };
    way.links.push(Link::new(rule.config.shown(), format!("makes it of {}", rule.takes())));
    let labels = match labels(asked, rule)? {
        Ok(labels) => labels,
        Err(message) => {
            way.broken = Some(Broken::new(ControlId::AdapterRule, asked.field, message));
            return Ok(way);
        }
    };
    let Some(series) = &rule.series else {
        way.note =
            Some(format!("is not followed further: {} selects series by a regular expression", rule.shown()));
        return Ok(way);
    };
    let mut raw = Vec::new();
    let walk = Walk { set, asked, rule, is_loop: Cell::new(false) };
    let broken = recorded(&walk, series, &labels, (&mut raw, &mut way.links), (0, &mut Vec::new()))?;
    if let Some(message) = broken {
        way.broken = Some(Broken::new(ControlId::Series, asked.field, message));
        return Ok(way);
    }
    if raw.is_empty() && walk.is_loop.get() {
        let message = "must come from series that are scraped: its record is made of itself";
        way.broken = Some(Broken::new(ControlId::Series, asked.field, message));
        return Ok(way);
    }
    source(set, asked, &raw, &mut way)?;
    Ok(way)
}

/// The labels by which a rule tells of which object the metric is, each with the value that it must have, if that is known.
fn labels<'a>(asked: &Asked<'_, 'a>, rule: &Rule<'a>) -> Result<Result<Labels<'a>, String>, Undecided> {
    let wanted = match asked.of {
        Of::Nothing => return Ok(Ok(Vec::new())),
        Of::Pods => ("pod".to_owned(), None),
        Of::Object { kind, name } => (kind.to_ascii_lowercase(), Some(name)),
    };
    let mut labels = Vec::new();
    for (resource, value) in [("namespace".to_owned(), Some(asked.namespace)), wanted] {
        let Some(label) = rule.label_of(&resource)? else {
            return Ok(Err(format!(
                "must be of a {resource}: {} does not say which label names it",
                rule.shown()
            )));
        };
        labels.push((label.into_owned(), value));
    }
    Ok(Ok(labels))
}

/// From the series to a port that is scraped: of the pods that are scaled, or of whoever exports it.
fn source<'a>(
    set: &Set<'a>,
    asked: &Asked<'_, 'a>,
    raw: &[Raw<'a>],
    way: &mut Way<'a>,
) -> Result<(), Undecided> {
    // What the cluster's own parts export says nothing of who exports it here.
    if let Some(raw) = raw.iter().find(|raw| raw.is_of_the_cluster()) {
        way.note =
            Some(format!("is not followed further: {} comes from the cluster itself", raw.series.shown()));
        return Ok(());
    }
    let mut found = Vec::new();
    let narrow = set.narrowed(|pods| raw.iter().any(|raw| raw.may_be_of(asked, pods)))?;
    for monitor in narrow.monitors()? {
        found.extend(narrow.found(&monitor)?.scrapes.into_iter().map(|scrape| (monitor, scrape)));
    }
    let of = |raw: &Raw<'a>| found.iter().find(|(_, scrape)| raw.is_from(asked, scrape));
    let mut alternatives: Vec<usize> = raw.iter().map(|raw| raw.alternative).collect();
    alternatives.dedup();
    // Of those that an `or` parts one is enough, with all that it is made of.
    for alternative in alternatives {
        let parts = || raw.iter().filter(|raw| raw.alternative == alternative);
        if let Some(first) = parts().next()
            && parts().all(|raw| of(raw).is_some())
            && let Some((monitor, scrape)) = of(first)
        {
            way.links.extend(links(first, monitor, scrape));
            return Ok(());
        }
    }
    let raw: Vec<&Raw<'a>> = raw.iter().filter(|raw| of(raw).is_none()).collect();
    // An expression of the time, or of nothing, needs nobody.
    if raw.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = raw.iter().map(|raw| raw.series.shown()).collect();
    let who = match asked.target {
        Some(pods) if raw.iter().any(|raw| raw.of_target) => pods.shown(),
        _ => "whoever exports it".to_owned(),
    };
    way.links.push(Link::new(who.as_str(), format!("is to export {}", names.join(", "))));
    // A monitor that is broken is the likely reason.
    let namespaces: Vec<&str> =
        raw.iter().map(|raw| raw.series.value_of("namespace").unwrap_or(asked.namespace)).collect();
    let mut reasons = Vec::new();
    for monitor in set.monitors()?.iter().filter(|monitor| namespaces.contains(&monitor.namespace)) {
        for broken in set.found(monitor)?.broken {
            reasons.push(format!("{}: {}", monitor.shown(), broken.sentence()));
        }
        if reasons.len() >= MOST_REASONS {
            break;
        }
    }
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let message = format!("must be exported: no monitor has {} scraped from {who}{why}", names.join(", "));
    way.broken = Some(Broken::new(ControlId::Source, asked.field, message));
    Ok(())
}

fn links(raw: &Raw<'_>, monitor: &Object<'_>, scrape: &Scrape<'_>) -> Vec<Link> {
    let exporter = if scrape.container.name.is_empty() { "a container" } else { scrape.container.name };
    let mut links = vec![Link::new(
        scrape.pods.shown(),
        format!(
            "exports {} from container `{}`, port {}",
            raw.series.shown(),
            excerpt(exporter),
            scrape.number
        ),
    )];
    if let Some((service, port)) = &scrape.service {
        let says = match port.at("name").text() {
            Ok(port) if !port.is_empty() => format!("leads there from its port `{}`", excerpt(port)),
            _ => "leads to its pods".to_owned(),
        };
        links.push(Link::new(service.shown(), says));
    }
    links.push(Link::new(monitor.shown(), "has it scraped"));
    let through = match scrape.through.as_slice() {
        [] => "nothing isolates either side".to_owned(),
        names => format!("let Prometheus reach it: {}", names.join(", ")),
    };
    links.push(Link::new("NetworkPolicies", through));
    links
}
