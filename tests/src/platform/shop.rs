//! The simulated application: a small server with a configurable delay that serves the metrics of the manifests.
//!
//! Requests and their durations are real. CPU usage is not: `process_cpu_seconds_total` grows by values that a test
//! sets, because two processors could not reach the autoscalers' thresholds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::get;

/// The upper bounds of the histogram's buckets, in seconds.
const BOUNDS: [f64; 8] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The number of cores that the application reports without load.
const IDLE: f64 = 0.02;

/// One process of an application.
pub struct Shop {
    /// The delay of a response in milliseconds.
    pub slow: AtomicU64,
    counted: Mutex<RequestCounts>,
}

struct RequestCounts {
    requests: u64,
    seconds: f64,
    buckets: [u64; BOUNDS.len()],
    cpu: f64,
    cpu_until: Instant,
}

impl Default for Shop {
    fn default() -> Self {
        let counted = RequestCounts {
            requests: 0,
            seconds: 0.0,
            buckets: [0; BOUNDS.len()],
            cpu: 0.0,
            cpu_until: Instant::now(),
        };
        Shop { slow: AtomicU64::new(1), counted: Mutex::new(counted) }
    }
}

impl Shop {
    async fn answer(&self) -> &'static str {
        let since = Instant::now();
        tokio::time::sleep(Duration::from_millis(self.slow.load(Ordering::Relaxed))).await;
        let seconds = since.elapsed().as_secs_f64();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.requests += 1;
        counted.seconds += seconds;
        for (bucket, bound) in counted.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
        "ok\n"
    }

    /// Adds CPU usage to the reported value, in core seconds.
    pub fn claim(&self, core_seconds: f64) {
        self.counted().cpu += core_seconds;
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, RequestCounts> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        counted.cpu += IDLE * (now - counted.cpu_until).as_secs_f64();
        counted.cpu_until = now;
        counted
    }

    fn metrics(&self) -> String {
        let counted = self.counted();
        let mut text = format!(
            "# TYPE http_requests_total counter\nhttp_requests_total{{code=\"200\"}} {}\n\
             # TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {}\n\
             # TYPE http_request_duration_seconds histogram\n",
            counted.requests, counted.cpu
        );
        for (count, bound) in counted.buckets.iter().zip(BOUNDS) {
            text.push_str(&format!("http_request_duration_seconds_bucket{{le=\"{bound}\"}} {count}\n"));
        }
        text.push_str(&format!(
            "http_request_duration_seconds_bucket{{le=\"+Inf\"}} {}\nhttp_request_duration_seconds_sum {}\n\
             http_request_duration_seconds_count {}\n",
            counted.requests, counted.seconds, counted.requests
        ));
        text
    }
}

/// The routes: `/metrics`, health endpoints, and the delayed response for everything else.
pub fn router(shop: Arc<Shop>) -> Router {
    let metrics = get(async |State(shop): State<Arc<Shop>>| shop.metrics());
    let health = get(async || "ok\n");
    Router::new()
        .route("/metrics", metrics)
        .route("/healthz", health.clone())
        .route("/readyz", health)
        .fallback(get(async |State(shop): State<Arc<Shop>>| shop.answer().await))
        .with_state(shop)
}
