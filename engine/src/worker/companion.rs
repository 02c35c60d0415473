//! A worker's companion: a second thread on its core, whose connections a ring carries.
//!
//! The worker accepts, and gives its companion connections in cleartext. What only the worker's lanes can
//! carry comes back, with the request that was under way, and stays. Every connection is the worker's guest
//! all the time, so that it leaves last; the companion ends when its worker is gone, and with it whatever
//! is still open.

use super::ring::{self, Driver};
use super::{Held, pinned};
use crate::door::{self, Ending, Moved, Parcel};
use crate::lanes::express::{Express, Released, Ring, RingStream, lingers};
use crate::lanes::ring::RingCarrier;
use crate::proxy::exchange::{Client, Ends, Exchange, Station};
use futures::future::{AbortHandle, AbortRegistration, Abortable};
use pingora::protocols::SocketDigest;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// What a companion's thread needs to begin.
pub(crate) struct Companion {
    pub(crate) worker: usize,
    pub(crate) core: Option<usize>,
    pub(crate) driver: Driver,
    pub(crate) station: Arc<Station>,
    pub(crate) inbox: UnboundedReceiver<Given>,
    pub(crate) back: UnboundedSender<Returned>,
}

/// A worker's end of its companion.
pub(crate) struct Reach {
    pub(crate) inbox: UnboundedSender<Given>,
    pub(crate) back: UnboundedReceiver<Returned>,
}

/// A connection for the ring, of which nothing has been read but a PROXY header.
#[derive(Debug)]
pub(crate) struct Given {
    pub(super) socket: std::net::TcpStream,
    pub(super) digest: Arc<SocketDigest>,
    pub(super) ends: Ends,
    pub(super) listener: usize,
    /// Whether HTTP/2 may be spoken on it.
    pub(super) http2: bool,
    pub(super) held: Held,
}

/// A connection that only its worker's lanes can serve.
pub(crate) struct Returned {
    pub(super) socket: std::net::TcpStream,
    pub(super) parcel: Parcel,
    pub(super) errand: Errand,
    pub(super) ends: Ends,
    pub(super) listener: usize,
    pub(super) held: Held,
}

/// With what it comes.
pub(super) enum Errand {
    /// About this the pipeline has decided.
    Request(Box<Exchange>),
    /// It has begun to speak HTTP/2.
    Http2,
}

impl Companion {
    /// Pins the calling thread, and serves until its worker is gone. Says whether it has a ring.
    pub(crate) fn run(self, begun: impl Fn(io::Result<()>)) {
        if let Some(core) = self.core {
            pinned(self.worker, core);
        }
        let ended = ring::run(self.driver, |driver| {
            // Without a ring its worker does better alone.
            let has_ring = driver != Driver::Epoll;
            begun(if has_ring { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) });
            async move {
                if has_ring {
                    self.serve().await;
                }
            }
        });
        if let Err(error) = ended {
            begun(Err(error));
        }
    }

    async fn serve(self) {
        let Companion { station, mut inbox, back, .. } = self;
        lingers(true).await;
        let lane = Rc::new(Express::new(Ring, station.options.keepalive));
        let crowd = Crowd::new();
        let reader = station.snapshots.clone();
        // Without requests, too, it lets go of what has been superseded.
        crowd.admit(async move {
            loop {
                drop(reader.changed().await);
            }
        });
        let tended = lane.clone();
        // This wakes the thread now and then, so that no wake from another is lost for long.
        crowd.admit(async move { tended.tend().await });
        let desk = Rc::new(Desk { station, lane, back });
        while let Some(given) = inbox.recv().await {
            let desk = desk.clone();
            crowd.admit(async move { desk.receive(given).await });
        }
        drop(desk);
        lingers(false).await;
        crowd.disperse().await;
    }
}

/// What a companion's connections share.
struct Desk {
    station: Arc<Station>,
    lane: Rc<Express<Ring>>,
    back: UnboundedSender<Returned>,
}

impl Desk {
    /// Serves a connection, and sends it back if its worker has to go on with it.
    async fn receive(&self, given: Given) {
        let (ends, listener, held) = (given.ends, given.listener, given.held);
        let conversing = self.converse(given.socket, given.digest, ends, given.http2);
        let Some((moved, errand)) = conversing.await else { return };
        let (stream, mut parcel) = moved.pack();
        match stream.into_std().await {
            Ok(Released { socket, read, is_over }) => {
                parcel.add(&read, is_over);
                let returned = Returned { socket, parcel, errand, ends, listener, held };
                // If its worker is gone, there is nobody to serve it.
                let _gone = self.back.send(returned);
            }
            Err(error) => tracing::debug!(%error, "a client left on the way between two threads"),
        }
    }

    async fn converse(
        &self,
        socket: std::net::TcpStream,
        digest: Arc<SocketDigest>,
        ends: Ends,
        http2: bool,
    ) -> Option<(Moved<RingStream>, Errand)> {
        let lost = |error| tracing::error!(%error, "lost a connection on its way to a ring");
        let stream = RingStream::from_std(socket).map_err(lost).ok()?;
        let client = Client::new(self.station.clone(), ends, None);
        let carrier = RingCarrier::new(client, self.lane.clone());
        let options = door::Options { http2, ..self.station.options.door };
        let draining = &self.station.draining;
        match door::serve(stream, digest, &options, draining, &carrier).await {
            Ending::Closed => None,
            Ending::Http2(stream) => stream.moved().map(|moved| (moved, Errand::Http2)),
            Ending::Moved(moved) => {
                let exchange = carrier.take_leaving()?;
                Some((moved, Errand::Request(exchange)))
            }
        }
    }
}

/// Tasks that can all be told to end. A runtime with rings must not end before them: they hold what it is
/// made of, and neither would ever be dropped.
struct Crowd {
    members: Rc<Members>,
    gone: mpsc::Receiver<Infallible>,
}

struct Members {
    handles: RefCell<BTreeMap<u64, AbortHandle>>,
    next: Cell<u64>,
    /// Nothing is ever sent: what counts is that nobody holds it any more.
    #[allow(dead_code)]
    here: mpsc::Sender<Infallible>,
}

/// One task's place, given up when it is over.
struct Place {
    members: Rc<Members>,
    number: u64,
}

impl Crowd {
    fn new() -> Crowd {
        let (here, gone) = mpsc::channel(1);
        let members = Members { handles: RefCell::default(), next: Cell::new(0), here };
        Crowd { members: Rc::new(members), gone }
    }

    fn admit(&self, task: impl Future<Output = ()> + 'static) {
        let (place, registration) = Place::take(&self.members);
        // Boxed: what a block is given takes its room twice.
        let task = Abortable::new(Box::pin(task), registration);
        ring::spawn(async move {
            let _place = place;
            let _done_or_told = task.await;
        });
    }

    /// Ends all tasks, and waits until what they had open is closed.
    async fn disperse(self) {
        let Crowd { members, mut gone } = self;
        let handles = members.handles.take();
        drop(members);
        handles.values().for_each(AbortHandle::abort);
        // Ends when the last sender is dropped.
        let _nothing = gone.recv().await;
        // Operations that were called off have to be heard of before their sockets are closed.
        monoio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Place {
    fn take(members: &Rc<Members>) -> (Place, AbortRegistration) {
        let number = members.next.get();
        members.next.set(number + 1);
        let (handle, registration) = AbortHandle::new_pair();
        members.handles.borrow_mut().insert(number, handle);
        (Place { members: members.clone(), number }, registration)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.members.handles.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Counters;

    #[test]
    fn a_panic_costs_one_connection_and_is_counted() {
        let counters = Arc::new(Counters::default());
        let (doomed, well) = (counters.connection(), counters.connection());
        let driver = ring::probe().driver;
        let open = ring::run(driver, async |_| {
            let crowd = Crowd::new();
            crowd.admit(async move {
                let _doomed = doomed;
                ring::step_aside().await;
                panic!("on purpose");
            });
            let counted = counters.clone();
            crowd.admit(async move {
                let _well = well;
                std::future::pending::<()>().await;
            });
            while counted.stats(None).panics == 0 {
                monoio::time::sleep(Duration::from_millis(1)).await;
            }
            let open = counted.open();
            crowd.disperse().await;
            open
        });
        assert_eq!(open.unwrap(), 1, "the other one goes on");
        let stats = counters.stats(None);
        assert_eq!((stats.panics, stats.open), (1, 0));
    }
}
