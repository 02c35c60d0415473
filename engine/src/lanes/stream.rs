//! Streams: from a connection just accepted to the line that is logged when it has ended.
//!
//! A stream is matched once, by where it comes from, where it goes and whom it asks for; then a
//! target of its service is connected to, and bytes are carried both ways. What it holds on to
//! is its route, not the snapshot that had it: streams may last for weeks.
//!
//! [`socket`] says how a thread of streams waits, `relay.rs` how bytes are carried,
//! `datagram.rs` has its own way with UDP.

pub(crate) mod datagram; // UDP: sessions by client
mod hello; // whom a TLS client asks for
mod packets; // datagrams, and where they came to
mod pipe; // bytes that the kernel moves
mod relay; // both ways, until both have finished
pub(crate) mod socket; // calls that never wait, and waiting
pub(crate) mod tls; // opening and closing TLS, on either side
mod upstream; // a target, and another if it fails

use crate::door::proxy_protocol::{self, Decoder, Progress};
use crate::metrics::{Counters, Tally};
use crate::options::{Options, StreamListen};
use crate::proxy::exchange::Failures;
use crate::proxy::log::{AccessLog, StreamRecord};
use crate::resolve::Resolver;
use crate::router::{CompiledStream, Over, StreamView};
use crate::snapshot::{CompiledService, Reader};
use crate::worker::pace::Pace;
use crate::worker::ring;
use crate::worker::tls::Terminator;
use futures::future::{Either, select};
use hello::Hello;
use relay::{Ended, Tools};
use socket::{Polled, Socket};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tls::{Connector, Secured};
use tokio::sync::watch;
use upstream::End;

/// How often all tasks are let go on to end: they need two turns at most.
const TURNS: usize = 8;

type Waits = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// What a thread of streams is given to serve them.
pub(crate) struct Station {
    pub(crate) options: Arc<Options>,
    pub(crate) snapshots: Arc<Reader>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) failures: Failures,
    /// There if any listener speaks TLS.
    pub(crate) terminator: Option<Arc<Terminator>>,
    pub(crate) connector: Arc<Connector>,
    pub(crate) pace: Arc<Pace>,
}

/// The same with what only its thread may touch.
pub(crate) struct Desk {
    pub(crate) station: Station,
    tools: Tools,
    /// Whose turn it is among the addresses of a name.
    turn: Cell<usize>,
    /// Becomes true when whatever is still open has to end.
    cut: watch::Sender<bool>,
}

impl Desk {
    pub(crate) fn new(station: Station) -> Rc<Desk> {
        let (tools, turn, cut) = (Tools::default(), Cell::new(0), watch::Sender::new(false));
        Rc::new(Desk { station, tools, turn, cut })
    }

    /// Ends every stream.
    pub(crate) fn cut_off(&self) {
        self.cut.send_replace(true);
    }

    /// Ends whatever else its thread does, and waits a moment for it: a task that waits for ever
    /// would keep the runtime in memory.
    pub(crate) async fn close_up(&self) {
        self.cut_off();
        for _ in 0..TURNS {
            ring::step_aside().await;
        }
    }

    /// A task that goes on until then.
    pub(crate) async fn until_over(self: Rc<Desk>, task: impl Future) {
        select(pin!(task), pin!(self.until_cut())).await;
    }

    async fn until_cut(&self) {
        let mut cut = self.cut.subscribe();
        drop(cut.wait_for(|is_cut| *is_cut).await);
    }

    fn next_turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// The route for a stream.
    fn find(&self, view: &StreamView<'_>) -> Result<Arc<CompiledStream>, Failure> {
        let snapshot = self.station.snapshots.pin();
        snapshot.streams.find(view).cloned().ok_or(Failure::NoRoute)
    }

    /// Says and counts how a stream ended.
    fn close(
        &self,
        client: IpAddr,
        protocol: &'static str,
        meter: &Meter,
        end: &Result<(), Failure>,
    ) {
        let status = end.as_ref().err().map_or(200, Failure::status);
        let (sent, received) = (meter.sent.get(), meter.received.get());
        self.station.tally.count_stream(status == 200, sent, received);
        if let Err(failure) = end {
            self.tell(client, failure);
        }
        if let Some(log) = &self.station.access_log {
            let (at, took) = (SystemTime::now(), meter.begun.elapsed());
            let record = StreamRecord { client, at, protocol, status, sent, received, took };
            log.record_stream(record);
        }
    }

    fn tell(&self, client: IpAddr, failure: &Failure) {
        let failures = &self.station.failures;
        let restraint = match failure.whose() {
            Whose::Nobodys => return tracing::debug!(%client, "stream ended: {failure}"),
            Whose::Clients => &failures.client,
            Whose::Ours => &failures.upstream,
        };
        match (restraint.take(), failure.whose()) {
            (None, _) => self.station.counters.count_unlogged(),
            (Some(more), Whose::Ours) => tracing::error!(%client, "stream failed: {failure}{more}"),
            (Some(more), _) => tracing::info!(%client, "stream refused: {failure}{more}"),
        }
    }
}

/// How long a stream may stand still.
#[derive(Clone, Copy, Debug)]
struct Deadlines {
    /// Without a byte either way.
    idle: Duration,
    /// While a side takes nothing of what waits for it.
    write: Duration,
}

impl Deadlines {
    fn of(service: &CompiledService) -> Deadlines {
        Deadlines { idle: service.read_timeout, write: service.write_timeout }
    }
}

/// As long as a timer can be set for.
fn far(duration: Duration) -> Duration {
    duration.min(Duration::from_secs(365 * 24 * 3600))
}

/// What has been carried, and when last.
#[derive(Debug)]
struct Meter {
    begun: Instant,
    last: Cell<Instant>,
    /// Bytes from the client.
    received: Cell<u64>,
    /// Bytes to it.
    sent: Cell<u64>,
}

impl Meter {
    fn new() -> Meter {
        let begun = Instant::now();
        Meter { begun, last: Cell::new(begun), received: Cell::new(0), sent: Cell::new(0) }
    }

    fn moved(&self) -> Instant {
        self.last.get()
    }

    fn moved_on(&self) {
        self.last.set(Instant::now());
    }

    fn moved_up(&self, count: usize) {
        self.received.set(self.received.get() + count as u64);
        self.moved_on();
    }

    fn moved_down(&self, count: usize) {
        self.sent.set(self.sent.get() + count as u64);
        self.moved_on();
    }
}

/// Why a stream was not carried to its end. None of the texts has anything in it that a client
/// said.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Introduction(#[from] proxy_protocol::Failed),
    #[error(transparent)]
    Hello(#[from] hello::Failed),
    #[error("the client took too long to say whom it wants")]
    Late,
    #[error("no route for it")]
    NoRoute,
    #[error("route {0} has no service")]
    NoService(model::Id<model::entities::Route>),
    #[error("the TLS handshake with the client failed: {0}")]
    Handshake(String),
    #[error(transparent)]
    Upstream(#[from] upstream::Unreached),
    #[error("nothing moved for as long as read_timeout says")]
    Idle,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the gateway is leaving")]
    Cut,
}

/// Who has to do something about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Nobodys,
    Clients,
    Ours,
}

impl Failure {
    /// As nginx and Kong log it.
    fn status(&self) -> u16 {
        match self {
            Failure::Idle | Failure::Broken(_) => 200,
            Failure::Introduction(_) | Failure::Hello(_) | Failure::Late => 400,
            Failure::NoRoute | Failure::Handshake(_) | Failure::Cut => 500,
            Failure::Upstream(_) => 502,
            Failure::NoService(_) => 503,
        }
    }

    fn whose(&self) -> Whose {
        match self {
            Failure::Idle | Failure::Broken(_) | Failure::Cut => Whose::Nobodys,
            Failure::Introduction(proxy_protocol::Failed::Silent)
            | Failure::Hello(hello::Failed::Gone) => Whose::Nobodys,
            Failure::Introduction(_)
            | Failure::Hello(_)
            | Failure::Late
            | Failure::NoRoute
            | Failure::Handshake(_) => Whose::Clients,
            Failure::NoService(_) | Failure::Upstream(_) => Whose::Ours,
        }
    }
}

/// A connection that was just accepted.
pub(crate) struct Visit {
    pub(crate) io: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) listen: StreamListen,
}

/// One stream, from its first byte to its log line.
pub(crate) async fn serve(desk: &Desk, visit: Visit) {
    let (meter, client) = (Meter::new(), Cell::new(visit.peer));
    let talk = pin!(converse(desk, visit, &client, &meter));
    let end = match select(talk, pin!(desk.until_cut())).await {
        Either::Left((end, _)) => end,
        Either::Right(_) => Err(Failure::Cut),
    };
    desk.close(client.get().ip().to_canonical(), "TCP", &meter, &end);
}

async fn converse(
    desk: &Desk,
    visit: Visit,
    client: &Cell<SocketAddr>,
    meter: &Meter,
) -> Result<(), Failure> {
    let Visit { io, peer, listen } = visit;
    let destination = desk.known_as(match listen.addr.ip().is_unspecified() {
        true => io.local_addr().unwrap_or(listen.addr),
        false => listen.addr,
    });
    let socket = Rc::new(Socket::new(io).map_err(Failure::Broken)?);
    if listen.proxy_protocol {
        let source = timely(desk, introduction(desk, &socket)).await?;
        client.set(source.filter(|_| desk.trusts(peer)).unwrap_or(peer));
    }
    let source = client.get();
    if !listen.tls {
        let view = StreamView { over: Over::Tcp, sni: None, source, destination };
        let route = desk.find(&view)?;
        let service = service_of(&route)?;
        let upstream = upstream::reach(desk, service, None).await?;
        return carry(desk, socket, Vec::new(), upstream, service, meter).await;
    }
    let Hello { bytes, name } = Box::pin(timely(desk, hello::receive(&socket))).await?;
    meter.moved_up(bytes.len());
    let sni = name.as_deref().map(str::as_bytes);
    let route = desk.find(&StreamView { over: Over::Tls, sni, source, destination })?;
    let service = service_of(&route)?;
    if route.passes_tls {
        let upstream = upstream::plain(desk, service).await?;
        return carry(desk, socket, bytes, End::Plain(upstream), service, meter).await;
    }
    // Boxed: handshakes take a lot of room for a moment.
    let client = Box::pin(tls::open(desk, socket, bytes)).await?;
    let named = name.as_deref().filter(|_| route.preserve_host);
    let upstream = upstream::reach(desk, service, named).await?;
    let ended = Box::pin(opened(desk, client, upstream, service, meter)).await;
    outcome(ended)
}

fn service_of(route: &CompiledStream) -> Result<&Arc<CompiledService>, Failure> {
    route.service.as_ref().ok_or(Failure::NoService(route.id))
}

/// What a client must say before it is waited for no longer.
async fn timely<T, E: Into<Failure>>(
    desk: &Desk,
    said: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    let limit = far(desk.station.options.streams.preread_timeout);
    let said = monoio::time::timeout(limit, said).await;
    said.map_err(|_| Failure::Late)?.map_err(Into::into)
}

/// Carries what a client without TLS says; it has said `ahead` already.
async fn carry(
    desk: &Desk,
    client: Rc<Socket>,
    ahead: Vec<u8>,
    upstream: End,
    service: &CompiledService,
    meter: &Meter,
) -> Result<(), Failure> {
    let deadlines = Deadlines::of(service);
    meter.moved_on();
    let ended = match upstream {
        End::Plain(upstream) => {
            let first = monoio::time::timeout(far(deadlines.write), upstream.write_all(&ahead));
            let late = |_| Err(io::ErrorKind::TimedOut.into());
            first.await.unwrap_or_else(late).map_err(Failure::Broken)?;
            drop(ahead);
            relay::between(&client, &upstream, &desk.tools, meter, deadlines).await
        }
        End::Secured(upstream) => {
            let client = Polled::new(client, ahead);
            Box::pin(relay::through(client, *upstream, &desk.tools, meter, deadlines)).await
        }
    };
    outcome(ended)
}

/// The same for a client whose TLS ends here.
async fn opened(
    desk: &Desk,
    client: Secured,
    upstream: End,
    service: &CompiledService,
    meter: &Meter,
) -> Ended {
    let deadlines = Deadlines::of(service);
    meter.moved_on();
    match upstream {
        End::Plain(upstream) => {
            let upstream = Polled::new(upstream, Vec::new());
            relay::through(client, upstream, &desk.tools, meter, deadlines).await
        }
        End::Secured(upstream) => {
            relay::through(client, *upstream, &desk.tools, meter, deadlines).await
        }
    }
}

fn outcome(ended: Ended) -> Result<(), Failure> {
    match ended {
        Ended::Finished => Ok(()),
        Ended::Idle => Err(Failure::Idle),
        Ended::Broken(error) => Err(Failure::Broken(error)),
    }
}

/// Reads the PROXY header a connection begins with, and nothing behind it.
async fn introduction(
    desk: &Desk,
    socket: &Socket,
) -> Result<Option<SocketAddr>, proxy_protocol::Failed> {
    let read = introduced(socket).await;
    if read.is_err() {
        desk.station.counters.count_proxy_header_failed();
    }
    read
}

async fn introduced(socket: &Socket) -> Result<Option<SocketAddr>, proxy_protocol::Failed> {
    use proxy_protocol::Failed;
    let (mut decoder, mut is_first) = (Decoder::default(), true);
    let mut seen = [0; proxy_protocol::PEEK];
    loop {
        // Looked at before it is taken: what follows is not ours to read. Byte by byte would do, were it
        // not for headers of 64 KiB, which would keep everybody else waiting.
        let came = match socket.peek(&mut seen) {
            Ok(Some(came @ 1..)) => came,
            Ok(None) => {
                socket.readable().await.map_err(|_| Failed::Gone)?;
                continue;
            }
            Ok(Some(0)) | Err(_) if is_first => return Err(Failed::Silent),
            Ok(Some(0)) | Err(_) => return Err(Failed::Gone),
        };
        is_first = false;
        let progress = decoder.feed(seen.get(..came).unwrap_or_default())?;
        let (used, relayed) = match progress {
            Progress::More => (came, None),
            Progress::Complete { used, relayed } => (used, Some(relayed)),
        };
        // What was looked at is there to be taken.
        let taken = socket.read(seen.get_mut(..used).unwrap_or_default());
        if !matches!(taken, Ok(Some(taken)) if taken == used) {
            return Err(Failed::Gone);
        }
        if let Some(relayed) = relayed {
            return Ok(relayed.map(|relayed| relayed.source));
        }
    }
}

impl Desk {
    /// An address of ours, with the port that clients know.
    fn known_as(&self, mut local: SocketAddr) -> SocketAddr {
        let public = self.station.options.public_ports.get(&local.port());
        local.set_port(public.copied().unwrap_or(local.port()));
        local
    }

    fn trusts(&self, peer: SocketAddr) -> bool {
        self.station.options.forwarding.trusts(peer.ip())
    }
}
