//! A fake API server on loopback that supports lists and watches (kubernetes.io/docs/reference/using-api/api-concepts).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use conformance::serving::ca_bundle;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::sync::watch;
use webhook_server::server::Server;
use webhook_server::server::tls::Identity;

/// The API server; it stops with the test.
#[derive(Clone)]
pub(crate) struct FakeApiServer {
    state: Arc<Mutex<ApiServerState>>,
    changed: watch::Sender<u64>,
    address: std::net::SocketAddr,
    /// The server certificate, if it uses TLS.
    certificate: Option<CertificateDer<'static>>,
}

/// The behavior of watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Watches {
    /// Watches work.
    #[default]
    Work,
    /// Watches work, and send a bookmark every half second.
    Bookmarks,
    /// Watches end immediately.
    EndAtOnce,
    /// Watches send an error event and end.
    Fail,
    /// Watches send data that is not an event.
    Garbage,
    /// Watches send a Status that is not wrapped in an event.
    Status,
}

#[derive(Default)]
struct ApiServerState {
    watches: Watches,
    version: u64,
    /// The server has forgotten changes before this version.
    forgotten: u64,
    refuses: bool,
    objects: BTreeMap<(String, String, String), Value>,
    events: Vec<(u64, String, Value)>,
    pages: BTreeMap<String, usize>,
}

/// The token of the only user.
const TOKEN: &str = "letmein";

type QueryParameters = BTreeMap<String, String>;

impl FakeApiServer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback");
        let api = FakeApiServer::at(listener.local_addr().expect("it is bound"), None);
        let router = api.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        api
    }

    /// Like [`start`](Self::start), with TLS and a certificate that only the kubeconfig trusts.
    pub(crate) async fn start_on_tls() -> Self {
        let identity = Identity::for_loopback([127, 0, 0, 1].into()).expect("a certificate can be made");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        let api = FakeApiServer::at(address, identity.chain.first().cloned());
        let config = identity.server().expect("it is a certificate");
        let server = Server::start(listener, config, api.router()).expect("it can be served");
        // Keep serving until the process of the test ends.
        std::mem::forget(server);
        api
    }

    fn at(address: std::net::SocketAddr, certificate: Option<CertificateDer<'static>>) -> Self {
        FakeApiServer { state: Arc::default(), changed: watch::Sender::new(0), address, certificate }
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/api/v1/{resource}", get(answer))
            .route("/apis/networking.k8s.io/v1/{resource}", get(answer))
            .with_state(self.clone())
    }

    /// Writes a kubeconfig for this API server.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        let file = std::env::temp_dir().join(format!("pratique-kubeconfig-{}", self.address.port()));
        let cluster = match &self.certificate {
            None => json!({"server": format!("http://{}", self.address)}),
            Some(certificate) => {
                let server = format!("https://{}", self.address);
                json!({"server": server, "certificate-authority-data": ca_bundle(certificate)})
            }
        };
        let cluster = json!({"name": "c", "cluster": cluster});
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [cluster],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {"token": TOKEN}}]});
        std::fs::write(&file, config.to_string()).expect("a file can be written");
        file
    }

    fn change(&self, change: impl FnOnce(&mut ApiServerState)) {
        let version = {
            let mut state = self.state.lock().expect("no test panics here");
            state.version += 1;
            change(&mut state);
            state.version
        };
        self.changed.send_replace(version);
    }

    pub(crate) fn put(&self, resource: &str, mut object: Value) {
        self.change(|state| {
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
            let key = (resource.to_owned(), text("namespace"), text("name"));
            let kind = if state.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
            state.events.push((state.version, resource.to_owned(), json!({"type": kind, "object": object})));
            state.objects.insert(key, object);
        });
    }

    pub(crate) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.change(|state| {
            let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
            let mut object = state.objects.remove(&key).expect("the object exists");
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            state.events.push((
                state.version,
                resource.to_owned(),
                json!({"type": "DELETED", "object": object}),
            ));
        });
    }

    /// Makes a change that no watch reports, because the API server has already discarded its event.
    pub(crate) fn forget(&self, change: impl FnOnce(&FakeApiServer)) {
        self.refuse(true);
        change(self);
        {
            let mut state = self.state.lock().expect("no test panics here");
            state.forgotten = state.version;
            state.events.clear();
        }
        self.refuse(false);
    }

    /// Starts or stops answering every request with an error. Starting also ends all watches.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.change(|state| state.refuses = refuses);
    }

    /// Sets the behavior of watches.
    pub(crate) fn watches(&self, do_: Watches) {
        self.change(|state| state.watches = do_);
    }

    /// The number of list pages that were returned.
    pub(crate) fn pages(&self, resource: &str) -> usize {
        self.state.lock().expect("no test panics here").pages.get(resource).copied().unwrap_or_default()
    }
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": if code == 410 { "Expired" } else { "InternalError" }, "code": code})
}

async fn answer(
    State(api): State<FakeApiServer>,
    Path(resource): Path<String>,
    Query(parameters): Query<QueryParameters>,
    headers: HeaderMap,
) -> Response {
    if headers.get("authorization").is_none_or(|token| token != &format!("Bearer {TOKEN}")) {
        return (StatusCode::UNAUTHORIZED, status(401, "Unauthorized").to_string()).into_response();
    }
    if api.state.lock().expect("no test panics here").refuses {
        let refusal = status(503, "the server is unavailable").to_string();
        return (StatusCode::SERVICE_UNAVAILABLE, refusal).into_response();
    }
    let watches = api.state.lock().expect("no test panics here").watches;
    let json = [("content-type", "application/json")];
    match (parameters.get("watch").map(String::as_str), watches) {
        (Some("true" | "1"), Watches::EndAtOnce) => (json, String::new()).into_response(),
        (Some("true" | "1"), Watches::Fail) => {
            (json, json!({"type": "ERROR", "object": status(500, "it failed")}).to_string() + "\n")
                .into_response()
        }
        (Some("true" | "1"), Watches::Garbage) => {
            (json, "{\"type\": \"ADDED\", \"obj\n".to_owned()).into_response()
        }
        (Some("true" | "1"), Watches::Status) => {
            (json, status(410, "too old").to_string() + "\n").into_response()
        }
        (Some("true" | "1"), _) => follow(api, resource, &parameters),
        _ => list(&api, &resource, &parameters),
    }
}

fn list(api: &FakeApiServer, resource: &str, parameters: &QueryParameters) -> Response {
    let number = |key: &str| parameters.get(key).and_then(|text| text.parse::<usize>().ok());
    let (limit, from) = (number("limit").unwrap_or(usize::MAX), number("continue").unwrap_or(0));
    let mut state = api.state.lock().expect("no test panics here");
    *state.pages.entry(resource.to_owned()).or_default() += 1;
    let all: Vec<&Value> =
        state.objects.iter().filter(|((of, ..), _)| of == resource).map(|(_, object)| object).collect();
    let items: Vec<&&Value> = all.iter().skip(from).take(limit).collect();
    let more = if from + items.len() < all.len() { (from + items.len()).to_string() } else { String::new() };
    let version = state.version.to_string();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items,
        "metadata": {"resourceVersion": version, "continue": more}});
    ([("content-type", "application/json")], list.to_string()).into_response()
}

fn follow(api: FakeApiServer, resource: String, parameters: &QueryParameters) -> Response {
    let number = |key: &str| parameters.get(key).and_then(|text| text.parse::<u64>().ok());
    let (from, seconds) = (number("resourceVersion").unwrap_or(0), number("timeoutSeconds").unwrap_or(290));
    let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(64);
    tokio::spawn(async move {
        let mut changed = api.changed.subscribe();
        let mut sent = from;
        loop {
            let news: Vec<Value> = {
                let state = api.state.lock().expect("no test panics here");
                if state.refuses {
                    return;
                }
                if sent < state.forgotten {
                    vec![json!({"type": "ERROR", "object": status(410, "too old resource version")})]
                } else {
                    let after =
                        state.events.iter().filter(|(version, of, _)| *version > sent && *of == resource);
                    let news = after.map(|(_, _, event)| event.clone()).collect();
                    sent = state.version;
                    news
                }
            };
            for event in news {
                if sender.send(Bytes::from(format!("{event}\n"))).await.is_err() {
                    return;
                }
            }
            let bookmarks = api.state.lock().expect("no test panics here").watches == Watches::Bookmarks;
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(500)), if bookmarks => {
                    let metadata = json!({"resourceVersion": sent.to_string()});
                    let object = json!({"apiVersion": "v1", "kind": "X", "metadata": metadata});
                    let bookmark = json!({"type": "BOOKMARK", "object": object});
                    if sender.send(Bytes::from(format!("{bookmark}\n"))).await.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(until) => return,
            }
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|bytes| (Ok::<_, std::convert::Infallible>(bytes), receiver))
    });
    ([("content-type", "application/json")], Body::from_stream(stream)).into_response()
}
