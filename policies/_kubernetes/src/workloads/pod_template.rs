//! Custom kinds that create pods, from the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Controller, WORKLOAD_KINDS, WorkloadKind};

/// A custom kind that creates pods, in addition to the built-in kinds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PodTemplate {
    /// The API group, such as `argoproj.io`.
    pub group: String,
    /// The version in webhook rules; objects of other versions match as well.
    #[serde(default = "first_version")]
    pub version: String,
    /// The kind, such as `Rollout`.
    pub kind: String,
    /// The resource, such as `rollouts`. Defaults to the lowercase plural of the kind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plural: String,
    /// The path of the pod template, such as `spec.template`.
    #[serde(default = "usual_path")]
    pub path: String,
    /// Whether the pod template is optional. If not, objects without one are denied, so a misspelled path admits nothing.
    #[serde(default)]
    pub optional: bool,
    /// Whether the kind has a `scale` subresource, so that a HorizontalPodAutoscaler can scale it.
    #[serde(default)]
    pub scalable: bool,
    /// The user name of the controller that creates the pods. If not set, exceptions for this kind do not cover its pods.
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
    /// Rejects rows that cannot match any object.
    ///
    /// # Errors
    /// A message that names the key: the value is empty, the path is not valid, or the path of a built-in kind is different.
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

    /// Whether the row is for that group and kind.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// The built-in row of the same kind, which is used instead. Only the controller may differ.
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

    /// The resource name: the configured one, or the plural of the kind.
    pub fn resource(&self) -> String {
        match self.plural.as_str() {
            "" => policy_core::kinds::plural(&self.kind),
            plural => plural.to_owned(),
        }
    }
}
