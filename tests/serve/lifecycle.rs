//! Tests of the shutdown: no request is lost.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conformance::serving::Serving;
use libtest_mimic::Failed;
use webhook_server::server::client::Client;

use crate::{review, runtime};

/// Eight clients send requests without a pause while the process is stopped. Every request that was sent is answered. A client
/// opens a new connection if the server closed the old one after a response. The clients stop during the drain period, as if
/// the endpoint had been removed.
pub(crate) fn in_flight_requests_finish_on_shutdown() -> Result<(), Failed> {
    let webhook = Serving::start("sigterm", &["--drain", "3"])?;
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
    let output = webhook.end()?;
    runtime.block_on(async {
        for client in clients {
            client.await?;
        }
        anyhow::Ok(())
    })?;
    assert!(output.contains("shutting down, no longer ready"), "{output}");
    assert!(
        before > 0 && draining > before,
        "requests are answered before and during the drain period: {before}, {draining}"
    );
    assert_eq!(counts.1.load(Ordering::SeqCst), 0, "no request is lost");
    Ok(())
}

fn closed_before_it_was_sent(error: &anyhow::Error) -> bool {
    let error: Option<&hyper::Error> = error.downcast_ref();
    error.is_some_and(|error| error.is_canceled() || error.is_closed())
}

/// If half of a review has arrived when the drain period ends, the rest is read and answered. New connections are refused.
pub(crate) fn partially_received_reviews_are_answered() -> Result<(), Failed> {
    let webhook = Serving::start("begun", &["--drain", "0"])?;
    let connection = rustls::ClientConnection::new(webhook.trusted.clone(), "localhost".try_into()?)?;
    let mut stream = rustls::StreamOwned::new(connection, TcpStream::connect(webhook.address)?);
    let body = review();
    let (one, two) = body.split_at(body.len() / 2);
    let head = format!(
        "POST /validate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{one}",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.flush()?;
    std::thread::sleep(Duration::from_millis(300));
    webhook.terminate()?;
    let since = Instant::now();
    while TcpStream::connect(webhook.address).is_ok() {
        assert!(since.elapsed() < Duration::from_secs(60), "it still accepts connections");
        std::thread::sleep(Duration::from_millis(20));
    }
    stream.write_all(two.as_bytes())?;
    stream.flush()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("must not be true"), "{answer}");
    webhook.end()?;
    Ok(())
}

pub(crate) fn readiness_fails_before_shutdown() -> Result<(), Failed> {
    let webhook = Serving::start("ready", &["--drain", "60"])?;
    runtime()?.block_on(async {
        let mut client = webhook.client().await?;
        assert_eq!(client.get("/readyz").await?.0, 200);
        webhook.terminate().map_err(|_| anyhow::anyhow!("kill"))?;
        let since = Instant::now();
        while client.get("/readyz").await?.0 == 200 {
            assert!(since.elapsed() < Duration::from_secs(50), "not ready soon after SIGTERM");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (status, answer) = webhook.client().await?.post("/validate", review()).await?;
        assert_eq!(status, 200, "new connections are served during the drain period");
        assert!(answer.starts_with(b"{"));
        anyhow::Ok(())
    })?;
    // A second signal ends the drain period early.
    webhook.terminate()?;
    webhook.end()?;
    Ok(())
}
