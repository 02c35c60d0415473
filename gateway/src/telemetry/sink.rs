//! Lines on their way to files: queued by whoever logs, written by one thread per destination.
//!
//! Queues are bounded and nobody waits for them. Lines that do not fit, or that a file does not take,
//! are counted where they came from, and the sum is written to the first log: a disk that is slow or
//! full costs lines, not requests, and says so. A log that is stuck holds up no other. A line stays a
//! line: control characters are escaped.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::options::{Destination, Level};

/// How often, at most, it is said that lines were lost.
const BETWEEN_CONFESSIONS: Duration = Duration::from_secs(10);

/// Lines that may wait to be written to one destination.
const QUEUE: usize = 16_384;

/// How long a destination that takes nothing may hold up the end of the process.
const PATIENCE: Duration = Duration::from_secs(2);

/// Every destination of this process. Dropping it writes what is queued.
#[derive(Debug)]
pub struct Sinks {
    unsaid: Arc<AtomicU64>,
    /// In the order they were opened.
    writers: Vec<(Destination, Writer)>,
}

/// Who writes to one destination, seen from outside.
#[derive(Debug)]
struct Writer {
    queue: Sender<Message>,
    /// Told so where the queue has no room for it.
    reopen: Arc<AtomicBool>,
}

/// One log. Cheap to clone; every clone is the same log, and two logs may share a file.
#[derive(Clone, Debug)]
pub struct Sink {
    queue: Option<Sender<Message>>,
    losses: Arc<Losses>,
}

/// Lines of one log that reached no file.
#[derive(Debug)]
struct Losses {
    /// Since the start.
    here: AtomicU64,
    /// Over all logs, since it was last said.
    unsaid: Arc<AtomicU64>,
}

/// A log file that cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("could not open the log file {}", .path.display())]
pub struct OpenError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

#[derive(Debug)]
enum Message {
    Line { line: String, losses: Arc<Losses> },
    Reopen,
    Flush(Sender<()>),
}

#[derive(Debug)]
enum Output {
    Stdout,
    Stderr,
    File { path: PathBuf, file: BufWriter<File> },
}

impl Sinks {
    /// No destination yet.
    pub fn new() -> Self {
        Self { unsaid: Arc::default(), writers: Vec::new() }
    }

    /// A log that goes to `destination`, which is opened once however many logs share it. Losses are
    /// told in the one that is opened first.
    pub fn open(&mut self, destination: &Destination) -> Result<Sink, OpenError> {
        let queue = match destination {
            Destination::Off => None,
            other => Some(self.queue_to(other)?),
        };
        let losses = Losses { here: AtomicU64::new(0), unsaid: Arc::clone(&self.unsaid) };
        Ok(Sink { queue, losses: Arc::new(losses) })
    }

    /// Opens every file anew by its path.
    pub fn reopen(&self) {
        self.writers.iter().for_each(|(_, writer)| writer.reopen());
    }

    /// Waits until everything queued so far is written, but not for long where nothing is taken.
    pub fn flush(&self) {
        let Some(((_, first), others)) = self.writers.split_first() else { return };
        let deadline = Instant::now() + PATIENCE;
        others.iter().for_each(|(_, writer)| writer.flush(deadline));
        first.flush(Instant::now() + PATIENCE); // last: what the others lost is told there
    }

    fn queue_to(&mut self, destination: &Destination) -> Result<Sender<Message>, OpenError> {
        if let Some((_, writer)) = self.writers.iter().find(|(other, _)| other == destination) {
            return Ok(writer.queue.clone());
        }
        let output = Output::of(destination)?;
        let unsaid = self.writers.is_empty().then(|| Arc::clone(&self.unsaid));
        let writer = Writer::start(output, unsaid);
        let queue = writer.queue.clone();
        self.writers.push((destination.clone(), writer));
        Ok(queue)
    }
}

impl Writer {
    /// Starts the thread that writes to `output`, and says there what is `unsaid`.
    fn start(output: Output, unsaid: Option<Arc<AtomicU64>>) -> Self {
        let (queue, messages) = bounded(QUEUE);
        let reopen = Arc::new(AtomicBool::new(false));
        let work = Work { output, reopen: Arc::clone(&reopen), unsaid, said: None };
        // A process that cannot start a thread logs nothing: all lines count as lost.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(move || work.run(&messages));
        Self { queue, reopen }
    }

    fn reopen(&self) {
        if self.queue.try_send(Message::Reopen).is_err() {
            self.reopen.store(true, Ordering::Release);
        }
    }

    fn flush(&self, deadline: Instant) {
        let (done, wait) = bounded(1);
        if self.queue.send_deadline(Message::Flush(done), deadline).is_ok() {
            let _ = wait.recv_deadline(deadline);
        }
    }
}

impl Default for Sinks {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Sink {
    /// Whether lines go anywhere: if not, they need not be made.
    pub fn is_open(&self) -> bool {
        self.queue.is_some()
    }

    /// Queues one line, its end excluded. Never waits.
    pub fn line(&self, line: String) {
        let Some(queue) = &self.queue else { return };
        let losses = Arc::clone(&self.losses);
        if queue.try_send(Message::Line { line, losses }).is_err() {
            self.losses.count();
        }
    }

    /// Lines of this log that reached no file since the start.
    pub fn lost(&self) -> u64 {
        self.losses.here.load(Ordering::Relaxed)
    }
}

impl Losses {
    fn count(&self) {
        self.here.fetch_add(1, Ordering::Relaxed);
        self.unsaid.fetch_add(1, Ordering::Relaxed);
    }
}

impl Output {
    fn of(destination: &Destination) -> Result<Self, OpenError> {
        Ok(match destination {
            Destination::Off | Destination::Stdout => Self::Stdout,
            Destination::Stderr => Self::Stderr,
            Destination::File(path) => {
                let file =
                    append(path).map_err(|source| OpenError { path: path.clone(), source })?;
                Self::File { path: path.clone(), file }
            }
        })
    }

    /// A file that cannot be opened again goes on where it was.
    fn reopen(&mut self) {
        if let Self::File { path, file } = self
            && let Ok(fresh) = append(path)
        {
            let _ = file.flush();
            *file = fresh;
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => io::stdout().write(bytes),
            Self::Stderr => io::stderr().write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().flush(),
            Self::Stderr => io::stderr().flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}

fn append(path: &Path) -> io::Result<BufWriter<File>> {
    File::options().create(true).append(true).mode(0o640).open(path).map(BufWriter::new)
}

/// What the thread of one destination works with.
struct Work {
    output: Output,
    reopen: Arc<AtomicBool>,
    /// What was lost and not told yet, where that is to be told here.
    unsaid: Option<Arc<AtomicU64>>,
    said: Option<Instant>,
}

impl Work {
    /// Writes what comes, flushing whenever nothing is left to write. Ends with the last sender.
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(BETWEEN_CONFESSIONS) {
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(message) = messages.try_recv() {
                self.handle(message);
            }
            self.confess_now_and_then();
            let _ = self.output.flush();
        }
    }

    fn handle(&mut self, message: Message) {
        if self.reopen.swap(false, Ordering::Acquire) {
            self.output.reopen();
        }
        match message {
            Message::Line { line, losses } => {
                if self.output.write_all(escaped(&line).as_bytes()).is_err() {
                    losses.count();
                }
                self.confess_now_and_then(); // the queue may never be empty
            }
            Message::Reopen => self.output.reopen(),
            Message::Flush(done) => {
                self.confess();
                let _ = self.output.flush();
                let _ = done.send(());
            }
        }
    }

    /// A log that is lost line by line must not fill this one line by line.
    fn confess_now_and_then(&mut self) {
        let nothing = |unsaid: &Arc<AtomicU64>| unsaid.load(Ordering::Relaxed) == 0;
        if self.unsaid.as_ref().is_none_or(nothing)
            || self.said.is_some_and(|at| at.elapsed() < BETWEEN_CONFESSIONS)
        {
            return;
        }
        if self.confess() {
            self.said = Some(Instant::now());
        }
    }

    /// Says how many lines were lost, if any; not now, if this log does not take that either.
    fn confess(&mut self) -> bool {
        let Some(unsaid) = &self.unsaid else { return false };
        let count = unsaid.swap(0, Ordering::Relaxed);
        if count == 0 {
            return false;
        }
        let head = super::head(Level::Alert);
        let line = format!("{head}{count} log lines were lost: not written, or not in time\n");
        let said = self.output.write_all(line.as_bytes()).is_ok();
        if !said {
            unsaid.fetch_add(count, Ordering::Relaxed);
        }
        said
    }
}

/// The line with its end, and with nothing in it that could pass for another line or for a terminal's orders.
fn escaped(line: &str) -> String {
    let line = line.trim_end_matches('\n');
    let mut safe = String::with_capacity(line.len() + 1);
    for c in line.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push('\t'),
            c if c.is_control() => drop(write!(safe, "\\x{:02x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe.push('\n');
    safe
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::BufRead;

    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        for (line, written) in [
            ("a\nb\n", "a\\nb\n"),
            ("\u{1b}[31mred", "\\x1b[31mred\n"),
            ("tab\tok", "tab\tok\n"),
            ("ü", "ü\n"),
        ] {
            assert_eq!(escaped(line), written);
        }
    }

    #[test]
    fn two_sinks_of_one_file_write_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let destination = Destination::File(dir.path().join("x.log"));
        let mut sinks = Sinks::new();
        let (a, b) = (sinks.open(&destination).unwrap(), sinks.open(&destination).unwrap());
        a.line("one".to_owned());
        b.line("two".to_owned());
        a.line("three".to_owned());
        sinks.flush();
        assert_eq!(fs::read_to_string(dir.path().join("x.log")).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_file_moved_away_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("x.log"), dir.path().join("x.log.1"));
        let mut sinks = Sinks::new();
        let sink = sinks.open(&Destination::File(path.clone())).unwrap();
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
    fn what_was_lost_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let output = Output::of(&Destination::File(path.clone())).unwrap();
        let unsaid = Some(Arc::new(AtomicU64::new(3)));
        let mut work = Work { output, reopen: Arc::default(), unsaid, said: None };
        assert!(work.confess());
        assert!(!work.confess());
        drop(work);
        let text = fs::read_to_string(path).unwrap();
        let (_, line) = text.split_once(" [alert] ").unwrap();
        assert!(
            line.ends_with("#0: 3 log lines were lost: not written, or not in time\n"),
            "{line}"
        );
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_log_that_is_lost_does_not_fill_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        let mut sinks = Sinks::new();
        let error = sinks.open(&Destination::File(path.clone())).unwrap();
        let access = sinks.open(&Destination::File("/dev/full".into())).unwrap();
        for number in 0..100 {
            access.line("x".repeat(10_000));
            while access.lost() < number + 1 {
                thread::yield_now();
            }
        }
        sinks.flush();
        assert_eq!((access.lost(), error.lost()), (100, 0));
        let text = fs::read_to_string(path).unwrap();
        let said: u64 = text
            .lines()
            .filter_map(|line| line.split("#0: ").nth(1)?.split(' ').next()?.parse::<u64>().ok())
            .sum();
        assert_eq!(said, 100, "{text}");
        assert!(text.lines().count() <= 3, "{text}");
    }

    #[test]
    fn every_line_is_written_or_counted() {
        const SENT: usize = 3 * QUEUE;
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("x.log"), dir.path().join("y.log"));
        // A pipe that nobody empties, as a terminal whose reader has stopped.
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let reader = File::options().read(true).write(true).open(&path).unwrap();
        let mut sinks = Sinks::new();
        let access = sinks.open(&Destination::File(path)).unwrap();
        let error = sinks.open(&Destination::File(other)).unwrap();
        for number in 0..SENT {
            access.line(format!("line {number:8}"));
        }
        let lost = access.lost();
        assert!((1..SENT as u64).contains(&lost), "{lost}");
        assert_eq!(error.lost(), 0, "each log counts its own");

        let emptied = thread::spawn(move || {
            let lines = io::BufReader::new(reader).lines().map(Result::unwrap);
            lines
                .take_while(|line| line != "the end")
                .filter(|line| line.starts_with("line "))
                .count()
        });
        sinks.flush();
        access.line("the end".to_owned());
        assert_eq!(emptied.join().unwrap() + lost as usize, SENT);
    }

    #[test]
    fn a_stuck_log_holds_up_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (stuck, path) = (dir.path().join("stuck.log"), dir.path().join("x.log"));
        assert!(std::process::Command::new("mkfifo").arg(&stuck).status().unwrap().success());
        let _reader = File::options().read(true).write(true).open(&stuck).unwrap();
        let mut sinks = Sinks::new();
        let error = sinks.open(&Destination::File(path.clone())).unwrap();
        let access = sinks.open(&Destination::File(stuck)).unwrap();
        (0..2 * QUEUE).for_each(|_| access.line("x".repeat(100)));
        error.line("said".to_owned());
        sinks.reopen();
        sinks.flush(); // gives the other up
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("said\n"), "{text}");
        assert!(text.contains(" log lines were lost"), "{text}");
    }

    #[test]
    fn a_line_that_a_full_disk_does_not_take_is_counted() {
        let mut sinks = Sinks::new();
        let sink = sinks.open(&Destination::File("/dev/full".into())).unwrap();
        for _ in 0..10 {
            sink.line("x".repeat(10_000)); // more than is gathered before it is written
        }
        sinks.flush();
        assert_eq!(sink.lost(), 10);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = Sinks::new().open(&Destination::File("/no/such/dir/x.log".into())).unwrap_err();
        assert_eq!(error.to_string(), "could not open the log file /no/such/dir/x.log");
    }
}
