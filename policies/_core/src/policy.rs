//! A policy: settings that can evaluate a request.

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use crate::cluster::Cluster;
use crate::field::Undecided;
use crate::metadata::{PolicyMetadata, WatchedKind};
use crate::request::Request;
use crate::value::{Arena, Value};
use crate::verdict::Verdict;

/// The part of a policy that a host calls.
pub trait Evaluate: Send + Sync {
    /// Whether settings extend the scope of the policy to this request, such as to a custom kind that creates pods.
    fn extends_scope_to(&self, _: &Request<'_>) -> bool {
        false
    }

    /// Warns about missing objects that the policy's changes require, such as a Service with the port of an
    /// exporter. Only for complete manifest sets, which guests never see.
    ///
    /// # Errors
    /// [`Undecided`] if another object cannot be read.
    #[cfg(not(target_os = "wasi"))]
    fn check_prerequisites(
        &self,
        _: &Request<'_>,
        _: &ManifestSet<'_>,
        _: &mut Verdict,
    ) -> Result<(), Undecided> {
        Ok(())
    }

    /// Evaluates a request in the policy's scope, and adds denials, warnings and changes to `verdict`.
    ///
    /// # Errors
    /// [`Undecided`] if an object or the cluster cannot be read. A policy only returns it with `?`; the engine decides how to
    /// handle it.
    fn evaluate(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided>;
}

/// A complete manifest set, for checks that need more than one object.
#[derive(Clone, Copy)]
pub struct ManifestSet<'s> {
    /// The objects of the set.
    pub cluster: &'s dyn Cluster,
    /// The namespace of objects that do not set one.
    pub default_namespace: &'s str,
}

/// A policy is the struct of its settings, with `deny_unknown_fields`. Its doc comment becomes the documentation of the policy,
/// and the doc comments of its fields become the table of settings.
pub trait Policy: Evaluate + DeserializeOwned + JsonSchema + Sized + 'static {
    /// The metadata of the policy.
    const METADATA: PolicyMetadata;

    /// The kinds that [`Evaluate::check_prerequisites`] reads in addition to [`PolicyMetadata::reads`].
    #[cfg(not(target_os = "wasi"))]
    const PREREQUISITES: &'static [WatchedKind] = &[];

    /// A table for the end of the documentation that is rendered from data, as Markdown; empty by default.
    #[cfg(not(target_os = "wasi"))]
    fn appendix() -> String {
        String::new()
    }

    /// Checks rules that the types cannot express, such as settings that exclude each other.
    ///
    /// # Errors
    /// A sentence that names the setting.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Settings that are not valid for a policy.
#[derive(Debug, thiserror::Error)]
#[error("settings of {policy}: {reason}")]
pub struct SettingsError {
    /// The policy's name.
    pub policy: &'static str,
    /// The setting and the problem with it.
    pub reason: String,
}

/// Reads a policy from its settings as JSON. An empty text, `null` and `{}` select the defaults.
///
/// # Errors
/// The text is not a JSON object, a setting is unknown, or a value is not valid.
pub fn configure<P: Policy>(settings: &str) -> Result<P, SettingsError> {
    let arena = Arena::new();
    let settings = match settings.trim() {
        "" => Ok(Value::Null),
        text => Value::from_json(text.as_bytes(), &arena),
    };
    configure_value(
        settings.map_err(|error| SettingsError { policy: P::METADATA.name, reason: error.to_string() })?,
    )
}

/// Like [`configure`], for decoded settings.
///
/// # Errors
/// See [`configure`].
pub fn configure_value<P: Policy>(settings: Value<'_>) -> Result<P, SettingsError> {
    let fail = |reason: String| SettingsError { policy: P::METADATA.name, reason };
    let settings = match settings {
        Value::Null => Value::Object(&[]),
        Value::Object(_) => settings,
        // Serde would accept a list as the values of the fields in order.
        other => return Err(fail(format!("must be an object, is {}", other.describe()))),
    };
    let policy = P::deserialize(settings).map_err(|error| fail(error.to_string()))?;
    policy.validate().map_err(fail)?;
    Ok(policy)
}

/// Creates a policy from its settings as JSON.
pub type Configure = fn(&str) -> Result<Box<dyn Evaluate>, SettingsError>;

/// A policy in the catalog, with its type erased.
#[cfg(not(target_os = "wasi"))]
#[derive(Clone, Copy, Debug)]
pub struct PolicyDefinition {
    /// The metadata of the policy.
    pub metadata: &'static PolicyMetadata,
    /// Creates the policy from its settings as JSON.
    pub configure: Configure,
    /// The JSON Schema of its settings; the description of the schema is the documentation of the policy.
    pub schema: fn() -> Schema,
    /// A table at the end of the documentation, as Markdown.
    pub appendix: fn() -> String,
    /// The kinds that the check of its prerequisites reads.
    pub prerequisites: &'static [WatchedKind],
}

#[cfg(not(target_os = "wasi"))]
impl PolicyDefinition {
    /// The definition of that policy.
    pub const fn of<P: Policy>() -> Self {
        PolicyDefinition {
            metadata: &P::METADATA,
            configure: |settings| Ok(Box::new(configure::<P>(settings)?)),
            schema: || schemars::schema_for!(P),
            appendix: P::appendix,
            prerequisites: P::PREREQUISITES,
        }
    }

    /// Whether the policy has a setting of that name.
    pub fn has_setting(&self, name: &str) -> bool {
        (self.schema)().pointer(&format!("/properties/{name}")).is_some()
    }
}
