//! The hosts that a policy runs in, each asked the same AdmissionRequest, each giving the same answer.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use policy_core::{Arena, Case, Cluster, Configured, Field, Objects, Undecided, Verdicts};
use serde_json::{Value, json};
use webhook_server::client::Client;
use webhook_server::serve::Server;
use webhook_server::tls::{self, Identity};
use webhook_server::webhook::Webhook;

use crate::cases::CaseFile;

/// What every host can say of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Whether it is admitted.
    pub accepted: bool,
    /// Why not.
    pub message: Option<String>,
    /// What is warned of.
    pub warnings: Vec<String>,
    /// The object as it is then, if it is changed.
    pub patched: Option<Value>,
    /// What the audit log is told.
    pub audit: BTreeMap<String, String>,
}

/// The cluster of a case, for hosts that keep it longer than the case's own arena lives.
#[derive(Clone, Debug)]
pub struct Given(pub Vec<Value>);

impl Given {
    /// What the case says there is; `None` where it says nothing.
    pub fn of(case: &Case<'_>) -> Option<Self> {
        let objects =
            case.cluster.as_ref()?.iter().map(|object| serde_json::to_value(object).expect("it is JSON"));
        Some(Given(objects.collect()))
    }
}

impl Cluster for Given {
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
        let copied =
            self.0.iter().map(|object| policy_core::Value::copy(object.clone(), arena).expect("it is JSON"));
        // As the case has it natively; the objects are in the arena, the list need not be.
        let objects = Objects::new(copied.collect(), "default");
        Ok(objects
            .list(group, kind, namespace, arena)?
            .iter()
            .map(|object| object_of(*object, arena))
            .collect())
    }
}

fn object_of<'a>(object: Field<'_>, arena: &'a Arena) -> Field<'a> {
    let json = object.value().ok().flatten().map(ToString::to_string).unwrap_or_default();
    let value = serde_json::from_str(&json).expect("it is JSON");
    Field::root(policy_core::Value::copy(value, arena).expect("it is JSON"), arena)
}

impl Answer {
    /// The answer that a case's verdicts must give in every host.
    pub fn of(verdicts: &Verdicts<'_>) -> Self {
        let accepted = verdicts.allowed();
        Answer {
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

/// Asks the policy natively.
///
/// # Errors
/// The case cannot be run.
pub fn native(file: &CaseFile) -> anyhow::Result<Answer> {
    let arena = Arena::new();
    let case = Case::decode(&file.text, &arena)?;
    Ok(Answer::of(&case.run(file.entry, &arena)?))
}

/// Asks the webhook over TLS: `/mutate` for the patch, `/validate` for the rest.
///
/// # Errors
/// The webhook does not answer.
pub fn http(file: &CaseFile) -> anyhow::Result<Answer> {
    let arena = Arena::new();
    let case = Case::decode(&file.text, &arena)?;
    let policy = Configured { about: file.entry.about, policy: (file.entry.configure)(&case.settings)? };
    let request: Value = serde_json::from_str(&case.request.to_string())?;
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let review = serde_json::to_vec(&review)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mutate, validate) = runtime.block_on(async {
        let identity = Identity::for_loopback(Ipv4Addr::LOCALHOST.into())?;
        let trusted = tls::trusting(&identity.chain)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let webhook = match Given::of(&case) {
            Some(cluster) => Webhook::with_cluster(vec![policy], Arc::new(cluster)),
            None => Webhook::new(vec![policy]),
        };
        let server = Server::start(listener, identity.server()?, webhook.router())?;
        let mut client = Client::connect(server.address, trusted).await?;
        let mut answers = Vec::new();
        for path in ["/mutate", "/validate"] {
            let path = format!("{path}/{}?timeout=10s", file.entry.about.name);
            let (status, body) = client.post(&path, review.clone()).await?;
            ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
            let answer: Value = serde_json::from_slice(&body)?;
            ensure!(answer["response"]["uid"] == request["uid"], "the uid is not echoed");
            answers.push(answer["response"].clone());
        }
        drop(client);
        server.stop().await?;
        Ok((answers[0].clone(), answers[1].clone()))
    })?;
    ensure!(mutate["allowed"] == validate["allowed"], "mutate and validate disagree");
    ensure!(validate.get("patch").is_none(), "a validating webhook must not patch");
    ensure!(
        mutate["warnings"] == validate["warnings"]
            && mutate["auditAnnotations"] == validate["auditAnnotations"],
        "mutate and validate say different things of the same object"
    );
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(Answer {
        audit: texts(&validate["auditAnnotations"]),
        accepted: validate["allowed"].as_bool().context("allowed")?,
        message: text(&validate["status"]["message"]),
        warnings: validate["warnings"].as_array().into_iter().flatten().filter_map(text).collect(),
        patched: mutate["patch"].as_str().map(|patch| apply(&request["object"], patch)).transpose()?,
    })
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let members = map.as_object().into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn apply(object: &Value, patch: &str) -> anyhow::Result<Value> {
    let mut patched = object.clone();
    webhook_server::client::apply_patch(&mut patched, patch)?;
    Ok(patched)
}

/// What `validate` of a guest is called with, as policy-server and `kwctl` call it.
pub fn payload(settings: &str, request: &str) -> String {
    let settings = if settings.is_empty() { "{}" } else { settings };
    format!("{{\"request\":{request},\"settings\":{settings}}}")
}

/// What `validate` of a guest answered.
///
/// # Errors
/// It is no answer.
pub fn guest_answer(answer: &[u8]) -> anyhow::Result<Answer> {
    let answer: Value = serde_json::from_slice(answer)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(Answer {
        audit: texts(&answer["audit_annotations"]),
        accepted: answer["accepted"].as_bool().context("accepted")?,
        message: text(&answer["message"]),
        warnings: answer["warnings"].as_array().into_iter().flatten().filter_map(text).collect(),
        patched: Some(answer["mutated_object"].clone()).filter(|object| !object.is_null()),
    })
}
