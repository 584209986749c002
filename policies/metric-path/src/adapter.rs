//! Rules of prometheus-adapter: the series that each rule selects, the metric that it provides, and the objects of the metric.
//!
//! Source: kubernetes-sigs/prometheus-adapter, `docs/config.md`.

use std::borrow::Cow;

use policy_core::path::excerpt;
use policy_core::{Arena, Field, Undecided, Value, kinds, yaml};
use policy_kubernetes::inventory::ListedObject;
use policy_promql::{Expression, Series, regex};

use crate::MetricContext;
use crate::adapter_query::{self, FilledTemplate, MATCHED};

/// A rule of prometheus-adapter.
pub(crate) struct AdapterRule<'a> {
    /// The ConfigMap that contains it.
    pub(crate) config: ListedObject<'a>,
    /// Its index in the list.
    index: usize,
    /// The series that it selects; `None` if it selects them by a regular expression.
    pub(crate) series: Option<Series<'a>>,
    /// The metric that it provides.
    pub(crate) metric: Metric<'a>,
    field: Field<'a>,
}

/// The name of the metric that a rule provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Metric<'a> {
    /// A known name.
    Name(Cow<'a, str>),
    /// Unknown: the series are selected by a regular expression, or an expression of the rule is not valid.
    Unknown,
    /// No metric: the filters or the name pattern of the rule do not match its series.
    None,
}

/// The query that a rule sends to Prometheus.
pub(crate) enum AdapterQuery<'a> {
    /// An expression.
    Expression(Expression<'a>),
    /// Unknown, because the template does more than insert fields.
    Unknown,
    /// A query that cannot return the metric, with the message of the finding.
    Broken(String),
}

/// Placeholder for the name of an unknown series.
const SOME_SERIES: &str = "series";

/// The rules for custom metrics (`rules`) or external metrics (`externalRules`) in all ConfigMaps.
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

/// Whether a value is an adapter configuration, because other ConfigMaps may also contain the text `seriesQuery`.
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

    /// Whether the rule provides a metric with that name.
    pub(crate) fn makes(&self, name: &str) -> bool {
        matches!(&self.metric, Metric::Name(own) if own == name)
    }

    /// The query for a metric of the objects that a label identifies.
    ///
    /// # Errors
    /// The rule is not valid.
    pub(crate) fn query(&self, label: &str, arena: &'a Arena) -> Result<AdapterQuery<'a>, Undecided> {
        let template = self.field.at("metricsQuery").text()?;
        if template.trim().is_empty() {
            let message = format!("must be queryable: {} has no metricsQuery", self.display());
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
                    "must be queryable: `{}` is not a valid field in the metricsQuery of {}",
                    excerpt(field),
                    self.display()
                )));
            }
        };
        let expression = policy_promql::read(arena.text(&text));
        if !label.is_empty() && !expression.keeps(label) {
            return Ok(AdapterQuery::Broken(format!(
                "must keep the label `{}`: the metricsQuery of {} aggregates it away",
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

    /// The label that identifies objects of that resource (`pod`, `service`, `namespace`).
    ///
    /// # Errors
    /// The rule is not valid.
    pub(crate) fn label_of(&self, resource: &str) -> Result<Option<Cow<'a, str>>, Undecided> {
        for (label, over) in self.field.at("resources.overrides").members()? {
            let named = over.at("resource").text()?;
            if named == resource || named == kinds::plural(resource) {
                return Ok(Some(Cow::Borrowed(label)));
            }
        }
        // Metrics of autoscalers describe resources of the core group.
        let fields = [(".Resource", Some(resource)), (".Group", Some(""))];
        Ok(match adapter_query::fill(self.field.at("resources.template").text()?, &fields) {
            FilledTemplate::Text(label) if !label.is_empty() => Some(Cow::Owned(label)),
            _ => None,
        })
    }

    /// The series that the rule selects, for a message.
    pub(crate) fn series_display(&self) -> String {
        self.series.as_ref().map_or_else(|| "series by a regular expression".to_owned(), Series::display)
    }

    /// The metric that the rule provides, for a message; `None` if it provides none.
    pub(crate) fn metric_display(&self) -> Option<String> {
        match &self.metric {
            Metric::Name(name) => Some(format!("`{}`", excerpt(name))),
            Metric::Unknown => Some("…".to_owned()),
            Metric::None => None,
        }
    }
}

/// The metric that a rule provides for its series (`pkg/naming/metric_namer.go`).
fn metric<'a>(rule: Field<'a>, series: Option<&Series<'a>>) -> Result<Metric<'a>, Undecided> {
    let (pattern, name) = (rule.at("name.matches").text()?, rule.at("name.as").text()?);
    let Some(series) = series else {
        // A name without `$` is the metric's name, regardless of the names of the series.
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
        // The adapter does not start if its configuration contains such a rule.
        ("", _) => return Ok(Metric::None),
        (name, _) => name,
    };
    let mut expanded = String::new();
    captures.expand(name, &mut expanded);
    Ok(Metric::Name(Cow::Owned(expanded)))
}
