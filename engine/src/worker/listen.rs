//! Listening sockets, and which worker serves an accepted connection.
//!
//! Every worker has its own sockets on the same addresses (SO_REUSEPORT), so the
//! kernel spreads connections by hash, unevenly. A worker that has clearly more
//! than its share gives a just-accepted socket, of which nothing was read, to the
//! least loaded one, once; a given connection is never given again.

use super::stream::Listener;
use crate::descriptors::{self, Use};
use crate::metrics::{Connection, Counters};
use crate::options::{Listen, Probes, StreamListen};
use crate::proxy::restraint::Restraint;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// After an accept that failed for want of descriptors or memory: long enough for
/// some to be given back, short enough not to be noticed.
const BACK_OFF: Duration = Duration::from_millis(100);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}")]
pub struct ListenError {
    /// Which one.
    pub addr: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// Binds `listen` for each of `workers`: one list of sockets per worker.
///
/// The first socket of an address is bound alone before it is shared, so that an
/// address in use elsewhere is an error even if its user shares it too.
pub(crate) fn bind_all(
    listen: &[Listen],
    workers: usize,
) -> Result<Vec<Vec<TcpListener>>, ListenError> {
    let mut sockets: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in listen {
        let naming = |source| ListenError { addr: listener.addr, source };
        let mut addr = listener.addr;
        if addr.port() != 0 {
            bind(addr, listener, false).map_err(naming)?;
        }
        for worker in &mut sockets {
            let socket = bind(addr, listener, true);
            let socket = socket.and_then(|socket| accepting(socket, listener)).map_err(naming)?;
            addr = socket.local_addr().map_err(naming)?;
            worker.push(socket);
        }
    }
    Ok(sockets)
}

/// The same for streams and datagrams.
pub(crate) fn bind_streams(
    listen: &[StreamListen],
    workers: usize,
) -> Result<Vec<Vec<Listener>>, ListenError> {
    let mut listeners: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in listen {
        let naming = |source| ListenError { addr: listener.addr, source };
        let of = Of::stream(listener);
        let mut addr = listener.addr;
        if addr.port() != 0 {
            open(addr, of, false).map_err(naming)?;
        }
        for worker in &mut listeners {
            let socket = open(addr, of, true).map_err(naming)?;
            let bound = socket.local_addr().map_err(naming)?;
            addr = bound.as_socket().unwrap_or(addr);
            worker.push(match listener.udp {
                true => Listener::Udp(socket.into()),
                false => Listener::Tcp(
                    accept_on(socket, listener.keepalive, listener.backlog).map_err(naming)?,
                ),
            });
        }
    }
    Ok(listeners)
}

fn bind(addr: SocketAddr, listen: &Listen, shared: bool) -> io::Result<Socket> {
    open(addr, Of { udp: false, ipv6_only: listen.ipv6_only }, shared)
}

/// What a socket is to be.
#[derive(Clone, Copy)]
struct Of {
    udp: bool,
    ipv6_only: bool,
}

impl Of {
    fn stream(listen: &StreamListen) -> Of {
        Of { udp: listen.udp, ipv6_only: listen.ipv6_only }
    }
}

fn open(addr: SocketAddr, of: Of, shared: bool) -> io::Result<Socket> {
    let (kind, protocol) = match of.udp {
        true => (Type::DGRAM, Protocol::UDP),
        false => (Type::STREAM, Protocol::TCP),
    };
    let kind = kind.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        socket.set_only_v6(of.ipv6_only)?;
    }
    // Two sockets for datagrams would share an address by this alone, the later one taking all.
    socket.set_reuse_address(!of.udp)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn accepting(socket: Socket, listen: &Listen) -> io::Result<TcpListener> {
    accept_on(socket, listen.keepalive, listen.backlog)
}

fn accept_on(socket: Socket, probes: Option<Probes>, backlog: u32) -> io::Result<TcpListener> {
    if let Some(probes) = probes {
        socket.set_keepalive(true)?; // what is accepted takes it over
        socket.set_tcp_keepalive(&keepalive(probes))?;
    }
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn keepalive(probes: Probes) -> TcpKeepalive {
    let given = TcpKeepalive::new();
    let given = probes.idle.map_or(given.clone(), |idle| given.with_time(idle));
    let given = probes.interval.map_or(given.clone(), |interval| given.with_interval(interval));
    probes.count.map_or(given.clone(), |count| given.with_retries(count))
}

/// What may be accepted on a listener.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A connection for this worker.
    Ours(TcpStream, SocketAddr),
    /// Nothing this time; what went wrong has been said and waited for.
    Nothing,
}

/// Accepts from one listener, patiently.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: tokio::net::TcpListener,
    /// Accepted, and not served before there are descriptors for what it may ask.
    held: Option<(TcpStream, SocketAddr)>,
    /// How often it is said that nothing can be accepted for want of something.
    starving: Restraint,
    counters: Arc<Counters>,
}

impl Acceptor {
    /// Registers the listener with the calling thread's runtime.
    pub(super) fn new(listener: TcpListener, counters: Arc<Counters>) -> io::Result<Acceptor> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(Acceptor { listener, held: None, starving: Restraint::new(1), counters })
    }

    /// Waits for a connection. May be dropped at any time without losing one.
    pub(super) async fn accept(&mut self) -> Accepted {
        if self.held.is_some() {
            return self.go_on().await;
        }
        match self.listener.accept().await {
            Ok((stream, peer)) if descriptors::may_keep(&stream, Use::Client) => {
                Accepted::Ours(stream, peer)
            }
            Ok(accepted) => {
                self.held = Some(accepted);
                self.counters.count_pause();
                self.starve("almost all descriptors are in use");
                Accepted::Nothing
            }
            Err(error) if is_the_peers(&error) => Accepted::Nothing,
            Err(error) => {
                self.starve(&error);
                tokio::time::sleep(BACK_OFF).await;
                Accepted::Nothing
            }
        }
    }

    /// Waits until the connection that is held may be served.
    async fn go_on(&mut self) -> Accepted {
        while let Some((stream, _)) = &self.held
            && !descriptors::is_room_beside(stream, Use::Client)
        {
            tokio::time::sleep(BACK_OFF).await;
        }
        self.held.take().map_or(Accepted::Nothing, |(stream, peer)| Accepted::Ours(stream, peer))
    }

    fn starve(&self, error: &(impl fmt::Display + ?Sized)) {
        if let Some(more) = self.starving.take() {
            tracing::error!(
                name: model::severity::CRIT,
                %error,
                "cannot accept connections; trying on{more}"
            );
        }
    }

    /// What the kernel has completed already: closing the listener would reset it. It is the kernel
    /// that is asked, since the runtime knows of what it has been told, and tells a little at a time.
    pub(super) fn waiting(&mut self) -> Option<(TcpStream, SocketAddr)> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        let (stream, peer) = accepted(&self.listener).ok().flatten()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    }
}

/// A connection, if one is waiting that has not been given up by its client. It does not block.
pub(super) fn accepted(
    listener: impl AsFd,
) -> io::Result<Option<(std::net::TcpStream, SocketAddr)>> {
    loop {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (stream, peer) = match acceptfrom_with(&listener, flags) {
            Ok(accepted) => accepted,
            Err(error) => match io::Error::from(error) {
                error if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                error if is_the_peers(&error) => continue,
                error => return Err(error),
            },
        };
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        if let Some(peer) = peer {
            return Ok(Some((stream.into(), peer)));
        }
    }
}

/// Whether a connection failed rather than the listener.
pub(super) fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
    )
}

/// A connection on its way to another worker.
#[derive(Debug)]
pub(crate) struct Given {
    pub(super) socket: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    /// Which listener accepted it.
    pub(super) listener: usize,
    /// Counted as the receiver's from the moment it was given.
    pub(super) counted: Connection,
}

/// How busy each worker is, and how to reach it.
#[derive(Debug)]
pub(crate) struct Board {
    seats: Vec<Seat>,
    /// How many connections each may have, and what tells that one has ended.
    places: Option<(u64, Arc<Notify>)>,
}

#[derive(Debug)]
struct Seat {
    counters: Arc<Counters>,
    inbox: UnboundedSender<Given>,
}

impl Seat {
    /// Gives a connection to another worker, or takes it back if that one is leaving: so are we,
    /// but this one was accepted.
    fn give(
        &self,
        to: &Seat,
        socket: std::net::TcpStream,
        peer: SocketAddr,
        listener: usize,
    ) -> Option<std::net::TcpStream> {
        let counted = to.counters.connection();
        match to.inbox.send(Given { socket, peer, listener, counted }) {
            Ok(()) => {
                self.counters.count_given();
                None
            }
            Err(returned) => {
                let Given { socket, counted, .. } = returned.0;
                counted.never_was();
                Some(socket)
            }
        }
    }
}

impl Board {
    /// A board for these workers, and each one's inbox.
    pub(crate) fn new(
        counters: &[Arc<Counters>],
        places: Option<(u64, Arc<Notify>)>,
    ) -> (Board, Vec<UnboundedReceiver<Given>>) {
        let (seats, inboxes) = counters
            .iter()
            .map(|counters| {
                let (inbox, receiver) = mpsc::unbounded_channel();
                (Seat { counters: counters.clone(), inbox }, receiver)
            })
            .unzip();
        (Board { seats, places }, inboxes)
    }

    /// Whether no worker may have another connection.
    pub(super) fn is_full(&self) -> bool {
        let taken = |most: u64| self.seats.iter().all(|seat| seat.counters.open() >= most);
        self.places.as_ref().is_some_and(|(most, _)| taken(*most))
    }

    /// Waits until one may.
    pub(super) async fn until_free(&self) {
        let Some((_, freed)) = &self.places else { return };
        loop {
            let mut told = std::pin::pin!(freed.notified());
            // Listening before looking: what ends in between is heard.
            told.as_mut().enable();
            if !self.is_full() {
                return;
            }
            told.await;
        }
    }

    /// Counts a connection just accepted by worker `me` in, or gives it away.
    pub(super) fn place(
        &self,
        me: usize,
        stream: TcpStream,
        peer: SocketAddr,
        listener: usize,
    ) -> Option<(TcpStream, Connection)> {
        let mine = self.seats.get(me)?;
        let Some(seat) = self.better_than(me) else {
            return Some((stream, mine.counters.connection()));
        };
        let returned = mine.give(seat, stream.into_std().ok()?, peer, listener)?;
        Some((TcpStream::from_std(returned).ok()?, mine.counters.connection()))
    }

    /// The same of a connection that no runtime knows.
    pub(super) fn place_std(
        &self,
        me: usize,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        listener: usize,
    ) -> Option<(std::net::TcpStream, Connection)> {
        let mine = self.seats.get(me)?;
        let stream = match self.better_than(me) {
            None => stream,
            Some(seat) => mine.give(seat, stream, peer, listener)?,
        };
        Some((stream, mine.counters.connection()))
    }

    /// The least loaded worker, if with one more `me` had over 1.25 times the mean, or more than
    /// it may, and moving it would bring the two closer.
    fn better_than(&self, me: usize) -> Option<&Seat> {
        let mine = self.seats.get(me)?.counters.open() + 1;
        let total: u64 = self.seats.iter().map(|seat| seat.counters.open()).sum::<u64>() + 1;
        let beyond = self.places.as_ref().is_some_and(|(most, _)| mine > *most);
        // mine > 1.25 × total ÷ seats, in whole numbers.
        if !beyond && mine * 4 * self.seats.len() as u64 <= total * 5 {
            return None;
        }
        let least = self.seats.iter().min_by_key(|seat| seat.counters.open())?;
        (least.counters.open() + 1 < mine).then_some(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(open: &[u64]) -> (Board, Vec<Connection>) {
        board_of(open, None)
    }

    fn board_of(open: &[u64], most: Option<u64>) -> (Board, Vec<Connection>) {
        let counters: Vec<_> = open.iter().map(|_| Arc::new(Counters::default())).collect();
        let held = counters.iter().zip(open);
        let held = held.flat_map(|(counters, open)| (0..*open).map(|_| counters.connection()));
        let held = held.collect();
        let places = most.map(|most| (most, Arc::default()));
        (Board::new(&counters, places).0, held)
    }

    #[track_caller]
    fn check(open: &[u64], me: usize, expected: Option<u64>) {
        let (board, _held) = board(open);
        let found = board.better_than(me).map(|seat| seat.counters.open());
        assert_eq!(found, expected, "{me} of {open:?}");
    }

    /// Before the runtime has heard of any.
    #[tokio::test]
    async fn whoever_has_connected_is_taken_in_before_the_listener_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new(listener, Arc::default()).unwrap();
        let clients: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(addr)).collect();
        assert!(clients.iter().all(Result::is_ok));
        assert_eq!(std::iter::from_fn(|| acceptor.waiting()).count(), clients.len());
    }

    #[test]
    fn only_more_than_a_fair_share_is_given_away() {
        check(&[0, 0], 0, None);
        check(&[1, 0], 0, Some(0));
        check(&[7, 8, 8, 8, 8, 8, 8, 8], 0, None);
        check(&[9, 8, 8, 8, 8, 8, 8, 7], 0, None);
        check(&[10, 8, 8, 8, 8, 8, 8, 6], 0, Some(6));
        check(&[10, 8, 8, 8, 8, 8, 8, 6], 7, None);
        check(&[100], 0, None);
    }

    #[test]
    fn who_has_no_place_gives_to_who_has_one() {
        for (open, is_full, given_to) in [
            (&[9, 9, 10][..], false, Some(9)), // less than a fair share more, but no place
            (&[10, 10, 10], true, None),
            (&[11, 10, 10], true, None),
            (&[0, 10], false, Some(0)),
        ] {
            let (board, _held) = board_of(open, Some(10));
            let me = open.len() - 1;
            let found = board.better_than(me).map(|seat| seat.counters.open());
            assert_eq!((board.is_full(), found), (is_full, given_to), "{open:?}");
        }
        assert!(!board(&[1000]).0.is_full());
    }

    #[test]
    fn an_address_in_use_is_named() {
        let listen = |addr| [Listen::plain(addr)];
        let taken = bind_all(&listen(([127, 0, 0, 1], 0).into()), 2).unwrap();
        let addr = taken[0][0].local_addr().unwrap();
        assert_eq!(taken[1][0].local_addr().unwrap(), addr);
        let error = bind_all(&listen(addr), 1).unwrap_err();
        assert_eq!((error.addr, error.source.kind()), (addr, io::ErrorKind::AddrInUse));
    }
}
