//! Limits the memory for reviews that are being read or wait for evaluation. Reviews above the limit are rejected.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::LARGE;

/// The limit for the first [`LARGE`] bytes of each review, so that large reviews do not block small ones.
const FOR_SMALL: usize = 32 * 1024 * 1024;
/// The limit for the remaining bytes of large reviews.
const FOR_LARGE: usize = 48 * 1024 * 1024;

/// The memory for all reviews, with one permit per byte.
#[derive(Clone)]
pub(super) struct MemoryLimit {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl MemoryLimit {
    pub(super) fn new() -> Self {
        MemoryLimit { small: Arc::new(Semaphore::new(FOR_SMALL)), large: Arc::new(Semaphore::new(FOR_LARGE)) }
    }

    /// An empty reservation for a new review.
    pub(super) fn reservation(&self) -> MemoryReservation {
        MemoryReservation { memory_limit: self.clone(), bytes: 0, permits: Vec::new() }
    }
}

/// The memory of one review, released when this is dropped.
pub(super) struct MemoryReservation {
    memory_limit: MemoryLimit,
    bytes: usize,
    permits: Vec<OwnedSemaphorePermit>,
}

impl MemoryReservation {
    /// Reserves memory for bytes that have arrived. Returns whether they fit. Announced bytes do not count until they arrive.
    #[must_use]
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let small = bytes.min(LARGE.saturating_sub(self.bytes));
        self.bytes += bytes;
        Self::take(&mut self.permits, &self.memory_limit.small, small)
            && Self::take(&mut self.permits, &self.memory_limit.large, bytes - small)
    }

    fn take(permits: &mut Vec<OwnedSemaphorePermit>, from: &Arc<Semaphore>, bytes: usize) -> bool {
        if bytes == 0 {
            return true;
        }
        let acquire = |bytes| from.clone().try_acquire_many_owned(bytes).ok();
        let Some(new) = u32::try_from(bytes).ok().and_then(acquire) else { return false };
        match permits.iter_mut().find(|old| Arc::ptr_eq(old.semaphore(), from)) {
            Some(old) => old.merge(new),
            None => permits.push(new),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_reviews_leave_room_for_small_ones() {
        let memory_limit = MemoryLimit::new();
        let mut held = Vec::new();
        for _ in 0..FOR_LARGE / (4 * LARGE) {
            let mut reservation = memory_limit.reservation();
            // The review arrives in two parts.
            assert!(reservation.grow(LARGE / 2));
            assert!(reservation.grow(LARGE / 2 + 4 * LARGE));
            held.push(reservation);
        }
        assert!(!memory_limit.reservation().grow(LARGE + 1), "no further large review fits");
        let mut small = memory_limit.reservation();
        assert!(small.grow(LARGE), "a small review fits");
        held.pop();
        assert!(
            memory_limit.reservation().grow(5 * LARGE),
            "memory is released when a reservation is dropped"
        );
    }
}
