//! A thread of streams: beside a worker, on the same core, with a runtime of its own.
//!
//! Its listeners are watched for readiness and accepted from by calls that never wait, so no
//! accepted connection can be lost by leaving: when it is told to, what the kernel has
//! completed is taken in, and then all streams have until the deadline. Those that are still
//! open then are told to end, since a runtime frees nothing that waits.

use super::drain::{self, Guest, Guests, Order};
use super::listen::{Board, Given, accepted};
use super::ring::{self, Driver, Turns};
use crate::descriptors::{self, Use};
use crate::lanes::stream::{Desk, Station, Visit, datagram, serve};
use crate::options::StreamListen;
use crate::proxy::restraint::Restraint;
use futures::future::{Either, select};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc::UnboundedReceiver, watch};

/// After an accept that failed for want of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How many connections are accepted before others have a turn.
const ACCEPTS: usize = 64;
/// How often the thread says that it goes round. Also bounds how late it learns of something if
/// another thread's wake were lost.
const BEAT: Duration = Duration::from_secs(1);
/// How long streams have to end that were told to: a few turns are enough.
const CUT: Duration = Duration::from_secs(2);

/// One listener of one thread.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// Everything a thread of streams needs to begin.
pub(crate) struct StreamWorker {
    pub(crate) index: usize,
    pub(crate) core: Option<usize>,
    pub(crate) driver: Driver,
    pub(crate) listeners: Vec<Listener>,
    /// The listeners, in order, with the ports they have.
    pub(crate) listen: Vec<StreamListen>,
    pub(crate) inbox: UnboundedReceiver<Given>,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) board: Arc<Board>,
    pub(crate) station: Station,
}

/// What the tasks of one thread share.
struct Shared {
    index: usize,
    board: Arc<Board>,
    listen: Vec<StreamListen>,
    desk: Rc<Desk>,
    /// How often it is said that there is no place for another connection.
    full: Restraint,
    /// How often it is said that none can be accepted.
    starving: Restraint,
}

impl StreamWorker {
    /// Pins the calling thread, says which core it got, and serves until told to leave.
    pub(crate) fn run(self, begun: impl FnOnce(Option<usize>)) {
        let core = self.core.filter(|&core| super::pinned(self.index, core));
        let (index, driver) = (self.index, self.driver);
        let tally = self.station.tally.clone();
        let served = ring::run(driver, |driver| {
            tally.runs_on(driver.to_string());
            tally.beat();
            begun(core);
            self.serve()
        });
        if let Err(error) = served {
            tracing::error!(
                name: model::severity::ALERT,
                %error,
                worker = index,
                "no streams are served by this thread: it cannot wait for sockets"
            );
        }
    }

    async fn serve(self) {
        let StreamWorker {
            index, listeners, listen, mut inbox, mut orders, board, station, ..
        } = self;
        let guests = Guests::new();
        let (tally, reader) = (station.tally.clone(), station.snapshots.clone());
        let pace = station.pace.clone();
        let desk = Desk::new(station);
        let shared = Rc::new(Shared {
            index,
            board,
            listen,
            desk: desk.clone(),
            full: Restraint::new(1),
            starving: Restraint::new(1),
        });
        let housekeeping = async move {
            loop {
                tally.beat();
                monoio::time::sleep(BEAT).await;
            }
        };
        // An idle thread, too, lets go of what has been superseded.
        let refreshing = async move {
            loop {
                drop(reader.changed().await);
            }
        };
        ring::spawn(desk.clone().until_over(housekeeping));
        ring::spawn(desk.clone().until_over(refreshing));
        let turns = Turns::new();
        ring::spawn(desk.clone().until_over(pace.keep(async move || turns.end().await)));
        let accepting = Guests::new();
        for (listener, socket) in listeners.into_iter().enumerate() {
            let (shared, orders) = (shared.clone(), orders.clone());
            let (guest, is_accepting) = (guests.welcome(), accepting.welcome());
            ring::spawn(async move {
                let _accepting = is_accepting;
                match socket {
                    Listener::Tcp(socket) => shared.accept(listener, socket, orders, guest).await,
                    Listener::Udp(socket) => shared.exchange(listener, socket, orders, guest).await,
                }
            });
        }
        let by = loop {
            let leaving = pin!(drain::told_to_leave(&mut orders));
            match select(leaving, pin!(inbox.recv())).await {
                Either::Left((by, _)) => break by,
                Either::Right((Some(given), _)) => shared.take_in(given, guests.welcome()),
                // Cannot be: the board it is about is ours as well.
                Either::Right((None, _)) => break tokio::time::Instant::now(),
            }
        };
        accepting.gone().await;
        inbox.close();
        while let Some(given) = inbox.recv().await {
            shared.take_in(given, guests.welcome());
        }
        let mut gone = pin!(guests.gone());
        let patience = by.into_std().saturating_duration_since(Instant::now());
        if monoio::time::timeout(patience, &mut gone).await.is_err() {
            desk.cut_off();
            let _whoever_is_left = monoio::time::timeout(CUT, gone).await;
        }
        desk.close_up().await;
    }
}

impl Shared {
    async fn accept(
        self: Rc<Shared>,
        listener: usize,
        socket: TcpListener,
        mut orders: watch::Receiver<Order>,
        guest: Guest,
    ) {
        let ready = socket.try_clone().and_then(monoio::net::TcpListener::from_std);
        let ready = match ready {
            Ok(ready) => ready,
            Err(error) => return cannot_listen(self.index, &error),
        };
        loop {
            let leaving = pin!(drain::told_to_leave(&mut orders));
            let next = pin!(self.until_next(&ready));
            if let Either::Left(_) = select(leaving, next).await {
                break;
            }
            match self.accept_some(listener, &socket, &guest) {
                Ok(()) => {}
                Err(error) => {
                    self.starve(&error);
                    monoio::time::sleep(BACK_OFF).await;
                }
            }
        }
        // What the kernel has completed already: closing the listener would reset it.
        while let Ok(Some((stream, peer))) = accepted(&socket) {
            self.place(stream, peer, listener, &guest);
        }
    }

    /// Waits until somebody has connected and there is a place.
    async fn until_next(&self, ready: &monoio::net::TcpListener) {
        if self.board.is_full() {
            self.desk.station.counters.count_pause();
            if let Some(more) = self.full.take() {
                tracing::warn!("as many streams as there may be; others wait{more}");
            }
            self.board.until_free().await;
        }
        if let Err(error) = ready.readable(false).await {
            tracing::debug!(%error, "cannot wait for a listener");
            monoio::time::sleep(BACK_OFF).await;
        }
    }

    fn accept_some(
        self: &Rc<Shared>,
        listener: usize,
        socket: &TcpListener,
        guest: &Guest,
    ) -> io::Result<()> {
        let mut is_room = false;
        for _ in 0..ACCEPTS {
            if self.board.is_full() {
                break;
            }
            if !is_room && !descriptors::is_room_beside(socket, Use::Client) {
                return Err(descriptors::exhausted());
            }
            let Some((stream, peer)) = accepted(socket)? else { break };
            // Where this one had room the next is let in without asking; it may be one too many.
            is_room = descriptors::may_keep(&stream, Use::Client);
            self.place(stream, peer, listener, guest);
        }
        Ok(())
    }

    fn starve(&self, error: &io::Error) {
        self.desk.station.counters.count_pause();
        if let Some(more) = self.starving.take() {
            tracing::error!(
                name: model::severity::CRIT,
                %error,
                "cannot accept streams; trying on{more}"
            );
        }
    }

    /// Serves a connection just accepted, unless another thread has more room.
    fn place(
        self: &Rc<Shared>,
        stream: TcpStream,
        peer: SocketAddr,
        listener: usize,
        guest: &Guest,
    ) {
        let placed = self.board.place_std(self.index, stream, peer, listener);
        if let Some((stream, counted)) = placed {
            self.admit(stream, peer, listener, (counted, guest.clone()));
        }
    }

    /// Serves a connection another thread accepted.
    fn take_in(self: &Rc<Shared>, given: Given, guest: Guest) {
        self.admit(given.socket, given.peer, given.listener, (given.counted, guest));
    }

    fn admit<H: 'static>(
        self: &Rc<Shared>,
        io: TcpStream,
        peer: SocketAddr,
        listener: usize,
        held: H,
    ) {
        let Some(listen) = self.listen.get(listener).copied() else { return };
        let desk = self.desk.clone();
        ring::spawn(async move {
            let _held = held;
            serve(&desk, Visit { io, peer, listen }).await;
        });
    }

    async fn exchange(
        self: Rc<Shared>,
        listener: usize,
        socket: UdpSocket,
        mut orders: watch::Receiver<Order>,
        guest: Guest,
    ) {
        let Some(listen) = self.listen.get(listener).copied() else { return };
        let leaving = async move {
            drain::told_to_leave(&mut orders).await;
        };
        let served = datagram::serve(self.desk.clone(), socket, listen, leaving, guest).await;
        if let Err(error) = served {
            cannot_listen(self.index, &error);
        }
    }
}

fn cannot_listen(worker: usize, error: &io::Error) {
    tracing::error!(
        name: model::severity::ALERT,
        %error,
        worker,
        "cannot accept on a listener for streams"
    );
}
