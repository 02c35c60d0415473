//! Which lines are logged, and where to.

use std::path::{Path, PathBuf};

use super::Mode;
use super::reader::Reader;

/// Where log lines go.
#[derive(Clone, Debug, PartialEq)]
pub struct Logs {
    /// The least severe ones that count.
    pub level: Level,
    /// Everything but what has a place of its own.
    pub error: Destination,
    /// What the Admin API says.
    pub admin_error: Destination,
    /// Streams that failed.
    pub stream_error: Destination,
    /// Requests of clients.
    pub access: Destination,
    /// Their streams.
    pub stream_access: Destination,
    /// Requests of the Admin API.
    pub admin_access: Destination,
}

/// One place for log lines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to; absolute.
    File(PathBuf),
}

/// How severe a line is, in nginx's and Kong's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words are their own explanation")]
pub enum Level {
    Debug,
    Info,
    Notice,
    Warn,
    Error,
    Crit,
    Alert,
    Emerg,
}

impl Logs {
    /// Each destination with the property that names it.
    pub(super) fn by_property(&self) -> [(&'static str, &Destination); 6] {
        [
            ("proxy_error_log", &self.error),
            ("admin_error_log", &self.admin_error),
            ("proxy_stream_error_log", &self.stream_error),
            ("proxy_access_log", &self.access),
            ("proxy_stream_access_log", &self.stream_access),
            ("admin_access_log", &self.admin_access),
        ]
    }
}

impl Level {
    const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warn,
        Self::Error,
        Self::Crit,
        Self::Alert,
        Self::Emerg,
    ];

    /// The level of this name.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.word() == word)
    }

    /// As `log_level` and every line of a log spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Crit => "crit",
            Self::Alert => "alert",
            Self::Emerg => "emerg",
        }
    }
}

impl Reader<'_> {
    pub(super) fn logs(&mut self, prefix: &Path, mode: Mode) -> Logs {
        let level = self.level();
        let mut to = |name: &str, terminal| self.destination(name, prefix, mode, terminal);
        Logs {
            level,
            error: to("proxy_error_log", Destination::Stderr),
            admin_error: to("admin_error_log", Destination::Stderr),
            stream_error: to("proxy_stream_error_log", Destination::Stderr),
            access: to("proxy_access_log", Destination::Stdout),
            stream_access: to("proxy_stream_access_log", Destination::Stdout),
            admin_access: to("admin_access_log", Destination::Stdout),
        }
    }

    fn level(&mut self) -> Level {
        Level::of(self.choice("log_level")).unwrap_or(Level::Notice)
    }

    /// Where a log goes: as said, else to the terminal if there is one, else to the default file.
    fn destination(
        &mut self,
        name: &str,
        prefix: &Path,
        mode: Mode,
        terminal: Destination,
    ) -> Destination {
        if mode == Mode::Foreground && !self.is_set(name) {
            return terminal;
        }
        let text = self.text(name).unwrap_or("off");
        let (place, format) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if !format.trim().is_empty() {
            self.warn(format!(
                "{name}: the format `{}` has no effect: lines have the default format",
                format.trim()
            ));
        }
        if place.starts_with("syslog:") {
            self.wrong(name, "logging to syslog is not part of this version; use a file, /dev/stdout, /dev/stderr or off");
        }
        match place {
            "off" => Destination::Off,
            "/dev/stdout" | "/proc/self/fd/1" => Destination::Stdout,
            "/dev/stderr" | "/proc/self/fd/2" => Destination::Stderr,
            file => Destination::File(prefix.join(file)),
        }
    }
}
