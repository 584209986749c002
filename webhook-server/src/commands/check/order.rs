//! Puts what several threads have found into the order of the source.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::report::{Report, Take};

/// How far a thread may be ahead of the slowest: what it has found waits in memory.
const AHEAD: usize = 64;

/// What was found, on its way to whoever takes it.
pub(super) struct Order<'t> {
    state: Mutex<State<'t>>,
    moved: Condvar,
}

struct State<'t> {
    /// The number of the part that is taken next.
    next: usize,
    waiting: BTreeMap<usize, Report>,
    taker: &'t mut dyn Take,
}

impl<'t> Order<'t> {
    pub(super) fn new(taker: &'t mut dyn Take) -> Self {
        let state = State { next: 0, waiting: BTreeMap::new(), taker };
        Order { state: Mutex::new(state), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<'t>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the part of that number. Every number from 0 on must come, each once.
    pub(super) fn give(&self, number: usize, part: Report) {
        let too_far = |state: &mut State<'t>| number > state.next + AHEAD;
        let state = self.moved.wait_while(self.state(), too_far);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.waiting.insert(number, part);
        let State { next, waiting, taker } = &mut *state;
        while let Some(part) = waiting.remove(next) {
            taker.take(part);
            *next += 1;
        }
        self.moved.notify_all();
    }
}
