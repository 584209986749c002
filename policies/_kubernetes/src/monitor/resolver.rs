//! Resolves a monitor to the ports that it selects.

use policy_core::path::{excerpt, listed};
use policy_core::{Field, Undecided, Value};

use super::{BrokenLink, MonitorLink, Prometheus, Scrape, ScrapeTargets, unselected};
use crate::inventory::{Inventory, ListedObject, PodGroup};
use crate::reachability::{Reachability, reachable};
use crate::selector::Labels;
use crate::service::{Service, ServicePort};

/// The namespaces that a monitor selects from (`spec.namespaceSelector`); `None` for all.
fn namespaces<'a>(monitor: &ListedObject<'a>) -> Result<Option<Vec<&'a str>>, Undecided> {
    let selector = monitor.field.at("spec.namespaceSelector");
    if selector.at("any").is_true()? {
        return Ok(None);
    }
    let names = selector.at("matchNames").items()?.map(Field::text).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(if names.is_empty() { vec![monitor.namespace] } else { names }))
}

fn namespaces_display(namespaces: Option<&[&str]>) -> String {
    match namespaces {
        None => "any namespace".to_owned(),
        Some(names) => listed(names.iter().copied()),
    }
}

/// Resolves monitors for one Prometheus.
pub(super) struct MonitorResolver<'s, 'p, 'a> {
    pub(super) inventory: &'s Inventory<'a>,
    pub(super) prometheus: &'p Prometheus,
}

impl<'s, 'a> MonitorResolver<'s, '_, 'a> {
    pub(super) fn resolve(&self, monitor: &ListedObject<'a>) -> Result<ScrapeTargets<'s, 'a>, Undecided> {
        let mut targets = ScrapeTargets::default();
        if let Some(broken) = unselected(self.prometheus, monitor.field)? {
            targets.broken.push(broken);
            return Ok(targets);
        }
        match monitor.kind {
            "PodMonitor" => self.pod_monitor(monitor, &mut targets)?,
            _ => self.service_monitor(monitor, &mut targets)?,
        }
        Ok(targets)
    }

    fn service_monitor(
        &self,
        monitor: &ListedObject<'a>,
        targets: &mut ScrapeTargets<'s, 'a>,
    ) -> Result<(), Undecided> {
        let within = namespaces(monitor)?;
        let is_within =
            |service: &&Service<'_>| within.as_ref().is_none_or(|names| names.contains(&service.namespace));
        let services: Vec<Service<'a>> =
            self.inventory.services()?.iter().filter(is_within).copied().collect();
        let selector = monitor.field.at("spec.selector");
        let mut selected = Vec::new();
        for service in &services {
            if Labels::of(service.field.at("metadata.labels"))?.are_selected_by(selector)? {
                selected.push(*service);
            }
        }
        if selected.is_empty() {
            let message = format!(
                "must select a Service in {}: none has these labels; found {}",
                namespaces_display(within.as_deref()),
                listed(services.iter().map(|service| service.name))
            );
            targets.broken.push(BrokenLink { link: MonitorLink::Selection, field: selector, message });
            return Ok(());
        }
        for endpoint in monitor.field.at("spec.endpoints").items()? {
            let mut of_endpoint = ScrapeTargets::default();
            self.service_endpoint(endpoint, &selected, &mut of_endpoint)?;
            targets.take(of_endpoint);
        }
        Ok(())
    }

    /// One endpoint of a ServiceMonitor, for all Services that the monitor selects.
    fn service_endpoint(
        &self,
        endpoint: Field<'a>,
        selected: &[Service<'a>],
        targets: &mut ScrapeTargets<'s, 'a>,
    ) -> Result<(), Undecided> {
        let (port, target) = (endpoint.at("port"), endpoint.at("targetPort"));
        // `targetPort` is a port of the container, regardless of the ports of the Service.
        if !port.is_set()? && target.is_set()? {
            for service in selected {
                self.service_port(endpoint, service, target, target, targets)?;
            }
            return Ok(());
        }
        let mut exists = false;
        for service in selected {
            for own in service.ports()? {
                if port.str()?.is_some_and(|name| own.field.at("name").str() == Ok(Some(name))) {
                    exists = true;
                    self.service_port(endpoint, service, own.field, own.target()?, targets)?;
                }
            }
        }
        if !exists {
            let mut ports = Vec::new();
            for own in selected.iter().map(|service| service.ports()).collect::<Result<Vec<_>, _>>()? {
                ports.extend(own.map(ServicePort::name).collect::<Result<Vec<_>, _>>()?);
            }
            let message = format!(
                "must be a port of {}, which {} {}",
                selected.iter().map(Service::display).collect::<Vec<_>>().join(", "),
                if selected.len() == 1 { "has" } else { "have" },
                listed(ports)
            );
            let field = if port.is_set()? { port } else { target };
            targets.broken.push(BrokenLink { link: MonitorLink::Port, field, message });
        }
        Ok(())
    }

    /// Resolves a port of a Service to the pods behind it. `own` is the field of the port, `leads_to` refers to the target port.
    fn service_port(
        &self,
        endpoint: Field<'a>,
        service: &Service<'a>,
        own: Field<'a>,
        leads_to: Field<'a>,
        targets: &mut ScrapeTargets<'s, 'a>,
    ) -> Result<(), Undecided> {
        let at = if endpoint.at("port").is_set()? { endpoint.at("port") } else { endpoint.at("targetPort") };
        let behind = self.inventory.pods_behind(service)?;
        // Manually managed endpoints may belong to pods or addresses outside of the manifest set.
        if behind.is_empty() && (service.has_selector()? || !self.inventory.has_endpoints(service)?) {
            let message = format!("must lead to pods: {} selects none in the set", service.display());
            targets.broken.push(BrokenLink { link: MonitorLink::Selection, field: at, message });
        }
        let Some(reference) = leads_to.value()? else { return Ok(()) };
        for pods in behind {
            let Some((container, number)) = pods.target(*reference) else {
                let message = format!(
                    "must lead to a port: `{}` of {} leads to `{}`, but {} has {}",
                    excerpt(&port_display(own)?),
                    service.display(),
                    excerpt(&reference_display(*reference)),
                    pods.display(),
                    pods.ports_display()
                );
                targets.broken.push(BrokenLink { link: MonitorLink::Port, field: at, message });
                continue;
            };
            let service = Some((*service, own));
            let scrape = Scrape { endpoint, service, pods, container, number, allowed_by: Vec::new() };
            self.add(scrape, at, targets)?;
        }
        Ok(())
    }

    fn pod_monitor(
        &self,
        monitor: &ListedObject<'a>,
        targets: &mut ScrapeTargets<'s, 'a>,
    ) -> Result<(), Undecided> {
        let within = namespaces(monitor)?;
        let selector = monitor.field.at("spec.selector");
        let (mut selected, mut others) = (Vec::new(), Vec::new());
        for pods in self.inventory.pods()? {
            if within.as_ref().is_none_or(|names| names.contains(&pods.namespace)) {
                let is_selected = pods.labels.are_selected_by(selector)?;
                if is_selected { selected.push(pods) } else { others.push(pods.name) }
            }
        }
        if selected.is_empty() {
            let message = format!(
                "must select pods in {}: none have these labels; found pods of {}",
                namespaces_display(within.as_deref()),
                listed(others)
            );
            targets.broken.push(BrokenLink { link: MonitorLink::Selection, field: selector, message });
            return Ok(());
        }
        for endpoint in monitor.field.at("spec.podMetricsEndpoints").items()? {
            let mut of_endpoint = ScrapeTargets::default();
            self.pod_endpoint(endpoint, &selected, &mut of_endpoint)?;
            targets.take(of_endpoint);
        }
        Ok(())
    }

    /// One endpoint of a PodMonitor, for all pods that the monitor selects.
    fn pod_endpoint(
        &self,
        endpoint: Field<'a>,
        selected: &[&'s PodGroup<'a>],
        targets: &mut ScrapeTargets<'s, 'a>,
    ) -> Result<(), Undecided> {
        let mut at = endpoint.at("port");
        for key in ["portNumber", "targetPort"] {
            at = if at.is_set()? { at } else { endpoint.at(key) };
        }
        let Some(reference) = at.value()? else { return Ok(()) };
        for pods in selected {
            let Some((container, number)) = pods.port(*reference) else {
                let message =
                    format!("must be a port of {}, which has {}", pods.display(), pods.ports_display());
                targets.broken.push(BrokenLink { link: MonitorLink::Port, field: at, message });
                continue;
            };
            let scrape = Scrape { endpoint, service: None, pods, container, number, allowed_by: Vec::new() };
            self.add(scrape, at, targets)?;
        }
        Ok(())
    }

    /// Adds a scraped port if Prometheus can reach it, and a broken link if not.
    fn add(
        &self,
        scrape: Scrape<'s, 'a>,
        at: Field<'a>,
        targets: &mut ScrapeTargets<'s, 'a>,
    ) -> Result<(), Undecided> {
        match reachable(self.inventory, self.prometheus, scrape.pods, scrape.number)? {
            Reachability::Reachable { allowed_by } => targets.scrapes.push(Scrape { allowed_by, ..scrape }),
            Reachability::Blocked { reason } => {
                let message = format!("must be reachable: {reason}");
                targets.broken.push(BrokenLink { link: MonitorLink::NetworkPolicy, field: at, message });
                targets.unreachable.push(scrape);
            }
        }
        Ok(())
    }
}

/// The name of a Service's port, or the number that an endpoint names.
fn port_display(own: Field<'_>) -> Result<String, Undecided> {
    Ok(match own.value()? {
        Some(Value::Object(_)) => own.at("name").text()?.to_owned(),
        Some(value) => reference_display(*value),
        None => String::new(),
    })
}

/// The name or number of a port.
fn reference_display(port: Value<'_>) -> String {
    match port {
        Value::String(name) => name.to_owned(),
        number => number.to_string(),
    }
}

impl<'s, 'a> ScrapeTargets<'s, 'a> {
    /// Adds the targets of an endpoint. If it has targets, selected pods without the port are not a mistake, because Prometheus
    /// ignores them.
    fn take(&mut self, mut endpoint: ScrapeTargets<'s, 'a>) {
        if !endpoint.scrapes.is_empty() {
            endpoint.broken.retain(|broken| broken.link != MonitorLink::Port);
        }
        self.scrapes.extend(endpoint.scrapes);
        self.unreachable.extend(endpoint.unreachable);
        self.broken.extend(endpoint.broken);
    }
}
