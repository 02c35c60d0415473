//! The least a proxy on Pingora can cost, to measure the gateway's Pingora lane against.
//!
//! It sends every request to one address, over connections that stay open, and decides nothing.
//! With `--headers` it also takes `/load` off the path and sets the headers that the gateway sets,
//! from the same sources, which is the work a gateway cannot do without. It is Pingora's own
//! listener and one thread, as Pingora is used by those who only configure it.

#![forbid(unsafe_code)]

use async_trait::async_trait;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{HttpPeer, Result, Server, http_proxy_service};
use pingora::proxy::{ProxyHttp, Session};
use pingora::server::configuration::ServerConf;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The gateway's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "Usage: floor LISTEN UPSTREAM [--headers], both as ADDRESS:PORT\n";
/// What [`Headed`] takes off a path.
const PREFIX: &str = "/load";
const VIA: &str = "1.1 floor";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream, rest @ ..] = arguments.as_slice() else { return usage() };
    let Ok(upstream) = upstream.parse::<SocketAddr>() else { return usage() };
    match rest {
        [] => serve(listen, Bare { upstream }),
        [flag] if flag == "--headers" => {
            let host = upstream.to_string();
            serve(listen, Headed { upstream, host, count: AtomicU64::new(0) })
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    use std::io::Write as _;
    // Nobody is left to tell where that fails.
    drop(std::io::stderr().write_all(USAGE.as_bytes()));
    ExitCode::from(2)
}

/// Serves until the process is killed.
fn serve<P>(listen: &str, proxy: P) -> !
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync + Default + 'static,
{
    let conf =
        ServerConf { threads: 1, upstream_keepalive_pool_size: 512, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}

/// The peer of every request, with the timeouts a service has.
fn peer(upstream: SocketAddr) -> Box<HttpPeer> {
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(60));
    let mut peer = HttpPeer::new(upstream, false, String::new());
    peer.options.connection_timeout = TIMEOUT;
    peer.options.read_timeout = TIMEOUT;
    peer.options.write_timeout = TIMEOUT;
    peer.options.idle_timeout = TIMEOUT;
    Box::new(peer)
}

/// Does nothing.
struct Bare {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(peer(self.upstream))
    }
}

/// Sets the headers that a gateway sets.
struct Headed {
    upstream: SocketAddr,
    /// The upstream, as its `Host`.
    host: String,
    /// Of requests; their ids.
    count: AtomicU64,
}

/// What [`Headed`] remembers of a request.
#[derive(Default)]
struct Times {
    id: String,
    began: Option<Instant>,
    sent: Option<Instant>,
}

impl Times {
    /// The milliseconds of the gateway's own, and those of the upstream.
    fn shares(&self) -> (u128, u128) {
        let sent = self.sent.or(self.began);
        let own = self.began.zip(sent).map_or(0, |(began, sent)| (sent - began).as_millis());
        (own, sent.map_or(0, |sent| sent.elapsed().as_millis()))
    }
}

#[async_trait]
impl ProxyHttp for Headed {
    type CTX = Times;

    fn new_ctx(&self) -> Times {
        Times { began: Some(Instant::now()), ..Times::default() }
    }

    async fn upstream_peer(&self, _: &mut Session, times: &mut Times) -> Result<Box<HttpPeer>> {
        times.sent = Some(Instant::now());
        Ok(peer(self.upstream))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        times: &mut Times,
    ) -> Result<()> {
        let client = session.client_addr().and_then(|addr| addr.as_inet()).map(|addr| addr.ip());
        let client = client.map(|ip| ip.to_string()).unwrap_or_default();
        let port = session.server_addr().and_then(|addr| addr.as_inet()).map(|addr| addr.port());
        let asked = request.headers.get("host").and_then(|host| host.to_str().ok());
        let asked = asked.unwrap_or_default().split(':').next().unwrap_or_default().to_owned();
        let path = request.uri.path_and_query().map(|path| path.as_str()).unwrap_or("/").to_owned();
        let taken = path.strip_prefix(PREFIX).filter(|rest| rest.starts_with('/'));
        request.set_raw_path(taken.unwrap_or(&path).as_bytes())?;
        times.id = format!("{:032x}", self.count.fetch_add(1, Relaxed));
        request.insert_header("Host", self.host.as_str())?;
        request.insert_header("Connection", "keep-alive")?;
        request.insert_header("Via", VIA)?;
        request.insert_header("X-Forwarded-For", client.as_str())?;
        request.insert_header("X-Forwarded-Proto", "http")?;
        request.insert_header("X-Forwarded-Host", asked)?;
        request.insert_header("X-Forwarded-Port", port.unwrap_or_default())?;
        let asked_for = path.split('?').next().unwrap_or_default();
        request.insert_header("X-Forwarded-Path", asked_for)?;
        request.insert_header("X-Forwarded-Prefix", PREFIX)?;
        request.insert_header("X-Real-IP", client)?;
        request.insert_header("X-Kong-Request-Id", times.id.as_str())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        times: &mut Times,
    ) -> Result<()> {
        // As nginx does, and so Kong and the gateway.
        if response.headers.get("content-type").is_some_and(|media| media == "text/plain") {
            response.insert_header("Content-Type", "text/plain; charset=UTF-8")?;
        }
        let (own, upstream) = times.shares();
        response.insert_header("Via", VIA)?;
        response.insert_header("X-Kong-Upstream-Latency", upstream.to_string())?;
        response.insert_header("X-Kong-Proxy-Latency", own.to_string())?;
        response.insert_header("X-Kong-Request-Id", times.id.as_str())
    }
}
