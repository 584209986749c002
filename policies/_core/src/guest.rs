//! A policy as a Kubewarden guest: handles waPC calls and returns Kubewarden responses. No other module calls the SDK.

use kubewarden_policy_sdk::protocol_version_guest;
use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use kubewarden_policy_sdk::wapc_guest::{CallResult, host_call, register_function};
use serde::Serialize;

use crate::admit::{ConfiguredPolicy, admit, validate_only};
use crate::cluster::{Cluster, NoCluster};
use crate::field::{Field, Undecided};
use crate::metadata::WatchedKind;
use crate::policy::{Policy, configure_value};
use crate::request::{Request, api_version};
use crate::value::{Arena, Value};
use crate::verdicts::{AdmissionPhase, AuditAnnotations, Verdicts};

/// Registers the three functions that policy-server and `kwctl` call.
pub fn register<P: Policy>() {
    register_function("protocol_version", protocol_version_guest);
    register_function("validate_settings", validate_settings::<P>);
    register_function("validate", validate::<P>);
}

/// The response of a guest; the SDK's `ValidationResponse` would copy the object through `serde_json::Value`.
#[derive(Default, Serialize)]
struct ValidationResponse<'a> {
    accepted: bool,
    message: Option<String>,
    code: Option<u16>,
    mutated_object: Option<Value<'a>>,
    audit_annotations: Option<AuditAnnotations<'a>>,
    warnings: Option<Vec<String>>,
}

fn validate_settings<P: Policy>(payload: &[u8]) -> CallResult {
    let arena = Arena::new();
    let result = Value::from_json(payload, &arena)
        .map_err(|error| error.to_string())
        .and_then(|settings| configure_value::<P>(settings).map(drop).map_err(|error| error.to_string()));
    Ok(serde_json::to_vec(&SettingsValidationResponse { valid: result.is_ok(), message: result.err() })?)
}

/// Handles `{"request": AdmissionRequest, "settings": {…}}`.
fn validate<P: Policy>(payload: &[u8]) -> CallResult {
    let arena = Arena::new();
    let cluster = HostCluster { reads: P::METADATA.reads };
    let mut response = ValidationResponse::default();
    // Constant at compile time: a guest that reads no cluster data is smaller without the host calls.
    let evaluated = match P::METADATA.reads {
        [] => evaluate::<P>(payload, &arena, &NoCluster),
        _ => evaluate::<P>(payload, &arena, &cluster),
    };
    match &evaluated {
        Ok(verdicts) => {
            response.accepted = verdicts.allowed();
            if response.accepted {
                response.mutated_object = if P::METADATA.mutates { verdicts.patched } else { None };
            } else {
                response.message = Some(verdicts.message());
                response.code = Some(if verdicts.fault.is_some() { 500 } else { 403 });
            }
            response.warnings = Some(verdicts.warnings()).filter(|warnings| !warnings.is_empty());
            response.audit_annotations = Some(verdicts.audit()).filter(|audit| !audit.0.is_empty());
        }
        Err(reason) => {
            response.message = Some(format!("{}: {reason}", P::METADATA.name));
            response.code = Some(400);
        }
    }
    Ok(serde_json::to_vec(&response)?)
}

fn evaluate<'a, P: Policy>(
    payload: &'a [u8],
    arena: &'a Arena,
    cluster: &dyn Cluster,
) -> Result<Verdicts<'a>, String> {
    let root = Field::root(Value::from_json(payload, arena).map_err(|error| error.to_string())?, arena);
    let undecided = |error: Undecided| error.to_string();
    let settings = root.at("settings").value().map_err(undecided)?;
    let settings = settings.copied().unwrap_or(Value::Null);
    let policy = configure_value::<P>(settings).map_err(|error| error.to_string())?;
    let request = Request::read(root.at("request")).map_err(undecided)?;
    // Constant at compile time: a guest that changes nothing is a third smaller without the code for patches.
    if P::METADATA.mutates {
        let policies = [ConfiguredPolicy { metadata: &P::METADATA, policy: Box::new(policy) }];
        return Ok(admit(&policies, &request, cluster, AdmissionPhase::Mutating));
    }
    let row = validate_only(&P::METADATA, &policy, &request, cluster);
    Ok(Verdicts { rows: row.into_iter().collect(), ..Verdicts::default() })
}

/// Cluster data from Kubewarden's host capabilities, limited to the kinds that metadata.yml requests.
struct HostCluster {
    reads: &'static [WatchedKind],
}

impl HostCluster {
    fn ask<'a>(
        &self,
        operation: &str,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        name: Option<&str>,
        arena: &'a Arena,
    ) -> Result<Field<'a>, Undecided> {
        let read = self.reads.iter().find(|read| read.group == group && read.kind == kind);
        let version = read.map_or("v1", |read| read.version);
        let text = |text: &str| Value::String(arena.text(text));
        let ask = [
            ("api_version", text(&api_version(group, version))),
            ("kind", text(kind)),
            ("namespace", namespace.map_or(Value::Null, text)),
            ("name", name.map_or(Value::Null, text)),
            ("disable_cache", Value::Bool(false)),
        ];
        let ask = arena.object(&ask).to_string();
        let fail = |error: String| {
            Undecided::cluster_error(format!("the host did not return the cluster's {kind} objects: {error}"))
        };
        let answer = host_call("kubewarden", "kubernetes", operation, ask.as_bytes());
        let answer = answer.map_err(|error| fail(error.to_string()))?;
        let value = Value::from_json(arena.bytes(&answer), arena);
        Ok(Field::root(value.map_err(|error| fail(error.to_string()))?, arena))
    }
}

impl Cluster for HostCluster {
    fn has(&self, group: &str, kind: &str) -> bool {
        self.reads.iter().any(|read| read.group == group && read.kind == kind)
    }

    fn list<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        arena: &'a Arena,
    ) -> Result<Vec<Field<'a>>, Undecided> {
        let operation =
            if namespace.is_some() { "list_resources_by_namespace" } else { "list_resources_all" };
        let list = self.ask(operation, group, kind, namespace, None, arena)?;
        Ok(list.at("items").items()?.map(Field::rerooted).collect())
    }

    fn get<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
        arena: &'a Arena,
    ) -> Result<Option<Field<'a>>, Undecided> {
        // The host returns the same error for a missing object and for a missing permission.
        self.ask("get_resource", group, kind, namespace, Some(name), arena).map(Some)
    }
}
