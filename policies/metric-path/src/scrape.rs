//! What a monitor has scraped: which ports of which pods, by way of which Service, or what is in the way.

use policy_core::path::{excerpt, listed};
use policy_core::selector::Labels;
use policy_core::{Field, Undecided, Value};

use crate::broken::Broken;
use crate::reach;
use crate::set::{Container, Object, Pods, Set};
use crate::settings::ControlId;

/// What a monitor leads to.
#[derive(Default)]
pub(crate) struct Found<'a> {
    /// What is scraped.
    pub(crate) scrapes: Vec<Scrape<'a>>,
    /// What is not, and why.
    pub(crate) broken: Vec<Broken<'a>>,
}

/// A port of a workload's pods that is scraped.
#[derive(Clone)]
pub(crate) struct Scrape<'a> {
    pub(crate) endpoint: Field<'a>,
    /// By way of which Service, and which of its ports; `None` for a PodMonitor.
    pub(crate) service: Option<(Object<'a>, Field<'a>)>,
    pub(crate) pods: Pods<'a>,
    pub(crate) container: Container<'a>,
    pub(crate) number: u16,
    /// The NetworkPolicies that let Prometheus reach it.
    pub(crate) through: Vec<String>,
}

/// Follows a ServiceMonitor or a PodMonitor.
pub(crate) fn of<'a>(set: &Set<'a>, monitor: &Object<'a>) -> Result<Found<'a>, Undecided> {
    let mut found = Found::default();
    if let Some(broken) = unselected(set, monitor.field)? {
        found.broken.push(broken);
        return Ok(found);
    }
    match monitor.kind {
        "PodMonitor" => of_pods(set, monitor, &mut found)?,
        _ => of_services(set, monitor, &mut found)?,
    }
    Ok(found)
}

/// What a monitor or rule lacks to be taken by Prometheus.
pub(crate) fn unselected<'a>(set: &Set<'a>, object: Field<'a>) -> Result<Option<Broken<'a>>, Undecided> {
    let labels = object.at("metadata.labels");
    for (key, wanted) in &set.settings.prometheus.selects {
        let value = labels.key(key);
        if value.str()? != Some(wanted) {
            let field = if value.is_set()? { value } else { labels };
            let message = format!("must have `{key}: {wanted}`, by which Prometheus selects it");
            return Ok(Some(Broken::new(ControlId::Monitor, field, message)));
        }
    }
    Ok(None)
}

/// The namespaces that a monitor looks into; `None` for all.
fn namespaces<'a>(monitor: &Object<'a>) -> Result<Option<Vec<&'a str>>, Undecided> {
    let wanted = monitor.field.at("spec.namespaceSelector");
    if wanted.at("any").is_true()? {
        return Ok(None);
    }
    let names = wanted.at("matchNames").items()?.map(Field::text).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(if names.is_empty() { vec![monitor.namespace] } else { names }))
}

fn in_words(namespaces: Option<&[&str]>) -> String {
    match namespaces {
        None => "any namespace".to_owned(),
        Some(names) => listed(names.iter().copied()),
    }
}

fn of_services<'a>(set: &Set<'a>, monitor: &Object<'a>, found: &mut Found<'a>) -> Result<(), Undecided> {
    let within = namespaces(monitor)?;
    let in_sight =
        |object: &Object<'_>| within.as_ref().is_none_or(|names| names.contains(&object.namespace));
    let services: Vec<Object<'a>> =
        set.services()?.iter().filter(|service| in_sight(service)).copied().collect();
    let selector = monitor.field.at("spec.selector");
    let mut selected = Vec::new();
    for service in &services {
        if Labels::of(service.field.at("metadata.labels"))?.are_selected_by(selector)? {
            selected.push(*service);
        }
    }
    if selected.is_empty() {
        let message = format!(
            "must select a Service of {}: none has these labels; there are {}",
            in_words(within.as_deref()),
            listed(services.iter().map(|service| service.name))
        );
        found.broken.push(Broken::new(ControlId::Monitor, selector, message));
        return Ok(());
    }
    for endpoint in monitor.field.at("spec.endpoints").items()? {
        let mut leads_to = Found::default();
        of_endpoint(set, endpoint, &selected, &mut leads_to)?;
        found.take(leads_to);
    }
    Ok(())
}

/// One endpoint of a ServiceMonitor, over the Services that it selects.
fn of_endpoint<'a>(
    set: &Set<'a>,
    endpoint: Field<'a>,
    selected: &[Object<'a>],
    found: &mut Found<'a>,
) -> Result<(), Undecided> {
    let (port, target) = (endpoint.at("port"), endpoint.at("targetPort"));
    let mut is_there = false;
    // That is the container's port, whatever the Service's lead to.
    if !port.is_set()? && target.is_set()? {
        for service in selected {
            follow(set, endpoint, service, target, target, found)?;
        }
        return Ok(());
    }
    for service in selected {
        for own in service.field.at("spec.ports").items()? {
            let leads_to = own.at("targetPort");
            let leads_to = if leads_to.is_set()? { leads_to } else { own.at("port") };
            if let Some(name) = port.str()?
                && own.at("name").str()? == Some(name)
            {
                is_there = true;
                follow(set, endpoint, service, own, leads_to, found)?;
            }
        }
    }
    if !is_there {
        let named = if port.is_set()? { port } else { target };
        let mut ports = Vec::new();
        for service in selected {
            for own in service.field.at("spec.ports").items()? {
                ports.push(own.at("name").text()?);
            }
        }
        let message = format!(
            "must be a port of {}, which {} {}",
            selected.iter().map(Object::shown).collect::<Vec<_>>().join(", "),
            if selected.len() == 1 { "has" } else { "have" },
            listed(ports.into_iter())
        );
        found.broken.push(Broken::new(ControlId::Port, named, message));
    }
    Ok(())
}

/// From a port of a Service to the pods behind it.
fn follow<'a>(
    set: &Set<'a>,
    endpoint: Field<'a>,
    service: &Object<'a>,
    own: Field<'a>,
    leads_to: Field<'a>,
    found: &mut Found<'a>,
) -> Result<(), Undecided> {
    let at = if endpoint.at("port").is_set()? { endpoint.at("port") } else { endpoint.at("targetPort") };
    let behind = set.pods_behind(service)?;
    if behind.is_empty() {
        let message = format!("must lead to pods: {} selects none of the set", service.shown());
        found.broken.push(Broken::new(ControlId::Monitor, at, message));
    }
    let Some(target) = leads_to.value()? else { return Ok(()) };
    for pods in behind {
        let Some((container, number)) = pods.target(*target) else {
            let message = format!(
                "must lead to a port: `{}` of {} leads to `{}`, and {} has {}",
                excerpt(&port_of(own)?),
                service.shown(),
                excerpt(&shown(*target)),
                pods.shown(),
                pods.ports()
            );
            found.broken.push(Broken::new(ControlId::Port, at, message));
            continue;
        };
        let scrape = Scrape {
            endpoint,
            service: Some((*service, own)),
            pods: pods.clone(),
            container: container.clone(),
            number,
            through: Vec::new(),
        };
        found.add(set, scrape, at)?;
    }
    Ok(())
}

/// What a port of a Service is called, or the number that an endpoint asks for.
fn port_of(own: Field<'_>) -> Result<String, Undecided> {
    Ok(match own.value()? {
        Some(Value::Object(_)) => own.at("name").text()?.to_owned(),
        Some(value) => shown(*value),
        None => String::new(),
    })
}

/// A port's name or number.
fn shown(port: Value<'_>) -> String {
    match port {
        Value::String(name) => name.to_owned(),
        number => number.to_string(),
    }
}

fn of_pods<'a>(set: &Set<'a>, monitor: &Object<'a>, found: &mut Found<'a>) -> Result<(), Undecided> {
    let within = namespaces(monitor)?;
    let selector = monitor.field.at("spec.selector");
    let (mut selected, mut others) = (Vec::new(), Vec::new());
    for pods in set.pods()? {
        if within.as_ref().is_none_or(|names| names.contains(&pods.namespace)) {
            let is_selected = pods.labels.are_selected_by(selector)?;
            if is_selected { selected.push(pods) } else { others.push(pods.name) }
        }
    }
    if selected.is_empty() {
        let message = format!(
            "must select pods of {}: none has these labels; there are those of {}",
            in_words(within.as_deref()),
            listed(others.into_iter())
        );
        found.broken.push(Broken::new(ControlId::Monitor, selector, message));
        return Ok(());
    }
    for endpoint in monitor.field.at("spec.podMetricsEndpoints").items()? {
        let mut at = endpoint.at("port");
        for key in ["portNumber", "targetPort"] {
            at = if at.is_set()? { at } else { endpoint.at(key) };
        }
        let Some(wanted) = at.value()? else { continue };
        let mut of_endpoint = Found::default();
        for pods in &selected {
            let Some((container, number)) = pods.port(*wanted) else {
                let message = format!("must be a port of {}, which has {}", pods.shown(), pods.ports());
                of_endpoint.broken.push(Broken::new(ControlId::Port, at, message));
                continue;
            };
            let (pods, container) = ((*pods).clone(), container.clone());
            let scrape = Scrape { endpoint, service: None, pods, container, number, through: Vec::new() };
            of_endpoint.add(set, scrape, at)?;
        }
        found.take(of_endpoint);
    }
    Ok(())
}

impl<'a> Found<'a> {
    /// Takes what an endpoint leads to. Where it leads to some, others that it selects and that lack the port are no fault: they
    /// are left out.
    fn take(&mut self, mut endpoint: Found<'a>) {
        if !endpoint.scrapes.is_empty() {
            endpoint.broken.retain(|broken| broken.control != ControlId::Port);
        }
        self.scrapes.extend(endpoint.scrapes);
        self.broken.extend(endpoint.broken);
    }

    /// Adds a port that is scraped, if Prometheus can reach it.
    fn add(&mut self, set: &Set<'a>, scrape: Scrape<'a>, at: Field<'a>) -> Result<(), Undecided> {
        match reach::reached(set, &scrape.pods, scrape.number)? {
            Ok(through) => self.scrapes.push(Scrape { through, ..scrape }),
            Err(message) => {
                let message = format!("must be within reach: {message}");
                self.broken.push(Broken::new(ControlId::NetworkPolicy, at, message));
            }
        }
        Ok(())
    }
}
