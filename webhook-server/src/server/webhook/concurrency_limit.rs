//! Whose turn it is: large reviews are judged as many at a time as there are processors, and no more than what they take of memory
//! allows; none waits that would wait in vain.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of which part of its time a review may be expected to wait; the rest is for what was not expected.
const WAIT: u32 = 3;
/// The bytes of all reviews that are judged at once, on however many processors: a number of two bytes takes two dozen once it is
/// decoded, and for a moment twice that.
const BYTES: usize = 8 * 1024 * 1024;
/// What a turn is taken to last at least, however short it was lately: a process may be given less of the processor at any time.
const LEAST: Duration = Duration::from_millis(25);
/// How much a single review moves the average: an eighth.
const WEIGHT: u64 = 8;

/// The turns, and how long each took lately.
#[derive(Clone)]
pub(super) struct ConcurrencyLimit(Arc<LimitState>);

struct LimitState {
    processors: usize,
    free: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// A moving average, in nanoseconds.
    took: AtomicU64,
}

/// A turn, until it is dropped.
pub(super) struct ConcurrencyPermit {
    turns: ConcurrencyLimit,
    since: Instant,
    _permits: [OwnedSemaphorePermit; 2],
}

/// One that waits, until it is dropped.
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

    /// Waits for a turn of a review of so many bytes; `None` at once where those before it will take longer than a third of the time that is left, and later
    /// where its turn comes too late.
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
        fits(1).then(|| ConcurrencyPermit { turns: self.clone(), since: Instant::now(), _permits: permits })
    }

    /// How long a turn takes.
    fn took(&self) -> Duration {
        Duration::from_nanos(self.0.took.load(Ordering::Relaxed)).max(LEAST)
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let took = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Two at once may lose one of them; it is an average.
        let before = self.turns.0.took.load(Ordering::Relaxed);
        self.turns.0.took.store(before - before / WEIGHT + took / WEIGHT, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_waiting_request_is_answered() {
        let turns = ConcurrencyLimit::of(1);
        let within = |milliseconds| Instant::now() + Duration::from_millis(milliseconds);
        let held = turns.take(1, within(1000)).await.expect("it is free");
        let mut waiting = Vec::new();
        for _ in 0..5 {
            let turns = turns.clone();
            waiting.push(tokio::spawn(async move { turns.take(1, within(60_000)).await.is_some() }));
        }
        while turns.0.waiting.load(Ordering::Relaxed) < 5 {
            tokio::task::yield_now().await;
        }
        assert!(turns.take(1, within(200)).await.is_none(), "five before it take longer");
        let late = turns.clone();
        let late = tokio::spawn(async move { late.take(1, within(500)).await.is_none() });
        tokio::time::sleep(Duration::from_millis(450)).await;
        drop(held);
        assert!(late.await.expect("it ends"), "its turn comes too late");
        for waiting in waiting {
            assert!(waiting.await.expect("it ends"), "who has time is served");
        }
        assert_eq!(turns.0.waiting.load(Ordering::Relaxed), 0);
    }
}
