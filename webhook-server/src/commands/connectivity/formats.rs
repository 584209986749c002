//! Writes the map as text, JSON, CSV, DOT for Graphviz, or Mermaid for Markdown.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;

use policy_connectivity::{Flow, FlowEnd, Map, boxes, label, title};
use policy_kubernetes::ports::Ports;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// One connection per line.
pub(super) fn text(flows: &[Flow<'_>], out: &mut impl Write) -> anyhow::Result<()> {
    for flow in flows {
        writeln!(out, "{flow}")?;
    }
    Ok(())
}

/// Comma-separated values (RFC 4180).
pub(super) fn csv(flows: &[Flow<'_>], out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "src,dst,conn")?;
    for Flow { from, to, ports, .. } in flows {
        writeln!(out, "{},{},{}", cell(from), cell(to), cell(ports))?;
    }
    Ok(())
}

/// A value as a CSV field, quoted if necessary.
pub(super) fn cell(value: &impl Display) -> String {
    let text = value.to_string();
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

/// One JSON object: flows, workloads, openings, notes. Flows are written one by one, because there can be millions.
pub(super) fn json(
    map: &Map<'_, '_>,
    flows: &[Flow<'_>],
    notes: &[String],
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let workloads = map.workloads().into_iter().map(|(name, standing)| {
        // Isolation is unknown with `hostNetwork`.
        let isolated = |is_so: bool| if standing.host_network { Value::Null } else { json!(is_so) };
        json!({"workload": name.to_string(), "hostNetwork": standing.host_network,
            "isolated": {"ingress": isolated(standing.isolated_ingress), "egress": isolated(standing.isolated_egress)}})
    });
    let openings = map.openings().into_iter().map(|opening| {
        json!({"service": format!("{}/{}", opening.namespace, opening.service), "type": opening.kind,
            "src": FlowEnd::Outside(opening.from).to_string(), "dst": opening.to.to_string(),
            "conn": opening.ports.to_string(), "ports": ranges(&opening.ports)})
    });
    let mut serializer = serde_json::Serializer::pretty(&mut *out);
    let mut object = serializer.serialize_map(Some(4))?;
    object.serialize_entry("flows", &FlowList(flows))?;
    object.serialize_entry("workloads", &workloads.collect::<Vec<_>>())?;
    object.serialize_entry("openings", &openings.collect::<Vec<_>>())?;
    object.serialize_entry("notes", notes)?;
    object.end()?;
    writeln!(out)?;
    Ok(())
}

/// Connections, serialized one at a time.
pub(super) struct FlowList<'f, 'a>(pub(super) &'f [Flow<'a>]);

impl Serialize for FlowList<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(flow))
    }
}

/// A connection as JSON.
fn flow(flow: &Flow<'_>) -> Value {
    let (src, dst, conn) = (flow.from.to_string(), flow.to.to_string(), flow.ports.to_string());
    json!({"src": src, "dst": dst, "conn": conn, "ports": ranges(&flow.ports), "unknown": flow.unknown})
}

fn ranges(ports: &Ports) -> Vec<Value> {
    let range = |(protocol, first, last): (policy_kubernetes::ports::Protocol, u16, u16)| json!({"protocol": protocol.as_str(), "first": first, "last": last});
    ports.iter().map(range).collect()
}

/// A digraph for Graphviz.
pub(super) fn dot(map: &Map<'_, '_>, flows: &[Flow<'_>], out: &mut impl Write) -> anyhow::Result<()> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    writeln!(out, "digraph connectivity {{\n  rankdir=LR;\n  node [shape=box, style=rounded];")?;
    for (number, (namespace, ends)) in boxes(map, flows).into_iter().enumerate() {
        writeln!(out, "  subgraph cluster_{number} {{\n    label={};", quoted(title(namespace)))?;
        for end in ends {
            let (first, second) = label(&end);
            let label = quoted(&first).trim_end_matches('"').to_owned()
                + "\\n"
                + quoted(&second).trim_start_matches('"');
            writeln!(out, "    {} [label={label}];", quoted(&end.to_string()))?;
        }
        writeln!(out, "  }}")?;
    }
    for flow in flows {
        let (from, to) = (quoted(&flow.from.to_string()), quoted(&flow.to.to_string()));
        let style = if flow.unknown { ", style=dashed" } else { "" };
        writeln!(out, "  {from} -> {to} [label={}{style}];", quoted(&flow.ports.to_string()))?;
    }
    writeln!(out, "}}")?;
    Ok(())
}

/// A Mermaid flowchart, which GitHub and GitLab render in Markdown.
pub(super) fn mermaid(map: &Map<'_, '_>, flows: &[Flow<'_>], out: &mut impl Write) -> anyhow::Result<()> {
    // Escape as entities, so that names cannot contain markup.
    let escaped = |text: &str| {
        text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
    };
    let quoted = |text: &str| format!("\"{text}\"");
    writeln!(out, "flowchart LR")?;
    let mut numbers = BTreeMap::new();
    for (number, (namespace, ends)) in boxes(map, flows).into_iter().enumerate() {
        writeln!(out, "  subgraph b{number} [{}]", quoted(&escaped(title(namespace))))?;
        for end in ends {
            let (first, second) = label(&end);
            let id = numbers.len();
            numbers.insert(end, id);
            writeln!(out, "    n{id}[{}]", quoted(&format!("{}<br/>{}", escaped(&first), escaped(&second))))?;
        }
        writeln!(out, "  end")?;
    }
    for flow in flows {
        let (Some(from), Some(to)) = (numbers.get(&flow.from), numbers.get(&flow.to)) else { continue };
        let arrow = if flow.unknown { "-.->" } else { "-->" };
        writeln!(out, "  n{from} {arrow}|{}| n{to}", quoted(&flow.ports.to_string()))?;
    }
    Ok(())
}
