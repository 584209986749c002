//! `pratique demo`: starts the webhook on this machine, and sends objects to it as an API server would.

mod platform;
mod print;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use policy_core::yaml::documents;
use policy_core::{Arena, Request};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::pods_of;
use policy_manifests::ObjectName;
use serde_json::{Value, json};

use crate::args::{DemoArgs, ExitStatus};
use crate::config::Config;
use crate::server::Server;
use crate::server::client::{Client, apply_patch};
use crate::server::cluster::WatchedCluster;
use crate::server::tls::{self, Identity};
use crate::server::webhook::Webhook;
use crate::sources::{self, Kustomizations};

/// The user that applies manifests.
const USER: &str = "pratique-demo";
/// The user that creates the pods of workloads. Only then do exceptions for a workload apply to its pods.
const CONTROLLER: &str = "system:kube-controller-manager";

/// The manifests that the demo sends by default.
const OWN_MANIFESTS: &str = "manifests";
/// Objects that are denied, to show how a denial looks.
const EXAMPLES: &str = include_str!("demo/denied.yaml");

/// An object to send.
struct DemoObject {
    file: String,
    /// The name in the table: an object, or the pods of a workload.
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

    /// The object as an API server would store it, with its namespace set.
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

/// The response of the webhook to an object.
struct DemoResult {
    /// The additions of the patch, such as `container web`.
    added: Vec<String>,
    allowed: bool,
    reasons: Vec<String>,
    latency: Duration,
}

/// Runs the command.
///
/// # Errors
/// The webhook cannot start, or an object cannot be read.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitStatus> {
    if args.platform {
        return platform::run(&args.picture);
    }
    let config = Config::load_for(&args.selection, std::slice::from_ref(&args.path))?.serving()?;
    let names = config.names();
    let items = read(args, config.kinds())?;
    let mut examples = Vec::new();
    if args.path == Path::new(OWN_MANIFESTS) {
        add_objects("example", EXAMPLES, config.kinds(), &mut examples)?;
        examples.retain(|example| example.user == USER);
    }
    // The cluster already contains all objects, because a manifest set is applied as a whole.
    let reads = config.reads();
    let stored = items.iter().filter(|item| item.user == USER).map(DemoObject::stored);
    let named = stored.filter(|object| object.pointer("/metadata/name").is_some_and(Value::is_string));
    let cluster = Arc::new(WatchedCluster::with_objects(reads, named)?);
    let identity = Identity::for_loopback(Ipv4Addr::LOCALHOST.into())?;
    let trusted = tls::trusting(&identity.chain)?;
    let tls = identity.server()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free loopback port")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (denied, results) = runtime.block_on(async {
        let server = Server::start(listener, tls, Webhook::watching(config, cluster).router())?;
        anstream::println!("webhook on https://{}, policies: {}\n", server.address, names.join(", "));
        let mut client = Client::connect(server.address, trusted).await?;
        let denied = send_all(&mut client, &examples).await?;
        let results = send_all(&mut client, &items).await?;
        drop(client);
        server.stop().await?;
        anyhow::Ok((denied, results))
    })?;
    print::examples(&examples, &denied)?;
    print::table(&items, &results)?;
    let is_well = results.iter().all(|result| result.allowed) && denied.iter().all(|result| !result.allowed);
    Ok(if is_well { ExitStatus::Success } else { ExitStatus::Denied })
}

/// Reads the objects. Kustomizations are rendered if a tool is installed; otherwise their files are read as they are.
fn read(args: &DemoArgs, kinds: WorkloadKinds<'_>) -> anyhow::Result<Vec<DemoObject>> {
    let kustomizations = if sources::can_build() { Kustomizations::Build } else { Kustomizations::ReadFiles };
    if kustomizations == Kustomizations::ReadFiles {
        print_error!("pratique: neither kustomize nor kubectl is on the PATH; reading files as they are");
    }
    let mut items = Vec::new();
    for place in sources::places(std::slice::from_ref(&args.path), kustomizations)? {
        let source = place.read()?;
        add_objects(&source.name, &source.text, kinds, &mut items)?;
    }
    Ok(items)
}

/// Adds the objects of a text, and the pods that they create.
fn add_objects(
    file: &str,
    text: &str,
    kinds: WorkloadKinds<'_>,
    items: &mut Vec<DemoObject>,
) -> anyhow::Result<()> {
    for document in documents(text) {
        let arena = Arena::new();
        let mut objects = Vec::new();
        policy_manifests::each(&document, "default", &arena, |object| {
            objects.push(object.map(|(request, _)| request));
        });
        for request in objects {
            let request = request.map_err(|unreadable| anyhow::anyhow!("{file}:{unreadable}"))?;
            let name = ObjectName::of(&request).to_string();
            let failed = |undecided| anyhow::anyhow!("{file}:{}: {undecided}", document.start());
            items.push(DemoObject::new(file, name.clone(), USER, &request)?);
            if let Some(pods) = pods_of(&request, kinds).map_err(failed)? {
                items.push(DemoObject::new(file, format!("pods of {name}"), CONTROLLER, &pods.request)?);
            }
        }
    }
    Ok(())
}

async fn send_all(client: &mut Client, items: &[DemoObject]) -> anyhow::Result<Vec<DemoResult>> {
    let mut results = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        results.push(send(client, i, item).await?);
    }
    Ok(results)
}

/// Sends an object to `/mutate`, and the patched object to `/validate`.
async fn send(client: &mut Client, number: usize, item: &DemoObject) -> anyhow::Result<DemoResult> {
    let since = Instant::now();
    let mut object = item.object.clone();
    let mutate = ask(client, "/mutate?timeout=10s", &review(number, item, &object)).await?;
    let patch = mutate.get("patch").and_then(Value::as_str);
    let added = patch.map(|patch| apply_patch(&mut object, patch)).transpose()?.map(|patch| added(&patch));
    let validate = ask(client, "/validate?timeout=10s", &review(number, item, &object)).await?;
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

/// The additions of a patch, in readable form.
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
fn review(number: usize, item: &DemoObject, object: &Value) -> Value {
    let name = &item.name;
    let (group, version) = name.api_version.split_once('/').unwrap_or(("", &name.api_version));
    let kind = json!({"group": group, "version": version, "kind": name.kind});
    let resource = json!({"group": group, "version": version, "resource": item.resource});
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": format!("00000000-0000-4000-8000-{number:012}"),
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": name.name, "namespace": name.namespace, "operation": "CREATE",
            "userInfo": {"username": item.user, "groups": ["system:authenticated"]},
            "object": object, "oldObject": null, "dryRun": true,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        }
    })
}
