//! Lines on their way to files: queued by whoever logs, written by one thread per destination.
//!
//! Queues are bounded in bytes, and nobody waits for them who does not ask to. Lines that do not fit,
//! or that a file does not take, are counted where they came from, and the sum is written to the first
//! log: a disk that is slow or full costs lines, not requests, and says so. A log that is stuck holds
//! up no other.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use super::output::OpenError;
use super::output::Output;
use super::queue::{Line, Queue};
use super::writer::{Confession, Writer};
use crate::options::Destination;

/// How long a destination that takes nothing may hold up the end of the process.
const PATIENCE: Duration = Duration::from_secs(2);

/// Every destination of this process. Dropping it writes what is queued.
#[derive(Debug, Default)]
pub struct Sinks {
    logs: Arc<Mutex<Vec<Arc<Losses>>>>,
    /// In the order they were opened.
    queues: Vec<(Destination, Arc<Queue>)>,
}

/// One log. Cheap to clone; every clone is the same log, and two logs may share a file.
#[derive(Clone, Debug)]
pub struct Sink {
    name: &'static str,
    queue: Option<Arc<Queue>>,
    losses: Arc<Losses>,
}

/// Lines of one log that reached no file, since the start.
#[derive(Default)]
pub(super) struct Losses {
    here: AtomicU64,
    /// Before they came here.
    before: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
}

impl Sinks {
    /// No destination yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The log of this name, which goes to `destination`; that is opened once, however many logs share
    /// it. Losses are told in the one that is opened first.
    pub fn open(
        &mut self,
        name: &'static str,
        destination: &Destination,
    ) -> Result<Sink, OpenError> {
        let queue = match destination {
            Destination::Off => None,
            other => Some(self.queue_to(other, name)?),
        };
        let losses = Arc::new(Losses::default());
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&losses));
        Ok(Sink { name, queue, losses })
    }

    /// Opens every file anew by its path.
    pub fn reopen(&self) {
        self.queues.iter().for_each(|(_, queue)| queue.reopen());
    }

    /// Waits until everything queued so far is written or lost, and said to be. A destination that has
    /// not taken it all in time is given up: the rest is lost, and what is logged to it from now on.
    pub fn flush(&self) {
        let Some((first, others)) = self.queues.split_first() else { return };
        flush(others);
        flush(std::slice::from_ref(first)); // last: what the others lost is told there
    }

    fn queue_to(&mut self, destination: &Destination, name: &str) -> Result<Arc<Queue>, OpenError> {
        if let Some((_, queue)) = self.queues.iter().find(|(other, _)| other == destination) {
            return Ok(Arc::clone(queue));
        }
        let output = Output::open(destination)?;
        let confession = self.queues.is_empty().then(|| Confession::of(&self.logs));
        let queue = Arc::new(Queue::default());
        let writer = Writer::new(output, Arc::clone(&queue), confession);
        let thread = thread::Builder::new().name(format!("log-{name}"));
        if thread.spawn(move || writer.run()).is_err() {
            queue.give_up(); // a process that cannot start a thread logs nothing
        }
        self.queues.push((destination.clone(), Arc::clone(&queue)));
        Ok(queue)
    }
}

fn flush(queues: &[(Destination, Arc<Queue>)]) {
    let asked: Vec<_> = queues.iter().map(|(_, queue)| (queue, queue.flush())).collect();
    let deadline = Instant::now() + PATIENCE;
    for (queue, done) in asked {
        if done.recv_deadline(deadline).is_err() {
            queue.give_up();
        }
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.flush();
        self.queues.iter().for_each(|(_, queue)| queue.close());
    }
}

impl Sink {
    /// What this log is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether lines go anywhere: if not, they need not be made.
    pub fn is_open(&self) -> bool {
        self.queue.is_some()
    }

    /// Queues one line, its end excluded. Never waits: a line for which there is no room is lost.
    pub fn line(&self, text: String) {
        if let Some(queue) = &self.queue {
            queue.offer(Line { text, losses: Arc::clone(&self.losses) });
        }
    }

    /// Queues one line, its end excluded, and waits until there is room for another.
    pub fn line_waiting(&self, text: String) {
        if let Some(queue) = &self.queue {
            queue.put(Line { text, losses: Arc::clone(&self.losses) });
        }
    }

    /// Has lines of this log counted, too, that were lost before they came here. Heeded once.
    pub fn count_in(&self, lost: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.losses.before.set(Box::new(lost));
    }

    /// Lines of this log that reached no file since the start.
    pub fn lost(&self) -> u64 {
        self.losses.total()
    }
}

impl Losses {
    pub(super) fn count(&self, lines: u64) {
        self.here.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.here.load(Ordering::Relaxed) + self.before.get().map_or(0, |before| before())
    }
}

impl fmt::Debug for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Losses").field(&self.total()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{self, BufRead};
    use std::path::Path;
    use std::sync::mpsc;

    use super::super::queue::BYTES;
    use super::*;

    /// Two logs: one to this file, and one to a pipe that nobody empties, as a terminal whose reader
    /// has stopped. With the pipe's end to empty it from.
    fn one_stuck(dir: &Path) -> (Sinks, Sink, Sink, File) {
        let pipe = dir.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = File::options().read(true).write(true).open(&pipe).unwrap();
        let mut sinks = Sinks::new();
        let error = sinks.open("error", &Destination::File(dir.join("error.log"))).unwrap();
        let access = sinks.open("access", &Destination::File(pipe)).unwrap();
        (sinks, error, access, reader)
    }

    /// How many lines this log says were lost.
    fn said(log: &str) -> u64 {
        log.lines()
            .filter(|line| line.contains(" log lines were lost"))
            .filter_map(|line| line.split("#0: ").nth(1)?.split(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    #[test]
    fn two_sinks_of_one_file_write_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let destination = Destination::File(dir.path().join("x.log"));
        let mut sinks = Sinks::new();
        let a = sinks.open("a", &destination).unwrap();
        let b = sinks.open("b", &destination).unwrap();
        a.line("one".to_owned());
        b.line("two".to_owned());
        a.line_waiting("three".to_owned());
        sinks.flush();
        assert_eq!(fs::read_to_string(dir.path().join("x.log")).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_file_moved_away_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("x.log"), dir.path().join("x.log.1"));
        let mut sinks = Sinks::new();
        let sink = sinks.open("x", &Destination::File(path.clone())).unwrap();
        sink.line("before".to_owned());
        sinks.flush();
        fs::rename(&path, &moved).unwrap();
        sink.line("still there".to_owned());
        sinks.reopen();
        sink.line("after".to_owned());
        sinks.flush();
        assert_eq!(fs::read_to_string(moved).unwrap(), "before\nstill there\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "after\n");
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_and_said_in_few_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        let mut sinks = Sinks::new();
        let error = sinks.open("error", &Destination::File(path.clone())).unwrap();
        let access = sinks.open("access", &Destination::File("/dev/full".into())).unwrap();
        for number in 0..100 {
            access.line("short".to_owned());
            while access.lost() < number + 1 {
                thread::yield_now();
            }
        }
        access.count_in(|| 7); // lost on its way here
        sinks.reopen();
        sinks.flush();
        assert_eq!((access.lost(), error.lost()), (107, 0));
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(said(&text), 107, "{text}");
        assert!(text.lines().count() <= 3, "{text}");
    }

    #[test]
    fn every_line_is_written_or_counted() {
        const TEXT: usize = 1000;
        const SENT: usize = 3 * BYTES / TEXT;
        let dir = tempfile::tempdir().unwrap();
        let (sinks, error, access, reader) = one_stuck(dir.path());
        for _ in 0..SENT {
            access.line("x".repeat(TEXT));
        }
        let lost = access.lost();
        assert!((SENT / 2..SENT).contains(&(lost as usize)), "bounded in bytes: {lost}");
        assert_eq!(error.lost(), 0, "each log counts its own");

        let emptied = thread::spawn(move || {
            let lines = io::BufReader::new(reader).lines().map(Result::unwrap);
            lines.take_while(|line| line != "the end").count()
        });
        access.line_waiting("the end".to_owned());
        assert_eq!(emptied.join().unwrap() + lost as usize, SENT);
        drop(sinks);
    }

    #[test]
    fn who_asks_to_wait_loses_nothing_and_is_held_back() {
        const TEXT: usize = 1000;
        const SENT: usize = 2 * BYTES / TEXT;
        let dir = tempfile::tempdir().unwrap();
        let (sinks, _, access, reader) = one_stuck(dir.path());
        let (sent, sending) = mpsc::channel();
        let sender = thread::spawn(move || {
            for number in 0..SENT {
                access.line_waiting("x".repeat(TEXT));
                sent.send(number).unwrap();
            }
            access.lost()
        });
        // Until the pipe and the queue are full, and no further.
        let full = sending.iter().take(BYTES / (TEXT + 100)).count();
        assert_eq!(full, BYTES / (TEXT + 100));
        let emptied = thread::spawn(move || io::BufReader::new(reader).lines().take(SENT).count());
        assert_eq!(sender.join().unwrap(), 0);
        assert_eq!(emptied.join().unwrap(), SENT);
        drop(sinks);
    }

    #[test]
    fn a_stuck_log_holds_up_no_other_and_what_it_has_is_counted_and_said() {
        const SENT: usize = 200;
        let dir = tempfile::tempdir().unwrap();
        let (mut sinks, error, access, reader) = one_stuck(dir.path());
        let path = dir.path().join("admin.log");
        let admin = sinks.open("admin_access", &Destination::File(path.clone())).unwrap();
        (0..SENT).for_each(|_| access.line("x".repeat(1000)));
        error.line("said".to_owned());
        admin.line("done".to_owned());
        sinks.reopen();
        drop(sinks); // gives the other up
        assert_eq!(fs::read_to_string(path).unwrap(), "done\n");
        let text = fs::read_to_string(dir.path().join("error.log")).unwrap();
        assert!(text.starts_with("said\n"), "{text}");
        let lost = access.lost();
        assert_eq!(said(&text), lost, "{text}");
        // The pipe has 64 KiB, and a batch may have been half in it.
        assert!((SENT as u64 - 66..=SENT as u64).contains(&lost), "{lost}");
        assert_eq!((error.lost(), admin.lost()), (0, 0));
        access.line_waiting("too late".to_owned());
        assert_eq!(access.lost(), lost + 1);
        drop(reader);
    }

    #[test]
    fn whoever_waits_for_a_log_that_is_given_up_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (sinks, _, access, _reader) = one_stuck(dir.path());
        let (began, begins) = mpsc::channel();
        let sender = thread::spawn(move || {
            for _ in 0..3 {
                began.send(()).unwrap();
                access.line_waiting("x".repeat(BYTES));
            }
            access.lost()
        });
        begins.recv().unwrap();
        begins.recv().unwrap(); // the first is being written, and will be for ever
        sinks.flush();
        let (lost, text) = (sender.join().unwrap(), dir.path().join("error.log"));
        drop(sinks);
        assert_eq!(lost, 3);
        assert_eq!(said(&fs::read_to_string(text).unwrap()), 3);
    }
}
