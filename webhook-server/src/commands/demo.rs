//! `pratique demo`: the whole way of an object through the webhook, as an API server would send it, on this machine.

mod platform;

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use policy_core::path::printable;
use policy_core::yaml::documents;
use policy_core::{Arena, Outcome, Request};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::pods_of;
use policy_manifests::ObjectName;
use serde_json::{Value, json};

use crate::args::{DemoArgs, ExitStatus};
use crate::config::Config;
use crate::report::style;
use crate::server::Server;
use crate::server::client::{Client, apply_patch};
use crate::server::cluster::WatchedCluster;
use crate::server::tls::{self, Identity};
use crate::server::webhook::Webhook;
use crate::sources::{self, Kustomizations};

/// Who applies manifests.
const USER: &str = "pratique-demo";
/// Who makes the pods of workloads; exceptions of a workload are believed of its pods only then.
const CONTROLLER: &str = "system:kube-controller-manager";

/// An object on its way.
struct DemoObject {
    file: String,
    /// How the table calls it: an object, or the pods that one makes.
    title: String,
    name: ObjectName,
    resource: String,
    user: &'static str,
    object: Value,
    namespace: String,
}

impl DemoObject {
    fn new(file: &str, title: String, user: &'static str, request: &Request<'_>) -> anyhow::Result<Self> {
        Ok(DemoObject {
            file: file.to_owned(),
            title,
            name: ObjectName::of(request),
            resource: request.resource.resource.to_owned(),
            user,
            object: serde_json::to_value(request.object.value().ok().flatten())?,
            namespace: request.namespace.to_owned(),
        })
    }

    /// The object as an API server would have it: in the namespace that it is made in.
    fn stored(&self) -> Value {
        let mut object = self.object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
            && !self.namespace.is_empty()
        {
            metadata.insert("namespace".to_owned(), json!(self.namespace));
        }
        object
    }
}

/// What became of it.
struct DemoResult {
    /// What was added to it: paths, and names of containers.
    added: Vec<String>,
    allowed: bool,
    reasons: Vec<String>,
    latency: Duration,
}

/// Runs the command.
///
/// # Errors
/// It cannot start, or an object cannot be read.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitStatus> {
    if args.platform {
        return platform::run(&args.picture);
    }
    let config = Config::load_for(&args.selection, std::slice::from_ref(&args.path))?.serving()?;
    let names = config.names();
    let travellers = read(args, config.kinds())?;
    // All that is sent is there already: a set is applied as a whole.
    let reads = config.reads();
    let stored = travellers.iter().filter(|traveller| traveller.user == USER).map(DemoObject::stored);
    let named = stored.filter(|object| object.pointer("/metadata/name").is_some_and(Value::is_string));
    let cluster = Arc::new(WatchedCluster::holding(reads, named)?);
    let identity = Identity::for_loopback(Ipv4Addr::LOCALHOST.into())?;
    let trusted = tls::trusting(&identity.chain)?;
    let tls = identity.server()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free loopback port")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let arrivals = runtime.block_on(async {
        let server = Server::start(listener, tls, Webhook::watching(config, cluster).router())?;
        anstream::println!("webhook on https://{}, policies: {}\n", server.address, names.join(", "));
        let mut client = Client::connect(server.address, trusted).await?;
        let mut arrivals = Vec::with_capacity(travellers.len());
        for (i, traveller) in travellers.iter().enumerate() {
            arrivals.push(send(&mut client, i, traveller).await?);
        }
        drop(client);
        server.stop().await?;
        anyhow::Ok(arrivals)
    })?;
    print(&travellers, &arrivals)?;
    Ok(if arrivals.iter().all(|arrival| arrival.allowed) { ExitStatus::Success } else { ExitStatus::Denied })
}

/// Reads the path; kustomizations are built if a tool for it is here, and their files taken as they are if not.
fn read(args: &DemoArgs, kinds: WorkloadKinds<'_>) -> anyhow::Result<Vec<DemoObject>> {
    let kustomizations = if sources::can_build() { Kustomizations::Build } else { Kustomizations::TakeFiles };
    if kustomizations == Kustomizations::TakeFiles {
        anstream::eprintln!("pratique: neither kustomize nor kubectl is here; taking the files as they are");
    }
    let mut travellers = Vec::new();
    for place in sources::places(std::slice::from_ref(&args.path), kustomizations)? {
        let source = place.read()?;
        for document in documents(&source.text) {
            let arena = Arena::new();
            let mut objects = Vec::new();
            policy_manifests::each(&document, "default", &arena, |object| {
                objects.push(object.map(|(request, _)| request));
            });
            for request in objects {
                let request =
                    request.map_err(|unreadable| anyhow::anyhow!("{}:{unreadable}", source.name))?;
                let name = ObjectName::of(&request).to_string();
                let failed = |undecided| anyhow::anyhow!("{}:{}: {undecided}", source.name, document.start());
                if let Some(pods) = pods_of(&request, kinds).map_err(failed)? {
                    let title = format!("pods of {name}");
                    travellers.push(DemoObject::new(&source.name, name, USER, &request)?);
                    travellers.push(DemoObject::new(&source.name, title, CONTROLLER, &pods.request)?);
                } else {
                    travellers.push(DemoObject::new(&source.name, name, USER, &request)?);
                }
            }
        }
    }
    Ok(travellers)
}

/// Sends an object to `/mutate`, and what comes of it to `/validate`.
async fn send(client: &mut Client, number: usize, traveller: &DemoObject) -> anyhow::Result<DemoResult> {
    let since = Instant::now();
    let mut object = traveller.object.clone();
    let mutate = ask(client, "/mutate?timeout=10s", &review(number, traveller, &object)).await?;
    let patch = mutate.get("patch").and_then(Value::as_str);
    let added = patch.map(|patch| apply_patch(&mut object, patch)).transpose()?.map(|patch| added(&patch));
    let validate = ask(client, "/validate?timeout=10s", &review(number, traveller, &object)).await?;
    let latency = since.elapsed();
    let mut reasons = Vec::new();
    for answer in [&mutate, &validate] {
        let causes = answer.pointer("/status/details/causes").and_then(Value::as_array);
        let text =
            |cause: &Value, key: &str| cause.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let causes = causes.into_iter().flatten();
        let denials = causes.map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message")));
        let warnings = answer.get("warnings").and_then(Value::as_array).into_iter().flatten();
        let warnings = warnings.filter_map(|warning| Some(format!("warning: {}", warning.as_str()?)));
        for reason in denials.chain(warnings) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    let allowed = |answer: &Value| answer.get("allowed").and_then(Value::as_bool) == Some(true);
    Ok(DemoResult {
        added: added.unwrap_or_default(),
        allowed: allowed(&mutate) && allowed(&validate),
        reasons,
        latency,
    })
}

/// What a patch adds, in the words of whoever looks for it.
fn added(patch: &json_patch::Patch) -> Vec<String> {
    let mut added = Vec::new();
    for operation in patch.iter() {
        let json_patch::PatchOperation::Add(add) = operation else { continue };
        let path = add.path.to_string();
        let (parent, last) = path.rsplit_once('/').unwrap_or_default();
        let key = last.replace("~1", "/").replace("~0", "~");
        let items = match &add.value {
            Value::Array(items) => items.as_slice(),
            item => std::slice::from_ref(item),
        };
        let names = items.iter().filter_map(|item| item.get("name")?.as_str());
        match (path.ends_with("ontainers") || path.ends_with("ontainers/-"), &add.value) {
            (true, _) => added.extend(names.map(|name| format!("container {name}"))),
            (false, Value::Object(members)) => {
                added.extend(members.keys().map(|key| format!("{last} {key}")))
            }
            _ => added.push(format!(
                "{} {key}",
                parent.rsplit('/').next().unwrap_or_default().trim_end_matches('s')
            )),
        }
    }
    added
}

async fn ask(client: &mut Client, path: &str, review: &Value) -> anyhow::Result<Value> {
    let (status, body) = client.post(path, serde_json::to_vec(review)?).await?;
    if !status.is_success() {
        bail!("{path}: {status}: {}", String::from_utf8_lossy(&body));
    }
    let answer: Value = serde_json::from_slice(&body)?;
    Ok(answer.get("response").cloned().unwrap_or_default())
}

/// The review that an API server would send when the object is created.
fn review(number: usize, traveller: &DemoObject, object: &Value) -> Value {
    let name = &traveller.name;
    let (group, version) = name.api_version.split_once('/').unwrap_or(("", &name.api_version));
    let kind = json!({"group": group, "version": version, "kind": name.kind});
    let resource = json!({"group": group, "version": version, "resource": traveller.resource});
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": format!("00000000-0000-4000-8000-{number:012}"),
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": name.name, "namespace": name.namespace, "operation": "CREATE",
            "userInfo": {"username": traveller.user, "groups": ["system:authenticated"]},
            "object": object, "oldObject": null, "dryRun": true,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        }
    })
}

fn print(travellers: &[DemoObject], arrivals: &[DemoResult]) -> std::io::Result<()> {
    let mut out = anstream::stdout();
    let width = travellers.iter().map(|traveller| traveller.title.chars().count()).max().unwrap_or(6);
    writeln!(out, "{:width$}  mutate     validate   latency  file", "object")?;
    for (traveller, arrival) in travellers.iter().zip(arrivals) {
        let outcome = if arrival.allowed { Outcome::Allow } else { Outcome::Deny };
        let color = style(outcome);
        let mutated = if arrival.added.is_empty() { "unchanged" } else { "patched" };
        let latency = arrival.latency.as_secs_f64() * 1e3;
        writeln!(
            out,
            "{:width$}  {mutated:9}  {color}{:8}{color:#}  {latency:6.2} ms  {}",
            printable(&traveller.title),
            if arrival.allowed { "admitted" } else { "denied" },
            printable(&traveller.file),
        )?;
        if !arrival.added.is_empty() {
            writeln!(out, "    + {}", printable(&arrival.added.join(", ")))?;
        }
        for reason in &arrival.reasons {
            writeln!(out, "    {}", printable(reason))?;
        }
    }
    let denied = arrivals.iter().filter(|arrival| !arrival.allowed).count();
    let mut latencies: Vec<Duration> = arrivals.iter().map(|arrival| arrival.latency).collect();
    latencies.sort();
    let median = latencies.get(latencies.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1e3;
    writeln!(
        out,
        "\n{} objects and pods of workloads: {} admitted, {denied} denied; median latency of both calls together {median:.2} ms",
        arrivals.len(),
        arrivals.len() - denied,
    )
}
