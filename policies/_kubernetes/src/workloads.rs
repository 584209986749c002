//! Workloads: the kinds that create pods, the location of their pod templates, and the controllers that create the pods.

mod owner;
mod pod_template;
mod pods;

use std::fmt;

use policy_core::kinds::is_same_group;
use policy_core::path::printable;
use policy_core::request::GroupVersionKind;
use policy_core::{Field, Operation, Request, Undecided};

pub use owner::{Owner, ancestors, is_controller_of, owner_of};
pub use pod_template::PodTemplate;
pub use pods::{LABELS_OF_EACH_POD, WorkloadPods, labels_of_pods, pods_of, template_making};

/// A kind that creates pods: a row of [`WORKLOAD_KINDS`], or a kind that the configuration adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadKind<'t> {
    /// The API group, such as `apps`; empty for the core group.
    pub group: &'t str,
    /// The version in webhook rules; objects of other versions match as well.
    pub version: &'t str,
    /// `Deployment`.
    pub kind: &'t str,
    /// `deployments`.
    pub plural: &'t str,
    /// The path of the pod template in the object: `spec.template`.
    pub template: &'t str,
    /// Whether an object without a template is valid and creates no pods of its own.
    pub optional_template: bool,
    /// Whether the kind has a `scale` subresource, so that a HorizontalPodAutoscaler can scale it.
    pub scalable: bool,
    /// The controller that creates the pods.
    pub controller: Controller<'t>,
    /// The kind of the objects between the workload and its pods, if any.
    pub through: Option<Intermediate<'t>>,
}

/// The controller that creates the pods of a workload, identified by its user name in admission requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller<'t> {
    /// No controller. A PodTemplate creates no pods; other objects refer to it.
    None,
    /// A controller of kube-controller-manager: `replicaset-controller`.
    Manager(&'t str),
    /// Another controller: `system:serviceaccount:kruise-system:kruise-manager`.
    User(&'t str),
    /// The configuration does not name the controller, so owner references to this kind are not trusted.
    Unknown,
}

/// The objects between a workload and its pods, such as the ReplicaSets of a Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intermediate<'t> {
    /// `ReplicaSet`.
    pub kind: &'t str,
    /// How the name of the object is derived from the name of the workload.
    pub name: NameOf<'t>,
}

/// How the name of an object between a workload and its pods relates to the name of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOf<'t> {
    /// `NAME-HASH`; the pods have the hash in this label.
    HashLabel(&'t str),
    /// `NAME-MINUTES`: the scheduled time of a Job of a CronJob, in minutes.
    ScheduledTime,
    /// The pods have the name of the workload in this label.
    NameLabel(&'t str),
}

const fn built_in(group: &'static str, kind: &'static str, plural: &'static str) -> WorkloadKind<'static> {
    WorkloadKind {
        group,
        version: "v1",
        kind,
        plural,
        template: "spec.template",
        optional_template: false,
        scalable: false,
        controller: Controller::None,
        through: None,
    }
}

const fn through(kind: &'static str, name: NameOf<'static>) -> Option<Intermediate<'static>> {
    Some(Intermediate { kind, name })
}

/// The kinds of Kubernetes and of widely used projects that create pods. Scopes, webhook rules, watch lists, the network map and
/// exceptions are derived from this table. To add a kind, add a row.
///
/// Sources: kubernetes/kubernetes `pkg/controller` and `cmd/kube-controller-manager`, and for the last four rows the API
/// references of Argo Rollouts, OpenKruise, OpenShift and Knative Serving.
pub const WORKLOAD_KINDS: &[WorkloadKind<'static>] = &[
    WorkloadKind { template: "template", ..built_in("", "PodTemplate", "podtemplates") },
    WorkloadKind {
        optional_template: true,
        scalable: true,
        controller: Controller::Manager("replication-controller"),
        ..built_in("", "ReplicationController", "replicationcontrollers")
    },
    WorkloadKind {
        controller: Controller::Manager("daemon-set-controller"),
        ..built_in("apps", "DaemonSet", "daemonsets")
    },
    WorkloadKind {
        scalable: true,
        controller: Controller::Manager("deployment-controller"),
        through: through("ReplicaSet", NameOf::HashLabel("pod-template-hash")),
        ..built_in("apps", "Deployment", "deployments")
    },
    WorkloadKind {
        scalable: true,
        controller: Controller::Manager("replicaset-controller"),
        ..built_in("apps", "ReplicaSet", "replicasets")
    },
    WorkloadKind {
        scalable: true,
        controller: Controller::Manager("statefulset-controller"),
        ..built_in("apps", "StatefulSet", "statefulsets")
    },
    WorkloadKind {
        template: "spec.jobTemplate.spec.template",
        controller: Controller::Manager("cronjob-controller"),
        through: through("Job", NameOf::ScheduledTime),
        ..built_in("batch", "CronJob", "cronjobs")
    },
    WorkloadKind { controller: Controller::Manager("job-controller"), ..built_in("batch", "Job", "jobs") },
    WorkloadKind {
        version: "v1alpha1",
        // A Rollout may use the template of a Deployment (`spec.workloadRef`).
        optional_template: true,
        scalable: true,
        controller: Controller::User("system:serviceaccount:argo-rollouts:argo-rollouts"),
        through: through("ReplicaSet", NameOf::HashLabel("rollouts-pod-template-hash")),
        ..built_in("argoproj.io", "Rollout", "rollouts")
    },
    WorkloadKind {
        version: "v1alpha1",
        scalable: true,
        controller: Controller::User("system:serviceaccount:kruise-system:kruise-manager"),
        ..built_in("apps.kruise.io", "CloneSet", "clonesets")
    },
    WorkloadKind {
        optional_template: true,
        scalable: true,
        controller: Controller::User("system:serviceaccount:openshift-infra:deploymentconfig-controller"),
        through: through("ReplicationController", NameOf::NameLabel("deploymentconfig")),
        ..built_in("apps.openshift.io", "DeploymentConfig", "deploymentconfigs")
    },
    WorkloadKind {
        controller: Controller::User("system:serviceaccount:knative-serving:controller"),
        through: through("ReplicaSet", NameOf::NameLabel("serving.knative.dev/service")),
        ..built_in("serving.knative.dev", "Service", "services")
    },
];

/// The name of a workload in reports and network maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadName<'a> {
    /// `shop`.
    pub namespace: &'a str,
    /// `web`.
    pub name: &'a str,
    /// `Deployment`.
    pub kind: &'a str,
}

/// `shop/web[Deployment]`.
impl fmt::Display for WorkloadName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WorkloadName { namespace, name, kind } = self;
        write!(f, "{}/{}[{}]", printable(namespace), printable(name), printable(kind))
    }
}

/// The kinds that create pods: the built-in kinds, and those that the configuration adds.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkloadKinds<'t> {
    added: &'t [PodTemplate],
}

impl<'t> WorkloadKinds<'t> {
    /// Only the built-in kinds.
    pub const BUILT_IN: WorkloadKinds<'static> = WorkloadKinds { added: &[] };

    /// The built-in kinds and the `added` kinds.
    pub fn with(added: &'t [PodTemplate]) -> Self {
        WorkloadKinds { added }
    }

    /// All kinds, starting with the built-in kinds.
    pub fn iter(self) -> impl Iterator<Item = WorkloadKind<'t>> {
        let added = self.added.iter().filter(|row| row.built_in().is_none());
        WORKLOAD_KINDS.iter().map(move |row| self.with_controller(*row)).chain(added.map(PodTemplate::row))
    }

    /// A built-in row, with the controller from the configuration if it names one, because controllers can run in any namespace.
    fn with_controller(self, row: WorkloadKind<'t>) -> WorkloadKind<'t> {
        let is_named = |added: &&PodTemplate| !added.controller.is_empty() && added.is(row.group, row.kind);
        match self.added.iter().find(is_named) {
            Some(added) => WorkloadKind { controller: Controller::User(&added.controller), ..row },
            None => row,
        }
    }

    /// The row of that group and kind; `None` for pods and for kinds that do not create pods.
    pub fn get(self, group: &str, kind: &str) -> Option<WorkloadKind<'t>> {
        self.iter().find(|row| row.kind == kind && is_same_group(row.group, group))
    }

    /// Whether the request creates or updates an object of a kind that the configuration adds.
    pub fn adds(self, request: &Request<'_>) -> bool {
        self.added.iter().any(|row| row.is(request.kind.group, request.kind.kind))
            && request.sub_resource.is_empty()
            && matches!(request.operation, Operation::Create | Operation::Update)
    }

    /// The pod or the pod template in the request; `None` if the kind does not require a template and the object has none.
    ///
    /// # Errors
    /// The request has no object.
    pub fn template<'a>(
        self,
        kind: &GroupVersionKind<'_>,
        object: Field<'a>,
    ) -> Result<Option<Field<'a>>, Undecided> {
        if !object.is_set()? {
            return Err(object.undecided("the request has no object"));
        }
        let Some(row) = self.get(kind.group, kind.kind) else { return Ok(Some(object)) };
        let template = object.at(object.arena().text(row.template));
        Ok((!row.optional_template || template.is_set()?).then_some(template))
    }
}
