//! Lines on their way to files: queued by whoever logs, written by one thread.
//!
//! The queue is bounded and nobody waits for it. Lines that do not fit are counted and the count is
//! written in their place, so a disk that is too slow costs lines, not requests, and says so. A line
//! stays a line: control characters in it are escaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::options::Destination;

/// Lines that may wait to be written, over all destinations.
const QUEUE: usize = 16_384;

/// Every destination of this process. Dropping it writes what is queued.
#[derive(Debug)]
pub struct Sinks {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
    opened: BTreeMap<Destination, usize>,
}

/// One destination. Cheap to clone; every clone writes to the same file.
#[derive(Clone, Debug)]
pub struct Sink {
    to: Option<usize>,
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
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
    Open(Output),
    Line { to: usize, line: String },
    Reopen,
    Flush(SyncSender<()>),
}

#[derive(Debug)]
enum Output {
    Stdout,
    Stderr,
    File { path: PathBuf, file: BufWriter<File> },
}

impl Sinks {
    /// No destination yet, and the thread that will write to them.
    pub fn new() -> Self {
        let (queue, messages) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = lost.clone();
        // A process that cannot start a thread logs nothing: all lines count as lost.
        let _ = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&messages, &counter));
        Self { queue, lost, opened: BTreeMap::new() }
    }

    /// The sink that writes to `destination`, which is opened once however often it is asked for.
    pub fn open(&mut self, destination: &Destination) -> Result<Sink, OpenError> {
        let to = match destination {
            Destination::Off => None,
            other => Some(self.number(other)?),
        };
        Ok(Sink { to, queue: self.queue.clone(), lost: self.lost.clone() })
    }

    /// Opens every file anew by its path.
    pub fn reopen(&self) {
        let _ = self.queue.send(Message::Reopen);
    }

    /// Waits until everything queued so far is written.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    fn number(&mut self, destination: &Destination) -> Result<usize, OpenError> {
        if let Some(number) = self.opened.get(destination) {
            return Ok(*number);
        }
        let number = self.opened.len();
        let _ = self.queue.send(Message::Open(Output::of(destination)?));
        self.opened.insert(destination.clone(), number);
        Ok(number)
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
        self.to.is_some()
    }

    /// Queues one line, its end excluded. Never waits.
    pub fn line(&self, line: String) {
        let Some(to) = self.to else { return };
        if self.queue.try_send(Message::Line { to, line }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
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

/// Writes what comes, flushing whenever nothing is left to write. Ends with the last sender.
fn write_all(messages: &Receiver<Message>, lost: &AtomicU64) {
    let mut outputs = Vec::new();
    while let Ok(message) = messages.recv() {
        handle(message, &mut outputs);
        while let Ok(message) = messages.try_recv() {
            handle(message, &mut outputs);
        }
        confess(lost, &mut outputs);
        flush(&mut outputs);
    }
}

// A log that cannot be written to has nowhere to say so; the disk's own alarms must.
fn handle(message: Message, outputs: &mut Vec<Output>) {
    match message {
        Message::Open(output) => outputs.push(output),
        Message::Line { to, line } => {
            if let Some(output) = outputs.get_mut(to) {
                let _ = output.write_all(escaped(&line).as_bytes());
            }
        }
        Message::Reopen => outputs.iter_mut().for_each(Output::reopen),
        Message::Flush(done) => {
            flush(outputs);
            let _ = done.send(());
        }
    }
}

/// Says in the first log, the error log, how many lines did not fit the queue.
fn confess(lost: &AtomicU64, outputs: &mut [Output]) {
    let count = lost.swap(0, Ordering::Relaxed);
    if let (1.., Some(output)) = (count, outputs.first_mut()) {
        let _ = writeln!(
            output,
            "{count} log lines were lost: they came faster than they could be written"
        );
    }
}

fn flush(outputs: &mut [Output]) {
    for output in outputs {
        let _ = output.flush();
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
    fn lines_that_do_not_fit_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut outputs = vec![Output::of(&Destination::File(path.clone())).unwrap()];
        let lost = AtomicU64::new(3);
        confess(&lost, &mut outputs);
        confess(&lost, &mut outputs);
        drop(outputs);
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text, "3 log lines were lost: they came faster than they could be written\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = Sinks::new().open(&Destination::File("/no/such/dir/x.log".into())).unwrap_err();
        assert_eq!(error.to_string(), "could not open the log file /no/such/dir/x.log");
    }
}
