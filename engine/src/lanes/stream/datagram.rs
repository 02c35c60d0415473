//! Datagrams: sessions by the address they come from and ours that they come to.
//!
//! The first datagram of a client finds a route and begins a session, which has a socket of its
//! own towards the service; what comes back on that is sent to this client and nobody else, from
//! the address that it has sent to, and nothing is sent that the service did not send. A session
//! ends when neither side has said anything for the service's `read_timeout`. How many there may be
//! is bounded: what comes from others then is dropped and counted, as is what a socket does not take.

use super::packets::{Between, Packets, Received};
use super::socket::now;
use super::{Desk, Failure, Meter, far, upstream};
use crate::descriptors::{self, Use};
use crate::options::StreamListen;
use crate::proxy::restraint::Restraint;
use crate::router::{Over, StreamView};
use crate::snapshot::CompiledService;
use crate::worker::drain::Guest;
use crate::worker::ring;
use futures::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

/// The longest datagram there is.
const LONGEST: usize = 65_535;
/// How many are taken before others have a turn.
const BATCH: usize = 64;
/// How many datagrams a session holds until its service has been found.
const HELD: usize = 16;
/// How many bytes all sessions of a listener hold: anybody can begin one, from any address.
const ALL_HELD: usize = 4 * 1024 * 1024;
/// How long a session must be silent to end when the gateway leaves.
const LINGER: Duration = Duration::from_secs(1);

/// A socket that is waited for: see [`super::socket`].
struct Socket {
    io: UdpSocket,
    ready: monoio::net::udp::UdpSocket,
}

impl Socket {
    fn new(io: UdpSocket) -> io::Result<Socket> {
        let ready = monoio::net::udp::UdpSocket::from_std(io.try_clone()?)?;
        Ok(Socket { io, ready })
    }

    async fn readable(&self) -> io::Result<()> {
        self.ready.readable(false).await
    }

    /// Lets others go on, and then waits for more.
    async fn pause(&self) -> io::Result<()> {
        ring::step_aside().await;
        self.readable().await
    }
}

/// A listener, and its sessions.
struct Listener {
    desk: Rc<Desk>,
    socket: Socket,
    /// The port that clients know.
    port: u16,
    buffer: RefCell<Box<[u8]>>,
    packets: RefCell<Packets>,
    sessions: RefCell<HashMap<Between, Rc<Session>>>,
    /// Becomes true when no new ones are begun.
    leaving: watch::Sender<bool>,
    /// Bytes that wait for their service to be found.
    held: Rc<Cell<usize>>,
    /// How often it is said that there are too many.
    full: Restraint,
}

/// One client, of one of our addresses.
struct Session {
    between: Between,
    meter: Meter,
    far: RefCell<Far>,
}

/// The side of the service.
enum Far {
    /// Not known yet; this is what waits for it.
    Sought(Waiting),
    /// Known.
    Open(Rc<Socket>),
}

/// Datagrams of one session that wait, counted among all of its listener's for as long as they do.
struct Waiting {
    datagrams: Vec<Box<[u8]>>,
    all: Rc<Cell<usize>>,
}

impl Waiting {
    fn new(all: &Rc<Cell<usize>>) -> Waiting {
        Waiting { datagrams: Vec::new(), all: all.clone() }
    }

    /// Has one more wait, if there is room. Says whether it does.
    fn push(&mut self, datagram: &[u8]) -> bool {
        let held = self.all.get() + datagram.len();
        let fits = self.datagrams.len() < HELD && held <= ALL_HELD;
        if fits {
            self.all.set(held);
            self.datagrams.push(datagram.into());
        }
        fits
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let held: usize = self.datagrams.iter().map(|datagram| datagram.len()).sum();
        self.all.set(self.all.get() - held);
    }
}

/// Serves a listener until told to leave. Sessions that are under way go on by themselves.
pub(crate) async fn serve(
    desk: Rc<Desk>,
    socket: UdpSocket,
    listen: StreamListen,
    leaving: impl Future<Output = ()>,
    guest: Guest,
) -> io::Result<()> {
    let bound = socket.local_addr().unwrap_or(listen.addr);
    let listener = Rc::new(Listener {
        port: desk.known_as(bound).port(),
        packets: RefCell::new(Packets::of(&socket, bound.ip())?),
        socket: Socket::new(socket)?,
        desk,
        buffer: RefCell::new(vec![0; LONGEST].into()),
        sessions: RefCell::default(),
        held: Rc::default(),
        leaving: watch::Sender::new(false),
        full: Restraint::new(1),
    });
    match select(pin!(listener.receive(&guest)), pin!(leaving)).await {
        Either::Left((failed, _)) => return failed,
        Either::Right(_) => {}
    }
    listener.leaving.send_replace(true);
    if !listener.sessions.borrow().is_empty() {
        ring::spawn(listener.desk.clone().until_over(async move {
            let over = listener.until_empty();
            select(pin!(listener.receive(&guest)), pin!(over)).await;
        }));
    }
    Ok(())
}

impl Listener {
    async fn receive(self: &Rc<Listener>, guest: &Guest) -> io::Result<()> {
        loop {
            for _ in 0..BATCH {
                let received = {
                    let mut buffer = self.buffer.borrow_mut();
                    self.packets.borrow_mut().receive(&self.socket.io, &mut buffer)
                };
                match received {
                    Ok(Some(received)) => self.take(received, guest),
                    Ok(None) => break,
                    // What an earlier answer met, not this socket.
                    Err(error) => tracing::debug!(%error, "a datagram was not received"),
                }
            }
            self.socket.pause().await?;
        }
    }

    /// Ends when there is no session.
    async fn until_empty(&self) {
        while !self.sessions.borrow().is_empty() {
            monoio::time::sleep(LINGER / 10).await;
        }
    }

    fn take(self: &Rc<Listener>, received: Received, guest: &Guest) {
        let Received { length, between } = received;
        let tally = &self.desk.station.tally;
        let buffer = self.buffer.borrow();
        let datagram = buffer.get(..length).unwrap_or_default();
        let known = self.sessions.borrow().get(&between).cloned();
        if let Some(session) = known {
            if !session.pass_on(datagram) {
                tally.count_dropped();
            }
            return;
        }
        if *self.leaving.borrow() || self.is_full() {
            return tally.count_dropped();
        }
        let mut waiting = Waiting::new(&self.held);
        if !waiting.push(datagram) {
            return tally.count_dropped();
        }
        let far = RefCell::new(Far::Sought(waiting));
        let meter = Meter::new();
        meter.moved_up(length);
        let session = Rc::new(Session { between, meter, far });
        self.sessions.borrow_mut().insert(between, session.clone());
        tally.count_session(true);
        let place = Place { listener: self.clone(), session, _guest: guest.clone() };
        ring::spawn(place.run());
    }

    fn is_full(&self) -> bool {
        let most = self.desk.station.options.streams.datagram_sessions;
        let is_full = self.sessions.borrow().len() >= most
            || !descriptors::is_room_beside(&self.socket.io, Use::Client);
        if is_full && let Some(more) = self.full.take() {
            tracing::warn!(
                "as many clients with datagrams as there may be; others are not heard{more}"
            );
        }
        is_full
    }
}

impl Session {
    /// Passes a datagram on, or holds it while it is not known where to. Says whether it did.
    fn pass_on(&self, datagram: &[u8]) -> bool {
        let is_kept = match &mut *self.far.borrow_mut() {
            Far::Sought(waiting) => waiting.push(datagram),
            // What a service that is gone answers is found by who waits for it.
            Far::Open(socket) => matches!(now(|| socket.io.send(datagram)), Ok(Some(_))),
        };
        if is_kept {
            self.meter.moved_up(datagram.len());
        }
        is_kept
    }

    /// From now on datagrams go there.
    fn open(&self, socket: &Rc<Socket>) -> usize {
        let before = self.far.replace(Far::Open(socket.clone()));
        let Far::Sought(waiting) = before else { return 0 };
        let is_sent = |datagram: &[u8]| matches!(now(|| socket.io.send(datagram)), Ok(Some(_)));
        waiting.datagrams.iter().filter(|datagram| !is_sent(datagram)).count()
    }
}

/// A session's place among its listener's, given up when it ends, by whatever.
struct Place {
    listener: Rc<Listener>,
    session: Rc<Session>,
    _guest: Guest,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.listener.sessions.borrow_mut().remove(&self.session.between);
        self.listener.desk.station.tally.count_session(false);
    }
}

impl Place {
    async fn run(self) {
        let (desk, session) = (&self.listener.desk, &self.session);
        let end = match select(pin!(self.carry()), pin!(desk.until_cut())).await {
            Either::Left((end, _)) => end,
            Either::Right(_) => Err(Failure::Cut),
        };
        desk.close(session.between.client.ip().to_canonical(), "UDP", &session.meter, &end);
    }

    async fn carry(&self) -> Result<(), Failure> {
        let (desk, session) = (&self.listener.desk, &self.session);
        let Between { client: source, local } = session.between;
        let destination = SocketAddr::new(local, self.listener.port);
        let view = StreamView { over: Over::Udp, sni: None, source, destination };
        let route = desk.find(&view)?;
        let service = super::service_of(&route)?;
        let socket = self.reach(service).await?;
        for _ in 0..session.open(&socket) {
            desk.station.tally.count_dropped();
        }
        let silence = pin!(self.until_silent(service.read_timeout));
        let Either::Left((Err(error), _)) = select(pin!(self.answer(&socket)), silence).await
        else {
            return Ok(());
        };
        Err(match socket.io.peer_addr() {
            Ok(address) if session.meter.sent.get() == 0 => refused(address, error),
            _ => Failure::Broken(error),
        })
    }

    /// A socket that is for one service and one client.
    async fn reach(&self, service: &CompiledService) -> Result<Rc<Socket>, Failure> {
        let address = upstream::address(&self.listener.desk, service).await?;
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let connected = || {
            let io = UdpSocket::bind((any, 0))?;
            io.set_nonblocking(true)?;
            io.connect(address)?;
            Socket::new(io).map(Rc::new)
        };
        connected().map_err(|error| refused(address, error))
    }

    /// Sends what the service answers to the client.
    async fn answer(&self, socket: &Socket) -> io::Result<()> {
        let (listener, session) = (&self.listener, &self.session);
        loop {
            for _ in 0..BATCH {
                let mut buffer = listener.buffer.borrow_mut();
                let Some(length) = now(|| socket.io.recv(&mut buffer))? else { break };
                let datagram = buffer.get(..length).unwrap_or_default();
                let packets = listener.packets.borrow();
                match packets.send(&listener.socket.io, datagram, session.between) {
                    Ok(Some(_)) => session.meter.moved_down(length),
                    Ok(None) | Err(_) => listener.desk.station.tally.count_dropped(),
                }
            }
            socket.pause().await?;
        }
    }

    /// Ends when nobody has said anything for so long; soon, once the gateway leaves.
    async fn until_silent(&self, limit: Duration) {
        let meter = &self.session.meter;
        let mut leaving = self.listener.leaving.subscribe();
        let left = async { drop(leaving.wait_for(|is_leaving| *is_leaving).await) };
        if let Either::Right(_) = select(pin!(silence(meter, limit)), pin!(left)).await {
            silence(meter, limit.min(LINGER)).await;
        }
    }
}

fn refused(address: SocketAddr, error: io::Error) -> Failure {
    upstream::Unreached::Refused { address, tries: 1, error }.into()
}

async fn silence(meter: &Meter, limit: Duration) {
    super::relay::idle(meter, far(limit)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_over_all_sessions_and_given_back() {
        let all = Rc::new(Cell::new(0));
        let mut sessions = Vec::new();
        let taken = loop {
            let mut waiting = Waiting::new(&all);
            let taken = (0..HELD + 1).filter(|_| waiting.push(&[0; 60_000])).count();
            sessions.push(waiting);
            if taken < HELD {
                break taken;
            }
        };
        assert_eq!((sessions.len() - 1) * HELD + taken, ALL_HELD / 60_000);
        drop(sessions);
        assert_eq!(all.get(), 0);
    }
}
