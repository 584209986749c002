//! The way of a custom metric, link by link: from who asks for it to whoever exports what is counted in it.

use std::cell::Cell;

use policy_core::path::excerpt;
use policy_core::{Cluster, Field, Request, Undecided};

use crate::adapter::{self, Asks, Rule};
use crate::autoscaler;
use crate::broken::Broken;
use crate::query::MATCHED;
use crate::recorded::{Labels, Walk, recorded};
use crate::set::{Pods, Set};
use crate::settings::{ControlId, MetricPath};
use crate::source;

/// What pods have to do with a metric of resources.
const MEASURED: &str = "is measured by metrics-server, against its requests";

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

impl Chain {
    /// What is broken is said of the last link that is known.
    fn new(field: Field<'_>, mut links: Vec<Link>, broken: Option<Broken<'_>>) -> Self {
        if let (Some(broken), Some(last)) = (broken, links.last_mut()) {
            last.broken = Some(broken.message);
        }
        Chain { field: field.path().to_string(), links }
    }
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
                links.push(Link::new(pods.shown(), MEASURED));
                autoscaler::measured(item, pods)?
            }
            (Ok(None), None) => None,
        };
        chains.push(Chain::new(field, links, broken));
    }
    let share = request.object.at(autoscaler::SHARE);
    if share.is_set()? && is_wanted("cpu") {
        let mut links = vec![Link::new(own.as_str(), "asks for `cpu`")];
        let broken = match target {
            Err(broken) => Some(broken),
            Ok(None) => None,
            Ok(Some(pods)) => {
                links.push(Link::new(pods.shown(), MEASURED));
                autoscaler::measured_in_v1(request, pods)?
            }
        };
        chains.push(Chain::new(share, links, broken));
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
    let told_by = labels.last().map_or("", |(label, _)| label);
    let asks = rule.asks(told_by, set.arena)?;
    if let Asks::Nothing(message) = asks {
        way.broken = Some(Broken::new(ControlId::AdapterRule, asked.field, message));
        return Ok(way);
    }
    let Some(series) = &rule.series else {
        way.note =
            Some(format!("is not followed further: {} selects series by a regular expression", rule.shown()));
        return Ok(way);
    };
    let mut raw = Vec::new();
    let walk = Walk { set, rule, is_loop: Cell::new(false) };
    let all = match asks {
        Asks::Expression(expression) => expression.series,
        _ => vec![series.clone()],
    };
    for one in all {
        let one = if one.name == series.name { one.and(series) } else { one };
        // What is not asked for of the object in question may be anybody's.
        let is_its = one.name == series.name || one.value_of(MATCHED).is_some();
        let labels = if is_its { labels.clone() } else { Labels::new() };
        let (found, alternative) = ((&mut raw, &mut way.links), one.alternative);
        if let Some(message) = recorded(&walk, &one, &labels, found, (alternative, &mut Vec::new()))? {
            way.broken = Some(Broken::new(ControlId::Series, asked.field, message));
            return Ok(way);
        }
    }
    if raw.is_empty() && walk.is_loop.get() {
        let message = "must come from series that are scraped: its record is made of itself";
        way.broken = Some(Broken::new(ControlId::Series, asked.field, message));
        return Ok(way);
    }
    source::find(set, asked, &raw, &mut way)?;
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
