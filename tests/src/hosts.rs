//! The hosts that a policy runs in, each asked the same AdmissionRequest, each giving the same answer.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, ensure};
use policy_core::{Arena, Case, Configured, Verdicts};
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
        let server = Server::start(listener, identity.server()?, Webhook::new(vec![policy]).router())?;
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
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(Answer {
        accepted: validate["allowed"].as_bool().context("allowed")?,
        message: text(&validate["status"]["message"]),
        warnings: validate["warnings"].as_array().into_iter().flatten().filter_map(text).collect(),
        patched: mutate["patch"].as_str().map(|patch| apply(&request["object"], patch)).transpose()?,
    })
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
        accepted: answer["accepted"].as_bool().context("accepted")?,
        message: text(&answer["message"]),
        warnings: answer["warnings"].as_array().into_iter().flatten().filter_map(text).collect(),
        patched: Some(answer["mutated_object"].clone()).filter(|object| !object.is_null()),
    })
}
