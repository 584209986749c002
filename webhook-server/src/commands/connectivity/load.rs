//! Reads manifests into a topology, and finds the place of a policy's rule again.

use std::path::PathBuf;
use std::sync::OnceLock;

use policy_connectivity::Topology;
use policy_core::yaml::{Document, documents};
use policy_core::{Arena, FieldPath};
use policy_kubernetes::network_policy::Direction;
use policy_kubernetes::{PodTemplate, WorkloadKinds};
use policy_manifests::ObjectName;

use crate::config;

use crate::sources::source_location::{DocumentOrigin, ObjectLocation};
use crate::sources::{self, Input, Kustomizations, Source};

/// The text of manifests, as long as places in it are asked for.
pub(super) struct ManifestText {
    sources: Vec<Source>,
    pod_templates: Vec<PodTemplate>,
}

/// Where a policy stands in what was read: the source, the document of it, the path in that.
#[derive(Clone, Debug)]
struct PolicyLocation {
    source: usize,
    document: usize,
    prefix: FieldPath,
}

/// A topology, where its policies come from, and what could not be read.
pub(super) struct LoadedTopology<'a> {
    pub(super) topology: Topology<'a>,
    arena: &'a Arena,
    policies: Vec<PolicyLocation>,
    /// What could not be read, so that the map may be wrong.
    pub(super) errors: Vec<String>,
    /// What is left out of it.
    pub(super) notes: Vec<String>,
}

impl ManifestText {
    /// Reads everything under these paths.
    pub(super) fn under(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let places = sources::places(paths, Kustomizations::Build)?;
        let sources = places.iter().map(Input::read).collect::<anyhow::Result<_>>()?;
        Ok(ManifestText { sources, pod_templates: config::pod_templates_for(paths)? })
    }

    /// What it says. What has to do with traffic is kept in the arena.
    pub(super) fn known<'a>(&'a self, namespace: &str, kept: &'a Arena) -> LoadedTopology<'a> {
        let mut known = LoadedTopology {
            topology: Topology::new(kept, WorkloadKinds::with(&self.pod_templates)),
            arena: kept,
            policies: Vec::new(),
            errors: Vec::new(),
            notes: Vec::new(),
        };
        let mut arena = Arena::new();
        for (number, source) in self.sources.iter().enumerate() {
            for (place, document) in documents(&source.text).iter().enumerate() {
                known.add(&ReadDocument { source, number, document, place }, namespace, &arena);
                arena.reset();
            }
        }

        known
    }

    /// The file and line of a rule of a policy, or of the policy: where somebody wrote it.
    pub(super) fn place(
        &self,
        known: &LoadedTopology<'_>,
        policy: Option<usize>,
        rule: Option<(Direction, usize)>,
    ) -> Option<String> {
        let PolicyLocation { source, document: number, prefix } = known.policies.get(policy?)?;
        let source = self.sources.get(*source)?;
        let documents = documents(&source.text);
        let document = documents.get(*number)?;
        let arena = Arena::new();
        let root = policy_core::Field::missing(&arena);
        let path = match rule {
            None => root.path(),
            Some((direction, number)) => {
                let mut path = root.at("spec").at(direction.as_str()).path();
                path.0.push(policy_core::path::Segment::Index(number));
                path
            }
        };
        let (lines, mut place) = (OnceLock::new(), None);
        let at = DocumentOrigin::new(source, document, number + 1, "", &lines);
        policy_manifests::each(document, "", &arena, |object| {
            if let Ok((request, own)) = object
                && own == prefix
            {
                place = Some(ObjectLocation::new(&at, &request, own).place(&path).to_string());
            }
        });
        place
    }
}

/// A document that is read.
struct ReadDocument<'s, 'd> {
    source: &'s Source,
    /// The index of the source.
    number: usize,
    document: &'s Document<'d>,
    /// The index of the document in it.
    place: usize,
}

impl<'k> LoadedTopology<'k> {
    fn add(&mut self, read: &ReadDocument<'_, '_>, namespace: &str, arena: &Arena) {
        let ReadDocument { source, number, document, place } = *read;
        policy_manifests::each(document, namespace, arena, |object| {
            let (request, prefix) = match object {
                Ok(object) => object,
                // A folder may hold other JSON and YAML: it makes no traffic, and is said to be left out.
                Err(unreadable) => {
                    let message = if unreadable.is_else { &mut self.notes } else { &mut self.errors };
                    return message.push(format!("{}:{unreadable}", source.name));
                }
            };
            if let Err(undecided) = self.topology.add(&request, self.policies.len()) {
                let position = document.places().of(&undecided.field.below(prefix));
                let name = ObjectName::of(&request);
                self.errors.push(format!("{}:{position}: {name}: {undecided}", source.name));
            }
            if request.kind.kind == "NetworkPolicy" {
                self.policies.push(PolicyLocation {
                    source: number,
                    document: place,
                    prefix: prefix.clone(),
                });
            }
        });
    }

    /// A text that is kept as long as what is known.
    pub(super) fn kept(&self, text: &str) -> &'k str {
        self.arena.text(text)
    }
}
