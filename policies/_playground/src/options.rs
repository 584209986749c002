//! Which policies are asked, with which settings.

use policy_catalog::CONFIGURES;
use policy_core::path::excerpt;
use policy_core::{
    AdmissionPhase, Arena, ConfiguredPolicy, Field, NoCluster, Request, Undecided, Value, admit,
};

use crate::report::PlaygroundReport;

/// The policies that are asked, ready to judge.
pub(crate) struct Options {
    /// The namespace of objects that name none.
    pub(crate) namespace: String,
    /// The policies, in the catalog's order.
    pub(crate) policies: Vec<ConfiguredPolicy>,
}

impl Options {
    /// Reads what is asked: `{"namespace": "default", "policies": {"NAME": {settings}}}`.
    ///
    /// # Errors
    /// What is to be said instead: a setting that a policy does not take, or text that is no such JSON.
    pub(crate) fn read(options: &str) -> Result<Self, Box<PlaygroundReport>> {
        let arena = Arena::new();
        let cannot =
            |reason: String| PlaygroundReport::error(format!("what is asked cannot be read: {reason}"));
        let value =
            Value::from_json(options.as_bytes(), &arena).map_err(|error| cannot(error.to_string()))?;
        let root = Field::root(value, &arena);
        let undecided = |undecided: Undecided| cannot(undecided.to_string());
        let namespace = root.at("namespace").text().map_err(undecided)?.to_owned();
        let chosen: Vec<_> = root.at("policies").members().map_err(undecided)?.collect();
        let mut report = PlaygroundReport::default();
        let mut policies = Vec::new();
        // A link may ask for what there is not: what is not judged must be said.
        let unknown =
            chosen.iter().find(|(name, _)| CONFIGURES.iter().all(|(metadata, _)| metadata.name != *name));
        if let Some((name, _)) = unknown {
            return Err(PlaygroundReport::error(format!("there is no policy `{}`", excerpt(name))));
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

    /// Whether any of them judges the text as a whole.
    pub(crate) fn for_manifest_sets(&self) -> bool {
        self.policies.iter().any(|policy| policy.metadata.for_manifest_sets())
    }

    /// The pod of a request as they leave it, if they change it.
    pub(crate) fn patched<'a>(&self, pod: &Request<'a>) -> Option<Value<'a>> {
        admit(&self.policies, pod, &NoCluster, AdmissionPhase::Mutating).patched
    }
}
