//! A worker: one pinned core, one thread, one runtime, its connections, its pools.
//!
//! Workers share nothing on a request's way but what is immutable; a worker's
//! counters are read by others, and a just-accepted socket may change hands.
//! Leaving the thread ends the runtime, and with it whatever is still open.

pub(crate) mod cores; // how many, and where
pub(crate) mod listen; // sockets, accepting, evening out
pub(crate) mod tls; // server name → certificate, and the handshake
pub(crate) mod pace; // how many handshakes go on at a time
pub(crate) mod ring; // what a runtime for streams waits with
pub(crate) mod stream; // a thread of streams, beside a worker
pub(crate) mod drain; // leaving
pub(crate) mod companion; // a second thread, whose connections a ring carries

use crate::door::proxy_protocol::{self, Failed, Relayed};
use crate::door::{self, BoundedStream, Ending, Portable};
use crate::lanes::{Carrier, Lanes};
use crate::metrics::Connection;
use crate::options::Listen;
use crate::proxy::exchange::{Client, Ends, Secured, Station};
use crate::proxy::hygiene::Refusal;
use crate::proxy::restraint::Restraint;
use companion::{Errand, Returned};
use drain::{Guest, Guests, Order};
use listen::{Accepted, Acceptor, Board, Given};
use pace::Pace;
use pingora::protocols::SocketDigest;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use tls::{Alpn, Offer, Terminator};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Everything a worker's thread needs to begin.
pub(crate) struct Worker {
    pub(crate) core: Option<usize>,
    pub(crate) runtime: Runtime,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) inbox: UnboundedReceiver<Given>,
    /// What its companion gives back.
    pub(crate) back: Option<UnboundedReceiver<Returned>>,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) post: Arc<Post>,
}

/// What a worker's connections share.
pub(crate) struct Post {
    pub(crate) index: usize,
    pub(crate) board: Arc<Board>,
    pub(crate) station: Arc<Station>,
    pub(crate) lanes: Arc<Lanes>,
    /// Where connections in cleartext go, if io_uring carries them.
    pub(crate) companion: Option<UnboundedSender<companion::Given>>,
    /// The listeners, in order, with the ports they have.
    pub(crate) listen: Vec<Listen>,
    /// There if any of them speaks TLS.
    pub(crate) tls: Option<Arc<Terminator>>,
    pub(crate) pace: Arc<Pace>,
    /// How often it is said that there is no place for another connection.
    pub(crate) full: Restraint,
}

/// What counts a connection for as long as it lasts.
type Held = (Connection, Guest);

/// Who has connected, and where.
struct Caller<'a> {
    digest: Arc<SocketDigest>,
    ends: Ends,
    listener: usize,
    listen: &'a Listen,
}

impl Worker {
    /// Pins the calling thread, says which core it got, and serves until told to
    /// leave.
    pub(crate) fn run(self, begun: impl FnOnce(Option<usize>)) {
        begun(self.core.filter(|&core| pinned(self.post.index, core)));
        let Worker { runtime, listeners, inbox, back, orders, post, .. } = self;
        runtime.block_on(post.serve(listeners, inbox, back, orders));
        // A disk that hangs with somebody's body holds up nobody's leaving.
        runtime.shutdown_background();
    }
}

fn pinned(worker: usize, core: usize) -> bool {
    match cores::pin(core) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(worker, core, %error, "cannot pin a worker to its core; it runs unpinned");
            false
        }
    }
}

impl Post {
    async fn serve(
        self: Arc<Post>,
        listeners: Vec<TcpListener>,
        mut inbox: UnboundedReceiver<Given>,
        back: Option<UnboundedReceiver<Returned>>,
        mut orders: watch::Receiver<Order>,
    ) {
        let guests = Guests::new();
        let reader = self.station.snapshots.clone();
        // An idle worker, too, lets go of what has been superseded.
        let refreshing = tokio::spawn(async move {
            loop {
                drop(reader.changed().await);
            }
        });
        let pacing = tokio::spawn(self.pace.clone().keep(tokio::task::yield_now));
        let lanes = self.lanes.clone();
        let tending = tokio::spawn(async move { lanes.tend().await });
        let returning = back.map(|back| tokio::spawn(self.clone().take_back(back)));
        let mut accepting = JoinSet::new();
        for (listener, socket) in listeners.into_iter().enumerate() {
            let (post, orders, guest) = (self.clone(), orders.clone(), guests.welcome());
            accepting.spawn(post.accept(listener, socket, orders, guest));
        }
        let by = {
            let mut leaving = std::pin::pin!(drain::told_to_leave(&mut orders));
            loop {
                tokio::select! {
                    by = &mut leaving => break by,
                    Some(given) = inbox.recv() => self.take_in(given, guests.welcome()),
                }
            }
        };
        accepting.join_all().await;
        inbox.close();
        while let Some(given) = inbox.recv().await {
            self.take_in(given, guests.welcome());
        }
        guests.until_gone(by).await;
        refreshing.abort();
        pacing.abort();
        tending.abort();
        // It holds the way to the companion, which ends with it.
        returning.inspect(|returning| returning.abort());
    }

    /// Goes on with what the companion cannot. Runs as long as its worker.
    async fn take_back(self: Arc<Post>, mut back: UnboundedReceiver<Returned>) {
        while let Some(returned) = back.recv().await {
            let post = self.clone();
            tokio::spawn(async move { post.go_on(returned).await });
        }
    }

    async fn accept(
        self: Arc<Post>,
        listener: usize,
        socket: TcpListener,
        mut orders: watch::Receiver<Order>,
        guest: Guest,
    ) {
        let mut acceptor = match Acceptor::new(socket, self.station.counters.clone()) {
            Ok(acceptor) => acceptor,
            Err(error) => {
                tracing::error!(
                    name: model::severity::ALERT,
                    %error,
                    worker = self.index,
                    "cannot accept on a listener"
                );
                return;
            }
        };
        let mut leaving = std::pin::pin!(drain::told_to_leave(&mut orders));
        let _by: Instant = loop {
            tokio::select! {
                by = &mut leaving => break by,
                accepted = self.next(&mut acceptor) => {
                    if let Accepted::Ours(stream, peer) = accepted {
                        self.place(stream, peer, listener, &guest);
                    }
                }
            }
        };
        while let Some((stream, peer)) = acceptor.waiting() {
            self.place(stream, peer, listener, &guest);
        }
    }

    /// The next connection, as soon as there is a place for it.
    async fn next(&self, acceptor: &mut Acceptor) -> Accepted {
        if self.board.is_full() {
            self.station.counters.count_pause();
            if let Some(more) = self.full.take() {
                tracing::warn!("as many connections as there may be; others wait{more}");
            }
            self.board.until_free().await;
        }
        acceptor.accept().await
    }

    /// Serves a connection just accepted, unless another worker has more room.
    fn place(
        self: &Arc<Post>,
        stream: TcpStream,
        peer: SocketAddr,
        listener: usize,
        guest: &Guest,
    ) {
        if let Some((stream, counted)) = self.board.place(self.index, stream, peer, listener) {
            self.admit(stream, peer, listener, (counted, guest.clone()));
        }
    }

    /// Serves a connection another worker accepted.
    fn take_in(self: &Arc<Post>, given: Given, guest: Guest) {
        match TcpStream::from_std(given.socket) {
            Ok(stream) => self.admit(stream, given.peer, given.listener, (given.counted, guest)),
            Err(error) => tracing::error!(%error, "lost a connection between workers"),
        }
    }

    fn admit(self: &Arc<Post>, stream: TcpStream, peer: SocketAddr, listener: usize, held: Held) {
        let post = self.clone();
        tokio::spawn(async move { post.converse(stream, peer, listener, held).await });
    }

    /// One connection, from its first byte to its last, or until it is given to the companion.
    async fn converse(&self, stream: TcpStream, peer: SocketAddr, listener: usize, held: Held) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "client left at once");
            return;
        }
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        // Just made, so it is not set yet.
        let _unset = digest.peer_addr.set(Some(peer.into()));
        let Some(listen) = self.listen.get(listener) else { return };
        let mut ends = Ends { peer, local: local(&stream, listen), relayed_from: None };
        if listen.proxy_protocol {
            // Boxed: it takes room for a moment only.
            let Some(relayed) = Box::pin(self.introduce(&stream, peer)).await else { return };
            ends.relayed_from = relayed.map(|relayed| relayed.source);
        }
        let caller = Caller { digest: Arc::new(digest), ends, listener, listen };
        match (&self.tls, &self.companion) {
            (Some(tls), _) if listen.tls => self.shake_hands(tls, stream, caller).await,
            (_, Some(companion)) => {
                if let Some((stream, _held)) = pass_on(companion, stream, &caller, held) {
                    self.speak(stream, caller, None).await;
                }
            }
            _ => self.speak(stream, caller, None).await,
        }
    }

    /// A connection that the companion cannot serve, to its last byte.
    async fn go_on(&self, returned: Returned) {
        let Returned { socket, parcel, errand, ends, listener, held: _held } = returned;
        let Some(listen) = self.listen.get(listener) else { return };
        let io = match TcpStream::from_std(socket) {
            Ok(io) => io,
            Err(error) => return tracing::error!(%error, "lost a connection between threads"),
        };
        let caller = Caller { digest: parcel.digest().clone(), ends, listener, listen };
        let carrier = self.carrier(&caller, None);
        match errand {
            Errand::Http2 => {
                let stream = door::resume_http2(io, parcel);
                Box::pin(carrier.carry_http2(stream)).await;
            }
            Errand::Request(exchange) => {
                let terms = exchange.terms();
                let carry = |stream| carrier.carry_on(exchange, stream);
                let (options, draining) = (&self.station.options.door, &self.station.draining);
                // Behind a first request nobody may begin to speak HTTP/2, and nothing leaves from here.
                door::resume((io, parcel), terms, carry, options, draining, &carrier).await;
            }
        }
    }

    /// Reads the PROXY header a connection begins with. `None`: there is none, and it is over.
    async fn introduce(&self, stream: &TcpStream, peer: SocketAddr) -> Option<Option<Relayed>> {
        let limit = self.station.options.door.head_timeout;
        let why = match timeout(limit, proxy_protocol::receive(stream)).await {
            Ok(Ok(relayed)) => return Some(relayed),
            Ok(Err(Failed::Silent)) => return None,
            Ok(Err(failed)) => failed,
            Err(_) => Failed::TooLate,
        };
        self.station.counters.count_proxy_header_failed();
        match self.station.failures.client.take() {
            Some(more) => tracing::info!(%peer, "connection closed: {why}{more}"),
            None => self.station.counters.count_unlogged(),
        }
        None
    }

    /// One connection that begins with a TLS handshake.
    async fn shake_hands(&self, tls: &Terminator, stream: TcpStream, caller: Caller<'_>) {
        let alpn = if caller.listen.http2 { Alpn::Http2 } else { Alpn::Http1 };
        let offer = Offer { snapshots: self.station.snapshots.clone(), alpn };
        let deadline = Instant::now() + self.station.options.door.head_timeout;
        // Boxed: it takes a lot of room for a moment.
        let shaken = Box::pin(tls.accept(stream, offer, &self.pace, deadline)).await;
        self.station.counters.count_handshake(shaken.is_ok());
        match shaken {
            Ok(stream) => {
                let secured = Secured { sni: tls::server_name(&stream) };
                if tls::is_http2(&stream) {
                    let stream = BoundedStream::http2(stream, caller.digest.clone());
                    Box::pin(self.carrier(&caller, Some(secured)).carry_http2(stream)).await;
                } else {
                    self.speak(stream, caller, Some(secured)).await;
                }
            }
            Err(tls::Failed::Plain(stream)) => {
                let carrier = self.carrier(&caller, None);
                let patience = self.station.options.door.send_timeout;
                let refusal = Refusal::PlainOnTls;
                door::turn_away(stream, caller.digest, refusal, patience, &carrier).await;
            }
            // Anybody can fail as often as they like: counted, and said to who wants to know.
            Err(failed) => tracing::debug!(peer = %caller.ends.peer, "no TLS: {failed}"),
        }
    }

    /// One connection, once both sides understand each other's bytes.
    async fn speak<T: Portable>(&self, io: T, caller: Caller<'_>, secured: Option<Secured>) {
        let carrier = self.carrier(&caller, secured);
        let options = door::Options { http2: caller.listen.http2, ..self.station.options.door };
        let draining = &self.station.draining;
        match door::serve(io, caller.digest, &options, draining, &carrier).await {
            // Its carrier never has a connection moved.
            Ending::Closed | Ending::Moved(_) => {}
            Ending::Http2(stream) => Box::pin(carrier.carry_http2(stream)).await,
        }
    }

    fn carrier(&self, caller: &Caller<'_>, secured: Option<Secured>) -> Carrier {
        let client = Client::new(self.station.clone(), caller.ends, secured);
        Carrier::new(client, self.lanes.clone())
    }
}

/// Gives a connection to a worker's companion. Gives it back if that is gone.
fn pass_on(
    companion: &UnboundedSender<companion::Given>,
    stream: TcpStream,
    caller: &Caller<'_>,
    held: Held,
) -> Option<(TcpStream, Held)> {
    let Caller { digest, ends, listener, listen } = caller;
    let lost = |error| tracing::error!(%error, "lost a connection between threads");
    let socket = stream.into_std().map_err(lost).ok()?;
    let (digest, ends) = (digest.clone(), *ends);
    let (listener, http2) = (*listener, listen.http2);
    let given = companion::Given { socket, digest, ends, listener, http2, held };
    let returned = companion.send(given).err()?.0;
    let stream = TcpStream::from_std(returned.socket).map_err(lost).ok()?;
    Some((stream, returned.held))
}

/// Where a connection came to: known already, unless its listener takes any address of ours.
fn local(stream: &TcpStream, listen: &Listen) -> SocketAddr {
    match listen.addr.ip().is_unspecified() {
        true => stream.local_addr().unwrap_or(listen.addr),
        false => listen.addr,
    }
}
