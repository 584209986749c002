//! A policy: settings that can judge a request, and what is said about it wherever it is named.

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use crate::cluster::Cluster;
use crate::field::Undecided;
use crate::request::Request;
use crate::scope::{self, Scope};
use crate::value::{Arena, Value};
use crate::verdict::Verdict;

/// What is said about a policy: in `pratique policies`, in its page, in metadata.yml and in webhook rules.
#[derive(Debug)]
pub struct About {
    /// The one name: of its folder, its crate, its page, its module, its metrics.
    pub name: &'static str,
    /// A title of a few words.
    pub title: &'static str,
    /// One sentence: what it does.
    pub summary: &'static str,
    /// What to do when it denies; a sentence.
    pub remediation: &'static str,
    /// What it holds to: the address of the specification.
    pub source: &'static str,
    /// How bad it is to go without.
    pub severity: Severity,
    /// Which requests it judges.
    pub scope: Scope,
    /// What it looks at in the cluster, beside the object it judges.
    pub reads: &'static [Read],
    /// Whether it can decide nothing without a cluster. Nobody is asked it who does not name it or give a cluster.
    pub needs_cluster: bool,
    /// Whether it judges a set of manifests as a whole, rather than what enters a cluster, where the parts come one after the
    /// other: no webhook is registered for it.
    pub of_sets: bool,
    /// Whether it ever changes an object.
    pub mutates: bool,
    /// Whether it ever denies an object that it can read: the validating webhook's rules are of those that do.
    pub denies: bool,
}

/// A kind of objects that a policy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// `networking.k8s.io`; empty for the core group.
    pub group: &'static str,
    /// `v1`.
    pub version: &'static str,
    /// `NetworkPolicy`.
    pub kind: &'static str,
    /// The fields that are looked at, beside `metadata.name` and `metadata.namespace`: a host need not keep others.
    pub fields: &'static [&'static str],
}

impl Read {
    /// Namespaces: their labels, and whether they are being deleted.
    pub const NAMESPACE: Read = Read::of("", "Namespace", &["metadata.deletionTimestamp", "metadata.labels"]);
    /// NetworkPolicies, and whether they are being deleted.
    pub const NETWORK_POLICY: Read =
        Read::of("networking.k8s.io", "NetworkPolicy", &["metadata.deletionTimestamp", "spec"]);
    /// Pods: their labels, and whether they run, and where.
    pub const POD: Read = Read::of(
        "",
        "Pod",
        &["metadata.deletionTimestamp", "metadata.labels", "spec.hostNetwork", "status.phase"],
    );
    /// Services, for what they select.
    pub const SERVICE: Read = Read::of("", "Service", &["spec.selector"]);

    /// A kind of version v1, and the fields of it that are looked at.
    pub const fn of(group: &'static str, kind: &'static str, fields: &'static [&'static str]) -> Self {
        Read { group, version: "v1", kind, fields }
    }

    /// The kind's resource, as roles name it: `networkpolicies`.
    pub fn plural(&self) -> String {
        scope::plural(self.kind)
    }
}

/// How bad it is to go without a policy; the words are Kubewarden's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The node or the cluster is lost.
    Critical,
    /// A container gets what it should not have.
    High,
    /// Something does not work as it should.
    Medium,
    /// A habit.
    Low,
}

impl Severity {
    /// As metadata.yml writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
        }
    }
}

/// The half of a policy that a host calls.
pub trait Evaluate: Send + Sync {
    /// Judges a request that is in the policy's scope: says in `verdict` what is denied, warned of or changed.
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

/// A policy is its settings: one struct, `deny_unknown_fields`, its doc comment the policy's page, the doc comments
/// of its fields the page's table of settings.
pub trait Policy: Evaluate + DeserializeOwned + JsonSchema + Sized + 'static {
    /// What is said about it.
    const ABOUT: About;

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
        settings.map_err(|error| SettingsError { policy: P::ABOUT.name, reason: error.to_string() })?,
    )
}

/// As [`configure`], from settings that are decoded already.
///
/// # Errors
/// As [`configure`].
pub fn configure_value<P: Policy>(settings: Value<'_>) -> Result<P, SettingsError> {
    let fail = |reason: String| SettingsError { policy: P::ABOUT.name, reason };
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

/// A policy in the catalog, its type forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What is said about it.
    pub about: &'static About,
    /// Makes the policy from its settings as JSON.
    pub configure: Configure,
    /// The JSON Schema of its settings; the schema's description is the policy's page.
    pub schema: fn() -> Schema,
}

impl Entry {
    /// The entry of that policy.
    pub const fn of<P: Policy>() -> Self {
        Entry {
            about: &P::ABOUT,
            configure: |settings| Ok(Box::new(configure::<P>(settings)?)),
            schema: || schemars::schema_for!(P),
        }
    }
}
