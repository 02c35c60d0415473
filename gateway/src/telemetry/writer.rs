//! The thread of one destination: writes what its queue holds and, on the first log, says what was lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::output::Output;
use super::queue::{Next, Queue};
use super::sink::Losses;
use crate::options::Level;

/// How often, at most, it is said that lines were lost.
const BETWEEN_CONFESSIONS: Duration = Duration::from_secs(10);

/// What the thread of one destination works with.
pub(super) struct Writer {
    output: Output,
    queue: Arc<Queue>,
    /// Where losses are said.
    confession: Option<Confession>,
}

/// What all logs lost, and how much of that has been said.
pub(super) struct Confession {
    logs: Arc<Mutex<Vec<Arc<Losses>>>>,
    said: u64,
    /// When to say more, if there is more by then.
    next: Instant,
}

impl Writer {
    pub(super) fn new(output: Output, queue: Arc<Queue>, confession: Option<Confession>) -> Self {
        Self { output, queue, confession }
    }

    /// Writes what comes, until the queue is closed.
    pub(super) fn run(mut self) {
        loop {
            match self.queue.take(BETWEEN_CONFESSIONS) {
                Next::Lines(lines) => self.queue.settle(self.output.write(&lines)),
                Next::Reopen => self.output.reopen(),
                Next::Flush(done) => {
                    self.confess();
                    let _ = done.send(());
                }
                Next::Nothing => {}
                Next::End => return,
            }
            self.confess_now_and_then();
        }
    }

    /// A log that is lost line by line must not fill this one line by line.
    fn confess_now_and_then(&mut self) {
        if self.confession.as_ref().is_some_and(|confession| confession.next <= Instant::now()) {
            self.confess();
        }
    }

    /// Says how many lines were lost, if any; again, if this log does not take that either.
    fn confess(&mut self) {
        let Some(confession) = &mut self.confession else { return };
        let count = confession.unsaid();
        if count == 0 {
            return;
        }
        let head = super::head(Level::Alert);
        let line = format!("{head}{count} log lines were lost: not written, or not in time");
        if self.output.write(&[line]) == 1 {
            confession.said += count;
            confession.next = Instant::now() + BETWEEN_CONFESSIONS;
        }
    }
}

impl Confession {
    pub(super) fn of(logs: &Arc<Mutex<Vec<Arc<Losses>>>>) -> Self {
        Self { logs: Arc::clone(logs), said: 0, next: Instant::now() }
    }

    fn unsaid(&self) -> u64 {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.iter().map(|losses| losses.total()).sum::<u64>().saturating_sub(self.said)
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::Disk;
    use super::*;

    #[test]
    fn what_was_lost_is_said_once_and_only_when_it_is_taken() {
        let disk = Disk::with_room_for(5);
        let lost = Arc::new(Losses::default());
        let confession = Confession::of(&Arc::new(Mutex::new(vec![Arc::clone(&lost)])));
        let mut writer = Writer::new(disk.output(), Arc::default(), Some(confession));
        writer.confess();
        assert_eq!(disk.text(), "");
        lost.count(2);
        writer.confess();
        lost.count(1);
        writer.confess_now_and_then();
        disk.make_room(1000);
        writer.confess_now_and_then();
        writer.confess();
        lost.count(4);
        writer.confess_now_and_then(); // not so soon
        let text = disk.text();
        let (half, said) = text.split_once('\n').unwrap();
        assert_eq!(half.len(), 5);
        let (_, line) = said.split_once(" [alert] ").unwrap();
        let expected = "#0: 3 log lines were lost: not written, or not in time\n";
        assert!(line.ends_with(expected), "{line}");
        assert_eq!(said.lines().count(), 1);
    }
}
