//! Builds a policy as a guest, and calls it as policy-server does: over waPC, in wasmtime.

use std::error::Error;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, bail};
use conformance::hosts::CaseCluster;
use policy_core::{Arena, Cluster as _};
use serde_json::{Value, json};
use wapc::WapcHost;
use wasmtime_provider::{WasmtimeEngineProviderBuilder, WasmtimeEngineProviderPre};

use conformance::{root, target, targets};

const TARGET: &str = "wasm32-wasip1";

/// A compiled guest, from which instances are made.
#[derive(Clone)]
pub struct Guest(WasmtimeEngineProviderPre);

/// The Wasm module of a policy, built if necessary.
///
/// # Errors
/// The guest does not build.
pub fn module(policy: &str) -> anyhow::Result<Vec<u8>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(cargo).current_dir(root()).args(["guest", "-p", policy]).output().context("cargo")?;
    if !output.status.success() {
        bail!("cargo guest -p {policy}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let file = target().join(TARGET).join("guest").join(policy.replace('-', "_")).with_extension("wasm");
    std::fs::read(&file).with_context(|| file.display().to_string())
}

/// Makes sure that guests can be built: adds the Rust target if it is missing, and prints that.
///
/// # Errors
/// The target is missing and cannot be added. The message contains the reason and the command to run.
pub fn available() -> Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    AVAILABLE.get_or_init(|| targets::add(TARGET)).clone()
}

impl Guest {
    /// Builds and compiles the guest of a policy.
    ///
    /// # Errors
    /// The guest does not build, or wasmtime rejects its module.
    pub fn build(policy: &str) -> anyhow::Result<Self> {
        let module = module(policy)?;
        Ok(Guest(WasmtimeEngineProviderBuilder::new().module_bytes(&module).build_pre()?))
    }

    /// An instance with access to this cluster data through Kubewarden's capability `kubernetes`, as in policy-server. Without
    /// cluster data, it has no host capability at all.
    ///
    /// # Errors
    /// The guest cannot be instantiated.
    pub fn instance(&self, cluster: Option<CaseCluster>) -> anyhow::Result<WapcHost> {
        let capabilities =
            move |_, binding: &str, namespace: &str, operation: &str, payload: &[u8]| match &cluster {
                Some(cluster) if (binding, namespace) == ("kubewarden", "kubernetes") => {
                    kubernetes(cluster, operation, payload)
                }
                _ => Err(format!("unexpected host call {namespace}/{operation}").into()),
            };
        Ok(WapcHost::new(Box::new(self.0.rehydrate(None)?), Some(Box::new(capabilities)))?)
    }
}

/// Responds as policy-server does: with a List for many objects, with the object for one, or with an error if it does not exist.
fn kubernetes(
    cluster: &CaseCluster,
    operation: &str,
    payload: &[u8],
) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let call: Value = serde_json::from_slice(payload)?;
    let text = |key: &str| call[key].as_str();
    let api_version = text("api_version").ok_or("api_version")?;
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let arena = Arena::new();
    let found = cluster.list(group, text("kind").ok_or("kind")?, text("namespace"), &arena)?;
    let found = found
        .iter()
        .map(|object| serde_json::to_value(object.value()?).map_err(|_| object.undecided("no JSON")));
    let found: Vec<Value> = found.collect::<Result<_, _>>()?;
    let answer = match operation {
        "list_resources_all" | "list_resources_by_namespace" => {
            json!({"apiVersion": "v1", "kind": "List", "items": found})
        }
        "get_resource" => {
            let named = found.into_iter().find(|object| object["metadata"]["name"].as_str() == text("name"));
            named.ok_or("the resource does not exist")?
        }
        other => return Err(format!("unexpected operation {other}").into()),
    };
    Ok(serde_json::to_vec(&answer)?)
}
