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
    /// Whether settings extend the scope of the policy to this request, such as to a custom kind that makes pods.
    fn extends_scope_to(&self, _: &Request<'_>) -> bool {
        false
    }

    /// Warns of what must exist beside an object for the changes that the policy made to it to work, such as a Service with the
    /// port of an exporter. Only for complete manifest sets, which guests never see.
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

    /// Evaluates a request that is in the policy's scope: `verdict` gets what is denied, warned of or changed.
    ///
    /// # Errors
    /// [`Undecided`] where an object or the cluster cannot be read. What follows from it is not the policy's to
    /// say: `?` is all it does.
    fn evaluate(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided>;
}

/// A complete manifest set: what a policy can check beside a single object.
#[derive(Clone, Copy)]
pub struct ManifestSet<'s> {
    /// The objects of the set.
    pub cluster: &'s dyn Cluster,
    /// The namespace of objects that name none.
    pub default_namespace: &'s str,
}

/// A policy is its settings: one struct, `deny_unknown_fields`, its doc comment the policy's page, the doc comments
/// of its fields the page's table of settings.
pub trait Policy: Evaluate + DeserializeOwned + JsonSchema + Sized + 'static {
    /// What it is.
    const METADATA: PolicyMetadata;

    /// Objects that the prerequisites of its changes are made of, beside those that it reads itself.
    #[cfg(not(target_os = "wasi"))]
    const PREREQUISITES: &'static [WatchedKind] = &[];

    /// A table at the end of its documentation that is rendered from data, as Markdown; empty if there is none.
    #[cfg(not(target_os = "wasi"))]
    fn appendix() -> String {
        String::new()
    }

    /// What the types of the settings cannot say, such as two that exclude each other.
    ///
    /// # Errors
    /// A sentence that names the setting.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Settings that a policy cannot work with.
#[derive(Debug, thiserror::Error)]
#[error("settings of {policy}: {reason}")]
pub struct SettingsError {
    /// The policy's name.
    pub policy: &'static str,
    /// Which setting, and what is the matter with it.
    pub reason: String,
}

/// Reads a policy from its settings as JSON; none, `null` and `{}` are all defaults.
///
/// # Errors
/// Text that is no JSON object, a setting that the policy does not have, a value it does not take.
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

/// As [`configure`], from settings that are decoded already.
///
/// # Errors
/// As [`configure`].
pub fn configure_value<P: Policy>(settings: Value<'_>) -> Result<P, SettingsError> {
    let fail = |reason: String| SettingsError { policy: P::METADATA.name, reason };
    let settings = match settings {
        Value::Null => Value::Object(&[]),
        Value::Object(_) => settings,
        // Serde would take a list for the fields in their order.
        other => return Err(fail(format!("must be an object, is {}", other.describe()))),
    };
    let policy = P::deserialize(settings).map_err(|error| fail(error.to_string()))?;
    policy.validate().map_err(fail)?;
    Ok(policy)
}

/// Makes a policy from its settings as JSON.
pub type Configure = fn(&str) -> Result<Box<dyn Evaluate>, SettingsError>;

/// A policy in the catalog, its type erased.
#[cfg(not(target_os = "wasi"))]
#[derive(Clone, Copy, Debug)]
pub struct PolicyDefinition {
    /// What it is.
    pub metadata: &'static PolicyMetadata,
    /// Makes the policy from its settings as JSON.
    pub configure: Configure,
    /// The JSON Schema of its settings; the description of the schema is the documentation of the policy.
    pub schema: fn() -> Schema,
    /// A table at the end of the documentation, as Markdown.
    pub appendix: fn() -> String,
    /// Objects that the prerequisites of its changes are made of.
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
