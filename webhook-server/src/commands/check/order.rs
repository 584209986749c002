//! Puts the results of several threads into the order of the source.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::report::{Report, ReportSink};

/// How many parts a thread may be ahead of the slowest thread. Its results wait in memory.
const AHEAD: usize = 64;

/// Collects the results of threads, and passes them to a [`ReportSink`] in order.
pub(super) struct ReportOrder<'t> {
    state: Mutex<OrderState<'t>>,
    moved: Condvar,
}

struct OrderState<'t> {
    /// The number of the part that the sink receives next.
    next: usize,
    waiting: BTreeMap<usize, Report>,
    taker: &'t mut dyn ReportSink,
}

impl<'t> ReportOrder<'t> {
    pub(super) fn new(taker: &'t mut dyn ReportSink) -> Self {
        let state = OrderState { next: 0, waiting: BTreeMap::new(), taker };
        ReportOrder { state: Mutex::new(state), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, OrderState<'t>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the part with this number. Each number, starting at 0, must be added exactly once.
    pub(super) fn give(&self, number: usize, part: Report) {
        let too_far = |state: &mut OrderState<'t>| number > state.next + AHEAD;
        let state = self.moved.wait_while(self.state(), too_far);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.waiting.insert(number, part);
        let OrderState { next, waiting, taker } = &mut *state;
        while let Some(part) = waiting.remove(next) {
            taker.take(part);
            *next += 1;
        }
        self.moved.notify_all();
    }
}
