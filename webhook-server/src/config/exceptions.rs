//! Exceptions: reviewed denials that are allowed until a given day, each with an owner.

mod workload;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::civil::Date;
use policy_core::path::Segment;
use policy_core::yaml::Position;
use policy_core::{Field, FieldPath, Finding, Request, Undecided, Verdicts};
use policy_kubernetes::WorkloadKinds;
use schemars::JsonSchema;
use serde::Deserialize;

use self::workload::workloads;
use crate::clock::today;

/// An exception in `policies.yaml`: one control of one policy, for one workload, in one part of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an exception")]
pub(crate) struct ExceptionEntry {
    /// The policy whose denial is excepted.
    policy: String,
    /// The control of the policy, as denials name it.
    control: String,
    /// The namespace of the workload.
    namespace: String,
    /// The workload, such as `DaemonSet/falco`: the object itself and its pods.
    workload: String,
    /// Only findings in the container with this name, in any of the container lists.
    container: Option<String>,
    /// Only findings in the volumes with these names. Without container and volumes, only findings outside of both.
    #[serde(default)]
    volumes: Vec<String>,
    /// Only these values of the field, or these host paths of a volume. If empty, any value.
    #[serde(default)]
    values: Vec<String>,
    /// The reason for the exception.
    reason: String,
    /// The person or team that is responsible for it.
    owner: String,
    /// The last day on which the exception applies, in UTC, such as `2027-06-30`.
    #[schemars(extend("format" = "date", "pattern" = r"^\d{4}-\d{2}-\d{2}$"))]
    expires: String,
}

/// A validated exception, and whether it was used.
#[derive(Debug)]
pub struct Exception {
    /// The policy whose denial is excepted.
    pub policy: &'static str,
    /// The control of the policy.
    pub control: String,
    /// The namespace of the workload.
    pub namespace: String,
    /// The workload, such as `DaemonSet/falco`: the object itself and its pods.
    pub workload: String,
    /// Only findings in the container with this name, in any of the container lists.
    pub container: Option<String>,
    /// Only findings in the volumes with these names. Without container and volumes, only findings outside of both.
    pub volumes: Vec<String>,
    /// Only these values of the field, or these host paths of a volume. If empty, any value.
    pub values: Vec<String>,
    /// The reason for the exception.
    pub reason: String,
    /// The person or team that is responsible for it.
    pub owner: String,
    /// The last day on which the exception applies, in UTC.
    pub expires: Date,
    /// The source location, such as `policies.yaml:12:3`.
    pub place: String,
    used: AtomicBool,
    seen: AtomicBool,
}

/// A denial that an exception suppresses.
#[derive(Debug)]
pub struct ExceptedDenial<'e> {
    /// The policy that denied.
    pub policy: &'static str,
    /// The suppressed finding.
    pub finding: Finding,
    /// The exception that suppresses it.
    pub exception: &'e Exception,
}

/// All exceptions of a configuration.
#[derive(Debug, Default)]
pub struct Exceptions(Vec<Exception>);

impl ExceptionEntry {
    /// Validates the entry.
    pub(crate) fn check(self, file: &Path, at: Position) -> anyhow::Result<Exception> {
        let entry = crate::config::find(&self.policy)?;
        let policy = entry.metadata.name;
        let controls = entry.metadata.controls;
        anyhow::ensure!(
            controls.is_empty() || entry.metadata.control(&self.control).is_some(),
            "control: `{}` is not a control of {policy}; `pratique policies {policy}` lists them",
            self.control
        );
        let mut names = self.container.iter().chain(&self.volumes).chain(&self.values);
        anyhow::ensure!(names.all(|text| !text.is_empty()), "container, volumes, values: must not be empty");
        for (name, value) in [
            ("control", &self.control),
            ("namespace", &self.namespace),
            ("reason", &self.reason),
            ("owner", &self.owner),
        ] {
            anyhow::ensure!(!value.trim().is_empty(), "{name}: must not be empty");
        }
        anyhow::ensure!(
            self.container.is_none() || self.volumes.is_empty(),
            "container, volumes: must not both be set"
        );
        anyhow::ensure!(
            self.namespace.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "namespace: must be a valid namespace name, is `{}`",
            self.namespace
        );
        let named = self.workload.split_once('/').is_some_and(|(kind, name)| {
            kind.starts_with(|c: char| c.is_ascii_uppercase()) && !name.is_empty() && !name.contains('/')
        });
        anyhow::ensure!(
            named,
            "workload: must be KIND/NAME such as `DaemonSet/falco`, is `{}`",
            self.workload
        );
        let expires = self.expires.parse().map_err(|_| {
            anyhow::anyhow!("expires: must be a date such as `2027-06-30`, is `{}`", self.expires)
        })?;
        Ok(Exception {
            policy,
            control: self.control,
            namespace: self.namespace,
            workload: self.workload,
            container: self.container,
            volumes: self.volumes,
            values: self.values,
            reason: self.reason,
            owner: self.owner,
            expires,
            place: format!("{}:{at}", file.display()),
            used: AtomicBool::new(false),
            seen: AtomicBool::new(false),
        })
    }
}

impl Exception {
    /// Whether the exception covers this finding in this object, regardless of the date.
    fn covers(&self, policy: &str, finding: &Finding, object: Field<'_>) -> bool {
        if self.policy != policy || finding.control != Some(self.control.as_str()) {
            return false;
        }
        // A field that cannot be read is not excepted.
        let Ok((place, found)) = place(&finding.field, object) else { return false };
        let in_place = match place {
            PodPart::Container(name) => self.container.as_deref() == Some(name),
            PodPart::Volume(name) => self.volumes.iter().any(|volume| volume == name),
            PodPart::Pod => self.container.is_none() && self.volumes.is_empty(),
        };
        in_place && (self.values.is_empty() || self.values.iter().any(|value| is_value(found, value)))
    }
}

/// `exception of pod-security-standards (runAsUser) for falco DaemonSet/falco, container falco`
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exception { policy, control, namespace, workload, .. } = self;
        write!(f, "exception of {policy} ({control}) for {namespace} {workload}")?;
        if let Some(container) = &self.container {
            write!(f, ", container {container}")?;
        }
        if !self.volumes.is_empty() {
            write!(f, ", volumes {}", self.volumes.join(", "))?;
        }
        Ok(())
    }
}

impl Exceptions {
    pub(crate) fn new(exceptions: Vec<Exception>) -> Self {
        Exceptions(exceptions)
    }

    /// Every exception.
    pub fn iter(&self) -> impl Iterator<Item = &Exception> {
        self.0.iter()
    }

    /// Removes the denials that are excepted today, and returns them. If the exception has expired, the denial remains and
    /// its message reports that. A truncated verdict remains unchanged, because its omitted denials cannot be checked.
    ///
    /// Call this after `admit`, which validates its own patches without exceptions.
    pub fn apply(
        &self,
        request: &Request<'_>,
        kinds: WorkloadKinds<'_>,
        verdicts: &mut Verdicts<'_>,
    ) -> Vec<ExceptedDenial<'_>> {
        self.apply_on(today(), request, kinds, verdicts)
    }

    fn apply_on(
        &self,
        today: Date,
        request: &Request<'_>,
        kinds: WorkloadKinds<'_>,
        verdicts: &mut Verdicts<'_>,
    ) -> Vec<ExceptedDenial<'_>> {
        let here = |exception: &&Exception| exception.namespace == request.namespace;
        if verdicts.rows.is_empty() || !self.0.iter().any(|exception| here(&exception)) {
            return Vec::new();
        }
        let Ok(workloads) = workloads(request, kinds) else { return Vec::new() };
        let candidates =
            self.0.iter().filter(here).filter(|exception| workloads.contains(&exception.workload));
        let candidates: Vec<&Exception> = candidates.collect();
        for exception in &candidates {
            exception.seen.store(true, Ordering::Relaxed);
        }
        let mut excepted = Vec::new();
        for row in verdicts.rows.iter_mut().filter(|row| row.verdict.left_out == 0) {
            let policy = row.metadata.name;
            for mut finding in std::mem::take(&mut row.verdict.denials) {
                let covering =
                    || candidates.iter().filter(|e| e.covers(policy, &finding, request.object)).copied();
                if let Some(exception) = covering().find(|exception| today <= exception.expires) {
                    exception.used.store(true, Ordering::Relaxed);
                    excepted.push(ExceptedDenial { policy, finding, exception });
                    continue;
                }
                if let Some(exception) = covering().next() {
                    exception.used.store(true, Ordering::Relaxed);
                    let Exception { owner, expires, .. } = exception;
                    let message = format!("; its exception expired on {expires}: ask {owner}");
                    finding.message.push_str(&message);
                }
                row.verdict.denials.insert(finding);
            }
        }
        excepted
    }

    /// The unused exceptions. If the workload of an exception was not evaluated, the exception counts only if `all` objects
    /// that the configuration applies to were evaluated, because otherwise it may be needed elsewhere.
    pub fn unused(&self, all: bool) -> impl Iterator<Item = &Exception> {
        let unused = |exception: &&Exception| !exception.used.load(Ordering::Relaxed);
        self.0.iter().filter(unused).filter(move |exception| all || exception.seen.load(Ordering::Relaxed))
    }
}

/// The part of a pod that contains a finding.
enum PodPart<'a> {
    Container(&'a str),
    Volume(&'a str),
    Pod,
}

/// The part of the pod that contains a finding, and the field of the finding.
fn place<'a>(path: &FieldPath, object: Field<'a>) -> Result<(PodPart<'a>, Field<'a>), Undecided> {
    let arena = object.arena();
    let mut field = object;
    let mut place = PodPart::Pod;
    let mut list = "";
    for segment in &path.0 {
        match segment {
            Segment::Key(key) => {
                list = arena.text(key);
                field = field.key(list);
            }
            Segment::Index(index) => {
                let item = field.items()?.nth(*index);
                field = item.ok_or_else(|| {
                    object.undecided("the finding refers to a list item that does not exist")
                })?;
                match list {
                    "containers" | "initContainers" | "ephemeralContainers" => {
                        place = PodPart::Container(field.at("name").text()?);
                    }
                    "volumes" => place = PodPart::Volume(field.at("name").text()?),
                    _ => {}
                }
            }
        }
    }
    Ok((place, field))
}

/// Whether a field has this value, or a volume has this host path.
fn is_value(field: Field<'_>, value: &str) -> bool {
    let is = |field: Field<'_>| field.str().is_ok_and(|text| text == Some(value));
    is(field) || is(field.at("path")) || is(field.at("hostPath.path"))
}

#[cfg(test)]
mod tests;
