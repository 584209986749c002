//! Kinds that a configuration adds to those that make pods.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Controller, WORKLOAD_KINDS, WorkloadKind};

/// A kind that makes pods and that a configuration adds to the built-in ones.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PodTemplate {
    /// The API group, such as `argoproj.io`.
    pub group: String,
    /// The version that webhook rules name; objects of other versions match as well.
    #[serde(default = "first_version")]
    pub version: String,
    /// The kind, such as `Rollout`.
    pub kind: String,
    /// The resource, such as `rollouts`; the lower-case plural of the kind if not set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plural: String,
    /// The path of the pod template, such as `spec.template`.
    #[serde(default = "usual_path")]
    pub path: String,
    /// Whether an object may go without a pod template. If not, one without is denied: a misspelt path would admit everything.
    #[serde(default)]
    pub optional: bool,
    /// Whether the kind has a `scale` subresource, so that a HorizontalPodAutoscaler can scale it.
    #[serde(default)]
    pub scalable: bool,
    /// The user name of the controller that makes the pods; without it, exceptions for this kind do not cover its pods.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub controller: String,
}

fn first_version() -> String {
    "v1".to_owned()
}

fn usual_path() -> String {
    "spec.template".to_owned()
}

impl PodTemplate {
    /// Fills in the plural and rejects rows that cannot match anything.
    ///
    /// # Errors
    /// A sentence that names the key: it is empty, the path is not one of keys joined by dots, or not that of a built-in kind.
    pub fn validate(&self) -> Result<(), String> {
        for (key, value) in [("kind", &self.kind), ("version", &self.version), ("path", &self.path)] {
            if value.trim().is_empty() {
                return Err(format!("podTemplates: {key}: must not be empty"));
            }
        }
        let is_key = |key: &str| {
            !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        if !self.path.split('.').all(is_key) {
            return Err(format!("podTemplates: path: must be keys joined by dots, is `{}`", self.path));
        }
        match self.built_in() {
            Some(row) if row.template != self.path => Err(format!(
                "podTemplates: path: `{}` of `{}` is built in, and its pod template is at `{}`: remove the row",
                self.kind, self.group, row.template
            )),
            _ => Ok(()),
        }
    }

    /// Whether it is for that group and kind.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// The built-in row of the same kind, which is used instead; only the controller can be another.
    pub fn built_in(&self) -> Option<&'static WorkloadKind<'static>> {
        WORKLOAD_KINDS.iter().find(|row| self.is(row.group, row.kind))
    }

    pub(super) fn row(&self) -> WorkloadKind<'_> {
        WorkloadKind {
            group: &self.group,
            version: &self.version,
            kind: &self.kind,
            plural: &self.plural,
            template: &self.path,
            optional_template: self.optional,
            scalable: self.scalable,
            controller: match self.controller.as_str() {
                "" => Controller::Unknown,
                user => Controller::User(user),
            },
            through: None,
        }
    }

    /// The resource name: as set, or the plural of the kind.
    pub fn resource(&self) -> String {
        match self.plural.as_str() {
            "" => policy_core::kinds::plural(&self.kind),
            plural => plural.to_owned(),
        }
    }
}
