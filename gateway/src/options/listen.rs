//! `addr:port [flags]`: where a listener binds, and how.

use std::fmt::{self, Display};
use std::mem;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use super::reader::Reader;

/// One entry of `proxy_listen` and its kin, such as `0.0.0.0:8000 backlog=16384`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Where to bind. Port 0 lets the system choose.
    pub addr: SocketAddr,
    /// `ssl`: clients speak TLS.
    pub tls: bool,
    /// `http2`: clients may speak HTTP/2.
    pub http2: bool,
    /// `udp`: clients send datagrams.
    pub udp: bool,
    /// `proxy_protocol`: each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// `backlog=N`: connections that may wait to be accepted.
    pub backlog: Option<u32>,
    /// `ipv6only=on|off`; unset, as the system does, or for clients as nginx does: on.
    pub ipv6_only: Option<bool>,
    /// `so_keepalive=on|idle:interval:count`: whether silent clients are asked if they are there.
    pub keepalive: Option<Probes>,
    /// Flags that are understood and change nothing here.
    pub idle_flags: Vec<String>,
}

/// How silent clients are asked; what is `None` is as the system does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// After how long a silence.
    pub idle: Option<Duration>,
    /// How long between two questions.
    pub interval: Option<Duration>,
    /// How many go unanswered at most.
    pub count: Option<u32>,
}

impl FromStr for Probes {
    type Err = ();

    /// `idle:interval:count`, any of which may be empty. Seconds, but `idle` may be in minutes: `30m`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let [idle, interval, count] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(());
        };
        let probes = Self {
            idle: given(idle)?.map(seconds).transpose()?,
            interval: given(interval)?.map(seconds).transpose()?,
            count: given(count)?.map(|count| count.parse().map_err(drop)).transpose()?,
        };
        if probes == Self::default() { Err(()) } else { Ok(probes) }
    }
}

fn given(part: &str) -> Result<Option<&str>, ()> {
    let fits = part.len() <= 6 && part.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits { Ok(Some(part).filter(|part| !part.is_empty())) } else { Err(()) }
}

fn seconds(text: &str) -> Result<Duration, ()> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b'm') => (text.strip_suffix('m'), 60),
        Some(b'h') => (text.strip_suffix('h'), 3600),
        _ => (Some(text.strip_suffix('s').unwrap_or(text)), 1),
    };
    let number: u64 = number.unwrap_or_default().parse().map_err(drop)?;
    Ok(Duration::from_secs(number * unit))
}

/// Why an entry is not a listener.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ListenError {
    /// Nothing between two commas.
    #[error("an entry is empty")]
    Empty,
    /// Not an address with a port.
    #[error("`{0}` is not <ip>:<port>")]
    Address(String),
    /// Not a flag.
    #[error("`{0}` is not a flag")]
    Flag(String),
    /// A flag of listeners of another sort.
    #[error("`{0}` is not a flag of {1}")]
    Elsewhere(&'static str, Sort),
    /// Two flags of which a listener can have one.
    #[error("`udp` and `{0}` do not go together")]
    WithDatagrams(&'static str),
    /// Not a flag, but close to one, or one with a value that it does not take.
    #[error("`{0}` is not a flag; did you mean {1}?")]
    NearFlag(String, &'static str),
}

/// What is served on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Requests.
    Http,
    /// Streams and datagrams.
    Stream,
}

impl Sort {
    fn of(property: &str) -> Self {
        if property == "stream_listen" { Self::Stream } else { Self::Http }
    }

    fn flags(self) -> &'static str {
        match self {
            Self::Http => "[ssl] [http2] [proxy_protocol] [deferred]",
            Self::Stream => "[udp] [ssl] [proxy_protocol]",
        }
    }
}

impl Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "listeners for requests",
            Self::Stream => "listeners for streams",
        })
    }
}

/// Every flag, as it begins.
const FLAGS: &[&str] = &[
    "udp",
    "ssl",
    "http2",
    "proxy_protocol",
    "deferred",
    "bind",
    "reuseport",
    "backlog=",
    "ipv6only=",
    "so_keepalive=",
];

/// The flag that an unknown one most likely stands for, if any is close.
fn nearest(flag: &str) -> Option<&'static str> {
    let name = flag.split_inclusive('=').next().unwrap_or(flag);
    let by_distance = FLAGS.iter().map(|known| (strsim::osa_distance(name, known), *known));
    let (distance, nearest) = by_distance.min()?;
    (distance <= name.len() / 4 + 1).then_some(nearest)
}

impl Listen {
    fn plain(addr: SocketAddr) -> Self {
        Self {
            addr,
            tls: false,
            http2: false,
            udp: false,
            proxy_protocol: false,
            backlog: None,
            ipv6_only: None,
            keepalive: None,
            idle_flags: Vec::new(),
        }
    }

    /// The same, if it has no flag that means nothing to listeners of this sort.
    fn fit_for(self, sort: Sort) -> Result<Self, ListenError> {
        let is_deferred = self.idle_flags.iter().any(|flag| flag == "deferred");
        let strange = match sort {
            Sort::Http => [("udp", self.udp), ("udp", self.udp)],
            Sort::Stream => [("http2", self.http2), ("deferred", is_deferred)],
        };
        if let Some((flag, _)) = strange.into_iter().find(|(_, has_it)| *has_it) {
            return Err(ListenError::Elsewhere(flag, sort));
        }
        let stream_only = [("ssl", self.tls), ("proxy_protocol", self.proxy_protocol)];
        match stream_only.into_iter().find(|(_, has_it)| self.udp && *has_it) {
            Some((flag, _)) => Err(ListenError::WithDatagrams(flag)),
            None => Ok(self),
        }
    }

    fn apply(&mut self, flag: &str) -> Result<(), ListenError> {
        let unknown = || match nearest(flag) {
            Some(near) => ListenError::NearFlag(flag.to_owned(), near),
            None => ListenError::Flag(flag.to_owned()),
        };
        match flag.split_once('=') {
            None if flag == "ssl" => self.tls = true,
            None if flag == "http2" => self.http2 = true,
            None if flag == "udp" => self.udp = true,
            None if flag == "proxy_protocol" => self.proxy_protocol = true,
            None if matches!(flag, "reuseport" | "bind") => {} // always so
            None if flag == "deferred" => self.idle_flags.push(flag.to_owned()),
            Some(("backlog", n)) => self.backlog = Some(n.parse().map_err(|_| unknown())?),
            Some(("ipv6only", "on")) => self.ipv6_only = Some(true),
            Some(("ipv6only", "off")) => self.ipv6_only = Some(false),
            Some(("so_keepalive", "on")) => self.keepalive = Some(Probes::default()),
            Some(("so_keepalive", "off")) => self.keepalive = None,
            Some(("so_keepalive", how)) => {
                self.keepalive = Some(how.parse().map_err(|()| unknown())?);
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let mut words = text.split_ascii_whitespace();
        let mut listen = Self::plain(address(words.next().ok_or(ListenError::Empty)?)?);
        words.try_for_each(|flag| listen.apply(flag))?;
        Ok(listen)
    }
}

/// All entries of a property, or what is wrong with the first bad one and what would be right.
pub(super) fn parse_listeners(property: &str, text: &str) -> Result<Vec<Listen>, String> {
    if text.trim() == "off" {
        return Ok(Vec::new());
    }
    let sort = Sort::of(property);
    let parse = |entry: &str| entry.parse().and_then(|listen: Listen| listen.fit_for(sort));
    text.trim_end_matches(|c: char| c == ',' || c.is_whitespace()).split(',').map(parse).collect::<Result<_, _>>().map_err(
        |error: ListenError| {
            let flags = sort.flags();
            format!(
                "{property} must be of form: [off] | <ip>:<port> {flags} [bind] \
                 [reuseport] [backlog=N] [ipv6only=on|off] [so_keepalive=on|off|idle:interval:count], \
                 [... next entry ...]; {error}"
            )
        },
    )
}

fn address(text: &str) -> Result<SocketAddr, ListenError> {
    let bad = || ListenError::Address(text.to_owned());
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    if host == "*" {
        return Ok(SocketAddr::from(([0, 0, 0, 0], port)));
    }
    // A name, such as `localhost`, stands for the first of its addresses, as in nginx.
    let is_name = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    #[expect(clippy::disallowed_methods, reason = "at start, when nothing waits for this thread")]
    let found = is_name.then(|| (host, port).to_socket_addrs().ok()?.next()).flatten();
    found.ok_or_else(bad)
}

impl Reader<'_> {
    /// The listeners of a property that operators connect to.
    pub(super) fn listeners(&mut self, name: &'static str) -> Vec<Listen> {
        let listed = self.listed(name);
        self.refuse_proxy_protocol(name, &listed);
        self.claim(name, listed)
    }

    /// Where clients are served, with TLS and without.
    pub(super) fn proxy_listeners(&mut self) -> Vec<Listen> {
        self.any_listeners("proxy_listen")
    }

    /// Where streams and datagrams are served.
    pub(super) fn stream_listeners(&mut self) -> Vec<Listen> {
        self.any_listeners("stream_listen")
    }

    fn refuse_proxy_protocol(&mut self, name: &str, listeners: &[Listen]) {
        for listen in listeners.iter().filter(|listen| listen.proxy_protocol) {
            self.wrong(name, format!("only the listeners of proxy_listen and stream_listen speak the PROXY protocol; take the flag from {}", listen.addr));
        }
    }

    /// The listeners of a property whose transport is not a flag's business.
    pub(super) fn any_listeners(&mut self, name: &'static str) -> Vec<Listen> {
        let listed = self.listed(name);
        self.claim(name, listed)
    }

    fn listed(&mut self, name: &str) -> Vec<Listen> {
        // What is not a listener has been noted by the check of all properties.
        let listeners = parse_listeners(name, self.text(name).unwrap_or("off")).unwrap_or_default();
        for listen in &listeners {
            for flag in &listen.idle_flags {
                self.warn(format!("{name}: the flag `{flag}` of {} has no effect", listen.addr));
            }
        }
        listeners
    }

    /// Remembers them, to be held against each other.
    fn claim(&mut self, name: &'static str, listeners: Vec<Listen>) -> Vec<Listen> {
        self.claimed.extend(listeners.iter().map(|listen| (name, listen.clone())));
        listeners
    }

    pub(super) fn require_listener(&mut self, name: &str, role: &str) {
        if self.text(name).is_none_or(|text| text.trim() == "off") {
            self.wrong(name, format!("{name} must be specified when role = \"{role}\""));
        }
    }

    /// Two properties that want one address are a mistake of configuration, not of the network.
    pub(super) fn refuse_shared_addresses(&mut self) {
        let all = mem::take(&mut self.claimed);
        for (at, (name, listen)) in all.iter().enumerate() {
            let clashes =
                |other: &Listen| listen.udp == other.udp && overlap(listen.addr, other.addr);
            let clash = all.iter().take(at).find(|(_, other)| clashes(other));
            if let Some((other_name, other)) = clash {
                self.wrong(
                    name,
                    format!("{} is taken by {} of {other_name}", listen.addr, other.addr),
                );
            }
        }
    }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip()
        || (a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified()));
    a.port() != 0 && a.port() == b.port() && same_ip
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_in_any_order() {
        let listen: Listen = "127.0.0.1:8443  backlog=16384 http2   ssl reuseport".parse().unwrap();
        let expected = Listen {
            tls: true,
            http2: true,
            backlog: Some(16384),
            ..Listen::plain("127.0.0.1:8443".parse().unwrap())
        };
        assert_eq!(listen, expected);
    }

    #[test]
    fn what_is_no_address_or_flag_is_named() {
        for (text, error) in [
            ("", ListenError::Empty),
            ("127.0.0.1", ListenError::Address("127.0.0.1".to_owned())),
            ("127.0.0.1:99999", ListenError::Address("127.0.0.1:99999".to_owned())),
            ("::1:80", ListenError::Address("::1:80".to_owned())),
            ("unix:/run/x", ListenError::Address("unix:/run/x".to_owned())),
            ("127.0.0.1:1 fast", ListenError::Flag("fast".to_owned())),
            ("127.0.0.1:1 htp2", ListenError::NearFlag("htp2".to_owned(), "http2")),
            (
                "127.0.0.1:1 proxy-protocol",
                ListenError::NearFlag("proxy-protocol".to_owned(), "proxy_protocol"),
            ),
            ("127.0.0.1:1 backlogs=5", ListenError::NearFlag("backlogs=5".to_owned(), "backlog=")),
            (
                "127.0.0.1:1 backlog=many",
                ListenError::NearFlag("backlog=many".to_owned(), "backlog="),
            ),
            (
                "127.0.0.1:1 so_keepalive=1:2",
                ListenError::NearFlag("so_keepalive=1:2".to_owned(), "so_keepalive="),
            ),
        ] {
            assert_eq!(text.parse::<Listen>(), Err(error), "{text}");
        }
    }

    #[test]
    fn addresses_may_be_ipv6_any_or_a_name() {
        for (text, addr) in
            [("[::1]:80", "[::1]:80"), ("*:80", "0.0.0.0:80"), ("[::]:80 ipv6only=on", "[::]:80")]
        {
            assert_eq!(text.parse::<Listen>().unwrap().addr.to_string(), addr);
        }
        assert!("localhost:80".parse::<Listen>().unwrap().addr.ip().is_loopback());
    }

    #[test]
    fn silent_clients_are_asked_as_told() {
        let asked = |flag: &str| {
            let listen: Listen = format!("127.0.0.1:1 so_keepalive={flag}").parse().unwrap();
            listen.keepalive
        };
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(asked("off"), None);
        assert_eq!(asked("on"), Some(Probes::default()));
        assert_eq!(
            asked("30m::10"),
            Some(Probes { idle: seconds(1800), interval: None, count: Some(10) })
        );
        assert_eq!(
            asked("5:6:"),
            Some(Probes { idle: seconds(5), interval: seconds(6), count: None })
        );
        for flag in ["::", "1:2", "x:1:1", "1:1:1:1", "99999999:1:1"] {
            let flag = format!("so_keepalive={flag}");
            assert_eq!(
                format!("127.0.0.1:1 {flag}").parse::<Listen>(),
                Err(ListenError::NearFlag(flag, "so_keepalive="))
            );
        }
    }

    #[test]
    fn requests_and_streams_have_flags_of_their_own() {
        let stream = |text: &str| parse_listeners("stream_listen", text);
        let [plain, secure, datagrams] =
            &stream("0.0.0.0:1, 0.0.0.0:2 ssl, 0.0.0.0:2 udp").unwrap()[..]
        else {
            panic!("three")
        };
        assert_eq!([plain.tls, secure.tls, datagrams.tls], [false, true, false]);
        assert_eq!([plain.udp, secure.udp, datagrams.udp], [false, false, true]);
        for (property, text, why) in [
            ("stream_listen", "0.0.0.0:1 http2", "`http2` is not a flag of listeners for streams"),
            (
                "stream_listen",
                "0.0.0.0:1 deferred",
                "`deferred` is not a flag of listeners for streams",
            ),
            ("stream_listen", "0.0.0.0:1 udp ssl", "`udp` and `ssl` do not go together"),
            (
                "stream_listen",
                "0.0.0.0:1 udp proxy_protocol",
                "`udp` and `proxy_protocol` do not go together",
            ),
            ("proxy_listen", "0.0.0.0:1 udp", "`udp` is not a flag of listeners for requests"),
        ] {
            let told = parse_listeners(property, text).unwrap_err();
            assert!(told.starts_with(property) && told.ends_with(why), "{told}");
        }
    }

    #[test]
    fn off_is_no_listener() {
        assert_eq!(parse_listeners("proxy_listen", " off "), Ok(vec![]));
        assert_eq!(
            parse_listeners("proxy_listen", "127.0.0.1:1, 127.0.0.1:2,").map(|l| l.len()),
            Ok(2)
        );
    }

    #[test]
    fn one_address_serves_one_purpose() {
        for (a, b, clash) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("[::]:1", "127.0.0.1:1", false),
        ] {
            assert_eq!(overlap(a.parse().unwrap(), b.parse().unwrap()), clash, "{a} {b}");
        }
    }
}
