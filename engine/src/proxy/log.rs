//! The end of an exchange: counted, and logged if the operator wants it.
//!
//! A worker writes no log. It puts a record in a queue of its own, bounded in bytes,
//! and one thread, which may wait for a disk, takes from all of them, formats and
//! emits. Where that cannot keep up, records are dropped and counted rather than
//! requests delayed.

use super::exchange::RequestId;
use super::head::Known;
use super::hygiene::Said;
use crate::options::LogSink;
use crossbeam::channel::{Receiver, RecvTimeoutError, Select, Sender, bounded, unbounded};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// Bytes that may wait to be written on each worker: a client decides how long its
/// lines are. Some ten thousand of the usual ones.
const BYTES: usize = 4 * 1024 * 1024;

/// How long a log that takes nothing may hold up the end of the engine.
const PATIENCE: Duration = Duration::from_secs(2);

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The status the client was sent; 499, as nginx has it, if it left before.
    pub(crate) status: u16,
    /// Bytes of body it was sent.
    pub(crate) sent: u64,
}

impl Outcome {
    /// The client left before it was answered.
    pub(crate) const GONE: Outcome = Outcome { status: 499, sent: 0 };
}

/// A worker's way to the access log, shared with nobody but the log's thread.
#[derive(Debug)]
pub(crate) struct AccessLog {
    queue: Sender<Line>,
    backlog: Arc<Backlog>,
}

/// How full a worker's queue is, and what did not fit.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl AccessLog {
    /// One line: who asked, what, and how it ended.
    pub(crate) fn record(&self, client: IpAddr, id: &RequestId, said: Said<'_>, outcome: Outcome) {
        self.hand_over(Line::Request(Record::of(client, id, said, outcome)));
    }

    /// The same for a stream.
    pub(crate) fn record_stream(&self, stream: StreamRecord) {
        self.hand_over(Line::Stream(stream));
    }

    fn hand_over(&self, line: Line) {
        let bytes = line.bytes();
        // Counted in before it can be counted out.
        let fits = self.backlog.bytes.fetch_add(bytes, Relaxed) < BYTES;
        if !fits || self.queue.send(line).is_err() {
            self.backlog.bytes.fetch_sub(bytes, Relaxed);
            self.backlog.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Backlog {
    /// Records of this worker that were not written, since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// The thread that writes, seen from outside. It ends when the last worker's way to it
/// is gone and all is written.
#[derive(Debug)]
pub(crate) struct Writer {
    queues: Arc<[Queue]>,
    /// Closed when the thread has ended.
    ended: Receiver<Infallible>,
    thread: Option<JoinHandle<()>>,
}

/// The other end of a worker's way.
#[derive(Debug)]
struct Queue {
    records: Receiver<Line>,
    backlog: Arc<Backlog>,
}

impl Writer {
    /// Starts the thread, with a way to it for each worker.
    pub(crate) fn start(sink: LogSink, workers: usize) -> io::Result<(Writer, Vec<AccessLog>)> {
        let (logs, queues): (Vec<_>, Vec<_>) = (0..workers).map(|_| way()).unzip();
        let queues: Arc<[Queue]> = queues.into();
        let (ending, ended) = bounded(0);
        let taken = queues.clone();
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || {
            write(&taken, &sink);
            drop(ending);
        })?;
        Ok((Writer { queues, ended, thread: Some(thread) }, logs))
    }

    /// What each worker did not get written.
    pub(crate) fn backlogs(&self) -> impl Iterator<Item = Arc<Backlog>> {
        self.queues.iter().map(|queue| queue.backlog.clone())
    }

    /// What waits, where waiting is allowed, until all is written, though not for long.
    pub(crate) fn wait(&self) -> impl FnOnce() + Send + 'static {
        let ended = self.ended.clone();
        move || {
            let _ended_or_late = ended.recv_timeout(PATIENCE);
        }
    }

    /// Gives up what is not written by then, and counts it.
    pub(crate) fn end(&mut self, by: Instant) {
        let Some(thread) = self.thread.take() else { return };
        if self.ended.recv_deadline(by) == Err(RecvTimeoutError::Disconnected) {
            let _panicked = thread.join(); // said by the hook
        }
        for Queue { records, backlog } in self.queues.iter() {
            let left = records.try_iter().count();
            backlog.dropped.fetch_add(left as u64, Relaxed);
        }
    }
}

/// Once the workers leave; otherwise it waits in vain.
impl Drop for Writer {
    fn drop(&mut self) {
        self.end(Instant::now() + PATIENCE);
    }
}

fn way() -> (AccessLog, Queue) {
    let (queue, records) = unbounded(); // in number; `record` keeps to the bytes
    let backlog = Arc::new(Backlog::default());
    (AccessLog { queue, backlog: backlog.clone() }, Queue { records, backlog })
}

fn write(queues: &[Queue], sink: &LogSink) {
    let mut select = Select::new();
    for queue in queues {
        select.recv(&queue.records);
    }
    let mut workers = queues.len();
    while workers > 0 {
        let ready = select.select();
        let index = ready.index();
        let Queue { records, backlog } = &queues[index];
        let Ok(record) = ready.recv(records) else {
            select.remove(index);
            workers -= 1;
            continue;
        };
        backlog.bytes.fetch_sub(record.bytes(), Relaxed);
        sink.line(record.to_string());
    }
}

/// What becomes one line.
#[derive(Debug)]
enum Line {
    Request(Record),
    Stream(StreamRecord),
}

impl Line {
    /// How much memory it takes.
    fn bytes(&self) -> usize {
        match self {
            Line::Request(record) => record.bytes(),
            Line::Stream(_) => size_of::<Line>(),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Request(record) => record.fmt(f),
            Line::Stream(record) => record.fmt(f),
        }
    }
}

/// One stream, in the form Kong's nginx logs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamRecord {
    pub(crate) client: IpAddr,
    /// When it ended.
    pub(crate) at: SystemTime,
    /// `TCP` or `UDP`.
    pub(crate) protocol: &'static str,
    pub(crate) status: u16,
    /// Bytes the client was sent.
    pub(crate) sent: u64,
    /// Bytes it sent.
    pub(crate) received: u64,
    pub(crate) took: Duration,
}

impl fmt::Display for StreamRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = local(self.at);
        let StreamRecord { client, protocol, status, sent, received, took, .. } = self;
        let (seconds, millis) = (took.as_secs(), took.subsec_millis());
        write!(f, "{client} [{at}] {protocol} {status} {sent} {received} {seconds}.{millis:03}")
    }
}

fn local(at: SystemTime) -> impl fmt::Display {
    chrono::DateTime::<chrono::Local>::from(at).format("%d/%b/%Y:%H:%M:%S %z")
}

/// One line, in the form of nginx's combined log with the request's id.
#[derive(Debug)]
struct Record {
    client: IpAddr,
    at: SystemTime,
    request: Box<[u8]>,
    outcome: Outcome,
    referer: Option<Box<[u8]>>,
    agent: Option<Box<[u8]>>,
    id: [u8; 32],
}

impl Record {
    fn of(client: IpAddr, id: &RequestId, said: Said<'_>, outcome: Outcome) -> Record {
        let request = match said {
            Said::Head(head) => {
                [head.method(), head.raw_target(), head.version().as_str().as_bytes()].join(&b' ')
            }
            Said::Line(line) => line.to_vec(),
        };
        let field = |known| said.head().and_then(|head| head.get(known)).map(Into::into);
        Record {
            client,
            at: SystemTime::now(),
            request: request.into(),
            outcome,
            referer: field(Known::Referer),
            agent: field(Known::UserAgent),
            id: *id.as_bytes(),
        }
    }
}

impl Record {
    /// How much memory it takes.
    fn bytes(&self) -> usize {
        let field = |field: &Option<Box<[u8]>>| field.as_ref().map_or(0, |text| text.len());
        size_of::<Record>() + self.request.len() + field(&self.referer) + field(&self.agent)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = local(self.at);
        write!(
            f,
            "{} - - [{at}] \"{}\" {} {} \"{}\" \"{}\" kong_request_id: \"{}\"",
            self.client,
            Escaped(&self.request),
            self.outcome.status,
            self.outcome.sent,
            Escaped(self.referer.as_deref().unwrap_or(b"-")),
            Escaped(self.agent.as_deref().unwrap_or(b"-")),
            Escaped(&self.id),
        )
    }
}

/// As nginx escapes: quotes, backslashes and what is not printable as `\xNN`.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| match byte {
            b'"' | b'\\' | ..b' ' | 0x7f.. => write!(f, "\\x{byte:02X}"),
            _ => write!(f, "{}", char::from(byte)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::Ids;
    use super::*;

    const LINE: &[u8] = &[b'x'; 8 * 1024];

    fn record(log: &AccessLog) {
        let (client, id) = ([192, 0, 2, 1].into(), Ids::new().next());
        log.record(client, &id, Said::Line(LINE), Outcome::GONE);
    }

    #[test]
    fn each_worker_drops_and_counts_what_exceeds_its_own_bytes() {
        const SENT: usize = 2 * BYTES / LINE.len();
        let (block, blocked) = bounded::<()>(0);
        let (lines, written) = unbounded();
        let sink = LogSink::new(move |line| {
            let _unblocked = blocked.recv();
            lines.send(line.len()).unwrap();
        });
        let (mut writer, logs) = Writer::start(sink, 2).unwrap();
        (0..SENT).for_each(|_| record(&logs[0]));
        record(&logs[1]);
        let dropped: Vec<_> = writer.backlogs().map(|backlog| backlog.dropped()).collect();
        assert!(
            (SENT as u64 * 9 / 20..=SENT as u64 * 11 / 20).contains(&dropped[0]),
            "{dropped:?}"
        );
        assert_eq!(dropped[1], 0, "another worker's flood is none of its business");
        drop((block, logs));
        writer.end(Instant::now() + Duration::from_secs(60));
        assert_eq!(written.iter().count() + dropped[0] as usize, SENT + 1);
    }

    #[test]
    fn what_a_stuck_log_leaves_is_counted_at_the_end() {
        let (_block, blocked) = bounded::<()>(0);
        let (begun, begins) = bounded(0);
        let sink = LogSink::new(move |_| {
            begun.send(()).unwrap();
            let _never: Result<(), _> = blocked.recv();
        });
        let (mut writer, logs) = Writer::start(sink, 2).unwrap();
        record(&logs[0]);
        begins.recv().unwrap(); // handed over, so the sink's to count
        logs.iter().for_each(record);
        drop(logs);
        writer.end(Instant::now());
        let dropped: Vec<_> = writer.backlogs().map(|backlog| backlog.dropped()).collect();
        assert_eq!(dropped, [1, 1]);
    }

    #[test]
    fn a_line_cannot_be_forged() {
        let record = Record {
            client: [192, 0, 2, 1].into(),
            at: SystemTime::UNIX_EPOCH,
            request: b"GET /a\"b\\ HTTP/1.1".as_slice().into(),
            outcome: Outcome { status: 200, sent: 5 },
            referer: None,
            agent: Some(b"x\ty\xc3".as_slice().into()),
            id: *b"00112233445566778899aabbccddeeff",
        };
        let line = record.to_string();
        assert!(line.starts_with("192.0.2.1 - - ["), "{line}");
        let rest = "\"GET /a\\x22b\\x5C HTTP/1.1\" 200 5 \"-\" \"x\\x09y\\xC3\" kong_request_id: \"00112233445566778899aabbccddeeff\"";
        assert!(line.ends_with(rest), "{line}");
    }
}
