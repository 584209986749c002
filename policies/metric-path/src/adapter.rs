//! The rules of prometheus-adapter: which metric each makes of which series, and which objects it describes.
//!
//! Source: kubernetes-sigs/prometheus-adapter, `docs/config.md`.

use std::borrow::Cow;

use policy_core::path::excerpt;
use policy_core::{Arena, Field, Undecided, Value, kinds, yaml};
use policy_kubernetes::inventory::ListedObject;
use policy_promql::{Expression, Series, regex};

use crate::MetricContext;
use crate::adapter_query::{self, FilledTemplate, MATCHED};

/// A rule.
pub(crate) struct AdapterRule<'a> {
    /// The ConfigMap that contains it.
    pub(crate) config: ListedObject<'a>,
    /// Its index in the list.
    index: usize,
    /// The series that it selects; `None` if it selects them by a regular expression.
    pub(crate) series: Option<Series<'a>>,
    /// The metric that it makes.
    pub(crate) metric: Metric<'a>,
    field: Field<'a>,
}

/// The name of the metric that a rule makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Metric<'a> {
    /// This one.
    Name(Cow<'a, str>),
    /// It depends on series that are selected by a regular expression.
    Unknown,
    /// None: its own filters or its name pattern do not match its series.
    None,
}

/// What a rule asks Prometheus.
pub(crate) enum AdapterQuery<'a> {
    /// An expression.
    Expression(Expression<'a>),
    /// The template does more than insert fields.
    Unknown,
    /// Nothing that gives the metric: why, in words.
    Broken(String),
}

/// Stands for the name of a series that is not known.
const SOME_SERIES: &str = "series";

/// The rules for custom metrics (`rules`) or external ones (`externalRules`), of every ConfigMap that has such.
pub(crate) fn rules<'a>(set: &MetricContext<'a>, list: &'a str) -> Result<Vec<AdapterRule<'a>>, Undecided> {
    let arena = set.inventory.arena;
    let mut rules = Vec::new();
    for config in set.inventory.objects("", "ConfigMap", None)? {
        let in_config = |undecided: Undecided| undecided.in_object("ConfigMap", config.name);
        for (_, text) in config.field.at("data").members().map_err(in_config)? {
            let text = text.text().map_err(in_config)?;
            if !text.contains("seriesQuery") {
                continue;
            }
            for document in yaml::documents(text) {
                let Ok(Some(value)) = document.decode(arena) else { continue };
                if !has_rules(value, list) {
                    continue;
                }
                let items = Field::root(value, arena).at(list).items().map_err(in_config)?;
                for (index, field) in items.enumerate() {
                    rules.push(AdapterRule::read(config, index, field).map_err(in_config)?);
                }
            }
        }
    }
    Ok(rules)
}

/// Whether it has the shape of an adapter's configuration: other texts may mention series as well.
fn has_rules(value: Value<'_>, list: &str) -> bool {
    let Some(Value::Array(rules)) = value.get(list) else { return false };
    rules.iter().all(|rule| matches!(rule, Value::Object(_)))
}

impl<'a> AdapterRule<'a> {
    fn read(config: ListedObject<'a>, index: usize, field: Field<'a>) -> Result<Self, Undecided> {
        let query = policy_promql::read(field.at("seriesQuery").text()?);
        let series = query.series.into_iter().next().filter(|series| !series.name.is_empty());
        let metric = metric(field, series.as_ref())?;
        Ok(AdapterRule { config, index, series, metric, field })
    }

    /// Whether it makes a metric of that name.
    pub(crate) fn makes(&self, name: &str) -> bool {
        matches!(&self.metric, Metric::Name(own) if own == name)
    }

    /// What it asks Prometheus for a metric of the objects that a label names.
    ///
    /// # Errors
    /// The rule is not as the adapter has it.
    pub(crate) fn query(&self, label: &str, arena: &'a Arena) -> Result<AdapterQuery<'a>, Undecided> {
        let template = self.field.at("metricsQuery").text()?;
        if template.trim().is_empty() {
            let message = format!("must be asked of Prometheus: {} has no metricsQuery", self.display());
            return Ok(AdapterQuery::Broken(message));
        }
        let series = self.series.as_ref().map_or(SOME_SERIES, |series| series.name);
        let matchers = format!("{MATCHED}=''");
        let fields = [
            (".Series", Some(series)),
            (".GroupBy", Some(label)),
            (".LabelMatchers", Some(matchers.as_str())),
            (".LabelValuesByName", None),
            (".GroupBySlice", None),
        ];
        let text = match adapter_query::fill(template, &fields) {
            FilledTemplate::Text(text) => text,
            FilledTemplate::Open => return Ok(AdapterQuery::Unknown),
            FilledTemplate::Unknown(field) => {
                return Ok(AdapterQuery::Broken(format!(
                    "must be asked of Prometheus: there is no `{}` for the metricsQuery of {}",
                    excerpt(field),
                    self.display()
                )));
            }
        };
        let expression = policy_promql::read(arena.text(&text));
        if !label.is_empty() && !expression.keeps(label) {
            return Ok(AdapterQuery::Broken(format!(
                "must be told apart by the label `{}`: the metricsQuery of {} aggregates it away",
                excerpt(label),
                self.display()
            )));
        }
        Ok(AdapterQuery::Expression(expression))
    }

    /// `rule 3 of ConfigMap monitoring/prometheus-adapter`, counted from 1.
    pub(crate) fn display(&self) -> String {
        format!("rule {} of {}", self.index + 1, self.config.display())
    }

    /// The label that names the object of that kind (`pod`, `service`, `namespace`).
    ///
    /// # Errors
    /// The rule is not as the adapter has it.
    pub(crate) fn label_of(&self, resource: &str) -> Result<Option<Cow<'a, str>>, Undecided> {
        for (label, over) in self.field.at("resources.overrides").members()? {
            let named = over.at("resource").text()?;
            if named == resource || named == kinds::plural(resource) {
                return Ok(Some(Cow::Borrowed(label)));
            }
        }
        // The resources that autoscalers describe are of the core group.
        let fields = [(".Resource", Some(resource)), (".Group", Some(""))];
        Ok(match adapter_query::fill(self.field.at("resources.template").text()?, &fields) {
            FilledTemplate::Text(label) if !label.is_empty() => Some(Cow::Owned(label)),
            _ => None,
        })
    }

    /// The series that it selects, for a message.
    pub(crate) fn series_display(&self) -> String {
        self.series.as_ref().map_or_else(|| "series by a regular expression".to_owned(), Series::display)
    }

    /// The metric that it makes, for a message; `None` if it makes none.
    pub(crate) fn metric_display(&self) -> Option<String> {
        match &self.metric {
            Metric::Name(name) => Some(format!("`{}`", excerpt(name))),
            Metric::Unknown => Some("…".to_owned()),
            Metric::None => None,
        }
    }
}

/// The metric that a rule makes of its series (`pkg/naming/metric_namer.go`).
fn metric<'a>(rule: Field<'a>, series: Option<&Series<'a>>) -> Result<Metric<'a>, Undecided> {
    let (pattern, name) = (rule.at("name.matches").text()?, rule.at("name.as").text()?);
    let Some(series) = series else {
        // Whatever the series are called, a name without `$` is the name of the metric.
        return Ok(match name.is_empty() || name.contains('$') {
            true => Metric::Unknown,
            false => Metric::Name(Cow::Borrowed(name)),
        });
    };
    for filter in rule.at("seriesFilters").items()? {
        for (key, expected) in [("is", true), ("isNot", false)] {
            let pattern = filter.at(key).text()?;
            match regex::unanchored(pattern) {
                _ if pattern.is_empty() => {}
                None => return Ok(Metric::Unknown),
                Some(regex) if regex.is_match(series.name) != expected => return Ok(Metric::None),
                Some(_) => {}
            }
        }
    }
    let Some(regex) = regex::unanchored(if pattern.is_empty() { ".*" } else { pattern }) else {
        return Ok(Metric::Unknown);
    };
    let Some(captures) = regex.captures(series.name) else { return Ok(Metric::None) };
    let name = match (name, captures.len()) {
        ("", 1) => "$0",
        ("", 2) => "$1",
        // The adapter does not start with such a rule.
        ("", _) => return Ok(Metric::None),
        (name, _) => name,
    };
    let mut expanded = String::new();
    captures.expand(name, &mut expanded);
    Ok(Metric::Name(Cow::Owned(expanded)))
}
