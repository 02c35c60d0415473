//! The end of an exchange: counted, and logged if the operator wants it.
//!
//! A worker writes no log. It hands a record to a bounded queue, and a thread of
//! its own formats and emits it; when that cannot keep up, records are dropped and
//! counted rather than requests delayed.

use super::exchange::RequestId;
use super::head::Known;
use super::hygiene::Said;
use crate::options::LogSink;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

/// Records that may wait to be written.
const QUEUE: usize = 16 * 1024;
/// Bytes of clients' text in them: a client decides how long its lines are.
const BYTES: usize = 16 * 1024 * 1024;

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

/// The way to the access log.
#[derive(Debug)]
pub(crate) struct AccessLog {
    queue: Sender<Record>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
    dropped: AtomicU64,
}

impl AccessLog {
    /// Starts the thread that writes. It ends when the log is dropped.
    pub(crate) fn start(sink: LogSink) -> std::io::Result<AccessLog> {
        let (queue, records) = bounded(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let taken = waiting.clone();
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write(&records, &taken, &sink))?;
        Ok(AccessLog { queue, waiting, dropped: AtomicU64::new(0) })
    }

    /// Records that did not fit since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// One line: who asked, what, and how it ended.
    pub(crate) fn record(&self, client: IpAddr, id: &RequestId, said: Said<'_>, outcome: Outcome) {
        let record = Record::of(client, id, said, outcome);
        let bytes = record.bytes();
        // Counted in before it can be counted out.
        let fits = self.waiting.fetch_add(bytes, Relaxed) < BYTES;
        if !fits || self.queue.try_send(record).is_err() {
            self.waiting.fetch_sub(bytes, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

fn write(records: &Receiver<Record>, waiting: &AtomicUsize, sink: &LogSink) {
    for record in records {
        waiting.fetch_sub(record.bytes(), Relaxed);
        sink.line(record.to_string());
    }
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
    /// How much of it came from the client.
    fn bytes(&self) -> usize {
        let field = |field: &Option<Box<[u8]>>| field.as_ref().map_or(0, |text| text.len());
        self.request.len() + field(&self.referer) + field(&self.agent)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = chrono::DateTime::<chrono::Local>::from(self.at).format("%d/%b/%Y:%H:%M:%S %z");
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

    #[test]
    fn long_lines_that_cannot_be_written_are_dropped_and_counted() {
        const LINE: &[u8] = &[b'x'; 8 * 1024];
        const SENT: usize = 2 * BYTES / LINE.len();
        let (block, blocked) = bounded(0);
        let (lines, written) = crossbeam::channel::unbounded();
        let log = AccessLog::start(LogSink::new(move |line| {
            let _unblocked: Result<(), _> = blocked.recv();
            lines.send(line.len()).unwrap();
        }))
        .unwrap();
        let (client, id) = ([192, 0, 2, 1].into(), Ids::new().next());
        for _ in 0..SENT {
            log.record(client, &id, Said::Line(LINE), Outcome::GONE);
        }
        let dropped = log.dropped() as usize;
        assert!((SENT / 2 - 1..=SENT / 2).contains(&dropped), "{dropped} of {SENT}");
        drop((block, log));
        assert_eq!(written.iter().count(), SENT - dropped);
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
