//! A worker: one pinned core, one thread, one runtime, its connections, its pools.
//!
//! Workers share nothing on a request's way but what is immutable; a worker's
//! counters are read by others, and a just-accepted socket may change hands.
//! Leaving the thread ends the runtime, and with it whatever is still open.

pub(crate) mod cores; // how many, and where
pub(crate) mod listen; // sockets, accepting, evening out
pub(crate) mod drain; // leaving

use crate::door::{self, Ending};
use crate::lanes::Carrier;
use crate::lanes::pingora::Pingora;
use crate::metrics::Connection;
use crate::proxy::exchange::{Client, Station};
use drain::{Guest, Guests, Order};
use listen::{Accepted, Acceptor, Board, Given};
use pingora::protocols::SocketDigest;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc::UnboundedReceiver, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Everything a worker's thread needs to begin.
pub(crate) struct Worker {
    pub(crate) core: Option<usize>,
    pub(crate) runtime: Runtime,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) inbox: UnboundedReceiver<Given>,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) post: Arc<Post>,
}

/// What a worker's connections share.
pub(crate) struct Post {
    pub(crate) index: usize,
    pub(crate) board: Arc<Board>,
    pub(crate) station: Arc<Station>,
    pub(crate) pingora: Arc<Pingora>,
    /// The port of each listener, in order.
    pub(crate) ports: Vec<u16>,
}

impl Worker {
    /// Pins the calling thread, says which core it got, and serves until told to
    /// leave.
    pub(crate) fn run(self, begun: impl FnOnce(Option<usize>)) {
        begun(self.core.filter(|&core| pinned(self.post.index, core)));
        let Worker { runtime, listeners, inbox, orders, post, .. } = self;
        runtime.block_on(post.serve(listeners, inbox, orders));
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
    }

    async fn accept(
        self: Arc<Post>,
        listener: usize,
        socket: TcpListener,
        mut orders: watch::Receiver<Order>,
        guest: Guest,
    ) {
        let mut acceptor = match Acceptor::new(socket) {
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
                accepted = acceptor.accept() => {
                    if let Accepted::Ours(stream, peer) = accepted {
                        self.place(stream, peer, listener, &guest);
                    }
                }
            }
        };
        while let Some((stream, peer)) = acceptor.waiting().await {
            self.place(stream, peer, listener, &guest);
        }
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

    fn admit(
        self: &Arc<Post>,
        stream: TcpStream,
        peer: SocketAddr,
        listener: usize,
        held: (Connection, Guest),
    ) {
        let post = self.clone();
        tokio::spawn(async move {
            let _held = held;
            post.converse(stream, peer, listener).await;
        });
    }

    /// One connection, from its first byte to its last.
    async fn converse(&self, stream: TcpStream, peer: SocketAddr, listener: usize) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "client left at once");
            return;
        }
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        // Just made, so it is not set yet.
        let _unset = digest.peer_addr.set(Some(peer.into()));
        let port = self.ports.get(listener).copied().unwrap_or_default();
        let client = Client::new(self.station.clone(), peer, port);
        let carrier = Carrier::new(client, self.pingora.clone());
        let (options, draining) = (&self.station.options.door, &self.station.draining);
        match door::serve(stream, Arc::new(digest), options, draining, &carrier).await {
            Ending::Closed => {}
            // Not offered on cleartext listeners, as by Kong's defaults.
            Ending::Http2(stream) => drop(stream),
        }
    }
}
