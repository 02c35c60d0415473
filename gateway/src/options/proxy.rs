//! What serves clients: listeners, workers, and the rules every request follows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use engine::options::Errors;
use ipnet::IpNet;

use super::door::Door;
use super::listen::Listen;
use super::reader::Reader;
use super::tls::Tls;
use super::upstream_tls::UpstreamTls;

/// The data plane's half of a node.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients are served. Empty for `off`, which a data plane may not say.
    pub listen: Vec<Listen>,
    /// Where streams and datagrams are served.
    pub streams: Streams,
    /// How TLS is spoken, where one of them does.
    pub tls: Tls,
    /// How many threads serve them, and where.
    pub workers: Workers,
    /// What is added to responses.
    pub headers: BTreeSet<Header>,
    /// What is added to upstream requests.
    pub headers_upstream: BTreeSet<UpstreamHeader>,
    /// Whether clients that ask are told which route and service they got.
    pub debug_header: bool,
    /// How errors look.
    pub errors: Errors,
    /// Who may say where a request came from.
    pub forwarding: Forwarding,
    /// How clients are treated before anything is known of their requests.
    pub door: Door,
    /// Whether the express lane is taken where it can be.
    pub express_lane: bool,
    /// Whether it asks the kernel by io_uring, where that works.
    pub io_uring: bool,
    /// Idle connections to upstreams.
    pub keepalive: Keepalive,
    /// How TLS is spoken with upstreams.
    pub upstream_tls: UpstreamTls,
    /// Largest request body, bytes; `None` for any.
    pub max_body: Option<u64>,
    /// Requests at a time on one HTTP/2 connection.
    pub http2_streams: u32,
    /// Whether a head that is too large is answered 431 rather than 400.
    pub strict_status: bool,
    /// The public port, by the port listened on.
    pub public_ports: BTreeMap<u16, u16>,
}

/// Streams and datagrams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Streams {
    /// Where they are served. Empty for `off`.
    pub listen: Vec<Listen>,
    /// Whether their threads use io_uring where it works.
    pub io_uring: bool,
}

/// Worker threads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workers {
    /// How many; `None` for as many as the CPUs and the quota allow.
    pub count: Option<usize>,
    /// The CPUs they are pinned to; `None` for those the process may use.
    pub cores: Option<Vec<usize>>,
}

/// A header the gateway adds to responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Header {
    /// `Server`, where the gateway itself answers.
    Server,
    /// `Via`, where an upstream answered.
    Via,
    /// `X-Kong-Proxy-Latency`.
    ProxyLatency,
    /// `X-Kong-Upstream-Latency`.
    UpstreamLatency,
    /// `X-Kong-Response-Latency`.
    ResponseLatency,
    /// `X-Kong-Admin-Latency`.
    AdminLatency,
    /// `X-Kong-Upstream-Status`.
    UpstreamStatus,
    /// `X-Kong-Request-Id`.
    RequestId,
}

/// A header the gateway adds to upstream requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpstreamHeader {
    /// `X-Kong-Request-Id`.
    RequestId,
}

/// Whom to believe about where a request came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Forwarding {
    /// Peers whose X-Forwarded-* headers are believed.
    pub trusted: Vec<IpNet>,
    /// Where a trusted peer says the client's address.
    pub real_ip: RealIp,
    /// Whether trusted addresses in it are skipped, from the right.
    pub recursive: bool,
}

/// Where a trusted peer says the client's address.
#[derive(Clone, Debug, PartialEq)]
pub enum RealIp {
    /// In this header; lower case.
    Header(String),
    /// Before the first byte, by the PROXY protocol.
    ProxyProtocol,
}

/// Idle connections to upstreams, per worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Keepalive {
    /// How many are kept; 0 for none.
    pub pool_size: usize,
    /// How long one may be idle; `None` for as long as it likes.
    pub idle_timeout: Option<Duration>,
    /// How many requests one carries; `None` for any number.
    pub max_requests: Option<u32>,
}

const SERVER_TOKENS: &[Header] = &[Header::Server, Header::Via];
const LATENCY_TOKENS: &[Header] =
    &[Header::ProxyLatency, Header::UpstreamLatency, Header::ResponseLatency, Header::AdminLatency];

impl Reader<'_> {
    pub(super) fn proxy(&mut self, prefix: &Path) -> Proxy {
        let listen = self.proxy_listeners();
        let io_uring = self.choice("stream_backend") == "auto";
        let streams = Streams { listen: self.stream_listeners(), io_uring };
        let workers = Workers { count: self.worker_count(), cores: self.worker_cores() };
        let forwarding = self.forwarding();
        self.point_out_the_unheard(&listen, &forwarding);
        Proxy {
            tls: match listen.iter().chain(&streams.listen).any(|l| l.tls) {
                true => self.proxy_tls(),
                false => Tls::default(),
            },
            listen,
            streams,
            workers,
            headers: self.headers(),
            headers_upstream: self.headers_upstream(),
            debug_header: self.flag("allow_debug_header"),
            errors: self.errors(),
            forwarding,
            door: self.door(prefix),
            express_lane: self.flag("express_lane"),
            io_uring: self.choice("io_backend") == "io_uring",
            keepalive: self.keepalive(),
            upstream_tls: self.upstream_tls(),
            max_body: self.size("nginx_http_client_max_body_size"),
            http2_streams: self.http2_streams(),
            strict_status: self.flag("strict_status"),
            public_ports: self.public_ports(),
        }
    }

    fn http2_streams(&mut self) -> u32 {
        self.whole("nginx_http_http2_max_concurrent_streams", 1..=10_000) as u32
    }

    fn worker_count(&mut self) -> Option<usize> {
        match self.text("workers")? {
            "auto" => None,
            text => {
                let count = text.parse().ok().filter(|count| (1..=1024).contains(count));
                if count.is_none() {
                    self.wrong("workers", "expected auto, or a number from 1 to 1024");
                }
                count
            }
        }
    }

    fn worker_cores(&mut self) -> Option<Vec<usize>> {
        let items = self.list("worker_cores");
        if items.is_empty() {
            return None;
        }
        let cores: Option<Vec<_>> = items.into_iter().map(range).collect();
        if cores.is_none() {
            self.wrong("worker_cores", "expected CPU numbers and ranges, such as 2-7,9");
        }
        let cores: BTreeSet<usize> = cores?.into_iter().flatten().collect();
        Some(cores.into_iter().collect())
    }

    pub(super) fn headers(&mut self) -> BTreeSet<Header> {
        let tokens = self.list("headers");
        let mut headers = BTreeSet::new();
        for token in &tokens {
            match header(token) {
                Some(added) => headers.extend(added),
                None => self.wrong("headers", format!("invalid entry '{token}'")),
            }
        }
        if is_off(&tokens) { BTreeSet::new() } else { headers }
    }

    fn headers_upstream(&mut self) -> BTreeSet<UpstreamHeader> {
        let tokens = self.list("headers_upstream");
        let mut headers = BTreeSet::new();
        for token in &tokens {
            match token.to_ascii_lowercase().as_str() {
                "off" => {}
                "x-kong-request-id" => drop(headers.insert(UpstreamHeader::RequestId)),
                _ => self.wrong("headers_upstream", format!("invalid entry '{token}'")),
            }
        }
        if is_off(&tokens) { BTreeSet::new() } else { headers }
    }

    fn forwarding(&mut self) -> Forwarding {
        let items = self.list("trusted_ips");
        let mut trusted = Vec::new();
        // Peers on local sockets, `unix:`, cannot come: listeners are addresses with a port.
        for item in items.into_iter().filter(|item| *item != "unix:") {
            match network(item) {
                Some(net) => trusted.push(net),
                None => self.wrong(
                    "trusted_ips",
                    format!("`{item}` is not an IPv4 or IPv6 address, a CIDR block or unix:"),
                ),
            }
        }
        Forwarding { trusted, real_ip: self.real_ip(), recursive: self.flag("real_ip_recursive") }
    }

    fn real_ip(&mut self) -> RealIp {
        let text = self.text("real_ip_header").unwrap_or_default();
        if text == "proxy_protocol" {
            return RealIp::ProxyProtocol;
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            self.wrong("real_ip_header", "expected proxy_protocol, or the name of a header");
        }
        RealIp::Header(text.to_ascii_lowercase())
    }

    /// Addresses that would be told by the PROXY protocol, if someone were asked or believed.
    fn point_out_the_unheard(&mut self, listen: &[Listen], forwarding: &Forwarding) {
        if forwarding.real_ip != RealIp::ProxyProtocol {
            return;
        }
        let what = "real_ip_header = proxy_protocol has no effect";
        if !listen.iter().any(|listen| listen.proxy_protocol) {
            self.warn(format!("{what}: no listener of proxy_listen has the flag proxy_protocol"));
        } else if forwarding.trusted.is_empty() {
            self.warn(format!("{what}: trusted_ips is empty, so no balancer is believed"));
        }
    }

    fn keepalive(&mut self) -> Keepalive {
        let idle = Duration::try_from_secs_f64(self.number("upstream_keepalive_idle_timeout"))
            .unwrap_or(Duration::MAX);
        let most = self.whole("upstream_keepalive_max_requests", 0..=u64::from(u32::MAX));
        Keepalive {
            pool_size: self.whole("upstream_keepalive_pool_size", 0..=1 << 20) as usize,
            idle_timeout: (!idle.is_zero()).then_some(idle),
            max_requests: u32::try_from(most).ok().filter(|most| *most > 0),
        }
    }

    fn public_ports(&mut self) -> BTreeMap<u16, u16> {
        let mut ports = BTreeMap::new();
        for item in self.list("port_maps") {
            match port_map(item) {
                Some((public, listening)) => drop(ports.insert(listening, public)),
                None => {
                    self.wrong("port_maps", format!("invalid port mapping (`port_maps`): {item}"))
                }
            }
        }
        ports
    }
}

fn range(text: &str) -> Option<Vec<usize>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to): (usize, usize) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (from <= to && to < 4096).then(|| (from..=to).collect())
}

/// `off` counts where it comes first, and then for everything after it.
fn is_off(tokens: &[&str]) -> bool {
    tokens.first().is_some_and(|first| first.eq_ignore_ascii_case("off"))
}

fn header(token: &str) -> Option<Vec<Header>> {
    Some(match token.to_ascii_lowercase().as_str() {
        "off" => vec![],
        "server_tokens" => SERVER_TOKENS.to_vec(),
        "latency_tokens" => LATENCY_TOKENS.to_vec(),
        "server" => vec![Header::Server],
        "via" => vec![Header::Via],
        "x-kong-proxy-latency" => vec![Header::ProxyLatency],
        "x-kong-upstream-latency" => vec![Header::UpstreamLatency],
        "x-kong-response-latency" => vec![Header::ResponseLatency],
        "x-kong-admin-latency" => vec![Header::AdminLatency],
        "x-kong-upstream-status" => vec![Header::UpstreamStatus],
        "x-kong-request-id" => vec![Header::RequestId],
        _ => return None,
    })
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn port_map(text: &str) -> Option<(u16, u16)> {
    let (public, listening) = text.split_once(':')?;
    let port = |text: &str| text.trim().parse().ok().filter(|port| *port != 0);
    Some((port(public)?, port(listening)?))
}
