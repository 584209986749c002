//! Stress tests: many clients, slow clients, large reviews, and overload.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conformance::measure::memory;
use conformance::serving::{Serving, until};
use libtest_mimic::Failed;
use serde_json::json;
use webhook_server::server::client::Client;
use webhook_server::server::webhook::BODY_LIMIT;

use crate::{review, runtime};

/// Connections without a TLS handshake do not affect other clients. They are limited in number and closed after a timeout. A
/// connection that has been used may be idle for longer.
pub(crate) fn half_open_connections_block_no_other_client() -> Result<(), Failed> {
    /// More than the webhook accepts, and fewer than a process may have open.
    const SILENT: usize = 900;
    let webhook = Serving::start("slow", &[])?;
    let runtime = runtime()?;
    let mut used = runtime.block_on(async {
        let mut client = webhook.client().await?;
        assert_eq!(client.post("/validate", review()).await?.0, 200);
        anyhow::Ok(client)
    })?;
    let mut silent = Vec::new();
    for i in 0..SILENT {
        let mut stream = TcpStream::connect(webhook.address)?;
        if i % 2 == 0 {
            stream.write_all(&[0x16, 0x03, 0x01])?;
        }
        silent.push(stream);
    }
    let closed = |stream: &mut TcpStream, within: u64| -> std::io::Result<bool> {
        stream.set_read_timeout(Some(Duration::from_secs(within)))?;
        match stream.read(&mut [0]) {
            Ok(0) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(true),
            _ => Ok(false),
        }
    };
    let refused = || async {
        Ok(webhook.output()?.contains("closing a connection: the limit of 800 connections is reached"))
    };
    runtime.block_on(until("excess connections are closed", refused))?;
    let first = silent.first_mut().ok_or("there is one")?;
    assert!(closed(first, 120)?, "a silent connection is closed");
    let statuses = runtime.block_on(async {
        let new = webhook.client().await?.post("/validate", review()).await?.0;
        anyhow::Ok([new, used.post("/validate", review()).await?.0])
    })?;
    assert_eq!(statuses.map(|status| status.as_u16()), [200, 200], "a new connection, and an idle one");
    let mut plain = TcpStream::connect(webhook.address)?;
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")?;
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer)?;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "nothing is served without TLS");
    Ok(())
}

/// The memory limit of the container in the manifests.
const MEMORY_LIMIT: u64 = 512 * 1024 * 1024;

/// 150 clients send reviews of 7 MiB. As text, these are twice the memory limit of the container; decoded, they would need twelve
/// times as much. Each gets a verdict or a rejection. Small reviews are answered throughout.
pub(crate) fn a_flood_is_refused_before_memory_grows() -> Result<(), Failed> {
    let webhook = Serving::start("flood", &["--drain", "0"])?;
    // Each group has two bytes, and their number is not limited.
    let groups = "0,".repeat(BODY_LIMIT / 2 - 1000) + "0";
    let groups = format!(r#""spec":{{"securityContext":{{"supplementalGroups":[{groups}]}},"#);
    let large = bytes::Bytes::from(review().replace(r#""spec":{"#, &groups));
    let flooding = AtomicUsize::new(150);
    let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (small, small_refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
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
                    // No memory is free, or on a busy machine the body or the verdict came too late.
                    429 | 408 | 504 => refused.fetch_add(1, Ordering::SeqCst),
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
            match client.post("/validate", review()).await?.0.as_u16() {
                200 => small.fetch_add(1, Ordering::SeqCst),
                429 | 408 | 504 => small_refused.fetch_add(1, Ordering::SeqCst),
                other => anyhow::bail!("a small review: {other}"),
            };
        }
        Ok(())
    };
    runtime()?.block_on(async { tokio::try_join!(flood, ask) })?;
    let peak = memory(webhook.pid(), "VmHWM").ok_or("the process does not run")?;
    let [answered, refused, small, small_refused] =
        [answered, refused, small, small_refused].map(AtomicUsize::into_inner);
    let counts = format!(
        "large: {answered} answered, {refused} rejected; small: {small} answered, {small_refused} rejected"
    );
    assert_eq!(answered + refused, 450, "every large review gets an answer: {counts}");
    assert!(refused > 0 && small > 0, "{counts}");
    assert!(small > small_refused, "small reviews have memory of their own: {counts}");
    assert!(peak < MEMORY_LIMIT, "{} MiB; {counts}", peak >> 20);
    Ok(())
}

pub(crate) fn http_2_is_negotiated() -> Result<(), Failed> {
    let webhook = Serving::start("h2", &[])?;
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

/// The default limit of requests in flight of an API server: 400 that read and 200 that write
/// (`--max-requests-inflight` and `--max-mutating-requests-inflight`).
const IN_FLIGHT: usize = 600;
/// The most reviews that are sent to a webhook that answers and rejects too few of them.
const MOST: usize = 60_000;

/// As many reviews are in flight as an API server allows, while the process gets a tenth of the CPU time. Every review gets an answer: a
/// verdict or a rejection. Memory stays bounded, and afterwards the webhook answers as before. Rates and latencies are measured
/// by `just bench serve`, because they depend on the machine.
pub(crate) fn an_overload_is_survived() -> Result<(), Failed> {
    let webhook = Serving::start("overload", &["--drain", "0"])?;
    let mut large: serde_json::Value = serde_json::from_str(&review())?;
    large["request"]["object"]["metadata"] = json!({"annotations": {"padding": "x".repeat(256 * 1024)}});
    let large = bytes::Bytes::from(large.to_string());
    let (sent, answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let is_enough = || {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (of(&answered) >= 50 && of(&refused) >= 500) || of(&sent) >= MOST
    };
    let throttle = Throttle::on(webhook.pid())?;
    let clients = (0..IN_FLIGHT).map(|_| async {
        let mut client = webhook.client().await?;
        while !is_enough() {
            sent.fetch_add(1, Ordering::SeqCst);
            match client.post("/validate?timeout=10s", large.clone()).await?.0.as_u16() {
                200 => answered.fetch_add(1, Ordering::SeqCst),
                // No capacity, not read in time, or not evaluated in time.
                429 | 408 | 504 => refused.fetch_add(1, Ordering::SeqCst),
                other => anyhow::bail!("{other}"),
            };
        }
        Ok(())
    });
    let runtime = runtime()?;
    runtime.block_on(futures_util::future::try_join_all(clients))?;
    drop(throttle);
    let peak = memory(webhook.pid(), "VmHWM").ok_or("the process does not run")?;
    let [sent, answered, refused] = [sent, answered, refused].map(AtomicUsize::into_inner);
    let counts = format!("{sent} sent: {answered} answered, {refused} rejected");
    assert_eq!(answered + refused, sent, "every review gets an answer: {counts}");
    assert!(answered > 0 && refused > 0, "{counts}");
    assert!(peak < MEMORY_LIMIT, "{} MiB; {counts}", peak >> 20);
    let recovered = || async { Ok(webhook.client().await?.post("/validate", review()).await?.0 == 200) };
    runtime.block_on(until("the webhook answers again after the overload", recovered))?;
    Ok(())
}

/// Limits a process to about a tenth of the CPU time until this is dropped.
struct Throttle {
    shell: std::process::Child,
    pid: u32,
}

impl Throttle {
    fn on(pid: u32) -> std::io::Result<Self> {
        let script = "while kill -STOP $0; do sleep 0.045; kill -CONT $0; sleep 0.002; done";
        let shell = std::process::Command::new("sh").args(["-c", script, &pid.to_string()]).spawn()?;
        Ok(Throttle { shell, pid })
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        drop(self.shell.kill());
        drop(self.shell.wait());
        drop(std::process::Command::new("kill").args(["-CONT", &self.pid.to_string()]).status());
    }
}
