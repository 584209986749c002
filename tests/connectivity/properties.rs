//! Compares the map, explanations and isolation with the oracle, for all pairs of pods, addresses, protocols and ports.

use std::net::IpAddr;

use libtest_mimic::Failed;
use policy_connectivity::{Flow, FlowEnd, Map, ProtocolPort};
use policy_core::{Arena, Field, Request, Value};
use policy_kubernetes::Labels;
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::network_policy::{Direction, NetworkPolicy};
use policy_kubernetes::ports::Protocol;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value as Json;

use crate::oracle::{OracleCluster, OraclePeer};
use crate::random_cluster::{ADDRESSES, PORTS, RandomCluster, world};

const CASES: u32 = 600;

fn field<'a>(object: &Json, arena: &'a Arena) -> Field<'a> {
    let text = object.to_string();
    Field::root(Value::from_json(arena.bytes(text.as_bytes()), arena).expect("it is JSON"), arena)
}

fn built<'a>(world: &RandomCluster, arena: &'a Arena) -> policy_connectivity::Topology<'a> {
    let mut built = policy_connectivity::Topology::new(arena, WorkloadKinds::BUILT_IN);
    for object in world.namespaces.iter().chain(&world.pods).chain(&world.policies) {
        let request = Request::create(field(object, arena), "default").expect("it is an object");
        built.add(&request, 0).unwrap_or_else(|undecided| panic!("{object}: {undecided}"));
    }
    built
}

fn name(pod: &Json) -> String {
    let text = |key: &str| pod["metadata"][key].as_str().expect("it has one").to_owned();
    format!("{}/{}[Pod]", text("namespace"), text("name"))
}

fn is(end: &FlowEnd<'_>, peer: OraclePeer<'_>) -> bool {
    match (end, peer) {
        (FlowEnd::Workload(own), OraclePeer::Pod(pod)) => own.to_string() == name(pod),
        (FlowEnd::Outside(range), OraclePeer::Address(address)) => {
            range.first <= address && address <= range.last && range.first.is_ipv4() == address.is_ipv4()
        }
        _ => false,
    }
}

fn shown(peer: OraclePeer<'_>) -> String {
    match peer {
        OraclePeer::Pod(pod) => name(pod),
        OraclePeer::Address(address) => address.to_string(),
    }
}

/// Tests a property on random clusters. The error shows a cluster that does not have it.
fn holds(property: impl Fn(&RandomCluster) -> Result<(), TestCaseError>) -> Result<(), Failed> {
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    runner.run(&world(), |world| property(&world)).map_err(|error| error.to_string().into())
}

/// Calls `see` for every possible connection, with the decision of the oracle.
fn every(
    world: &RandomCluster,
    mut see: impl FnMut(OraclePeer<'_>, OraclePeer<'_>, Protocol, u16, bool) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let cluster = OracleCluster { namespaces: &world.namespaces, policies: &world.policies };
    let addresses =
        ADDRESSES.iter().map(|text| OraclePeer::Address(text.parse::<IpAddr>().expect("an address")));
    let peers: Vec<OraclePeer<'_>> = world.pods.iter().map(OraclePeer::Pod).chain(addresses).collect();
    for from in &peers {
        for to in &peers {
            if matches!((from, to), (OraclePeer::Address(_), OraclePeer::Address(_))) {
                continue;
            }
            for protocol in Protocol::ALL {
                for port in PORTS {
                    let allowed = cluster.allows(*from, *to, protocol.as_str(), port);
                    see(*from, *to, protocol, port, allowed)?;
                }
            }
        }
    }
    Ok(())
}

pub(crate) fn the_map_agrees_with_the_oracle() -> Result<(), Failed> {
    holds(|world| {
        let arena = Arena::new();
        let built = built(world, &arena);
        let map = Map::of(&built);
        let flows = map.flows(true);
        // IPv6 is on the map only if an IPv6 block is used in that direction.
        let is_v6 = |end: &FlowEnd<'_>| matches!(end, FlowEnd::Outside(range) if range.first.is_ipv6());
        let (from_v6, to_v6) =
            (flows.iter().any(|flow| is_v6(&flow.from)), flows.iter().any(|flow| is_v6(&flow.to)));
        every(world, |from, to, protocol, port, allowed| {
            let is_v6 =
                |peer: OraclePeer<'_>| matches!(peer, OraclePeer::Address(address) if address.is_ipv6());
            if (is_v6(from) && !from_v6) || (is_v6(to) && !to_v6) {
                return Ok(());
            }
            let flow = |flow: &&Flow<'_>| is(&flow.from, from) && is(&flow.to, to);
            let mapped = flows.iter().filter(flow).any(|flow| flow.ports.contains(protocol, port));
            if mapped == allowed {
                return Ok(());
            }
            let (from, to) = (shown(from), shown(to));
            let why = format!("{from} => {to} {} {port}: mapped {mapped}, is {allowed}", protocol.as_str());
            Err(TestCaseError::fail(why))
        })
    })
}

pub(crate) fn explanations_agree_with_the_oracle() -> Result<(), Failed> {
    holds(|world| {
        let arena = Arena::new();
        let built = built(world, &arena);
        let map = Map::of(&built);
        every(world, |from, to, protocol, port, allowed| {
            let find = |peer| map.find(&shown(peer)).map_err(TestCaseError::fail);
            let why = map.why(&find(from)?, &find(to)?, ProtocolPort { protocol, number: port });
            match why.allowed() == allowed {
                true => Ok(()),
                false => {
                    Err(TestCaseError::fail(format!("{why}: explained {}, is {allowed}", why.allowed())))
                }
            }
        })
    })
}

pub(crate) fn isolation_agrees_with_the_oracle() -> Result<(), Failed> {
    holds(|world| {
        let arena = Arena::new();
        let cluster = OracleCluster { namespaces: &world.namespaces, policies: &world.policies };
        for pod in &world.pods {
            let labels = Labels::of(field(pod, &arena).at("metadata.labels")).expect("they are labels");
            for direction in Direction::BOTH {
                let oracle: Vec<&str> = cluster
                    .isolating(pod, direction.policy_type())
                    .filter_map(|policy| policy["metadata"]["name"].as_str())
                    .collect();
                let here = |policy: &&Json| policy["metadata"]["namespace"] == pod["metadata"]["namespace"];
                let read =
                    |policy| NetworkPolicy::read(field(policy, &arena), "here").expect("it can be read");
                let policies: Vec<NetworkPolicy<'_>> = world.policies.iter().filter(here).map(read).collect();
                let isolating = policies.iter().filter(|policy| policy.isolates(direction, &labels));
                let names: Vec<&str> = isolating.map(|policy| policy.name).collect();
                if names != oracle {
                    return Err(TestCaseError::fail(format!("{}: {names:?}, is {oracle:?}", name(pod))));
                }
            }
        }
        Ok(())
    })
}

/// The map merges pods that differ only in name, so the number of replicas must not change it.
pub(crate) fn replicas_change_nothing() -> Result<(), Failed> {
    holds(|world| {
        let owned = |mut pod: Json, replica: usize| {
            let name = pod["metadata"]["name"].clone();
            let owner = serde_json::json!([{"kind": "ReplicaSet", "name": name, "controller": true}]);
            pod["metadata"]["ownerReferences"] = owner;
            pod["metadata"]["name"] = format!("{}-{replica}", name.as_str().unwrap_or_default()).into();
            pod
        };
        let lines = |replicas: usize| {
            let pods =
                world.pods.iter().flat_map(|pod| (0..replicas).map(|replica| owned(pod.clone(), replica)));
            let world = RandomCluster { pods: pods.collect(), ..world.clone() };
            let arena = Arena::new();
            let built = built(&world, &arena);
            Map::of(&built).flows(false).iter().map(Flow::to_string).collect::<Vec<_>>()
        };
        match lines(1) == lines(3) {
            true => Ok(()),
            false => Err(TestCaseError::fail("the number of replicas changes the map")),
        }
    })
}
