//! Tests of metrics, logs and traces.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use conformance::serving::{Serving, metric_at, until};
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::{review, runtime};

/// Reviews by outcome, HTTP errors by status code, and the expiry of the certificate.
pub(crate) fn metrics_are_counted_and_served() -> Result<(), Failed> {
    let webhook = Serving::start("metrics", &["--metrics-listen", "127.0.0.1:0", "--drain", "0"])?;
    runtime()?.block_on(async {
        let mut client = webhook.client().await?;
        for path in ["/validate", "/validate", "/mutate"] {
            assert!(client.post(path, review().into_bytes()).await?.0.is_success());
        }
        assert_eq!(client.post("/validate/nope", review().into_bytes()).await?.0, 404);
        anyhow::Ok(())
    })?;
    let mut stream = TcpStream::connect(webhook.metrics()?)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    for wanted in [
        "content-type: application/openmetrics-text",
        "pratique_admission_requests_total{webhook=\"validate\",operation=\"CREATE\",outcome=\"deny\"} 2\n",
        "pratique_admission_requests_total{webhook=\"mutate\",operation=\"CREATE\",outcome=\"allow\"} 1\n",
        "pratique_rejected_requests_total{code=\"404\"} 1\n",
        "pratique_policy_evaluations_total{policy=\"pod-security-standards\",mode=\"enforce\",operation=\"CREATE\",kind=\"Pod\",outcome=\"deny\"} 2\n",
        "pratique_policy_evaluations_total{policy=\"prometheus-labels\",mode=\"enforce\",operation=\"CREATE\",kind=\"Pod\",outcome=\"allow\"} 3\n",
        "pratique_config_last_reload_successful 1\n",
        "pratique_admission_request_duration_seconds_bucket{le=\"0.00005\"}",
        "pratique_admission_request_duration_seconds_count 3\n",
        "# EOF\n",
    ] {
        assert!(answer.contains(wanted), "{wanted}: not found in {answer}");
    }
    // rcgen's certificates end on the first day of the year 4096.
    let expiry = answer
        .lines()
        .find_map(|line| line.strip_prefix("pratique_certificate_expiration_timestamp_seconds "));
    assert_eq!(expiry, Some("67090118400"), "{answer}");
    webhook.terminate()?;
    webhook.end()?;
    Ok(())
}

/// A denial that an exception overrides is counted once, even though both webhooks are called.
pub(crate) fn excepted_denials_are_counted_once() -> Result<(), Failed> {
    let folder = std::env::temp_dir().join(format!("pratique-{}-excepted", std::process::id()));
    conformance::serving::certificate(&folder)?;
    let config = folder.join("policies.yaml");
    std::fs::write(
        &config,
        "policies:\n- name: pod-security-standards\n  settings: {level: baseline}\n- name: prometheus-labels\nexceptions:\n\
         - {policy: pod-security-standards, control: hostNamespaces, namespace: shop, workload: Pod/web, reason: It looks., \
         owner: somebody, expires: 2999-12-31}\n",
    )?;
    let config = config.display().to_string();
    let arguments = ["--config", &config, "--metrics-listen", "127.0.0.1:0", "--drain", "0"];
    let webhook = Serving::start_in(folder, "127.0.0.1:0", &arguments)?;
    let mut body: Value = serde_json::from_str(&review())?;
    body["request"]["namespace"] = json!("shop");
    body["request"]["name"] = json!("web");
    body["request"]["object"]["metadata"] = json!({"name": "web", "namespace": "shop"});
    runtime()?.block_on(async {
        let mut client = webhook.client().await?;
        for path in ["/mutate", "/validate"] {
            let (_, body) = client.post(path, body.to_string().into_bytes()).await?;
            let answer: Value = serde_json::from_slice(&body)?;
            assert_eq!(answer["response"]["allowed"], true, "{path}: {answer}");
        }
        anyhow::Ok(())
    })?;
    let counted = webhook.metric(
        "pratique_exceptions_applied_total{policy=\"pod-security-standards\",control=\"hostNamespaces\"}",
    )?;
    assert_eq!(counted, 1.0);
    Ok(())
}

/// A review of a pod that is denied, with values that must not appear in any log.
fn telling() -> String {
    let mut review: Value = serde_json::from_str(&review()).unwrap_or_default();
    review["request"]["name"] = json!("web\nforged");
    review["request"]["namespace"] = json!("shop");
    review["request"]["userInfo"] = json!({"username": "system:serviceaccount:shop:deployer"});
    review["request"]["object"]["spec"]["containers"][0]["env"] =
        json!([{"name": "PASSWORD", "value": "hunter2"}]);
    review.to_string()
}

/// Each policy that denies logs one JSON line with the user, the object and the fields, but no values of the object.
pub(crate) fn denials_are_logged_without_the_object() -> Result<(), Failed> {
    let arguments = ["--log-format", "json", "--drain", "0", "--policy", "pod-security-standards"];
    let webhook = Serving::start("log", &arguments)?;
    runtime()?.block_on(async {
        let mut client = webhook.client().await?;
        assert!(client.post("/validate", telling().into_bytes()).await?.0.is_success());
        until("the denial is logged", || async { Ok(webhook.output()?.contains("\"denied\"")) }).await
    })?;
    webhook.terminate()?;
    let output = webhook.end()?;
    assert!(!output.contains("hunter2") && !output.contains("PASSWORD"), "{output}");
    let lines: Vec<Value> = output.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let denied: Vec<&Value> = lines.iter().filter(|line| line["message"] == "denied").collect();
    assert_eq!(denied.len(), 1, "{output}");
    let mut line = denied[0].clone();
    assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{output}");
    line.as_object_mut().ok_or("an object")?.remove("timestamp");
    let fields = line["fields"].take();
    assert_eq!(
        line,
        json!({"level": "INFO", "message": "denied", "uid": "u", "operation": "CREATE", "kind": "Pod", "subresource": "",
            "namespace": "shop", "name": "web\u{fffd}forged", "dry_run": false, "webhook": "validate",
            "policy": "pod-security-standards", "mode": "enforce", "undecided": false,
            "user": "system:serviceaccount:shop:deployer", "fields": null})
    );
    assert!(fields.as_str().is_some_and(|fields| fields.contains("spec.hostNetwork")), "{fields}");
    Ok(())
}

/// If the log is not read, lines are dropped and counted, memory does not grow, and no review waits.
pub(crate) fn an_unread_log_blocks_no_request() -> Result<(), Failed> {
    let folder = std::env::temp_dir().join(format!("pratique-{}-deaf", std::process::id()));
    let (cert, key) = conformance::serving::certificate(&folder)?;
    let [free, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0"));
    let (free, metrics) = (free?.local_addr()?, metrics?.local_addr()?);
    let mut child = conformance::process::pratique()
        .args(["serve", "--drain", "0", "--listen", &free.to_string(), "--tls-cert"])
        .arg(&cert)
        .arg("--tls-key")
        .arg(&key)
        .args(["--metrics-listen", &metrics.to_string()])
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let trusted =
        webhook_server::server::tls::trusting(&[rustls::pki_types::pem::PemObject::from_pem_file(&cert)?])?;
    let dropped = || metric_at(metrics, "pratique_log_lines_dropped_total");
    let answered = runtime()?.block_on(async {
        let connect = || webhook_server::server::client::Client::connect(free, trusted.clone());
        until("the webhook responds", || async { Ok(connect().await.is_ok()) }).await?;
        let mut client = connect().await?;
        // A pipe holds 64 KiB, and a few thousand lines may be buffered. Each denial logs a line of a few hundred bytes.
        for number in 0..20_000 {
            if number % 500 == 0 && dropped()? > 0.0 {
                return Ok(());
            }
            let response = client.post("/validate?timeout=5s", telling().into_bytes());
            let (status, _) = tokio::time::timeout(Duration::from_secs(60), response).await??;
            anyhow::ensure!(status.is_success(), "{status}");
        }
        anyhow::bail!("no line was dropped, so the buffer is not bounded")
    });
    child.kill()?;
    child.wait()?;
    std::fs::remove_dir_all(folder)?;
    answered.map_err(Failed::from)
}

/// A collector receives the span of a review, as a child of the caller's span, with the request and its outcome.
pub(crate) fn traces_reach_a_collector() -> Result<(), Failed> {
    let collector = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", collector.local_addr()?);
    let (sent, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in collector.incoming().flatten() {
            drop(sent.send(answer(stream)));
        }
    });
    let arguments = ["--otlp-endpoint", &endpoint, "--drain", "0", "--policy", "pod-security-standards"];
    let webhook = Serving::start("traces", &arguments)?;
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let header = format!("00-{trace}-{parent}-01");
    runtime()?.block_on(async {
        let mut client = webhook.client().await?;
        let answered =
            client.post_with("/validate", &[("traceparent", &header)], telling().into_bytes()).await?;
        assert!(answered.0.is_success());
        anyhow::Ok(())
    })?;
    // The remaining spans are sent at shutdown.
    webhook.terminate()?;
    webhook.end()?;
    let (head, body) = received.recv_timeout(Duration::from_secs(120))?.map_err(|error| error.to_string())?;
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(!body.contains("hunter2"), "{body}");
    let body: Value = serde_json::from_str(&body)?;
    let resource = &body["resourceSpans"][0];
    let span = &resource["scopeSpans"][0]["spans"][0];
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(trace), &json!(parent)), "{body}");
    assert_eq!(span["name"], "validate");
    let attribute = |of: &Value, key: &str| {
        let found = of["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?;
        found["value"]["stringValue"].as_str().map(str::to_owned)
    };
    assert_eq!(attribute(&resource["resource"], "service.name").as_deref(), Some("pratique"), "{body}");
    for (key, value) in [
        ("admission.operation", "CREATE"),
        ("admission.kind", "Pod"),
        ("admission.outcome", "deny"),
        ("k8s.namespace.name", "shop"),
    ] {
        assert_eq!(attribute(span, key).as_deref(), Some(value), "{key}: {body}");
    }
    Ok(())
}

/// Reads one request with a body, and responds with 200.
fn answer(mut stream: TcpStream) -> std::io::Result<(String, String)> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut read = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                stream.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
                )?;
                return Ok((head.to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut part)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => read.extend_from_slice(&part[..n]),
        }
    }
}
