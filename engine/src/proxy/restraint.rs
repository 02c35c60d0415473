//! Keeps floods out of the error log: so many lines a second, and a count of the rest.
//!
//! An upstream that is down fails every request. A line for each would cost the
//! worker more than the request did, and push out of the log's queue what is said
//! once only. Each worker has its own and alone writes it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::time::Instant;

/// How many lines of a kind were not logged since the last one that was. The end of the
/// next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldBack(u64);

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " (and {count} like it since the last such line)"),
        }
    }
}

/// How many lines of one kind a worker logs.
#[derive(Debug)]
pub(crate) struct Restraint {
    per_second: u64,
    start: Instant,
    /// The second, from the start, of the newest line.
    second: AtomicU64,
    /// Lines asked for in it.
    asked: AtomicU64,
    /// Lines not logged since the last that was.
    unlogged: AtomicU64,
}

impl Restraint {
    pub(crate) fn new(per_second: u32) -> Restraint {
        Restraint {
            per_second: per_second.into(),
            start: Instant::now(),
            second: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            unlogged: AtomicU64::new(0),
        }
    }

    /// Takes one of this second's lines, if there is one left. If not, counts the line
    /// that is not logged.
    pub(crate) fn take(&self) -> Option<HeldBack> {
        let second = self.start.elapsed().as_secs();
        if self.second.swap(second, Relaxed) != second {
            self.asked.store(0, Relaxed);
        }
        if self.asked.fetch_add(1, Relaxed) < self.per_second {
            return Some(HeldBack(self.unlogged.swap(0, Relaxed)));
        }
        self.unlogged.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn each_second_has_its_lines_and_the_next_says_what_was_left_out() {
        let restraint = Restraint::new(2);
        let ask = || [(); 4].map(|()| restraint.take().map(|held| held.0));
        assert_eq!(ask(), [Some(0), Some(0), None, None]);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(ask(), [None; 4]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(ask(), [Some(6), Some(0), None, None]);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(ask(), [Some(2), Some(0), None, None]);
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert_eq!(HeldBack(0).to_string(), "");
        assert_eq!(HeldBack(7).to_string(), " (and 7 like it since the last such line)");
    }
}
