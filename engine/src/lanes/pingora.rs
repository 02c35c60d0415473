//! The Pingora lane: one request at a time through Pingora's HTTP proxy.
//!
//! It holds no decision. Each phase hands on to the pipeline and repeats what that
//! decided on Pingora's types; see [`relay`] for the translation. What Pingora parses was
//! written by the door and says where the message ends; the head that goes upstream is the
//! exchange's, in its final form.

mod gathered; // a request whose body has come before it
mod grpc; // upstreams over HTTP/2
mod heads; // of messages, in Pingora's types
mod progress; // of a request that came by HTTP/2
mod peer; // where a try goes
mod relay;
mod stall; // calls that stream, and no longer do
mod uses; // of upstream connections

use crate::door::{BoundedStream, Next, Portable, Spool, Transport};
use crate::options::Keepalive;
use crate::proxy::exchange::Exchange;
use crate::proxy::log::Outcome;
use crate::proxy::response;
use crate::proxy::upstream::Failure;
use async_trait::async_trait;
use bytes::Bytes;
use gathered::Gathered;
use http::HeaderMap;
use pingora::apps::HttpServerApp as _;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::proxy::{FailToProxy, HttpProxy, ProxyHttp, ProxyWarnLogContext, Session, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora::{BError, Error, ErrorSource, Result};
use progress::Progress;
use stall::Stall;
use std::any::Any;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uses::Uses;

/// Interim responses an upstream may say before its final one: each starts its time to say more
/// anew, so that without an end to them a request would have none. One per few seconds, as of
/// `102 Processing`, makes this most of an hour.
const MOST_INTERIM: u32 = 1000;

/// One worker's instance: its upstream connections are its own.
pub(crate) struct Pingora {
    proxy: Arc<HttpProxy<Phases>>,
    draining: ShutdownWatch,
}

impl Pingora {
    /// Costs milliseconds: to be built before the worker serves, and before its
    /// thread is pinned.
    pub(crate) fn new(keepalive: Keepalive, trust: &Trust, draining: ShutdownWatch) -> Pingora {
        let conf = ServerConf {
            ca_file: Some(trust.path()),
            threads: 1,
            upstream_keepalive_pool_size: keepalive.pool_size.max(1),
            // The pipeline counts tries; this only must not come before it.
            max_retries: usize::MAX,
            ..ServerConf::default()
        };
        let proxy = http_proxy(&Arc::new(conf), Phases { keepalive, uses: Uses::new(keepalive) });
        Pingora { proxy: Arc::new(proxy), draining }
    }

    /// Carries one request of an HTTP/1 connection.
    pub(crate) async fn carry<T: Portable>(
        &self,
        exchange: Box<Exchange>,
        stream: BoundedStream<T>,
    ) -> Next {
        let client = exchange.client().clone();
        let mut session = ServerSession::new_http1(Box::new(stream));
        session.set_connection_user_context(Some(exchange));
        match self.proxy.process_new_http(session, &self.draining).await {
            Some(_) => Next::Keep,
            // After an error Pingora lets go of the connection, answered or not.
            None if client.take_answered() => Next::Keep,
            None => Next::Close,
        }
    }
}

impl Pingora {
    /// Carries one request of an HTTP/2 connection, whose body may have come already. Says whether
    /// it was answered.
    pub(crate) async fn carry_http2(
        &self,
        exchange: Box<Exchange>,
        mut session: HttpSession,
        body: Option<Spool>,
    ) -> bool {
        let has_come = body.is_some() || session.is_body_empty();
        let progress = Arc::new(relay::progress(&exchange, has_come));
        let mut header = match heads::replayed(exchange.head(), exchange.terms()) {
            Ok(header) => header,
            Err(error) => {
                tracing::error!(request_id = exchange.id().as_str(), %error, "no head for a lane");
                return false;
            }
        };
        let given = Given { exchange, progress: progress.clone() };
        header.extensions_mut().insert(Handed(Arc::new(Mutex::new(Some(given)))));
        *session.req_header_mut() = header;
        let session = match body {
            Some(body) => ServerSession::new_custom(Box::new(Gathered::new(session, body))),
            None => ServerSession::new_http2(session),
        };
        tokio::select! {
            _ = self.proxy.process_new_http(session, &self.draining) => {}
            () = progress.is_hopeless() => {}
        }
        progress.is_answered()
    }
}

/// Puts before a request's body the head that Pingora is to find there. It looks in it for where the
/// message ends only; what goes upstream over HTTP/1 is made of the exchange's own head when it is
/// sent, so that it is not written to be parsed, and parsed to be copied.
pub(crate) fn show<T: Transport>(exchange: &Exchange, stream: &mut BoundedStream<T>) {
    match exchange.is_to_grpc() {
        true => stream.replay(exchange.head(), &exchange.terms()),
        false => stream.replay_frame(exchange.head(), &exchange.terms()),
    }
}

/// What a phase needs of an HTTP/2 request, on its way through Pingora in the request's head:
/// there is no other way for it.
#[derive(Clone)]
struct Handed(Arc<Mutex<Option<Given>>>);

struct Given {
    exchange: Box<Exchange>,
    progress: Arc<Progress>,
}

/// Starts Pingora's timer thread, which inherits the calling thread's affinity:
/// before any is pinned.
pub(crate) fn start_timers() {
    drop(pingora::prelude::timeout(Duration::ZERO, std::future::pending::<()>()));
}

/// A trust store for Pingora's connectors: one certificate whose key nobody has.
/// Without it each would parse all the system's, 32 ms and 2 MiB apiece, and none
/// is needed: trust comes with the peer.
pub(crate) struct Trust {
    file: OwnedFd,
}

impl Trust {
    pub(crate) fn nobody() -> std::io::Result<Trust> {
        let file = rustix::fs::memfd_create("trust", rustix::fs::MemfdFlags::CLOEXEC)?;
        std::fs::File::from(file.try_clone()?).write_all(include_bytes!("pingora/nobody.pem"))?;
        Ok(Trust { file })
    }

    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }
}

/// The pipeline's phases, seen by Pingora.
struct Phases {
    keepalive: Keepalive,
    uses: Uses,
}

/// What Pingora holds of a request: there from the first phase on.
#[derive(Default)]
struct Carried {
    exchange: Option<Box<Exchange>>,
    /// For a request that came by HTTP/2.
    progress: Option<Arc<Progress>>,
    /// It goes on being sent while it is carried, so that it is watched for a stall.
    streams: bool,
    /// The connection of this try, if it is this request's alone.
    connection: Option<RawFd>,
    /// Interim responses so far.
    interim: u32,
}

impl Carried {
    fn exchange(&mut self) -> Result<&mut Exchange> {
        self.exchange.as_deref_mut().ok_or_else(relay::nothing_carried)
    }

    /// Takes over what was handed along with an HTTP/2 request, the first time.
    fn adopt(&mut self, session: &mut Session) {
        if self.exchange.is_some() {
            return;
        }
        let handed = session.req_header_mut().extensions_mut().remove::<Handed>();
        let given = handed.and_then(|h| h.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(Given { exchange, progress }) = given {
            relay::begin(session, &exchange);
            (self.exchange, self.progress) = (Some(exchange), Some(progress));
        }
    }

    /// What watches it, if it streams.
    fn stall(&self) -> Option<&Stall> {
        self.progress.as_ref().filter(|_| self.streams).map(|progress| &progress.stall)
    }

    /// Something has come from either side.
    fn note_movement(&self) {
        if let Some(stall) = self.stall() {
            stall.note_movement();
        }
    }

    /// Another interim response, which says that there is an answer to come.
    fn note_interim(&mut self) -> Result<()> {
        self.interim += 1;
        let too_many = || relay::named(Failure::Garbage, ErrorSource::Upstream);
        (self.interim <= MOST_INTERIM).then_some(()).ok_or_else(too_many)
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(progress) = self.progress.as_ref().filter(|_| outcome != Outcome::GONE) {
            progress.note_answered();
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.end(outcome);
        }
    }
}

impl Drop for Carried {
    /// What its task has let go of is told as the failure it is.
    fn drop(&mut self) {
        let failure = self.progress.as_ref().and_then(|progress| progress.failure());
        let exchange = self.exchange.as_deref().filter(|exchange| !exchange.is_over());
        if let Some((exchange, failure)) = exchange.zip(failure) {
            self.end(relay::let_go(exchange, failure));
        }
    }
}

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = Carried;

    fn new_ctx(&self) -> Carried {
        Carried::default()
    }

    fn init_downstream_modules(&self, _modules: &mut pingora::modules::http::HttpModules) {}

    fn on_connection_reuse(
        &self,
        session: &mut Session,
        ctx: &mut Carried,
        exchange: Box<dyn Any + Send + Sync>,
    ) {
        ctx.exchange = exchange.downcast().ok();
        if let Ok(exchange) = ctx.exchange() {
            relay::begin(session, exchange);
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Carried,
    ) -> Result<Box<HttpPeer>> {
        ctx.adopt(session);
        if let Some(progress) = &ctx.progress {
            progress.rest();
        }
        let mut peer = peer::peer(ctx.exchange()?, self.keepalive).await?;
        let of_grpc = ctx.progress.is_some() && ctx.exchange()?.is_to_grpc();
        ctx.streams = of_grpc && !grpc::is_whole(session.as_downstream_mut());
        if ctx.streams {
            peer.options.read_timeout = None; // see `stall`
        }
        Ok(peer)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        fd: RawFd,
        digest: Option<&Digest>,
        ctx: &mut Carried,
    ) -> Result<()> {
        ctx.connection = Some(fd).filter(|_| peer::is_alone(peer));
        peer::admit(peer, digest, fd, reused, &self.uses)
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Carried,
    ) -> Result<()> {
        relay::request(ctx.exchange()?, request)?;
        if let Some(progress) = &ctx.progress {
            progress.listen();
        }
        let patience = relay::patience(ctx.exchange()?);
        if let Some(stall) = ctx.stall() {
            stall.watch(patience);
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Carried,
    ) -> Result<()> {
        if let Some(progress) = &ctx.progress {
            progress.hear(end_of_stream);
        }
        ctx.note_movement();
        relay::request_body(ctx.exchange()?, body, end_of_stream)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        header: &mut ResponseHeader,
        ctx: &mut Carried,
    ) -> Result<()> {
        ctx.note_movement();
        if !response::is_final(header.status.as_u16()) {
            return ctx.note_interim();
        }
        let stays = relay::response(session, ctx.exchange()?, header)?;
        // Pingora reads the first `Connection` only, and prefers what it says of going on.
        if let Some(fd) = ctx.connection.filter(|_| !stays) {
            self.uses.retire(fd);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end_of_stream: bool,
        ctx: &mut Carried,
    ) -> Result<Option<Duration>> {
        ctx.note_movement();
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        _ctx: &mut Carried,
    ) -> Result<Option<Bytes>> {
        grpc::settle_trailers(trailers);
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Carried,
        error: BError,
    ) -> BError {
        relay::unconnected(session, ctx.exchange().ok(), error.into_up())
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: BError,
        ctx: &mut Carried,
        reused: bool,
    ) -> BError {
        relay::failed(session, ctx.exchange().ok(), error, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Carried,
    ) -> FailToProxy {
        let error_code = relay::give_up(session, ctx.exchange().ok(), error).await;
        if error_code > 0 {
            ctx.end(relay::outcome(session));
            relay::see_off(session).await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Carried) {
        ctx.end(relay::outcome(session));
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Carried, _error: &Error) -> bool {
        true // the pipeline says what there is to say
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Carried,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
