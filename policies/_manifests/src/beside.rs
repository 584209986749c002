//! What has to be beside a pod for its exporter to be scraped: a Service with the port, a monitor that scrapes it, and a
//! NetworkPolicy that lets Prometheus in. Admission adds none of them; they belong into Git.

use policy_connectivity::{Direction, NamedPort, NetworkPolicy, Peer, Protocol, Rule};
use policy_core::path::excerpt;
use policy_core::pod::Pod;
use policy_core::selector::Labels;
use policy_core::{Arena, Cluster, Field, Finding, Read, Request, Undecided, Value, Verdicts};

/// The policy that adds exporters, of whose verdict this is a part.
pub const POLICY: &str = "exporter-sidecar";

const MONITORS: &str = "monitoring.coreos.com";

/// What is looked at.
pub const READS: &[Read] = &[
    Read::SERVICE,
    Read::NETWORK_POLICY,
    Read::of(MONITORS, "ServiceMonitor", &["spec"]),
    Read::of(MONITORS, "PodMonitor", &["spec"]),
];

/// Adds what is missing beside a pod to the warnings of the policy that gives it an exporter.
///
/// # Errors
/// As [`missing`].
pub fn add<'a>(
    verdicts: &mut Verdicts<'a>,
    pod: &Request<'a>,
    default_namespace: &str,
    cluster: &dyn Cluster,
) -> Result<(), Undecided> {
    let pod = verdicts.patched.map_or(*pod, |patched| pod.with_object(patched));
    if let Some(row) = verdicts.rows.iter_mut().find(|row| row.about.name == POLICY) {
        row.verdict.warnings.extend(missing(&pod, default_namespace, cluster)?);
    }
    Ok(())
}

/// What is missing beside a pod that has an exporter; nothing for one that has none.
///
/// # Errors
/// An object is not as Kubernetes has it.
fn missing(
    pod: &Request<'_>,
    default_namespace: &str,
    cluster: &dyn Cluster,
) -> Result<Vec<Finding>, Undecided> {
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
        default_namespace,
        labels: Labels::of(own.metadata.at("labels"))?,
        name: port.at("name").text()?,
        number: port.at("containerPort").int()?.unwrap_or_default(),
        cluster,
        arena: pod.object.arena(),
    };
    let missing = [exporter.scraped()?, exporter.reached()?].into_iter().flatten();
    let field = own.annotations().path();
    Ok(missing.map(|message| Finding { field: field.clone(), message, control: None }).collect())
}

/// A pod's exporter: by its port, and by what selects the pod.
struct Exporter<'a> {
    namespace: &'a str,
    default_namespace: &'a str,
    labels: Labels<'a>,
    name: &'a str,
    number: i64,
    cluster: &'a dyn Cluster,
    arena: &'a Arena,
}

impl<'a> Exporter<'a> {
    /// Goes through all objects of a kind, and says which one it is that cannot be read.
    fn any(
        &self,
        (group, kind): (&str, &str),
        namespace: Option<&str>,
        mut is_one: impl FnMut(Field<'a>) -> Result<bool, Undecided>,
    ) -> Result<bool, Undecided> {
        for object in self.cluster.list(group, kind, namespace, self.arena)? {
            let name = object.at("metadata.name").text().unwrap_or_default();
            if is_one(object).map_err(|undecided| undecided.in_object(kind, name))? {
                return Ok(true);
            }
        }
        Ok(false)
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
        let by_pod = self.any((MONITORS, "PodMonitor"), None, |monitor| {
            if !self.is_in_sight(monitor)? || !self.labels.are_selected_by(monitor.at("spec.selector"))? {
                return Ok(false);
            }
            for endpoint in monitor.at("spec.podMetricsEndpoints").items()? {
                for key in ["port", "portNumber", "targetPort"] {
                    if self.is_port(endpoint.at(key))? {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        })?;
        let ports = self.service_ports()?;
        let by_service = self.any((MONITORS, "ServiceMonitor"), None, |monitor| {
            for (service, port) in &ports {
                if self.is_in_sight(monitor)? && self.is_scraped_by(monitor, *service, *port)? {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        Ok(match ports.first() {
            _ if by_pod || by_service => None,
            None => Some(format!(
                "no Service leads to the exporter's port {}, and no PodMonitor scrapes it: add the port to a Service",
                self.number
            )),
            Some((service, port)) => Some(format!(
                "no ServiceMonitor scrapes the exporter: none selects port `{}` of the Service `{}`",
                excerpt(port.at("name").text()?),
                excerpt(service.at("metadata.name").text()?)
            )),
        })
    }

    /// Whether a ServiceMonitor selects the Service, and its port by name, or the exporter's by number.
    fn is_scraped_by(
        &self,
        monitor: Field<'a>,
        service: Field<'a>,
        port: Field<'a>,
    ) -> Result<bool, Undecided> {
        if !Labels::of(service.at("metadata.labels"))?.are_selected_by(monitor.at("spec.selector"))? {
            return Ok(false);
        }
        for endpoint in monitor.at("spec.endpoints").items()? {
            let is_port = match endpoint.at("port").str()? {
                Some(name) => port.at("name").str()? == Some(name),
                None => self.is_port(endpoint.at("targetPort"))?,
            };
            if is_port {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The Services that select the pod, each with its port that leads to the exporter.
    fn service_ports(&self) -> Result<Vec<(Field<'a>, Field<'a>)>, Undecided> {
        let mut found = Vec::new();
        self.any(("", "Service"), Some(self.namespace), |service| {
            if !self.labels.are_served_by(service)? {
                return Ok(false);
            }
            for port in service.at("spec.ports").items()? {
                let target = port.at("targetPort");
                if self.is_port(if target.is_set()? { target } else { port.at("port") })? {
                    found.push((service, port));
                }
            }
            Ok(false)
        })?;
        Ok(found)
    }

    /// If policies isolate the pod, whether one of them lets somebody outside of its namespace reach the port: that is where
    /// Prometheus is looked for. Who it is is not looked at.
    fn reached(&self) -> Result<Option<String>, Undecided> {
        let port = NamedPort {
            name: self.name,
            protocol: Protocol::Tcp,
            number: u16::try_from(self.number).unwrap_or_default(),
        };
        let mut is_isolated = false;
        let is_reached =
            self.any(("networking.k8s.io", "NetworkPolicy"), Some(self.namespace), |policy| {
                let policy = NetworkPolicy::read(policy, self.namespace)?;
                if !policy.isolates(Direction::Ingress, &self.labels) {
                    return Ok(false);
                }
                is_isolated = true;
                let mut rules = policy.side(Direction::Ingress).rules.iter();
                Ok(rules.any(|rule| {
                    lets_others_in(rule) && rule.ports(&[port]).contains(port.protocol, port.number)
                }))
            })?;
        Ok((is_isolated && !is_reached).then(|| {
            let number = self.number;
            format!(
                "no NetworkPolicy lets Prometheus reach the exporter's port {number}, and the pod is isolated"
            )
        }))
    }

    /// Whether a monitor looks into the pod's namespace (`spec.namespaceSelector`): its own, those it names, or any.
    fn is_in_sight(&self, monitor: Field<'_>) -> Result<bool, Undecided> {
        let wanted = monitor.at("spec.namespaceSelector");
        if wanted.at("any").is_true()? {
            return Ok(true);
        }
        let names = wanted.at("matchNames").items()?.map(Field::text).collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() {
            let own = monitor.at("metadata.namespace").text()?;
            return Ok(self.namespace == if own.is_empty() { self.default_namespace } else { own });
        }
        Ok(names.contains(&self.namespace))
    }
}

/// Whether a rule lets in what is not of the policy's own namespace: anybody, other namespaces, or addresses.
fn lets_others_in(rule: &Rule<'_>) -> bool {
    let is_other = |peer: &Peer<'_>| !matches!(peer, Peer::Pods { namespaces: None, .. });
    rule.peers.is_empty() || rule.peers.iter().any(is_other)
}
