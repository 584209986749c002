//! Limits the large reviews that are evaluated at the same time, by processors and by memory. A review that cannot be evaluated
//! before its deadline is rejected instead of queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A review may be expected to wait for at most 1/WAIT of its remaining time. The rest is a reserve.
const WAIT: u32 = 3;
/// The total bytes of reviews that are evaluated at the same time, regardless of processors. Decoded, a number of two bytes needs
/// about 24 bytes, and for a moment twice that.
const BYTES: usize = 8 * 1024 * 1024;
/// The minimum estimate for the duration of an evaluation, because the process may get less CPU time at any moment.
const LEAST: Duration = Duration::from_millis(25);
/// The weight of a single review in the moving average is 1/WEIGHT.
const WEIGHT: u64 = 8;

/// Permits for evaluations, and their recent average duration.
#[derive(Clone)]
pub(super) struct ConcurrencyLimit(Arc<LimitState>);

struct LimitState {
    processors: usize,
    free: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// The moving average of the duration, in nanoseconds.
    took: AtomicU64,
}

/// Permits the evaluation of one review until it is dropped.
pub(super) struct ConcurrencyPermit {
    concurrency_limit: ConcurrencyLimit,
    since: Instant,
    _permits: [OwnedSemaphorePermit; 2],
}

/// Counts a waiting review until it is dropped.
struct QueueSlot<'t>(&'t AtomicUsize);

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConcurrencyLimit {
    pub(super) fn new() -> Self {
        ConcurrencyLimit::of(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn of(processors: usize) -> Self {
        let (free, bytes) = (Arc::new(Semaphore::new(processors)), Arc::new(Semaphore::new(BYTES)));
        ConcurrencyLimit(Arc::new(LimitState {
            processors,
            free,
            bytes,
            waiting: AtomicUsize::new(0),
            took: AtomicU64::new(0),
        }))
    }

    /// Waits for a permit for a review of this size. Returns `None` at once if the reviews before it are expected to need more
    /// than a third of the time left, and later if the permit comes too late.
    pub(super) async fn take(&self, bytes: usize, deadline: Instant) -> Option<ConcurrencyPermit> {
        let bytes = u32::try_from(bytes.min(BYTES)).ok()?;
        let before = self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = QueueSlot(&self.0.waiting);
        let rounds = u32::try_from(before / self.0.processors).unwrap_or(u32::MAX);
        let fits = |rounds| {
            self.took().saturating_mul(rounds) <= deadline.saturating_duration_since(Instant::now()) / WAIT
        };
        if !fits(rounds) {
            return None;
        }
        let permits = async {
            let bytes = self.0.bytes.clone().acquire_many_owned(bytes).await.ok()?;
            Some([bytes, self.0.free.clone().acquire_owned().await.ok()?])
        };
        let permits = tokio::time::timeout_at(deadline.into(), permits).await.ok()??;
        drop(waiting);
        fits(1).then(|| ConcurrencyPermit {
            concurrency_limit: self.clone(),
            since: Instant::now(),
            _permits: permits,
        })
    }

    /// The expected duration of an evaluation.
    fn took(&self) -> Duration {
        Duration::from_nanos(self.0.took.load(Ordering::Relaxed)).max(LEAST)
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let took = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Concurrent updates may lose one; for an average this does not matter.
        let before = self.concurrency_limit.0.took.load(Ordering::Relaxed);
        self.concurrency_limit.0.took.store(before - before / WEIGHT + took / WEIGHT, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_waiting_request_is_answered() {
        let concurrency_limit = ConcurrencyLimit::of(1);
        let within = |milliseconds| Instant::now() + Duration::from_millis(milliseconds);
        let held = concurrency_limit.take(1, within(1000)).await.expect("a permit is free");
        let mut waiting = Vec::new();
        for _ in 0..5 {
            let concurrency_limit = concurrency_limit.clone();
            waiting
                .push(tokio::spawn(async move { concurrency_limit.take(1, within(60_000)).await.is_some() }));
        }
        while concurrency_limit.0.waiting.load(Ordering::Relaxed) < 5 {
            tokio::task::yield_now().await;
        }
        assert!(
            concurrency_limit.take(1, within(200)).await.is_none(),
            "the five reviews before it need longer"
        );
        let late = concurrency_limit.clone();
        let late = tokio::spawn(async move { late.take(1, within(500)).await.is_none() });
        tokio::time::sleep(Duration::from_millis(450)).await;
        drop(held);
        assert!(late.await.expect("the task ends"), "its permit comes too late");
        for waiting in waiting {
            assert!(waiting.await.expect("the task ends"), "a review with enough time gets a permit");
        }
        assert_eq!(concurrency_limit.0.waiting.load(Ordering::Relaxed), 0);
    }
}
