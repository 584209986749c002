//! Reads manifests into a topology, and finds the source location of a policy's rule.

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

/// The text of the manifests, kept to find source locations in it.
pub(super) struct ManifestText {
    sources: Vec<Source>,
    pod_templates: Vec<PodTemplate>,
}

/// The location of a policy: the source, the document in the source, and the path in the document.
#[derive(Clone, Debug)]
struct PolicyLocation {
    source: usize,
    document: usize,
    prefix: FieldPath,
}

/// A topology, the locations of its policies, and read errors.
pub(super) struct LoadedTopology<'a> {
    pub(super) topology: Topology<'a>,
    arena: &'a Arena,
    policies: Vec<PolicyLocation>,
    /// Read errors, because of which the map may be wrong.
    pub(super) errors: Vec<String>,
    /// Notes on objects that are left out of the topology.
    pub(super) notes: Vec<String>,
}

impl ManifestText {
    /// Reads everything under these paths.
    pub(super) fn under(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let places = sources::places(paths, Kustomizations::Build)?;
        let sources = places.iter().map(Input::read).collect::<anyhow::Result<_>>()?;
        Ok(ManifestText { sources, pod_templates: config::pod_templates_for(paths)? })
    }

    /// Builds the topology. The arena keeps only the data that affects traffic.
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

    /// The source location of a policy, or of one of its rules.
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

/// A document to read.
struct ReadDocument<'s, 'd> {
    source: &'s Source,
    /// The index of the source.
    number: usize,
    document: &'s Document<'d>,
    /// The index of the document in the source.
    place: usize,
}

impl<'k> LoadedTopology<'k> {
    fn add(&mut self, read: &ReadDocument<'_, '_>, namespace: &str, arena: &Arena) {
        let ReadDocument { source, number, document, place } = *read;
        policy_manifests::each(document, namespace, arena, |object| {
            let (request, prefix) = match object {
                Ok(object) => object,
                // A folder can contain other JSON and YAML, which causes no traffic: a note reports it.
                Err(unreadable) => {
                    let messages =
                        if unreadable.is_not_an_object { &mut self.notes } else { &mut self.errors };
                    return messages.push(format!("{}:{unreadable}", source.name));
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

    /// Copies a text, so that it lives as long as the topology.
    pub(super) fn kept(&self, text: &str) -> &'k str {
        self.arena.text(text)
    }
}
