//! The policies to evaluate, and their settings.

use policy_catalog::CONFIGURES;
use policy_core::path::excerpt;
use policy_core::{
    AdmissionPhase, Arena, ConfiguredPolicy, Field, NoCluster, Request, Undecided, Value, admit,
};

use crate::report::PlaygroundReport;

/// The configured policies to evaluate.
pub(crate) struct Options {
    /// The namespace of objects that do not specify one.
    pub(crate) namespace: String,
    /// The policies, in the order of the catalog.
    pub(crate) policies: Vec<ConfiguredPolicy>,
}

impl Options {
    /// Parses the options: `{"namespace": "default", "policies": {"NAME": {settings}}}`.
    ///
    /// # Errors
    /// The options are not valid JSON of this form, or a policy rejects a setting. The error is the report to show.
    pub(crate) fn read(options: &str) -> Result<Self, Box<PlaygroundReport>> {
        let arena = Arena::new();
        let cannot = |reason: String| PlaygroundReport::error(format!("cannot read the options: {reason}"));
        let value =
            Value::from_json(options.as_bytes(), &arena).map_err(|error| cannot(error.to_string()))?;
        let root = Field::root(value, &arena);
        let undecided = |undecided: Undecided| cannot(undecided.to_string());
        let namespace = root.at("namespace").text().map_err(undecided)?.to_owned();
        let chosen: Vec<_> = root.at("policies").members().map_err(undecided)?.collect();
        let mut report = PlaygroundReport::default();
        let mut policies = Vec::new();
        // A link may name policies that do not exist. Report this, because the verdict would not include them.
        let unknown =
            chosen.iter().find(|(name, _)| CONFIGURES.iter().all(|(metadata, _)| metadata.name != *name));
        if let Some((name, _)) = unknown {
            return Err(PlaygroundReport::error(format!("unknown policy `{}`", excerpt(name))));
        }
        for (metadata, configure) in CONFIGURES {
            let Some((_, settings)) = chosen.iter().find(|(name, _)| *name == metadata.name) else {
                continue;
            };
            let settings = settings.value().map_err(undecided)?.map(Value::to_string).unwrap_or_default();
            match configure(&settings) {
                Ok(policy) => policies.push(ConfiguredPolicy { metadata, policy }),
                Err(error) => drop(report.settings.insert(metadata.name, error.reason)),
            }
        }
        if report.settings.is_empty() { Ok(Options { namespace, policies }) } else { Err(Box::new(report)) }
    }

    /// Whether any policy evaluates complete manifest sets.
    pub(crate) fn for_manifest_sets(&self) -> bool {
        self.policies.iter().any(|policy| policy.metadata.for_manifest_sets())
    }

    /// The pod of a request after mutation, if the policies change it.
    pub(crate) fn patched<'a>(&self, pod: &Request<'a>) -> Option<Value<'a>> {
        admit(&self.policies, pod, &NoCluster, AdmissionPhase::Mutating).patched
    }
}
