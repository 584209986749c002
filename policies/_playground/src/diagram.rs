//! The map of allowed connections, if the text has a NetworkPolicy.

use policy_connectivity::{Map, Topology, drawn, svg};
use policy_core::{Arena, Request};
use policy_kubernetes::WorkloadKinds;
use schemars::JsonSchema;
use serde::Serialize;

/// The maximum number of flows to draw and list.
const MOST_FLOWS: usize = 400;
/// The maximum number of objects to read, because a map of more would not be legible.
const MOST_OBJECTS: usize = 1000;
/// The maximum number of notes.
const MOST_NOTES: usize = 100;

/// The map of allowed connections.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MapDiagram {
    /// The drawing as SVG without scripts; empty if there are too many objects or flows.
    svg: String,
    /// The flows, as `pratique connectivity` prints them.
    flows: Vec<String>,
    /// Notes about the map, such as objects that are not on it.
    notes: Vec<String>,
}

/// Collects the objects for the map.
pub(crate) struct MapBuilder<'a> {
    topology: Topology<'a>,
    objects: usize,
    policies: usize,
    notes: Vec<String>,
}

impl<'a> MapBuilder<'a> {
    /// An empty builder. Objects are stored in the arena.
    pub(crate) fn new(arena: &'a Arena) -> Self {
        MapBuilder {
            topology: Topology::new(arena, WorkloadKinds::BUILT_IN),
            objects: 0,
            policies: 0,
            notes: Vec::new(),
        }
    }

    /// Adds an object.
    pub(crate) fn add(&mut self, request: &Request<'_>) {
        self.objects += 1;
        if self.objects > MOST_OBJECTS {
            return;
        }
        self.policies += usize::from(request.kind.kind == "NetworkPolicy");
        if let Err(undecided) = self.topology.add(request, self.objects)
            && self.notes.len() < MOST_NOTES
        {
            self.notes.push(format!("not on the map: {undecided}"));
        }
    }

    /// The map; `None` without a NetworkPolicy.
    pub(crate) fn picture(self) -> Option<MapDiagram> {
        if self.policies == 0 {
            return None;
        }
        let mut notes = self.notes;
        if self.objects > MOST_OBJECTS {
            notes.push(format!(
                "{} objects are too many for this page: use pratique connectivity to draw them",
                self.objects
            ));
            return Some(MapDiagram { svg: String::new(), flows: Vec::new(), notes });
        }
        let map = Map::of(&self.topology);
        notes.extend(map.notes());
        notes.truncate(MOST_NOTES);
        let flows = map.flows(false);
        let listed = flows.iter().take(MOST_FLOWS).map(ToString::to_string).collect();
        let svg = if flows.len() > MOST_FLOWS {
            notes.push(format!("{} flows are too many to draw: use pratique connectivity", flows.len()));
            String::new()
        } else {
            svg(&map, &drawn(&map, flows))
        };
        Some(MapDiagram { svg, flows: listed, notes })
    }
}
