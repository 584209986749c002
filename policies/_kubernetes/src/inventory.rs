//! The objects of a complete manifest set and their relations: pods, Services, monitors and NetworkPolicies.

mod pod_group;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use policy_core::path::excerpt;
use policy_core::{Arena, Cluster, Field, Undecided, WatchedKind};

use crate::namespace::namespace_labels;
use crate::network_policy::NetworkPolicy;
use crate::selector::Labels;
use crate::service::Service;
use crate::workloads::{Controller, WorkloadKinds, owner_of};

pub use pod_group::{PodGroup, RunningContainer};

/// The API group of prometheus-operator.
pub const MONITORING: &str = "monitoring.coreos.com";

/// PodMonitors, with the fields that are read.
pub const POD_MONITOR: WatchedKind = WatchedKind::of(MONITORING, "PodMonitor", &["metadata.labels", "spec"]);
/// ServiceMonitors, with the fields that are read.
pub const SERVICE_MONITOR: WatchedKind =
    WatchedKind::of(MONITORING, "ServiceMonitor", &["metadata.labels", "spec"]);

/// The objects of a manifest set, listed on first use.
pub struct Inventory<'a> {
    /// The arena that stores the objects.
    pub arena: &'a Arena,
    cluster: &'a dyn Cluster,
    kinds: WorkloadKinds<'a>,
    /// The namespace of objects without a namespace.
    default_namespace: &'a str,
    /// Pods that the set does not contain.
    given: Vec<PodGroup<'a>>,
    pods: OnceCell<Vec<PodGroup<'a>>>,
    services: OnceCell<Vec<Service<'a>>>,
    policies: RefCell<BTreeMap<String, Rc<[NetworkPolicy<'a>]>>>,
}

/// An object in the manifest set.
#[derive(Clone, Copy, Debug)]
pub struct ListedObject<'a> {
    /// Its kind.
    pub kind: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The object.
    pub field: Field<'a>,
}

fn display(kind: &str, namespace: &str, name: &str) -> String {
    format!("{kind} {}/{}", excerpt(namespace), excerpt(name))
}

impl ListedObject<'_> {
    /// `ConfigMap monitoring/prometheus-adapter`.
    pub fn display(&self) -> String {
        display(self.kind, self.namespace, self.name)
    }
}

impl Service<'_> {
    /// `Service shop/api`.
    pub fn display(&self) -> String {
        display("Service", self.namespace, self.name)
    }
}

impl<'a> Inventory<'a> {
    /// Creates an inventory of the objects in `cluster`, which represents the manifest set. Objects without a namespace are in
    /// `default_namespace`; `given` are pods that the set does not contain.
    pub fn new(
        cluster: &'a dyn Cluster,
        arena: &'a Arena,
        kinds: WorkloadKinds<'a>,
        default_namespace: &'a str,
        given: Vec<PodGroup<'a>>,
    ) -> Self {
        Inventory {
            arena,
            cluster,
            kinds,
            default_namespace,
            given,
            pods: OnceCell::new(),
            services: OnceCell::new(),
            policies: RefCell::default(),
        }
    }

    /// The objects of a kind, in one namespace or in all namespaces.
    ///
    /// # Errors
    /// The objects cannot be listed, or a name or namespace is not a string.
    pub fn objects(
        &self,
        group: &'a str,
        kind: &'a str,
        namespace: Option<&str>,
    ) -> Result<Vec<ListedObject<'a>>, Undecided> {
        let mut objects = Vec::new();
        for field in self.cluster.list(group, kind, namespace, self.arena)? {
            let name = field.at("metadata.name").text()?;
            let namespace = match field.at("metadata.namespace").text()? {
                "" => self.default_namespace,
                namespace => namespace,
            };
            objects.push(ListedObject { kind, namespace, name, field });
        }
        Ok(objects)
    }

    /// The labels of a namespace. A namespace that the set does not contain has only the labels that every namespace has.
    ///
    /// # Errors
    /// The labels of the Namespace are not valid.
    pub fn namespace_labels(&self, namespace: &str) -> Result<Labels<'a>, Undecided> {
        let WatchedKind { group, kind, .. } = WatchedKind::NAMESPACE;
        let object = self.cluster.get(group, kind, None, namespace, self.arena)?;
        namespace_labels(object, self.arena.text(namespace))
    }

    /// The NetworkPolicies of a namespace. Each is read once.
    ///
    /// # Errors
    /// A NetworkPolicy is not valid.
    pub fn network_policies(&self, namespace: &str) -> Result<Rc<[NetworkPolicy<'a>]>, Undecided> {
        if let Some(known) = self.policies.borrow().get(namespace) {
            return Ok(known.clone());
        }
        let WatchedKind { group, kind, .. } = WatchedKind::NETWORK_POLICY;
        let mut policies = Vec::new();
        for object in self.objects(group, kind, Some(namespace))? {
            let read = NetworkPolicy::read(object.field, self.arena.text(namespace));
            policies.push(read.map_err(|undecided| undecided.in_object(kind, object.name))?);
        }
        let policies: Rc<[NetworkPolicy<'a>]> = policies.into();
        self.policies.borrow_mut().insert(namespace.to_owned(), policies.clone());
        Ok(policies)
    }

    /// The pods of all workloads, and the given pods.
    ///
    /// # Errors
    /// A workload is not valid.
    pub fn pods(&self) -> Result<&[PodGroup<'a>], Undecided> {
        if self.pods.get().is_none() {
            let read = self.read_pods()?;
            drop(self.pods.set(read));
        }
        Ok(self.pods.get().map(Vec::as_slice).unwrap_or_default())
    }

    fn read_pods(&self) -> Result<Vec<PodGroup<'a>>, Undecided> {
        let mut all = Vec::new();
        for row in self.kinds.iter().filter(|row| row.controller != Controller::None) {
            for object in self.objects(row.group, row.kind, None)? {
                let template = object.field.at(row.template);
                if !template.is_set()? && row.optional_template {
                    continue;
                }
                let group = PodGroup::read(object, template);
                all.push(group.map_err(|undecided| undecided.in_object(row.kind, object.name))?);
            }
        }
        for object in self.objects("", "Pod", None)? {
            let in_object = |undecided: Undecided| undecided.in_object("Pod", object.name);
            // Pods with a known workload as owner are skipped, because the template of the workload describes them.
            let owner = owner_of(object.field).map_err(in_object)?;
            if owner.and_then(|owner| self.kinds.get(owner.group, owner.kind)).is_none() {
                all.push(PodGroup::read(object, object.field).map_err(in_object)?);
            }
        }
        all.extend(self.given.iter().cloned());
        Ok(all)
    }

    /// The pods that a Service selects.
    ///
    /// # Errors
    /// The Service or a workload is not valid.
    pub fn pods_behind(&self, service: &Service<'a>) -> Result<Vec<&PodGroup<'a>>, Undecided> {
        selected_by(service, self.pods()?)
    }

    /// Whether an EndpointSlice or Endpoints object exists for a Service, which a Service without a selector needs.
    ///
    /// # Errors
    /// The objects cannot be listed, or one of them is not valid.
    pub fn has_endpoints(&self, service: &Service<'a>) -> Result<bool, Undecided> {
        let of_service = |slice: &ListedObject<'_>| -> Result<bool, Undecided> {
            Ok(slice.field.at("metadata.labels").key("kubernetes.io/service-name").text()? == service.name)
        };
        for slice in self.objects("discovery.k8s.io", "EndpointSlice", Some(service.namespace))? {
            if of_service(&slice)? {
                return Ok(true);
            }
        }
        let endpoints = self.objects("", "Endpoints", Some(service.namespace))?;
        Ok(endpoints.iter().any(|endpoints| endpoints.name == service.name))
    }

    /// All Services.
    ///
    /// # Errors
    /// The Services cannot be listed, or one of them is not valid.
    pub fn services(&self) -> Result<&[Service<'a>], Undecided> {
        if self.services.get().is_none() {
            let services = self.objects("", "Service", None)?;
            let services = services.into_iter().map(|listed| Service::new(listed.field, listed.namespace));
            drop(self.services.set(services.collect::<Result<_, _>>()?));
        }
        Ok(self.services.get().map(Vec::as_slice).unwrap_or_default())
    }

    /// All PodMonitors and ServiceMonitors.
    ///
    /// # Errors
    /// The monitors cannot be listed.
    pub fn monitors(&self) -> Result<Vec<ListedObject<'a>>, Undecided> {
        let mut monitors = self.objects(MONITORING, POD_MONITOR.kind, None)?;
        monitors.extend(self.objects(MONITORING, SERVICE_MONITOR.kind, None)?);
        Ok(monitors)
    }

    /// The same set with only the pods that `keep` accepts and the Services that select them, so that many monitors resolve fast.
    ///
    /// # Errors
    /// A Service or a workload is not valid.
    pub fn narrowed(&self, keep: impl Fn(&PodGroup<'a>) -> bool) -> Result<Self, Undecided> {
        let pods: Vec<PodGroup<'a>> = self.pods()?.iter().filter(|pods| keep(pods)).cloned().collect();
        self.with_pods(pods)
    }

    /// The same set with other pods and only the Services that select them.
    ///
    /// # Errors
    /// A Service is not valid.
    pub fn with_pods(&self, pods: Vec<PodGroup<'a>>) -> Result<Self, Undecided> {
        let narrow = Inventory::new(self.cluster, self.arena, self.kinds, self.default_namespace, Vec::new());
        let mut services = Vec::new();
        for service in self.services()? {
            if !selected_by(service, &pods)?.is_empty() {
                services.push(*service);
            }
        }
        drop(narrow.pods.set(pods));
        drop(narrow.services.set(services));
        Ok(narrow)
    }
}

/// Those of the pods that a Service selects. Its selector is read once, and only if its namespace has pods.
fn selected_by<'p, 'a>(
    service: &Service<'a>,
    pods: &'p [PodGroup<'a>],
) -> Result<Vec<&'p PodGroup<'a>>, Undecided> {
    let mut candidates = pods.iter().filter(|pods| pods.namespace == service.namespace).peekable();
    if candidates.peek().is_none() {
        return Ok(Vec::new());
    }
    let selector = service.selector()?;
    Ok(candidates.filter(|pods| selector.matches(&pods.labels)).collect())
}
