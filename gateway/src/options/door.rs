//! How clients are treated before anything is known of their requests: sizes and patience.
//!
//! The names are nginx's directives as Kong takes them; what a directive is without a word from the
//! operator is nginx's as well, but for the memory of a body.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::{Reader, parse_size, parse_time};

/// Limits of one client connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Door {
    /// Bytes of one line of a request's head.
    pub line: usize,
    /// Bytes of all of them.
    pub head: usize,
    /// How long a head may take.
    pub head_timeout: Duration,
    /// How long a client may pause within a body.
    pub body_timeout: Duration,
    /// How long it may take nothing of what it is sent.
    pub send_timeout: Duration,
    /// How long it may be silent between two requests.
    pub idle_timeout: Duration,
    /// How many requests it may make.
    pub requests: u32,
    /// Bytes of a body that are held in memory.
    pub body_memory: usize,
    /// Where the rest is kept.
    pub body_directory: PathBuf,
    /// How many connections each worker may have; `None` for as many as there are descriptors.
    pub connections: Option<u64>,
}

impl Reader<'_> {
    pub(super) fn door(&mut self, prefix: &Path) -> Door {
        let (count, line) = self.head_buffers();
        let idle = self.idle_timeout();
        let requests = self.whole("nginx_http_keepalive_requests", 1..=u64::from(u32::MAX));
        Door {
            line,
            head: count * line,
            head_timeout: self.patience("nginx_http_client_header_timeout"),
            body_timeout: self.patience("nginx_http_client_body_timeout"),
            send_timeout: self.patience("nginx_http_send_timeout"),
            // In nginx, 0 is not impatience: each connection is for one request.
            idle_timeout: if idle.is_zero() { Duration::from_secs(75) } else { idle },
            requests: if idle.is_zero() { 1 } else { requests as u32 },
            body_memory: self.body_memory(),
            body_directory: self.body_directory(prefix),
            connections: self.connections(),
        }
    }

    /// `4 8k`: how many buffers, and how large, which is how large a line may be.
    fn head_buffers(&mut self) -> (usize, usize) {
        const NAME: &str = "nginx_http_large_client_header_buffers";
        let text = self.text(NAME).unwrap_or_default();
        let parsed = || {
            let (count, size) = text.split_once(char::is_whitespace)?;
            let count: usize = count.parse().ok().filter(|count| (1..=64).contains(count))?;
            let size = parse_size(size.trim()).filter(|size| (1024..=64 << 10).contains(size))?;
            Some((count, size as usize))
        };
        parsed().filter(|(count, size)| count * size <= 512 << 10).unwrap_or_else(|| {
            self.wrong(NAME, "expected a number of buffers and the size of one from 1k to 64k, such as 4 8k; together 512k or less");
            (4, 8 << 10)
        })
    }

    /// A second time, which nginx tells clients, is not told.
    fn idle_timeout(&mut self) -> Duration {
        const NAME: &str = "nginx_http_keepalive_timeout";
        let words: Vec<_> = self.text(NAME).unwrap_or_default().split_ascii_whitespace().collect();
        let times: Vec<_> = words.iter().map_while(|word| parse_time(word)).collect();
        match times[..] {
            [idle] | [idle, _] if times.len() == words.len() => idle,
            _ => {
                self.wrong(NAME, "expected a time or two, such as 75s");
                Duration::ZERO
            }
        }
    }

    /// A time that must pass for something to be too late.
    fn patience(&mut self, name: &str) -> Duration {
        let time = self.time(name);
        if time.is_some_and(|time| time.is_zero()) {
            self.wrong(name, "must be more than 0");
        }
        time.unwrap_or_default()
    }

    fn body_memory(&mut self) -> usize {
        const NAME: &str = "nginx_http_client_body_buffer_size";
        let most = 64 << 20;
        let size = self.size(NAME).unwrap_or(0);
        if size > most {
            self.wrong(NAME, "must be 64m or less: every client may have as much");
        }
        size.min(most) as usize
    }

    /// The levels of directories that may follow in nginx are of no use: the files have no names.
    fn body_directory(&self, prefix: &Path) -> PathBuf {
        let text = self.text("nginx_http_client_body_temp_path").unwrap_or_default();
        prefix.join(text.split_ascii_whitespace().next().unwrap_or_default())
    }

    fn connections(&mut self) -> Option<u64> {
        const NAME: &str = "nginx_events_worker_connections";
        let text = self.text(NAME)?;
        if text == "auto" {
            return None;
        }
        let count = text.parse().ok().filter(|count| *count > 0);
        if count.is_none() {
            self.wrong(NAME, "expected auto, or a number of 1 or more");
        }
        count
    }
}
