//! What has to be beside a pod for its exporter to be scraped: a Service with the port, a monitor that scrapes it, and a
//! NetworkPolicy that lets Prometheus in. Admission adds none of them; they belong into Git.

use policy_core::path::excerpt;
use policy_core::pod::Pod;
use policy_core::{Cluster, Field, Finding, Read, Request, Undecided, Value, selector};

/// The policy that adds exporters, of whose verdict this is a part.
pub(super) const POLICY: &str = "exporter-sidecar";

const MONITORS: &str = "monitoring.coreos.com";

/// What is looked at.
pub(super) const READS: &[Read] = &[
    Read::SERVICE,
    Read::NETWORK_POLICY,
    Read { group: MONITORS, version: "v1", kind: "ServiceMonitor" },
    Read { group: MONITORS, version: "v1", kind: "PodMonitor" },
];

/// What is missing beside a pod that has an exporter; nothing for one that has none.
///
/// # Errors
/// An object is not as Kubernetes has it.
pub(super) fn missing(pod: &Request<'_>, cluster: &dyn Cluster) -> Result<Vec<Finding>, Undecided> {
    let Some(own) = Pod::of(pod)? else { return Ok(Vec::new()) };
    let Some(added) = own.added_container()? else { return Ok(Vec::new()) };
    let mut port = None;
    for container in &own.containers {
        if container.field.at("name").str()? == Some(added) {
            port = container.field.at("ports").items()?.next();
        }
    }
    let Some(port) = port else { return Ok(Vec::new()) };
    let exporter = Exporter {
        namespace: pod.namespace,
        labels: own.metadata.at("labels"),
        name: port.at("name").text()?,
        number: port.at("containerPort").int()?.unwrap_or_default(),
        cluster,
    };
    let missing = [exporter.scraped()?, exporter.reached()?].into_iter().flatten();
    let field = own.annotations().path();
    Ok(missing.map(|message| Finding { field: field.clone(), message, control: None }).collect())
}

/// A pod's exporter: by its port, and by what selects the pod.
struct Exporter<'a> {
    namespace: &'a str,
    labels: Field<'a>,
    name: &'a str,
    number: i64,
    cluster: &'a dyn Cluster,
}

impl<'a> Exporter<'a> {
    fn list(&self, group: &str, kind: &str, namespace: Option<&str>) -> Result<Vec<Field<'a>>, Undecided> {
        self.cluster.list(group, kind, namespace, self.labels.arena())
    }

    /// Whether a port, by number or by name, is the exporter's.
    fn is_port(&self, port: Field<'_>) -> Result<bool, Undecided> {
        Ok(match port.value()? {
            Some(Value::String(name)) => *name == self.name,
            Some(_) => port.int()? == Some(self.number),
            None => false,
        })
    }

    /// Whether something scrapes the port; if nothing does, what is missing for it.
    fn scraped(&self) -> Result<Option<String>, Undecided> {
        for monitor in self.list(MONITORS, "PodMonitor", None)? {
            if looks_at(monitor, self.namespace)?
                && selector::selects(monitor.at("spec.selector"), self.labels)?
            {
                for endpoint in monitor.at("spec.podMetricsEndpoints").items()? {
                    if self.is_port(endpoint.at("port"))?
                        || self.is_port(endpoint.at("portNumber"))?
                        || self.is_port(endpoint.at("targetPort"))?
                    {
                        return Ok(None);
                    }
                }
            }
        }
        let ports = self.service_ports()?;
        let Some((service, port)) = ports.first().copied() else {
            return Ok(Some(format!(
                "no Service leads to the exporter's port {}, and no PodMonitor scrapes it: add the port to a Service",
                self.number
            )));
        };
        for monitor in self.list(MONITORS, "ServiceMonitor", None)? {
            for (service, port) in &ports {
                if looks_at(monitor, self.namespace)?
                    && selector::selects(monitor.at("spec.selector"), service.at("metadata.labels"))?
                {
                    for endpoint in monitor.at("spec.endpoints").items()? {
                        let by_name = endpoint.at("port").str()?;
                        if by_name.map_or(self.is_port(endpoint.at("targetPort"))?, |name| {
                            Some(name) == port.at("name").str().ok().flatten()
                        }) {
                            return Ok(None);
                        }
                    }
                }
            }
        }
        Ok(Some(format!(
            "no ServiceMonitor scrapes the exporter: none selects port `{}` of the Service `{}`",
            excerpt(port.at("name").text()?),
            excerpt(service.at("metadata.name").text()?)
        )))
    }

    /// The Services that select the pod, each with its port that leads to the exporter.
    fn service_ports(&self) -> Result<Vec<(Field<'a>, Field<'a>)>, Undecided> {
        let mut found = Vec::new();
        for service in self.list("", "Service", Some(self.namespace))? {
            let wanted = service.at("spec.selector");
            if wanted.members()?.len() == 0 || !selector::has_labels(self.labels, wanted)? {
                continue;
            }
            for port in service.at("spec.ports").items()? {
                let target = port.at("targetPort");
                let leads_there =
                    if target.is_set()? { self.is_port(target)? } else { self.is_port(port.at("port"))? };
                if leads_there {
                    found.push((service, port));
                }
            }
        }
        Ok(found)
    }

    /// If policies isolate the pod, whether one of them lets anybody reach the port. Who that is is not looked at.
    fn reached(&self) -> Result<Option<String>, Undecided> {
        let mut is_isolated = false;
        for policy in self.list("networking.k8s.io", "NetworkPolicy", Some(self.namespace))? {
            let spec = policy.at("spec");
            let mut types =
                spec.at("policyTypes").items()?.map(Field::text).collect::<Result<Vec<_>, _>>()?;
            if types.is_empty() {
                types.push("Ingress");
            }
            if !types.contains(&"Ingress") || !selector::selects(spec.at("podSelector"), self.labels)? {
                continue;
            }
            is_isolated = true;
            for rule in spec.at("ingress").items()? {
                if rule.at("ports").items()?.len() == 0 {
                    return Ok(None);
                }
                for port in rule.at("ports").items()? {
                    let number = port.at("port");
                    let last = port.at("endPort").int()?;
                    let in_range = match (number.value()?, last) {
                        (Some(Value::Int(first)), Some(last)) => (*first..=last).contains(&self.number),
                        _ => false,
                    };
                    let is_tcp = port.at("protocol").str()?.unwrap_or("TCP") == "TCP";
                    if is_tcp && (!number.is_set()? || in_range || self.is_port(number)?) {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(is_isolated.then(|| {
            format!(
                "no NetworkPolicy lets Prometheus reach the exporter's port {}, and the pod is isolated",
                self.number
            )
        }))
    }
}

/// Whether a monitor looks into that namespace (`spec.namespaceSelector`): its own, those it names, or any.
fn looks_at(monitor: Field<'_>, namespace: &str) -> Result<bool, Undecided> {
    let wanted = monitor.at("spec.namespaceSelector");
    if wanted.at("any").is_true()? {
        return Ok(true);
    }
    let names = wanted.at("matchNames").items()?.map(Field::text).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Ok(monitor.at("metadata.namespace").text()? == namespace);
    }
    Ok(names.contains(&namespace))
}
