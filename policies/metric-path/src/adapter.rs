//! The rules of prometheus-adapter: which metric each makes of which series, and of which objects it is.
//!
//! Source: kubernetes-sigs/prometheus-adapter, `docs/config.md`.

use std::borrow::Cow;

use policy_core::path::excerpt;
use policy_core::{Arena, Field, Undecided, Value, yaml};

use crate::promql::{self, Expression, Series};
use crate::query::{self, Filled, MATCHED};
use crate::set::{Object, Set};

/// A rule.
pub(crate) struct Rule<'a> {
    /// The ConfigMap that it stands in.
    pub(crate) config: Object<'a>,
    /// Which of its list.
    pub(crate) number: usize,
    /// The series that it takes; `None` where it selects them by a regular expression.
    pub(crate) series: Option<Series<'a>>,
    /// What it calls the metric; `None` where that cannot be told.
    pub(crate) metric: Option<Cow<'a, str>>,
    field: Field<'a>,
}

/// What a rule asks Prometheus.
pub(crate) enum Asks<'a> {
    /// An expression.
    Expression(Expression<'a>),
    /// What it is cannot be told.
    Something,
    /// Nothing that gives the metric: why, in words.
    Nothing(String),
}

/// The name of a series that is not known.
const SOME_SERIES: &str = "series";

/// The rules for the metrics of objects, or for external ones, of every ConfigMap that holds such.
pub(crate) fn rules<'a>(set: &Set<'a>, list: &'a str) -> Result<Vec<Rule<'a>>, Undecided> {
    let mut rules = Vec::new();
    for config in set.objects("", "ConfigMap", None)? {
        let in_config = |undecided: Undecided| undecided.in_object("ConfigMap", config.name);
        for (_, text) in config.field.at("data").members().map_err(in_config)? {
            let text = text.text().map_err(in_config)?;
            if !text.contains("seriesQuery") {
                continue;
            }
            for document in yaml::documents(text) {
                let Ok(Some(value)) = document.decode(set.arena) else { continue };
                if !has_rules(value, list) {
                    continue;
                }
                for (number, field) in
                    Field::root(value, set.arena).at(list).items().map_err(in_config)?.enumerate()
                {
                    rules.push(Rule::read(config, number, field).map_err(in_config)?);
                }
            }
        }
    }
    Ok(rules)
}

/// Whether it has the shape of an adapter's configuration: other texts may speak of series as well.
fn has_rules(value: Value<'_>, list: &str) -> bool {
    let Some(Value::Array(rules)) = value.get(list) else { return false };
    rules.iter().all(|rule| matches!(rule, Value::Object(_)))
}

/// A name with what a pattern took in the place of `$1` and `${1}`, as Go's `Regexp.Expand` puts it there: `$1_total` is the
/// group `1_total`, which there is none of, and gives nothing.
fn expanded(called: &str, whole: &str, part: &str) -> String {
    let mut name = String::new();
    let mut rest = called;
    while let Some((before, after)) = rest.split_once('$') {
        name.push_str(before);
        let (group, left) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            Some(braced) => braced,
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                after.split_at_checked(end).unwrap_or((after, ""))
            }
        };
        match group {
            "0" => name.push_str(whole),
            "1" => name.push_str(part),
            _ => {}
        }
        rest = left;
    }
    name.push_str(rest);
    name
}

impl<'a> Rule<'a> {
    fn read(config: Object<'a>, number: usize, field: Field<'a>) -> Result<Self, Undecided> {
        let query = promql::read(field.at("seriesQuery").text()?);
        let series = query.series.into_iter().next().filter(|series| !series.name.is_empty());
        let filtered = field.at("seriesFilters").items()?.len() > 0;
        let name = |series: &Series<'a>| -> Result<Option<Cow<'a, str>>, Undecided> {
            let (matches, called) = (field.at("name.matches").text()?, field.at("name.as").text()?);
            let Some(part) = matched(series.name, matches) else { return Ok(None) };
            Ok(Some(match called {
                "" => Cow::Borrowed(part),
                plain if !plain.contains('$') => Cow::Borrowed(plain),
                _ => Cow::Owned(expanded(called, series.name, part)),
            }))
        };
        let metric = match (&series, field.at("name.as").text()?) {
            (Some(series), _) if !filtered => name(series)?,
            // Whatever the series are called, the metric is called that.
            (None, plain) if !plain.is_empty() && !plain.contains('$') => Some(Cow::Borrowed(plain)),
            _ => None,
        };
        Ok(Rule { config, number, series, metric, field })
    }

    /// What it asks Prometheus for a metric of objects that a label names.
    ///
    /// # Errors
    /// The rule is not as the adapter has it.
    pub(crate) fn asks(&self, label: &str, arena: &'a Arena) -> Result<Asks<'a>, Undecided> {
        let template = self.field.at("metricsQuery").text()?;
        if template.trim().is_empty() {
            let message = format!("must be asked of Prometheus: {} has no metricsQuery", self.shown());
            return Ok(Asks::Nothing(message));
        }
        // Where the series is not known, nobody looks further than for labels.
        let series = self.series.as_ref().map_or(SOME_SERIES, |series| series.name);
        let matchers = format!("{MATCHED}=''");
        let fields = [
            (".Series", Some(series)),
            (".GroupBy", Some(label)),
            (".LabelMatchers", Some(matchers.as_str())),
            (".LabelValuesByName", None),
            (".GroupBySlice", None),
        ];
        let text = match query::filled(template, &fields) {
            Filled::Text(text) => text,
            Filled::Open => return Ok(Asks::Something),
            Filled::Unknown(field) => {
                let message = format!(
                    "must be asked of Prometheus: there is no `{}` for the metricsQuery of {}",
                    excerpt(field),
                    self.shown()
                );
                return Ok(Asks::Nothing(message));
            }
        };
        let expression = promql::read(arena.text(&text));
        if !label.is_empty() && !expression.keeps(label) {
            return Ok(Asks::Nothing(format!(
                "must be told apart by the label `{}`: the metricsQuery of {} aggregates it away",
                excerpt(label),
                self.shown()
            )));
        }
        Ok(Asks::Expression(expression))
    }

    /// `rule 3 of ConfigMap monitoring/prometheus-adapter`, counted from 1 as people do.
    pub(crate) fn shown(&self) -> String {
        format!("rule {} of {}", self.number + 1, self.config.shown())
    }

    /// The label that names the object of that kind (`pod`, `service`, `namespace`).
    ///
    /// # Errors
    /// The rule is not as the adapter has it.
    pub(crate) fn label_of(&self, resource: &str) -> Result<Option<Cow<'a, str>>, Undecided> {
        for (label, over) in self.field.at("resources.overrides").members()? {
            let named = over.at("resource").text()?;
            let ends = ["", "s", "es"].iter().any(|end| named.strip_suffix(end) == Some(resource));
            let ies = named.strip_suffix("ies").zip(resource.strip_suffix('y')).is_some_and(|(a, b)| a == b);
            if ends || ies {
                return Ok(Some(Cow::Borrowed(label)));
            }
        }
        // Those that autoscalers ask for are of the core group.
        let fields = [(".Resource", Some(resource)), (".Group", Some(""))];
        Ok(match query::filled(self.field.at("resources.template").text()?, &fields) {
            Filled::Text(label) if !label.is_empty() => Some(Cow::Owned(label)),
            _ => None,
        })
    }

    /// What it takes, for a message.
    pub(crate) fn takes(&self) -> String {
        self.series.as_ref().map_or_else(|| "series by a regular expression".to_owned(), Series::shown)
    }

    /// What it calls the metric, for a message.
    pub(crate) fn called(&self) -> String {
        self.metric.as_ref().map_or_else(|| "…".to_owned(), |metric| format!("`{}`", excerpt(metric)))
    }
}

/// What a pattern of the form `^before(.*)after$` takes of a name: the part in parentheses, or all of it. `None` where it does
/// not take it, or is of another form.
fn matched<'s>(name: &'s str, pattern: &str) -> Option<&'s str> {
    let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
    let (before, after) = match pattern {
        "" | ".*" | "(.*)" => return Some(name),
        pattern => pattern.split_once("(.*)").or(pattern.split_once("(.+)"))?,
    };
    let is_word =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':');
    if !is_word(before) || !is_word(after) {
        return None;
    }
    name.strip_prefix(before)?.strip_suffix(after)
}
