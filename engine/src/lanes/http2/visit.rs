//! How far an HTTP/2 connection has come, and whether it has gone too far.

use crate::door::Options;
use crate::proxy::exchange::Station;
use std::time::Duration;
use tokio::task::JoinError;
use tokio::time::Instant;

/// Malformed requests that one connection may make: after that it is an attack.
const MALFORMED: u32 = 32;
/// Requests that may end without their answer before it is looked at how many those are of all.
const UNANSWERED: u32 = 100;

/// One connection's requests, counted.
pub(super) struct Visit {
    idle: Duration,
    /// When it is told to leave if nothing happens, and when it is left if it was told.
    pub(super) idle_until: Instant,
    /// Requests it may still make.
    left: u32,
    /// Malformed ones it may still make.
    errs: u32,
    /// Requests that are over.
    over: u32,
    /// Those of them that were not waited for.
    unanswered: u32,
    /// It was told that no further request will be served.
    pub(super) parting: bool,
}

impl Visit {
    pub(super) fn new(options: &Options) -> Visit {
        let idle = options.idle_timeout;
        let idle_until = Instant::now() + idle;
        Visit {
            idle,
            idle_until,
            left: options.requests.max(1),
            errs: MALFORMED,
            over: 0,
            unanswered: 0,
            parting: false,
        }
    }

    /// Counts a request; true once, for the last that is served.
    pub(super) fn was_last(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        let is_last = self.left == 0 && !self.parting;
        if is_last {
            self.part();
        }
        is_last
    }

    /// Counts a malformed request; false when there have been too many.
    pub(super) fn may_err(&mut self) -> bool {
        self.errs = self.errs.saturating_sub(1);
        self.errs > 0
    }

    /// Whether most of what it asks ends without an answer: taken back by the client, or made to
    /// fail by what it does to the stream.
    pub(super) fn is_an_attack(&self) -> bool {
        !self.parting && self.unanswered > UNANSWERED && self.unanswered > self.over / 2
    }

    /// It has been told that no further request will be served.
    pub(super) fn part(&mut self) {
        self.parting = true;
        self.idle_until = Instant::now() + self.idle;
    }

    /// A request is over, one way or another.
    pub(super) fn ended(
        &mut self,
        station: &Station,
        done: Result<bool, JoinError>,
        was_alone: bool,
    ) {
        self.over = self.over.saturating_add(1);
        match done {
            Ok(answered) => self.unanswered += u32::from(!answered),
            Err(error) if error.is_panic() => station.counters.count_panic(),
            Err(_) => {}
        }
        if was_alone {
            self.idle_until = Instant::now() + self.idle;
        }
    }
}
