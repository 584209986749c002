//! The room for reviews that are read or wait to be judged: what does not fit is refused before memory grows.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::LARGE;

/// For the first [`LARGE`] bytes of each review: small reviews are not held up by large ones.
const FOR_SMALL: usize = 32 * 1024 * 1024;
/// For the rest of the large ones.
const FOR_LARGE: usize = 48 * 1024 * 1024;

/// All of it; one permit a byte.
#[derive(Clone)]
pub(super) struct MemoryLimit {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl MemoryLimit {
    pub(super) fn new() -> Self {
        MemoryLimit { small: Arc::new(Semaphore::new(FOR_SMALL)), large: Arc::new(Semaphore::new(FOR_LARGE)) }
    }

    /// The share of a review of which nothing has arrived.
    pub(super) fn share(&self) -> MemoryReservation {
        MemoryReservation { room: self.clone(), bytes: 0, permits: Vec::new() }
    }
}

/// What one review takes of it, until this is dropped.
pub(super) struct MemoryReservation {
    room: MemoryLimit,
    bytes: usize,
    permits: Vec<OwnedSemaphorePermit>,
}

impl MemoryReservation {
    /// Takes room for bytes that have arrived: what is announced and does not come takes none. Whether there was room.
    #[must_use]
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let small = bytes.min(LARGE.saturating_sub(self.bytes));
        self.bytes += bytes;
        Self::take(&mut self.permits, &self.room.small, small)
            && Self::take(&mut self.permits, &self.room.large, bytes - small)
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
        let room = MemoryLimit::new();
        let mut held = Vec::new();
        for _ in 0..FOR_LARGE / (4 * LARGE) {
            let mut share = room.share();
            // In two parts, as it arrives.
            assert!(share.grow(LARGE / 2));
            assert!(share.grow(LARGE / 2 + 4 * LARGE));
            held.push(share);
        }
        assert!(!room.share().grow(LARGE + 1), "no large one fits any more");
        let mut small = room.share();
        assert!(small.grow(LARGE), "a small one does");
        held.pop();
        assert!(room.share().grow(5 * LARGE), "nor is room lost when one goes");
    }
}
