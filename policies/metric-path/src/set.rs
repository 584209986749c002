//! The set of manifests: what of it has to do with metrics.

use std::cell::OnceCell;

use policy_core::path::excerpt;
use policy_core::pod::is_tcp;
use policy_core::selector::Labels;
use policy_core::{Arena, Cluster, Field, Request, Undecided, Value};

use crate::MONITORING;
use crate::scrape::{self, Found};
use crate::settings::MetricPath;

/// The kinds whose pods are looked at, and where their template is.
const WORKLOADS: [(&str, &str, &str); 8] = [
    ("apps", "DaemonSet", "spec.template"),
    ("apps", "Deployment", "spec.template"),
    ("apps", "ReplicaSet", "spec.template"),
    ("apps", "StatefulSet", "spec.template"),
    ("batch", "CronJob", "spec.jobTemplate.spec.template"),
    ("batch", "Job", "spec.template"),
    ("", "ReplicationController", "spec.template"),
    ("", "Pod", ""),
];

/// What a request is judged with.
pub(crate) struct Set<'a> {
    pub(crate) settings: &'a MetricPath,
    pub(crate) arena: &'a Arena,
    cluster: &'a dyn Cluster,
    /// The namespace of what names none.
    default_namespace: &'a str,
    pods: OnceCell<Vec<Pods<'a>>>,
    services: OnceCell<Vec<Object<'a>>>,
}

/// An object, by its names.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a> {
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) field: Field<'a>,
}

impl Object<'_> {
    /// `Service shop/api`.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}/{}", self.kind, excerpt(self.namespace), excerpt(self.name))
    }
}

/// The pods of a workload, all alike.
#[derive(Clone)]
pub(crate) struct Pods<'a> {
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) labels: Labels<'a>,
    pub(crate) containers: Vec<Container<'a>>,
    /// What the pod requests as a whole; missing for pods that are not in the set.
    pub(crate) resources: Field<'a>,
}

/// A container that runs as long as its pod does.
#[derive(Clone)]
pub(crate) struct Container<'a> {
    pub(crate) name: &'a str,
    pub(crate) image: &'a str,
    /// Where it is written; missing for pods that are not in the set.
    pub(crate) field: Field<'a>,
    pub(crate) ports: Vec<(&'a str, u16)>,
}

impl Pods<'_> {
    /// `Deployment shop/api`.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}/{}", self.kind, excerpt(self.namespace), excerpt(self.name))
    }
}

impl<'a> Set<'a> {
    pub(crate) fn new(settings: &'a MetricPath, request: &Request<'a>, cluster: &'a dyn Cluster) -> Self {
        // What the object that is judged does not say itself is what those beside it do not say either.
        let says = request.object.at("metadata.namespace").text().unwrap_or_default();
        let default_namespace = if says.is_empty() { request.namespace } else { "default" };
        Set::of(settings, request.object.arena(), cluster, default_namespace)
    }

    /// A set by itself.
    pub(crate) fn of(
        settings: &'a MetricPath,
        arena: &'a Arena,
        cluster: &'a dyn Cluster,
        default_namespace: &'a str,
    ) -> Self {
        let (pods, services) = (OnceCell::new(), OnceCell::new());
        Set { settings, arena, cluster, default_namespace, pods, services }
    }

    /// The objects of a kind, in one namespace or in all.
    pub(crate) fn objects(
        &self,
        group: &'a str,
        kind: &'a str,
        namespace: Option<&str>,
    ) -> Result<Vec<Object<'a>>, Undecided> {
        let mut objects = Vec::new();
        for field in self.cluster.list(group, kind, namespace, self.arena)? {
            let name = field.at("metadata.name").text()?;
            let namespace = match field.at("metadata.namespace").text()? {
                "" => self.default_namespace,
                namespace => namespace,
            };
            objects.push(Object { kind, namespace, name, field });
        }
        Ok(objects)
    }

    /// The labels of a namespace; where it is not in the set, those that every namespace has.
    pub(crate) fn namespace_labels(&self, namespace: &'a str) -> Result<Labels<'a>, Undecided> {
        let mut labels = Labels::of(Field::missing(self.arena))?;
        for object in self.objects("", "Namespace", None)? {
            if object.name == namespace {
                labels = Labels::of(object.field.at("metadata.labels"))?;
            }
        }
        labels.add("kubernetes.io/metadata.name", namespace);
        Ok(labels)
    }

    /// The pods of all workloads, and those that the settings give.
    pub(crate) fn pods(&self) -> Result<&[Pods<'a>], Undecided> {
        if self.pods.get().is_none() {
            let read = self.read_pods()?;
            drop(self.pods.set(read));
        }
        Ok(self.pods.get().map(Vec::as_slice).unwrap_or_default())
    }

    fn read_pods(&self) -> Result<Vec<Pods<'a>>, Undecided> {
        let mut all = Vec::new();
        for (group, kind, template) in WORKLOADS {
            for object in self.objects(group, kind, None)? {
                let in_object = |undecided: Undecided| undecided.in_object(kind, object.name);
                // A workload of the set makes it, or one that the set does not hold.
                if kind == "Pod" && object.field.at("metadata.ownerReferences").items()?.len() > 0 {
                    continue;
                }
                let template = if template.is_empty() { object.field } else { object.field.at(template) };
                all.push(Pods::read(object, template).map_err(in_object)?);
            }
        }
        for given in &self.settings.pods {
            let ports = given.ports.iter().map(|port| (port.name.as_str(), port.number)).collect();
            let field = Field::missing(self.arena);
            all.push(Pods {
                kind: "Pods of",
                namespace: &given.namespace,
                name: &given.name,
                labels: given.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
                containers: vec![Container { name: "", image: "", field, ports }],
                resources: field,
            });
        }
        Ok(all)
    }

    /// The pods of a namespace that a Service selects.
    pub(crate) fn pods_behind(&self, service: &Object<'a>) -> Result<Vec<&Pods<'a>>, Undecided> {
        let mut behind = Vec::new();
        for pods in self.pods()? {
            if pods.namespace == service.namespace && pods.labels.are_served_by(service.field)? {
                behind.push(pods);
            }
        }
        Ok(behind)
    }

    /// The Services.
    pub(crate) fn services(&self) -> Result<&[Object<'a>], Undecided> {
        if self.services.get().is_none() {
            drop(self.services.set(self.objects("", "Service", None)?));
        }
        Ok(self.services.get().map(Vec::as_slice).unwrap_or_default())
    }

    /// The monitors, of both kinds.
    pub(crate) fn monitors(&self) -> Result<Vec<Object<'a>>, Undecided> {
        let mut monitors = self.objects(MONITORING, "PodMonitor", None)?;
        monitors.extend(self.objects(MONITORING, "ServiceMonitor", None)?);
        Ok(monitors)
    }

    /// What a monitor leads to.
    pub(crate) fn found(&self, monitor: &Object<'a>) -> Result<Found<'a>, Undecided> {
        scrape::of(self, monitor).map_err(|undecided| undecided.in_object(monitor.kind, monitor.name))
    }

    /// The same set as if there were only these pods, and the Services that lead to them: a monitor among hundreds is soon looked
    /// through then.
    pub(crate) fn narrowed(&self, is_meant: impl Fn(&Pods<'a>) -> bool) -> Result<Self, Undecided> {
        let narrow = Set::of(self.settings, self.arena, self.cluster, self.default_namespace);
        let pods: Vec<Pods<'a>> = self.pods()?.iter().filter(|pods| is_meant(pods)).cloned().collect();
        let mut services = Vec::new();
        for service in self.services()? {
            let mut leads = false;
            for pods in pods.iter().filter(|pods| pods.namespace == service.namespace) {
                leads |= pods.labels.are_served_by(service.field)?;
            }
            if leads {
                services.push(*service);
            }
        }
        drop(narrow.pods.set(pods));
        drop(narrow.services.set(services));
        Ok(narrow)
    }
}

impl<'a> Pods<'a> {
    fn read(object: Object<'a>, template: Field<'a>) -> Result<Self, Undecided> {
        let mut containers = Vec::new();
        for container in template.at("spec.initContainers").items()? {
            if container.at("restartPolicy").str()? == Some("Always") {
                containers.push(Container::read(container)?);
            }
        }
        for container in template.at("spec.containers").items()? {
            containers.push(Container::read(container)?);
        }
        let labels = Labels::of(template.at("metadata.labels"))?;
        let Object { kind, namespace, name, .. } = object;
        Ok(Pods { kind, namespace, name, labels, containers, resources: template.at("spec.resources") })
    }

    /// The container that has a port, by number or by name as the value says, and that port's number.
    pub(crate) fn port(&self, wanted: Value<'_>) -> Option<(&Container<'a>, u16)> {
        self.containers.iter().find_map(|container| {
            let mut ports = container.ports.iter();
            let is_it = |(name, number): &&(&str, u16)| match wanted {
                Value::String(wanted) => *name == wanted,
                other => other.to_string() == number.to_string(),
            };
            ports.find(is_it).map(|(_, number)| (container, *number))
        })
    }

    /// The container and number of a port that a Service leads to. Kubernetes does not ask that a number be declared; where a pod
    /// declares ports, those that it does not are taken for a mistake.
    pub(crate) fn target(&self, wanted: Value<'_>) -> Option<(&Container<'a>, u16)> {
        let declares = self.containers.iter().any(|container| !container.ports.is_empty());
        match wanted {
            Value::String(_) => self.port(wanted),
            _ if declares => self.port(wanted),
            number => Some((self.containers.first()?, number.to_string().parse().ok()?)),
        }
    }

    /// The ports that there are, for a message.
    pub(crate) fn ports(&self) -> String {
        let ports = self.containers.iter().flat_map(|container| &container.ports);
        let shown: Vec<String> =
            ports.map(|(name, number)| format!("`{}` ({number})", excerpt(name))).collect();
        if shown.is_empty() { "no port".to_owned() } else { shown.join(", ") }
    }
}

impl<'a> Container<'a> {
    fn read(field: Field<'a>) -> Result<Self, Undecided> {
        let mut ports = Vec::new();
        for port in field.at("ports").items()? {
            // Metrics are asked for by TCP.
            if !is_tcp(port)? {
                continue;
            }
            let number = port.at("containerPort").int()?.and_then(|number| u16::try_from(number).ok());
            let number =
                number.ok_or_else(|| port.at("containerPort").undecided("must be from 1 to 65535"))?;
            ports.push((port.at("name").text()?, number));
        }
        Ok(Container { name: field.at("name").text()?, image: field.at("image").text()?, field, ports })
    }
}
