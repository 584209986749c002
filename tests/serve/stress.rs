//! What of many callers, of slow ones, of large reviews, and of more than can be done?

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conformance::measure::memory;
use conformance::serving::{Serving, until};
use libtest_mimic::Failed;
use serde_json::json;
use webhook_server::server::client::Client;
use webhook_server::server::webhook::BODY_LIMIT;

use crate::{review, runtime};

/// With Nagle's algorithm a fifth of all fresh connections take 40 ms longer, each time they are tried. A busy machine
/// does that too, but not five times in a row.
pub(crate) fn fresh_connections_do_not_stall() -> Result<(), Failed> {
    let webhook = Serving::start("nagle", &[])?;
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

/// Connections that never shake hands leave the others alone, are closed, and are at most so many. One that has been used may
/// be idle for longer.
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
    let refused =
        || async { Ok(webhook.output()?.contains("a connection is refused: there are 800 already")) };
    runtime.block_on(until("what is too many is refused", refused))?;
    let first = silent.first_mut().ok_or("there is one")?;
    assert!(closed(first, 20)?, "who says nothing is not waited for");
    let requested = runtime.block_on(async {
        let new = webhook.client().await?.post("/validate", review()).await?.0;
        anyhow::Ok([new, used.post("/validate", review()).await?.0])
    })?;
    assert_eq!(
        requested.map(|status| status.as_u16()),
        [200, 200],
        "a new connection, and one that was idle"
    );
    let mut plain = TcpStream::connect(webhook.address)?;
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")?;
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer)?;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "nothing is served without TLS");
    Ok(())
}

/// What the manifests grant the container.
const MEMORY_LIMIT: u64 = 512 * 1024 * 1024;

/// Of 150 clients with reviews of 7 MiB, which decoded would be a dozen times that, and as text twice what the container may have, some are told to come again, and the others are
/// answered; small reviews are answered all the while.
pub(crate) fn a_flood_is_refused_before_memory_grows() -> Result<(), Failed> {
    let webhook = Serving::start("flood", &["--drain", "0"])?;
    // Two bytes each, and no limit to their number.
    let groups = "0,".repeat(BODY_LIMIT / 2 - 1000) + "0";
    let groups = format!(r#""spec":{{"securityContext":{{"supplementalGroups":[{groups}]}},"#);
    let large = bytes::Bytes::from(review().replace(r#""spec":{"#, &groups));
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
    let peak = memory(webhook.pid(), "VmHWM").ok_or("it runs")?;
    let counts = [answered, refused, small].map(AtomicUsize::into_inner);
    assert!(counts.iter().all(|count| *count > 0), "answered, refused, small: {counts:?}");
    assert!(peak < MEMORY_LIMIT, "{} MiB; {counts:?}", peak >> 20);
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

/// How many requests an API server has in flight, if nobody tells it otherwise: 400 that read and 200 that write.
const IN_FLIGHT: usize = 600;
/// How long a caller waits.
const TIMEOUT: Duration = Duration::from_secs(10);

/// For half a minute ten times as many reviews come as can be judged: the process is given a tenth of the time, and asked for
/// what it could do with all of it. It goes on, memory stays bounded, some callers are told to come again, and what is taken is
/// answered in time.
pub(crate) fn ten_times_the_load_is_survived() -> Result<(), Failed> {
    let webhook = Serving::start("overload", &["--drain", "0"])?;
    let mut large: serde_json::Value = serde_json::from_str(&review())?;
    large["request"]["object"]["metadata"] = json!({"annotations": {"padding": "x".repeat(256 * 1024)}});
    let large = bytes::Bytes::from(large.to_string());
    let runtime = runtime()?;
    let rate = runtime.block_on(sustainable(&webhook, &large))?;
    let throttle = Throttle::on(webhook.pid())?;
    let counts = runtime.block_on(offered(&webhook, &large, rate, Duration::from_secs(30)))?;
    drop(throttle);
    let peak = memory(webhook.pid(), "VmHWM").ok_or("it runs")?;
    let Counts { answered, refused, slowest, unsent } = counts;
    let output = format!(
        "{rate:.0}/s offered: {answered} answered, {refused} refused, {unsent} never sent; slowest {slowest:?}"
    );
    assert!(peak < MEMORY_LIMIT, "{} MiB; {output}", peak >> 20);
    assert!(answered > 0 && refused > 0, "{output}");
    assert!((answered as f64) < rate * 30.0 / 4.0, "it was too much: {output}");
    runtime.block_on(async {
        let since = Instant::now();
        assert_eq!(webhook.client().await?.post("/validate", review()).await?.0, 200);
        anyhow::ensure!(since.elapsed() < Duration::from_secs(2), "it is itself again");
        Ok(())
    })?;
    Ok(())
}

/// How many reviews a second are answered to eight callers that ask without a pause.
async fn sustainable(webhook: &Serving, body: &bytes::Bytes) -> anyhow::Result<f64> {
    const SECONDS: u64 = 2;
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let callers = (0..8).map(|_| async {
        let (mut client, mut answered) = (webhook.client().await?, 0);
        while Instant::now() < end {
            answered += usize::from(client.post("/validate", body.clone()).await?.0.is_success());
        }
        anyhow::Ok(answered)
    });
    let answered: usize = futures_util::future::try_join_all(callers).await?.iter().sum();
    Ok(answered as f64 / SECONDS as f64)
}

/// What became of reviews.
#[derive(Default)]
struct Counts {
    answered: usize,
    refused: usize,
    /// No connection was free: they wait where they come from.
    unsent: usize,
    slowest: Duration,
}

/// Sends so many reviews a second, whether others are answered or not, up to what an API server has in flight at most
/// (`--max-requests-inflight` and `--max-mutating-requests-inflight`).
async fn offered(
    webhook: &Serving,
    body: &bytes::Bytes,
    rate: f64,
    time: Duration,
) -> anyhow::Result<Counts> {
    let idle = Arc::new(std::sync::Mutex::new(Vec::<Client>::new()));
    let mut calls = tokio::task::JoinSet::new();
    let mut counts = Counts::default();
    let tally = |counts: &mut Counts, called: anyhow::Result<(u16, Duration)>| {
        let (status, took) = called?;
        match status {
            200 => counts.answered += 1,
            // What finds no room, and what cannot be read in time.
            429 | 408 => counts.refused += 1,
            other => anyhow::bail!("{other} after {took:?}"),
        }
        counts.slowest = counts.slowest.max(took);
        // What the caller itself needs to be heard of on two cores that both sides flood comes on top.
        anyhow::ensure!(took < TIMEOUT + TIMEOUT / 2, "answered {status} after {took:?}");
        anyhow::Ok(())
    };
    let (since, mut sent) = (Instant::now(), 0.0);
    while since.elapsed() < time {
        while sent < since.elapsed().as_secs_f64() * rate {
            sent += 1.0;
            if calls.len() >= IN_FLIGHT {
                counts.unsent += 1;
                continue;
            }
            let (idle, body) = (idle.clone(), body.clone());
            let (address, trusted) = (webhook.address, webhook.trusted.clone());
            calls.spawn(async move {
                let free = idle.lock().ok().and_then(|mut idle| idle.pop());
                let mut client = match free {
                    Some(client) => client,
                    None => Client::connect(address, trusted).await?,
                };
                let since = Instant::now();
                let path = format!("/validate?timeout={}s", TIMEOUT.as_secs());
                let (status, _) = client.post(&path, body).await?;
                if let Ok(mut idle) = idle.lock() {
                    idle.push(client);
                }
                anyhow::Ok((status.as_u16(), since.elapsed()))
            });
        }
        while let Some(called) = calls.try_join_next() {
            tally(&mut counts, called?)?;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while let Some(called) = calls.join_next().await {
        tally(&mut counts, called?)?;
    }
    Ok(counts)
}

/// Lets a process run for a tenth of the time, until this is dropped.
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
