//! Does the webhook process behave: at start, under load, at the end, and towards those who do it harm?

#[path = "stores/api.rs"]
#[expect(dead_code, reason = "another test asks more of it")]
mod api;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conformance::measure::memory;
use conformance::process::{self, pratique};
use libtest_mimic::{Failed, Trial};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use webhook_server::client::Client;
use webhook_server::tls;
use webhook_server::webhook::BODY_LIMIT;

fn main() -> ExitCode {
    let trial = |name: &str, run: fn() -> Result<(), Failed>| Trial::test(name, run);
    process::main(|| {
        vec![
            trial("requests_in_flight_are_answered_on_sigterm", requests_in_flight_are_answered_on_sigterm),
            trial("readiness_flips_before_the_end", readiness_flips_before_the_end),
            trial("certificates_are_read_from_files", certificates_are_read_from_files),
            trial("a_wrong_key_stops_the_start", a_wrong_key_stops_the_start),
            trial("certificates_are_replaced_under_load", certificates_are_replaced_under_load),
            trial("half_a_certificate_is_not_served", half_a_certificate_is_not_served),
            trial("fresh_connections_do_not_stall", fresh_connections_do_not_stall),
            trial("half_open_connections_hold_nobody_up", half_open_connections_hold_nobody_up),
            trial("a_flood_is_refused_before_memory_grows", a_flood_is_refused_before_memory_grows),
            trial("http_2_is_negotiated", http_2_is_negotiated),
            trial("metrics_are_counted_and_served", metrics_are_counted_and_served),
            trial("without_a_cluster_what_needs_one_is_denied", without_a_cluster_what_needs_one_is_denied),
            trial("a_cluster_is_watched_over_tls", a_cluster_is_watched_over_tls),
            trial("a_kubeconfig_that_is_none_stops_the_start", a_kubeconfig_that_is_none_stops_the_start),
        ]
    })
}

/// A webhook in a process of its own, with a certificate that the test made.
struct Webhook {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    address: SocketAddr,
    trusted: Arc<rustls::ClientConfig>,
    folder: PathBuf,
}

fn certificate(folder: &PathBuf) -> Result<(PathBuf, PathBuf), Failed> {
    std::fs::create_dir_all(folder)?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (cert, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&cert, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((cert, key))
}

impl Webhook {
    fn start(name: &str, more: &[&str]) -> Result<Self, Failed> {
        let folder = std::env::temp_dir().join(format!("pratique-{}-{name}", std::process::id()));
        let (cert, key) = certificate(&folder)?;
        let mut child = pratique()
            .args(["serve", "--listen", "127.0.0.1:0", "--tls-cert"])
            .arg(&cert)
            .arg("--tls-key")
            .arg(&key)
            .args(more)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = BufReader::new(child.stderr.take().ok_or("it has a standard error")?);
        let mut line = String::new();
        // What it says beforehand is for people.
        while !line.contains("https://") && stderr.read_line(&mut line)? > 0 {}
        let Some(Ok(address)) = line.trim().rsplit_once("https://").map(|(_, address)| address.parse())
        else {
            child.kill()?;
            return Err(format!("it does not serve: {line}").into());
        };
        let trusted = tls::trusting(&[CertificateDer::from_pem_file(&cert)?])?;
        Ok(Webhook { child, stderr, address, trusted, folder })
    }

    fn terminate(&self) -> Result<(), Failed> {
        let status = std::process::Command::new("kill").arg(self.child.id().to_string()).status()?;
        if status.success() { Ok(()) } else { Err("kill failed".into()) }
    }

    async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(self.address, self.trusted.clone()).await
    }

    /// Waits for the end, and gives the rest of what it said.
    fn end(mut self) -> Result<String, Failed> {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        if status.success() { Ok(said) } else { Err(format!("{status}: {said}").into()) }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn review() -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "object": {"spec": {"hostNetwork": true, "containers": [{"name": "web"}]}}}})
    .to_string()
}

/// Eight clients ask without a pause while the process is told to end. Every request that was sent is answered; a client
/// whose connection was closed after an answer opens another, until it hears that the endpoint is withdrawn, half way
/// through the draining.
fn requests_in_flight_are_answered_on_sigterm() -> Result<(), Failed> {
    let webhook = Webhook::start("sigterm", &["--drain", "3"])?;
    let (answered, failed, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let counts = Arc::new((answered, failed, stop));
    let runtime = runtime()?;
    let clients: Vec<_> = runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let mut client = webhook.client().await?;
            let (counts, address, trusted) = (counts.clone(), webhook.address, webhook.trusted.clone());
            tasks.push(tokio::spawn(async move {
                while !counts.2.load(Ordering::SeqCst) {
                    match client.post("/validate?timeout=10s", review()).await {
                        Ok((status, _)) if status.is_success() => counts.0.fetch_add(1, Ordering::SeqCst),
                        Ok(_) => counts.1.fetch_add(1, Ordering::SeqCst),
                        Err(error) if closed_before_it_was_sent(&error) => {
                            let Ok(another) = Client::connect(address, trusted.clone()).await else { break };
                            client = another;
                            0
                        }
                        Err(_) => counts.1.fetch_add(1, Ordering::SeqCst),
                    };
                }
            }));
        }
        anyhow::Ok(tasks)
    })?;
    std::thread::sleep(Duration::from_millis(300));
    let before = counts.0.load(Ordering::SeqCst);
    webhook.terminate()?;
    std::thread::sleep(Duration::from_millis(500));
    let draining = counts.0.load(Ordering::SeqCst);
    counts.2.store(true, Ordering::SeqCst);
    let said = webhook.end()?;
    runtime.block_on(async {
        for client in clients {
            client.await?;
        }
        anyhow::Ok(())
    })?;
    assert!(said.contains("shutting down, no longer ready"), "{said}");
    assert!(before > 0 && draining > before, "it answers before and while it drains: {before}, {draining}");
    assert_eq!(counts.1.load(Ordering::SeqCst), 0, "no request is lost");
    Ok(())
}

fn closed_before_it_was_sent(error: &anyhow::Error) -> bool {
    let error: Option<&hyper::Error> = error.downcast_ref();
    error.is_some_and(|error| error.is_canceled() || error.is_closed())
}

fn readiness_flips_before_the_end() -> Result<(), Failed> {
    let webhook = Webhook::start("ready", &["--drain", "8"])?;
    runtime()?.block_on(async {
        let mut client = webhook.client().await?;
        assert_eq!(client.get("/readyz").await?.0, 200);
        webhook.terminate().map_err(|_| anyhow::anyhow!("kill"))?;
        let since = Instant::now();
        while client.get("/readyz").await?.0 == 200 {
            assert!(since.elapsed() < Duration::from_secs(5), "not ready soon after SIGTERM");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (status, answer) = webhook.client().await?.post("/validate", review()).await?;
        assert_eq!(status, 200, "new connections are served while it drains");
        assert!(answer.starts_with(b"{"));
        anyhow::Ok(())
    })?;
    // A second signal cuts the draining short.
    webhook.terminate()?;
    webhook.end().map(drop)
}

fn certificates_are_read_from_files() -> Result<(), Failed> {
    let webhook = Webhook::start("files", &[])?;
    runtime()?.block_on(async {
        assert_eq!(webhook.client().await?.get("/healthz").await?.0, 200);
        let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let trusted = tls::trusting(&[stranger.cert.der().clone()])?;
        assert!(
            Client::connect(webhook.address, trusted).await.is_err(),
            "it serves the certificate it was given"
        );
        anyhow::Ok(())
    })?;
    Ok(())
}

fn a_wrong_key_stops_the_start() -> Result<(), Failed> {
    let folder = std::env::temp_dir().join(format!("pratique-{}-wrong", std::process::id()));
    let (cert, _) = certificate(&folder.join("a"))?;
    let (_, key) = certificate(&folder.join("b"))?;
    let empty = folder.join("empty.pem");
    std::fs::write(&empty, "")?;
    for (cert, key, reason) in [
        (&cert, &key, "do not belong together"),
        (&empty, &key, "no PEM certificate in it"),
        (&cert, &empty, "certificate: "),
    ] {
        let output = pratique()
            .args(["serve", "--listen", "127.0.0.1:0", "--tls-cert"])
            .arg(cert)
            .arg("--tls-key")
            .arg(key)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(reason), "{said}");
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// With Nagle's algorithm a fifth of all fresh connections take 40 ms longer, each time they are tried. A busy machine
/// does that too, but not five times in a row.
fn fresh_connections_do_not_stall() -> Result<(), Failed> {
    let webhook = Webhook::start("nagle", &[])?;
    let runtime = runtime()?;
    let mut tried = Vec::new();
    for _ in 0..5 {
        let mut times = runtime.block_on(async {
            let mut times = Vec::new();
            for _ in 0..60 {
                let since = Instant::now();
                webhook.client().await?.post("/validate", review()).await?;
                times.push(since.elapsed());
            }
            anyhow::Ok(times)
        })?;
        times.sort();
        let (median, p90) = (times[30], times[54]);
        if p90 < median + Duration::from_millis(35) {
            return Ok(());
        }
        tried.push((median, p90));
    }
    Err(format!("median and p90 of each try: {tried:?}").into())
}

/// Connections that never shake hands, or never finish their headers, leave the others alone.
fn half_open_connections_hold_nobody_up() -> Result<(), Failed> {
    let webhook = Webhook::start("slow", &[])?;
    let mut silent = Vec::new();
    for i in 0..200 {
        let mut stream = TcpStream::connect(webhook.address)?;
        if i % 2 == 0 {
            stream.write_all(&[0x16, 0x03, 0x01])?;
        }
        silent.push(stream);
    }
    let status = runtime()?
        .block_on(async { anyhow::Ok(webhook.client().await?.post("/validate", review()).await?.0) })?;
    assert_eq!(status, 200);
    let mut plain = TcpStream::connect(webhook.address)?;
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")?;
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer)?;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "nothing is served without TLS");
    Ok(())
}

/// What the manifests grant the container.
const MEMORY_LIMIT: u64 = 512 * 1024 * 1024;

/// Of 150 clients with reviews of 7 MiB, twice what the container may have, some are told to come again, and the others are
/// answered; small reviews are answered all the while.
fn a_flood_is_refused_before_memory_grows() -> Result<(), Failed> {
    let webhook = Webhook::start("flood", &["--drain", "0"])?;
    let mut large: serde_json::Value = serde_json::from_str(&review())?;
    large["request"]["object"]["metadata"] =
        json!({"annotations": {"padding": "x".repeat(BODY_LIMIT - 1000)}});
    let large = bytes::Bytes::from(large.to_string());
    let flooding = AtomicUsize::new(150);
    let (answered, refused, small) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let flood = async {
        let mut clients = Vec::new();
        for _ in 0..flooding.load(Ordering::SeqCst) {
            let (address, trusted, large) = (webhook.address, webhook.trusted.clone(), large.clone());
            clients.push(tokio::spawn(async move {
                let mut client = Client::connect(address, trusted).await?;
                let mut statuses = Vec::new();
                for _ in 0..3 {
                    statuses.push(client.post("/validate?timeout=30s", large.clone()).await?.0.as_u16());
                }
                anyhow::Ok(statuses)
            }));
        }
        for client in clients {
            for status in client.await?? {
                match status {
                    200 => answered.fetch_add(1, Ordering::SeqCst),
                    429 => refused.fetch_add(1, Ordering::SeqCst),
                    other => anyhow::bail!("{other}"),
                };
            }
            flooding.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    };
    let ask = async {
        let mut client = webhook.client().await?;
        while flooding.load(Ordering::SeqCst) > 0 {
            let (status, answer) = client.post("/validate", review()).await?;
            anyhow::ensure!(status == 200, "a small review: {status}, {}", String::from_utf8_lossy(&answer));
            small.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    };
    runtime()?.block_on(async { tokio::try_join!(flood, ask) })?;
    let peak = memory(webhook.child.id(), "VmHWM").ok_or("it runs")?;
    let counts = [answered, refused, small].map(AtomicUsize::into_inner);
    assert!(counts.iter().all(|count| *count > 0), "answered, refused, small: {counts:?}");
    assert!(peak < MEMORY_LIMIT, "{} MiB; {counts:?}", peak >> 20);
    Ok(())
}

fn http_2_is_negotiated() -> Result<(), Failed> {
    let webhook = Webhook::start("h2", &[])?;
    let negotiated = |protocols: &[&[u8]]| -> anyhow::Result<Option<Vec<u8>>> {
        let mut config = (*webhook.trusted).clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let mut connection = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into()?)?;
        let mut stream = TcpStream::connect(webhook.address)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(connection.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(negotiated(&[b"h2", b"http/1.1"])?.as_deref(), Some(&b"h2"[..]));
    assert_eq!(negotiated(&[b"http/1.1"])?.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(negotiated(&[])?, None);
    Ok(())
}

/// Reviews by what became of them, refusals by their code, and when the certificate ends.
fn metrics_are_counted_and_served() -> Result<(), Failed> {
    let mut webhook = Webhook::start("metrics", &["--metrics-listen", "127.0.0.1:0", "--drain", "0"])?;
    let mut line = String::new();
    webhook.stderr.read_line(&mut line)?;
    let address = line.trim().strip_prefix("pratique: metrics on http://").ok_or_else(|| line.clone())?;
    let address: SocketAddr = address.strip_suffix("/metrics").ok_or_else(|| line.clone())?.parse()?;
    runtime()?.block_on(async {
        let mut client = webhook.client().await?;
        for path in ["/validate", "/validate", "/mutate"] {
            assert!(client.post(path, review().into_bytes()).await?.0.is_success());
        }
        assert_eq!(client.post("/validate/nope", review().into_bytes()).await?.0, 404);
        anyhow::Ok(())
    })?;
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    for wanted in [
        "content-type: application/openmetrics-text",
        "pratique_reviews_total{half=\"validate\",operation=\"CREATE\",outcome=\"deny\"} 2\n",
        "pratique_reviews_total{half=\"mutate\",operation=\"CREATE\",outcome=\"allow\"} 1\n",
        "pratique_refusals_total{code=\"404\"} 1\n",
        "pratique_review_duration_seconds_bucket{le=\"0.00005\"}",
        "pratique_review_duration_seconds_count 3\n",
        "# EOF\n",
    ] {
        assert!(answer.contains(wanted), "{wanted}: not in {answer}");
    }
    // rcgen's certificates end on the first day of the year 4096.
    let expiry = answer.lines().find_map(|line| line.strip_prefix("pratique_certificate_expiry_seconds "));
    assert_eq!(expiry, Some("67090118400"), "{answer}");
    webhook.terminate()?;
    webhook.end()?;
    Ok(())
}

/// The answer to the review of a pod in the namespace `shop`.
async fn judged(client: &mut Client) -> Result<serde_json::Value, Failed> {
    let mut review: serde_json::Value = serde_json::from_str(&review())?;
    review["request"]["namespace"] = json!("shop");
    review["request"]["object"]["spec"]["hostNetwork"] = json!(false);
    let (status, body) = client.post("/validate", review.to_string().into_bytes()).await?;
    assert!(status.is_success(), "{status}");
    Ok(serde_json::from_slice::<serde_json::Value>(&body)?["response"].clone())
}

fn without_a_cluster_what_needs_one_is_denied() -> Result<(), Failed> {
    let webhook = Webhook::start("no-cluster", &["--policy", "network-policy-required", "--drain", "0"])?;
    let answer = runtime()?.block_on(async { judged(&mut webhook.client().await?).await })?;
    assert_eq!(
        answer["status"]["message"],
        "network-policy-required: could not decide: needs the cluster's NetworkPolicy objects, and no cluster was given"
    );
    let output = pratique()
        .args([
            "serve",
            "--policy",
            "network-policy-required",
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            "/none",
            "--tls-key",
            "/none",
        ])
        .output()?;
    assert_eq!(output.status.code(), Some(2));
    // Nobody who names no policy is asked one that can only deny.
    let webhook = Webhook::start(
        "no-policy",
        &["--set", "pod-security-standards={\"level\":\"baseline\"}", "--drain", "0"],
    )?;
    let answer = runtime()?.block_on(async { judged(&mut webhook.client().await?).await })?;
    assert_eq!(answer["allowed"], true, "{answer}");
    Ok(())
}

fn a_cluster_is_watched_over_tls() -> Result<(), Failed> {
    let runtime = runtime()?;
    let api = runtime.block_on(api::Api::start_on_tls());
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}});
    api.put("networkpolicies", policy);
    let kubeconfig = api.kubeconfig();
    let kubeconfig = kubeconfig.to_str().ok_or("a path is UTF-8")?;
    let settings = "network-policy-required={\"dns\":false}";
    let arguments = [
        "--policy",
        "network-policy-required",
        "--set",
        settings,
        "--kubeconfig",
        kubeconfig,
        "--drain",
        "0",
    ];
    let webhook = Webhook::start("cluster", &arguments)?;
    runtime.block_on(async {
        let mut client = webhook.client().await?;
        let since = Instant::now();
        while client.get("/readyz").await?.0 != 200 {
            assert!(since.elapsed() < Duration::from_secs(20), "it is never ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(judged(&mut client).await?["allowed"], true);
        api.delete("networkpolicies", "shop", "deny");
        while judged(&mut client).await?["allowed"] == true {
            assert!(since.elapsed() < Duration::from_secs(20), "it never hears of it");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, Failed>(())
    })?;
    Ok(())
}

fn a_kubeconfig_that_is_none_stops_the_start() -> Result<(), Failed> {
    let file = std::env::temp_dir().join(format!("pratique-no-kubeconfig-{}", std::process::id()));
    std::fs::write(&file, "clusters: 7")?;
    for (arguments, reason) in [
        (vec!["--kubeconfig", "/none"], "--kubeconfig /none"),
        (vec!["--kubeconfig", file.to_str().ok_or("a path is UTF-8")?], "--kubeconfig"),
        (vec!["--in-cluster"], "--in-cluster: there is no service account to use"),
        (vec!["--in-cluster", "--stale-after", "1"], "--stale-after"),
    ] {
        let output = pratique().arg("serve").args(["--listen", "127.0.0.1:0"]).args(arguments).output()?;
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(reason), "{reason}: {said}");
    }
    std::fs::remove_file(&file)?;
    Ok(())
}

/// A certificate and its key, as PEM.
fn made() -> Result<(String, String), Failed> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// Whether the webhook shows that certificate.
async fn shows(webhook: &Webhook, pem: &str) -> Result<bool, Failed> {
    let trusted = tls::trusting(&[CertificateDer::from_pem_slice(pem.as_bytes())?])?;
    Ok(Client::connect(webhook.address, trusted).await.is_ok())
}

/// Waits until the webhook shows a certificate.
async fn shown(webhook: &Webhook, pem: &str) -> Result<(), Failed> {
    let since = Instant::now();
    while !shows(webhook, pem).await? {
        if since.elapsed() > Duration::from_secs(20) {
            return Err("the new certificate is never shown".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// As the kubelet does it: the files are links through a folder that is swapped as a whole. Meanwhile clients connect and ask,
/// and not one handshake fails.
fn certificates_are_replaced_under_load() -> Result<(), Failed> {
    let webhook = Webhook::start("rotation", &["--drain", "0"])?;
    let certificates = (0..6).map(|_| made()).collect::<Result<Vec<_>, _>>()?;
    let first = CertificateDer::from_pem_file(webhook.folder.join("tls.crt"))?;
    let mut all = vec![first];
    for (pem, _) in &certificates {
        all.push(CertificateDer::from_pem_slice(pem.as_bytes())?);
    }
    let trusted = tls::trusting(&all)?;
    let (stop, asked, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let address = webhook.address;
    let load = async {
        while !stop.load(Ordering::SeqCst) {
            let answered = async {
                let mut client = Client::connect(address, trusted.clone()).await?;
                client.post("/validate", review().into_bytes()).await
            };
            match answered.await {
                Ok(_) => asked.fetch_add(1, Ordering::SeqCst),
                Err(_) => failed.fetch_add(1, Ordering::SeqCst),
            };
        }
        Ok::<(), Failed>(())
    };
    let rotate = async {
        for (number, (pem, key)) in certificates.iter().enumerate() {
            let version = webhook.folder.join(format!("..version-{number}"));
            std::fs::create_dir(&version)?;
            std::fs::write(version.join("tls.crt"), pem)?;
            std::fs::write(version.join("tls.key"), key)?;
            let link = webhook.folder.join("..next");
            std::os::unix::fs::symlink(&version, &link)?;
            std::fs::rename(&link, webhook.folder.join("..data"))?;
            for file in ["tls.crt", "tls.key"] {
                let link = webhook.folder.join(format!("..{file}"));
                std::os::unix::fs::symlink(Path::new("..data").join(file), &link)?;
                std::fs::rename(&link, webhook.folder.join(file))?;
            }
            shown(&webhook, pem).await?;
        }
        stop.store(true, Ordering::SeqCst);
        Ok::<(), Failed>(())
    };
    runtime()?.block_on(async { tokio::try_join!(load, rotate).map(drop) })?;
    assert_eq!(failed.load(Ordering::SeqCst), 0, "of {}", asked.load(Ordering::SeqCst));
    assert!(asked.load(Ordering::SeqCst) > 100, "there was load");
    Ok(())
}

fn half_a_certificate_is_not_served() -> Result<(), Failed> {
    let webhook = Webhook::start("half", &["--drain", "0"])?;
    let old = std::fs::read_to_string(webhook.folder.join("tls.crt"))?;
    let (pem, key) = made()?;
    runtime()?.block_on(async {
        for (file, contents) in [("tls.crt", "-----BEGIN CERT"), ("tls.crt", &pem), ("tls.key", "no key")] {
            std::fs::write(webhook.folder.join(file), contents)?;
            tokio::time::sleep(Duration::from_millis(1500)).await;
            assert!(shows(&webhook, &old).await?, "{file}: the old one is served");
        }
        std::fs::write(webhook.folder.join("tls.key"), &key)?;
        shown(&webhook, &pem).await
    })
}
