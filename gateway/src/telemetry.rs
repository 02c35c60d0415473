//! Log lines: which, in what form, and where to.
//!
//! A line looks like nginx's and Kong's: `2026/11/21 12:00:00 [notice] 1234#0: message`. Writing is
//! left to [`sink`], so that nobody who logs waits for a disk. [`level`] decides which lines count.

mod level; // which lines count
mod dial; // which from now on
pub mod sink; // the logs: where lines are handed over
mod queue; // what waits to be written
mod writer; // the thread that does
mod output; // the file

use std::fmt;
use std::io;
use std::panic;
use std::process;

use chrono::Local;
use model::severity;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::options::{Level, Logs};
use dial::Dial;
use level::AtLeast;
use sink::{Sink, Sinks};

/// The logs of this process. Lines still queued are written when it is dropped.
#[derive(Debug)]
pub struct Telemetry {
    dial: Dial,
    sinks: Sinks,
    error: Sink,
    admin_error: Sink,
    stream_error: Sink,
    access: Sink,
    stream_access: Sink,
    admin_access: Sink,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A file of the configuration could not be opened.
    #[error(transparent)]
    Open(#[from] sink::OpenError),
    /// Something in this process logs already.
    #[error("logging is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

impl Telemetry {
    /// Opens every destination and takes in what this process logs from now on, panics included.
    pub fn start(logs: &Logs) -> Result<Self, TelemetryError> {
        let mut sinks = Sinks::new();
        let error = sinks.open("error", &logs.error)?;
        let admin_error = sinks.open("admin_error", &logs.admin_error)?;
        let stream_error = sinks.open("stream_error", &logs.stream_error)?;
        let writers = Writers {
            error: error.clone(),
            admin_error: admin_error.clone(),
            stream_error: stream_error.clone(),
        };
        let access = sinks.open("access", &logs.access)?;
        let stream_access = sinks.open("stream_access", &logs.stream_access)?;
        let admin_access = sinks.open("admin_access", &logs.admin_access)?;

        let (filter, handle) = reload::Layer::new(AtLeast(logs.level));
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(Line)
            .with_writer(writers);
        tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()?;
        panic::set_hook(Box::new(|panic| tracing::error!(name: severity::ALERT, "{panic}")));
        Ok(Self {
            dial: Dial::new(handle, logs.level),
            sinks,
            error,
            admin_error,
            stream_error,
            access,
            stream_access,
            admin_access,
        })
    }

    /// Changes the least severe level that is logged.
    pub fn set_level(&self, level: Level) {
        self.dial.configure(level);
    }

    /// What changes it for a while.
    pub fn dial(&self) -> Dial {
        self.dial.clone()
    }

    /// Opens all files anew, after they have been moved away.
    pub fn reopen(&self) {
        self.sinks.reopen();
    }

    /// Where requests of clients are logged, a line each.
    pub fn access(&self) -> &Sink {
        &self.access
    }

    /// Where streams are logged, a line each.
    pub fn stream_access(&self) -> &Sink {
        &self.stream_access
    }

    /// Where requests of the Admin API are logged, a line each.
    pub fn admin_access(&self) -> &Sink {
        &self.admin_access
    }

    /// Every log, to ask how many of its lines reached no file.
    pub fn logs(&self) -> [Sink; 6] {
        let Self { error, admin_error, stream_error, .. } = self;
        let Self { access, stream_access, admin_access, .. } = self;
        [error, admin_error, stream_error, access, stream_access, admin_access].map(Sink::clone)
    }
}

/// How every line of a log begins.
fn head(level: Level) -> String {
    let now = Local::now().format("%Y/%m/%d %H:%M:%S");
    format!("{now} [{}] {}#0: ", level.word(), process::id())
}

/// The form of a line.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        to.write_str(&head(level::of(event.metadata())))?;
        ctx.format_fields(to.by_ref(), event)?;
        for span in ctx.event_scope().into_iter().flatten() {
            if let Some(fields) =
                span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty())
            {
                write!(to, ", {}: {fields}", span.name())?;
            }
        }
        Ok(())
    }
}

/// Which sink a line goes to, by the crate that logs it, or the part of it.
struct Writers {
    error: Sink,
    admin_error: Sink,
    stream_error: Sink,
}

impl<'a> MakeWriter<'a> for Writers {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(&self.error)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> LineWriter<'a> {
        let target = meta.target();
        LineWriter(if target == "admin" || target.starts_with("admin::") {
            &self.admin_error
        } else if target.starts_with("engine::lanes::stream")
            || target.starts_with("engine::worker::stream")
        {
            &self.stream_error
        } else {
            &self.error
        })
    }
}

/// One line on its way to a sink; the library writes it in one piece.
pub struct LineWriter<'a>(&'a Sink);

impl io::Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::options::Destination;

    #[test]
    fn a_line_has_kongs_form_and_its_crates_place() {
        let dir = tempfile::tempdir().unwrap();
        let (error, admin) = (dir.path().join("error.log"), dir.path().join("admin.log"));
        let streams = dir.path().join("streams.log");
        let mut sinks = Sinks::new();
        let writers = Writers {
            error: sinks.open("error", &Destination::File(error.clone())).unwrap(),
            admin_error: sinks.open("admin_error", &Destination::File(admin.clone())).unwrap(),
            stream_error: sinks.open("stream", &Destination::File(streams.clone())).unwrap(),
        };
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(Line)
            .with_writer(writers);
        let subscriber =
            tracing_subscriber::registry().with(lines.with_filter(AtLeast(Level::Notice)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(version = 7, "published\nforged line");
            tracing::debug!("not asked for");
            tracing::error!(name: severity::CRIT, cause = "x", "lost");
            tracing::info!(target: "hyper", "not ours");
            let _span = tracing::info_span!("data_plane", id = "dp-1").entered();
            tracing::warn!(target: "admin::write", "refused");
            tracing::warn!(target: "engine::lanes::stream", "cut");
        });
        drop(sinks);

        let lines = fs::read_to_string(error).unwrap();
        let said: Vec<_> = lines.lines().map(|line| line.split_at(19)).collect();
        for (date, _) in &said {
            assert!(date.chars().all(|c| c.is_ascii_digit() || "/: ".contains(c)), "{lines}");
        }
        let said: Vec<_> = said.into_iter().map(|(_, rest)| rest).collect();
        assert_eq!(
            said,
            [
                format!(" [notice] {}#0: published\\nforged line version=7", process::id()),
                format!(" [crit] {}#0: lost cause=\"x\"", process::id()),
            ]
        );
        let lines = fs::read_to_string(streams).unwrap();
        assert!(
            lines
                .ends_with(&format!(" [warn] {}#0: cut, data_plane: id=\"dp-1\"\n", process::id())),
            "{lines}"
        );
        let lines = fs::read_to_string(admin).unwrap();
        assert!(
            lines.ends_with(&format!(
                " [warn] {}#0: refused, data_plane: id=\"dp-1\"\n",
                process::id()
            )),
            "{lines}"
        );
    }
}
