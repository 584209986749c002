//! The hosts that a policy runs in. Each one gets the same AdmissionRequest and must return the same response.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use policy_core::{Arena, Case, Cluster, ConfiguredPolicy, Field, Objects, Undecided, Verdicts};
use serde_json::{Value, json};
use webhook_server::server::Server;
use webhook_server::server::client::Client;
use webhook_server::server::cluster::WatchedCluster;
use webhook_server::server::tls::{self, Identity};
use webhook_server::server::webhook::Webhook;

use crate::cases::CaseFile;

/// The response of a host to a request, reduced to the fields that every host has.
#[derive(Clone, Debug, PartialEq)]
pub struct HostResponse {
    /// Whether the request is admitted.
    pub accepted: bool,
    /// The denial message.
    pub message: Option<String>,
    /// The admission warnings.
    pub warnings: Vec<String>,
    /// The patched object; `None` if the policy did not change it.
    pub patched: Option<Value>,
    /// The audit annotations.
    pub audit: BTreeMap<String, String>,
}

/// The cluster data of a case, for hosts that keep it longer than the case's own arena lives.
#[derive(Clone, Debug)]
pub struct CaseCluster(pub Vec<Value>);

impl CaseCluster {
    /// Returns the case's cluster data; `None` if the case has none.
    pub fn of(case: &Case<'_>) -> Option<Self> {
        let objects = case
            .cluster
            .as_ref()?
            .iter()
            .map(|object| serde_json::to_value(object).expect("the object is JSON"));
        Some(CaseCluster(objects.collect()))
    }

    /// Returns the objects. Namespaced objects without a namespace get `default`.
    fn complete(self) -> Vec<Value> {
        let mut objects = self.0;
        for object in objects.iter_mut().filter(|object| object["kind"] != "Namespace") {
            let namespace = &mut object["metadata"]["namespace"];
            if namespace.is_null() {
                *namespace = json!("default");
            }
        }
        objects
    }
}

impl Cluster for CaseCluster {
    fn has(&self, _: &str, _: &str) -> bool {
        true
    }

    fn list<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        arena: &'a Arena,
    ) -> Result<Vec<Field<'a>>, Undecided> {
        let copied = self
            .0
            .iter()
            .map(|object| policy_core::Value::copy(object.clone(), arena).expect("the object is JSON"));
        // This is how the native host lists them too. The values are in the arena, but the list need not be.
        let objects = Objects::new(copied.collect(), "default");
        Ok(objects
            .values(group, kind, namespace)
            .into_iter()
            .map(|value| Field::root(value, arena))
            .collect())
    }
}

impl HostResponse {
    /// The response that every host must give for the verdicts of a case.
    pub fn of(verdicts: &Verdicts<'_>) -> Self {
        let accepted = verdicts.allowed();
        HostResponse {
            accepted,
            message: (!accepted).then(|| verdicts.message()),
            warnings: verdicts.warnings(),
            patched: verdicts.patched.filter(|_| accepted).and_then(|value| serde_json::to_value(value).ok()),
            audit: verdicts
                .audit()
                .0
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

/// Runs the policy natively.
///
/// # Errors
/// The case cannot be run.
pub fn native(file: &CaseFile) -> anyhow::Result<HostResponse> {
    let arena = Arena::new();
    let case = Case::decode(&file.text, &arena)?;
    Ok(HostResponse::of(&case.run(file.entry, &arena)?))
}

/// Sends the case to the webhook over TLS: to `/mutate` for the patch, and to `/validate` for everything else.
///
/// # Errors
/// The webhook does not respond.
pub fn http(file: &CaseFile) -> anyhow::Result<HostResponse> {
    let arena = Arena::new();
    let case = Case::decode(&file.text, &arena)?;
    let policy =
        ConfiguredPolicy { metadata: file.entry.metadata, policy: (file.entry.configure)(&case.settings)? };
    let request: Value = serde_json::from_str(&case.request.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let posted = |object: &Value| {
        let mut request = request.clone();
        request["object"] = object.clone();
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    };
    let (mutate, validate, unchanged, patched) = runtime.block_on(async {
        let identity = Identity::for_loopback(Ipv4Addr::LOCALHOST.into())?;
        let trusted = tls::trusting(&identity.chain)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let webhook = match CaseCluster::of(&case) {
            // As when the data comes from an API server: only the fields that the policy declares in `reads`.
            Some(cluster) => {
                let known = WatchedCluster::with_objects(
                    file.entry.metadata.reads.iter().copied(),
                    cluster.complete(),
                )?;
                Webhook::watching(vec![policy], Arc::new(known))
            }
            None => Webhook::new(vec![policy]),
        };
        let server = Server::start(listener, identity.server()?, webhook.router())?;
        let mut client = Client::connect(server.address, trusted).await?;
        let name = file.entry.metadata.name;
        let original = request["object"].clone();
        // `/mutate/NAME` is only available for mutating policies.
        let by_name =
            if file.entry.metadata.mutates { format!("/mutate/{name}") } else { "/mutate".to_owned() };
        let mutate = ask(&mut client, &by_name, &posted(&original)).await?;
        let patched = mutate["patch"].as_str().map(|patch| apply(&original, patch)).transpose()?;
        let last = patched.as_ref().unwrap_or(&original);
        let validate = ask(&mut client, &format!("/validate/{name}"), &posted(last)).await?;
        let unchanged = ask(&mut client, &format!("/validate/{name}"), &posted(&original)).await?;
        drop(client);
        server.stop().await?;
        anyhow::Ok((mutate, validate, unchanged, patched))
    })?;
    ensure!(validate.get("patch").is_none(), "a validating webhook must not patch");
    if patched.is_some() {
        // The API server sends this request if the mutating webhook failed and its failure policy is `Ignore`.
        let annotation = &unchanged["auditAnnotations"][file.entry.metadata.name];
        ensure!(
            unchanged["allowed"] == true && annotation == "not-changed",
            "unexpected audit annotations: {unchanged}"
        );
        ensure!(
            unchanged.get("warnings").is_none(),
            "an unchanged object must not cause warnings: {unchanged}"
        );
    }
    // For mutating policies, `/mutate` returns the message, the warnings and the audit annotations.
    let speaks = if file.entry.metadata.mutates { &mutate } else { &validate };
    ensure!(
        file.entry.metadata.mutates || mutate["allowed"] == true,
        "`/mutate` must not run policies that only validate"
    );
    ensure!(speaks["allowed"] == validate["allowed"], "mutate and validate disagree");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(HostResponse {
        audit: texts(&speaks["auditAnnotations"]),
        accepted: speaks["allowed"].as_bool().context("allowed")?,
        message: text(&speaks["status"]["message"]),
        warnings: speaks["warnings"].as_array().into_iter().flatten().filter_map(text).collect(),
        patched,
    })
}

async fn ask(client: &mut Client, path: &str, review: &Value) -> anyhow::Result<Value> {
    let (status, body) = client.post(&format!("{path}?timeout=10s"), serde_json::to_vec(review)?).await?;
    ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body)?;
    ensure!(answer["response"]["uid"] == review["request"]["uid"], "the uid is not echoed");
    Ok(answer["response"].clone())
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let members = map.as_object().into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn apply(object: &Value, patch: &str) -> anyhow::Result<Value> {
    let mut patched = object.clone();
    webhook_server::server::client::apply_patch(&mut patched, patch)?;
    Ok(patched)
}

/// The input of a guest's `validate` call, as policy-server and `kwctl` send it.
pub fn payload(settings: &str, request: &str) -> String {
    let settings = if settings.is_empty() { "{}" } else { settings };
    format!("{{\"request\":{request},\"settings\":{settings}}}")
}

/// Decodes the response of a guest's `validate` call.
///
/// # Errors
/// The bytes are not a valid response.
pub fn guest_answer(answer: &[u8]) -> anyhow::Result<HostResponse> {
    let answer: Value = serde_json::from_slice(answer)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(HostResponse {
        audit: texts(&answer["audit_annotations"]),
        accepted: answer["accepted"].as_bool().context("accepted")?,
        message: text(&answer["message"]),
        warnings: answer["warnings"].as_array().into_iter().flatten().filter_map(text).collect(),
        patched: Some(answer["mutated_object"].clone()).filter(|object| !object.is_null()),
    })
}
