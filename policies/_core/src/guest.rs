//! A policy as a Kubewarden guest: waPC calls in, Kubewarden's answers out. No other file knows Kubewarden.

use kubewarden_policy_sdk::protocol_version_guest;
use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use kubewarden_policy_sdk::wapc_guest::{CallResult, register_function};
use serde::Serialize;

use crate::admit::{Configured, Half, Verdicts, admit, judge_only};
use crate::cluster::NoCluster;
use crate::field::{Field, Undecided};
use crate::policy::{Policy, configure_value};
use crate::request::Request;
use crate::value::{Arena, Value};

/// Registers the three functions that policy-server and `kwctl` call.
pub fn register<P: Policy>() {
    register_function("protocol_version", protocol_version_guest);
    register_function("validate_settings", validate_settings::<P>);
    register_function("validate", validate::<P>);
}

/// What a guest answers; the SDK's `ValidationResponse` would copy the object through `serde_json::Value`.
#[derive(Default, Serialize)]
struct ValidationResponse<'a> {
    accepted: bool,
    message: Option<String>,
    code: Option<u16>,
    mutated_object: Option<Value<'a>>,
    audit_annotations: Option<()>,
    warnings: Option<Vec<String>>,
}

fn validate_settings<P: Policy>(payload: &[u8]) -> CallResult {
    let arena = Arena::new();
    let result = Value::from_json(payload, &arena)
        .map_err(|error| error.to_string())
        .and_then(|settings| configure_value::<P>(settings).map(drop).map_err(|error| error.to_string()));
    Ok(serde_json::to_vec(&SettingsValidationResponse { valid: result.is_ok(), message: result.err() })?)
}

/// Answers `{"request": AdmissionRequest, "settings": {…}}`.
fn validate<P: Policy>(payload: &[u8]) -> CallResult {
    let arena = Arena::new();
    let mut response = ValidationResponse::default();
    match judge::<P>(payload, &arena) {
        Ok(verdicts) if verdicts.allowed() => {
            response.accepted = true;
            response.mutated_object = if P::ABOUT.mutates { verdicts.patched } else { None };
            response.warnings = warnings(&verdicts);
        }
        Ok(verdicts) => {
            response.message = Some(verdicts.message());
            response.code = Some(403);
            response.warnings = warnings(&verdicts);
        }
        Err(reason) => {
            response.message = Some(format!("{}: {reason}", P::ABOUT.name));
            response.code = Some(400);
        }
    }
    Ok(serde_json::to_vec(&response)?)
}

fn warnings(verdicts: &Verdicts<'_>) -> Option<Vec<String>> {
    Some(verdicts.warnings()).filter(|warnings| !warnings.is_empty())
}

fn judge<'a, P: Policy>(payload: &'a [u8], arena: &'a Arena) -> Result<Verdicts<'a>, String> {
    let root = Field::root(Value::from_json(payload, arena).map_err(|error| error.to_string())?, arena);
    let undecided = |error: Undecided| error.to_string();
    let settings = root.at("settings").value().map_err(undecided)?;
    let settings = settings.copied().unwrap_or(Value::Null);
    let policy = configure_value::<P>(settings).map_err(|error| error.to_string())?;
    let request = Request::read(root.at("request")).map_err(undecided)?;
    // Known when the guest is compiled: one that changes nothing is a third smaller without the code for patches.
    if P::ABOUT.mutates {
        let policies = [Configured { about: &P::ABOUT, policy: Box::new(policy) }];
        return Ok(admit(&policies, &request, &NoCluster, Half::Mutate));
    }
    let row = judge_only(&P::ABOUT, &policy, &request, &NoCluster);
    Ok(Verdicts { rows: row.into_iter().collect(), ..Verdicts::default() })
}
