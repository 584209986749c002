//! Explains why a connection is allowed or denied: the policies and rules that decide, and their source locations.

use std::io::Write;

use anyhow::{Context as _, bail};
use policy_connectivity::Map;
use policy_connectivity::{DirectionVerdict, Explanation, FlowEnd, ProtocolPort, QueryEnd, RuleMatch};
use policy_core::path::excerpt;
use policy_kubernetes::network_policy::{Direction, NetworkPolicy};
use policy_kubernetes::ports::Protocol;

use super::load::{LoadedTopology, ManifestText};
use crate::args::ExitStatus;
use crate::report::{GREEN, RED};

/// Explains one connection, or each of the connections behind a Service.
pub(super) fn run<'a>(
    written: &ManifestText,
    known: &LoadedTopology<'a>,
    map: &Map<'_, 'a>,
    query: &[String],
    out: &mut impl Write,
) -> anyhow::Result<ExitStatus> {
    let [from, to, port] = query else { bail!("--explain: requires SRC, DST and PORT") };
    let find = |text: &str, which: &str| {
        map.find(text).map_err(|error| anyhow::anyhow!("--explain {which}: {error}"))
    };
    let caller = find(from, "SRC")?;
    let ProtocolPort { protocol, number } =
        parse(port).with_context(|| format!("--explain PORT `{}`", excerpt(port)))?;
    let explainer = Explainer { written, known };
    let mut end = ExitStatus::Success;
    let mut explain = |callee: &QueryEnd<'a>, port| -> anyhow::Result<()> {
        if let (FlowEnd::Outside(_), FlowEnd::Outside(_)) = (caller.end, callee.end) {
            bail!("--explain: SRC or DST must be a workload, because NetworkPolicies apply only to pods");
        }
        let why = map.why(&caller, callee, port);
        if !why.allowed() {
            end = ExitStatus::Denied;
        }
        explainer.print(&why, out)
    };
    match to.strip_suffix("[Service]").and_then(|name| name.split_once('/')) {
        None => explain(&find(to, "DST")?, ProtocolPort { protocol, number })?,
        Some((namespace, service)) => {
            let (namespace, service) = (known.kept(namespace), known.kept(service));
            let behind = map.behind(namespace, service, number);
            let behind =
                behind.with_context(|| format!("--explain DST: Service `{}` not found", excerpt(to)))?;
            let ports: Vec<_> = behind
                .iter()
                .flat_map(|(name, ports)| {
                    ports.iter().map(move |(protocol, first, _)| (name, protocol, first))
                })
                .filter(|(_, of, _)| *of == protocol)
                .collect();
            if ports.is_empty() {
                bail!("--explain: no pod is behind port {} {number} of `{}`", protocol.as_str(), excerpt(to));
            }
            for (name, protocol, number) in ports {
                explain(&find(&name.to_string(), "DST")?, ProtocolPort { protocol, number })?;
            }
        }
    }
    Ok(end)
}

/// `8080`, `TCP/8080`, `UDP/53`.
fn parse(port: &str) -> anyhow::Result<ProtocolPort> {
    let (protocol, number) = port.split_once('/').unwrap_or(("TCP", port));
    let protocol = Protocol::parse(&protocol.to_uppercase());
    let number = number.parse().ok().filter(|number| *number > 0);
    let parsed = protocol.zip(number).map(|(protocol, number)| ProtocolPort { protocol, number });
    parsed.context("must be a port from 1 to 65535, such as `8080`, `TCP/8080` or `UDP/53`")
}

struct Explainer<'e, 'a> {
    written: &'e ManifestText,
    known: &'e LoadedTopology<'a>,
}

impl<'a> Explainer<'_, 'a> {
    fn print(&self, why: &Explanation<'_, 'a>, out: &mut impl Write) -> anyhow::Result<()> {
        let (style, word) = if why.allowed() { (GREEN, "allowed") } else { (RED, "denied") };
        writeln!(out, "{style}{word}{style:#} {why}")?;
        if why.unknown {
            writeln!(out, "  this is not certain, because one end uses the host network")?;
        }
        for (side, own, other) in [(&why.egress, why.from, why.to), (&why.ingress, why.to, why.from)] {
            let Some(side) = side else { continue };
            self.print_side(side, &own.to_string(), &other.to_string(), why, out)?;
        }
        Ok(())
    }

    fn print_side(
        &self,
        side: &DirectionVerdict<'_, 'a>,
        own: &str,
        other: &str,
        why: &Explanation<'_, 'a>,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let (way, word) = (side.direction.as_str(), if side.allows() { "allowed" } else { "denied" });
        writeln!(out, "  {way} of {own}: {word}")?;
        if side.isolated_by.is_empty() {
            writeln!(out, "    no NetworkPolicy isolates it for {way}, so everything is allowed")?;
            return Ok(());
        }
        for policy in &side.isolated_by {
            writeln!(out, "    isolated by {}", self.cite(policy, None))?;
        }
        for RuleMatch { policy, rule, ports } in &side.allowed_by {
            writeln!(out, "    allowed by {}, on {ports}", self.cite(policy, Some((side.direction, *rule))))?;
        }
        if side.allowed_by.is_empty() {
            let (protocol, number) = (why.port.protocol.as_str(), why.port.number);
            writeln!(out, "    none of their rules allows {other} on {protocol} {number}")?;
            for RuleMatch { policy, rule, ports } in &side.other_ports {
                writeln!(
                    out,
                    "    it matches {}, but on {ports}",
                    self.cite(policy, Some((side.direction, *rule)))
                )?;
            }
        }
        Ok(())
    }

    /// `NetworkPolicy shop/web egress[1] (apps/shop.yaml:12:3)`.
    fn cite(&self, policy: &NetworkPolicy<'a>, rule: Option<(Direction, usize)>) -> String {
        let place = self.written.place(self.known, self.known.topology.origin(policy), rule);
        let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
        let rule = rule.map(|(way, number)| format!(" {}[{number}]", way.as_str())).unwrap_or_default();
        format!("NetworkPolicy {}/{}{rule}{place}", policy.namespace, policy.name)
    }
}
