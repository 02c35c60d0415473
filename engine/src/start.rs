//! Starting the engine, and the handle on what runs.
//!
//! Everything that can fail does so before a worker serves: addresses are bound,
//! runtimes and lanes built. Workers own their threads; a small runtime beside
//! them, pinned nowhere, compiles revisions and resolves names.

mod streams; // the threads of streams beside the workers
mod backend; // what the express lane waits with

pub use backend::IoInUse;

use crate::descriptors::{self, Use};
use crate::lanes::Lanes;
use crate::lanes::express::{Express, Tokio};
use crate::lanes::pingora::{Pingora, Trust, start_timers};
use crate::metrics::{Counters, StreamStats, Tally, WorkerStats};
use crate::options::{Listen, Options};
use crate::proxy::exchange::{Failures, Ids, Station};
use crate::proxy::log::{self, Backlog};
use crate::proxy::restraint::Restraint;
use crate::resolve::Resolver;
use crate::snapshot::publish::{Publisher, Reader};
use crate::snapshot::{CompileOptions, Held, UpstreamDefaults, follow};
use crate::worker::drain::{self, Order};
use crate::worker::listen::{self, Board, ListenError};
use crate::worker::tls::{Terminator, TlsError};
use crate::worker::{Post, Worker, cores};
use model::Revision;
use model::vitals::Verdict;
use rustix::io::Errno;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use streams::Shared;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Threads beside each worker that wait for the disk in its place, where long bodies are kept.
/// They share its core; more of them would not make the disk faster.
const DISK_THREADS: usize = 8;

/// Why the engine could not start. Nothing of it runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken, not ours, or not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS is asked for, but cannot be spoken as the options say.
    #[error("cannot speak TLS")]
    Tls(#[from] TlsError),
    /// What upstreams are to be shown, or to show, cannot be used.
    #[error("cannot speak TLS with upstreams: {0}")]
    UpstreamTls(String),
    /// With what the process has open already, no client would ever be accepted.
    #[error(
        "the limit of open files, {limit}, leaves none for clients: raise it (`ulimit -n`, or \
         `LimitNOFILE=` in the unit)"
    )]
    Descriptors {
        /// How many there may be.
        limit: u64,
    },
    /// Threads are not to be had, or descriptors of the whole system.
    #[error("cannot start {what}")]
    System {
        /// What could not be started.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl StartError {
    /// What could not be started, and why; without descriptors for that there would be none for clients.
    fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
        move |source| match Errno::from_io_error(&source) {
            Some(Errno::MFILE) => StartError::Descriptors { limit: descriptors::limit() },
            _ => StartError::System { what, source },
        }
    }
}

/// The data plane's engine.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Starts serving what `revisions` holds now, compiled before the first client is
    /// let in, and from then on the newest it holds. Returns once every worker listens.
    pub fn start(
        options: Options,
        revisions: watch::Receiver<Arc<Revision>>,
    ) -> Result<Handle, StartError> {
        let options = Arc::new(options);
        let plan = cores::plan(&options.workers);
        let sockets = listen::bind_all(&options.listen, plan.len())?;
        let addresses = addresses(&sockets);
        let stream_listeners = listen::bind_streams(&options.streams.listen, plan.len())?;
        let stream_addresses = streams::addresses(&stream_listeners);
        let one = sockets.iter().flatten().next().map(TcpListener::try_clone).transpose();
        let one = one.map_err(StartError::system("a listener"))?;
        let tls = terminator(&options)?;
        let background = background()?;

        let (ring, mut io) = backend::choose(&options);
        // Of workers, then of their companions.
        let threads = if ring.is_some() { 2 * plan.len() } else { plan.len() };

        let first = follow::first(&revisions.borrow(), compiling(&options)?);
        let streams = if stream_addresses.is_empty() { 0 } else { plan.len() };
        let (publisher, mut readers) = Publisher::new(first, threads + streams);
        let stream_readers = readers.split_off(threads);
        let (verdict, verdicts) = watch::channel(Verdict::default());
        let held = publisher.held();
        background.spawn(follow::follow(revisions, publisher, verdict));

        let (orders, ordered) = watch::channel(Order::default());
        let (draining, drained): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| watch::channel(false)).unzip();
        let lanes = lanes(&options, drained.get(..plan.len()).unwrap_or_default())?;
        let freed = options.connections.map(|_| Arc::default());
        let counters = || Arc::new(Counters::telling(freed.clone()));
        let counters: Vec<_> = plan.iter().map(|_| counters()).collect();
        let counted: Vec<_> = counters.iter().cycle().take(threads).cloned().collect();
        let duties = readers.into_iter().zip(drained).zip(counted);
        let (log_writer, mut stations) = stations(&options, duties, &background)?;
        let resolver = stations.first().map(|station| station.resolver.clone());
        let backlogs = log_writer.iter().flat_map(log::Writer::backlogs).collect();
        let (board, inboxes) = Board::new(&counters, options.connections.zip(freed));
        let board = Arc::new(board);
        let listen = bound(&options.listen, &addresses);
        let companions = stations.split_off(plan.len());
        let companions = backend::start(ring, &plan, companions, &mut io);
        io.log(&options);
        let mut reaches = companions.reaches.into_iter();

        let stream_plan = plan.clone();
        let parts = plan.into_iter().zip(sockets).zip(inboxes).zip(stations).zip(lanes);
        let mut handle = Handle {
            addresses,
            stream_addresses,
            verdicts,
            workers: Vec::new(),
            streams: Vec::new(),
            stream_log_writer: None,
            stream_backlogs: Arc::default(),
            threads: Vec::new(),
            log_writer,
            backlogs,
            held,
            draining,
            orders: Some(orders),
            background: Some(background),
            io,
        };
        handle.threads.extend(companions.threads);
        for (index, ((((core, listeners), inbox), station), lanes)) in parts.enumerate() {
            let (companion, back) = reaches.next().map(|reach| (reach.inbox, reach.back)).unzip();
            let post = Post {
                index,
                board: board.clone(),
                station,
                lanes: Arc::new(lanes),
                companion,
                listen: listen.clone(),
                tls: tls.clone(),
                pace: Arc::default(),
                full: Restraint::new(1),
            };
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(DISK_THREADS)
                .build();
            let runtime = runtime.map_err(StartError::system("a worker's runtime"))?;
            let (orders, post) = (ordered.clone(), Arc::new(post));
            handle.begin(Worker { core, runtime, listeners, inbox, back, orders, post })?;
        }
        if !handle.stream_addresses.is_empty() {
            let shared = Shared { options: &options, tls, ordered, resolver };
            handle.begin_streams(stream_plan, stream_listeners, stream_readers, shared)?;
        }
        if one.is_some_and(|one| !descriptors::is_room_beside(&one, Use::Client)) {
            return Err(StartError::Descriptors { limit: descriptors::limit() });
        }
        Ok(handle)
    }
}

/// The listeners, with the ports they got.
fn bound(listen: &[Listen], addresses: &[SocketAddr]) -> Vec<Listen> {
    listen.iter().zip(addresses).map(|(listen, addr)| Listen { addr: *addr, ..*listen }).collect()
}

/// What all workers begin handshakes with, if any listener speaks TLS.
fn terminator(options: &Options) -> Result<Option<Arc<Terminator>>, StartError> {
    let streams = options.streams.listen.iter().any(|listen| listen.tls);
    let speaks_tls = streams || options.listen.iter().any(|listen| listen.tls);
    Ok(speaks_tls.then(|| Terminator::new(&options.tls)).transpose()?.map(Arc::new))
}

/// How every snapshot is compiled.
fn compiling(options: &Options) -> Result<CompileOptions, StartError> {
    let defaults = UpstreamDefaults::new(&options.upstream_tls).map_err(StartError::UpstreamTls)?;
    let (router, streams) = (options.router, !options.streams.listen.is_empty());
    Ok(CompileOptions { router, upstream_tls: Arc::new(defaults), streams })
}

/// Where the first worker listens; the others do so at the same.
fn addresses(sockets: &[Vec<TcpListener>]) -> Vec<SocketAddr> {
    let first = sockets.first().into_iter().flatten();
    first.filter_map(|socket| socket.local_addr().ok()).collect()
}

fn background() -> Result<Runtime, StartError> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("background")
        .enable_all()
        .build()
        .map_err(StartError::system("the background runtime"))
}

/// Each worker's lanes, built side by side: it takes a while.
fn lanes(options: &Options, draining: &[watch::Receiver<bool>]) -> Result<Vec<Lanes>, StartError> {
    start_timers();
    let trust = Trust::nobody().map_err(StartError::system("the upstream connectors"))?;
    let keepalive = options.keepalive;
    let express = || options.lanes.express.then(|| Express::new(Tokio, keepalive));
    Ok(thread::scope(|scope| {
        let trust = &trust;
        let build = |draining: &watch::Receiver<bool>| {
            let draining = draining.clone();
            scope.spawn(move || Pingora::new(keepalive, trust, draining))
        };
        let building: Vec<_> = draining.iter().map(build).collect();
        // One that panicked would leave a worker without a lane: go down with it.
        building
            .into_iter()
            .map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .map(|pingora| Lanes { pingora, express: express() })
            .collect()
    }))
}

/// What each worker offers its requests, and who writes what they log.
fn stations(
    options: &Arc<Options>,
    duties: impl ExactSizeIterator<Item = ((Reader, watch::Receiver<bool>), Arc<Counters>)>,
    background: &Runtime,
) -> Result<(Option<log::Writer>, Vec<Arc<Station>>), StartError> {
    let resolver = Resolver::system(background.handle().clone());
    let start = |sink| log::Writer::start(sink, duties.len());
    let log = options.access_log.clone().map(start).transpose();
    let log = log.map_err(StartError::system("the access log"))?;
    let (writer, logs) = log.unzip();
    let mut logs = logs.unwrap_or_default().into_iter();
    let station = |((reader, draining), counters)| {
        Arc::new(Station {
            options: options.clone(),
            snapshots: Arc::new(reader),
            resolver: resolver.clone(),
            counters,
            ids: Ids::new(),
            access_log: logs.next(),
            failures: Failures::new(options.error_log),
            draining,
        })
    };
    Ok((writer, duties.map(station).collect()))
}

/// The running engine. Dropped, it stops at once, except that what it has to log is
/// written if that does not take long.
#[derive(Debug)]
pub struct Handle {
    addresses: Vec<SocketAddr>,
    stream_addresses: Vec<SocketAddr>,
    verdicts: watch::Receiver<Verdict>,
    workers: Vec<(Option<usize>, Arc<Counters>)>,
    streams: Vec<Counted>,
    threads: Vec<thread::JoinHandle<()>>,
    log_writer: Option<log::Writer>,
    stream_log_writer: Option<log::Writer>,
    backlogs: Arc<[Arc<Backlog>]>,
    stream_backlogs: Arc<[Arc<Backlog>]>,
    held: watch::Receiver<Held>,
    /// One for each worker, and each companion.
    draining: Vec<watch::Sender<bool>>,
    /// Workers leave at once when it is gone.
    orders: Option<watch::Sender<Order>>,
    background: Option<Runtime>,
    io: IoInUse,
}

impl Handle {
    /// Starts a worker's thread and waits until it serves.
    fn begin(&mut self, worker: Worker) -> Result<(), StartError> {
        let name = format!("worker-{}", worker.post.index);
        let counters = worker.post.station.counters.clone();
        let (begun, begins) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(name).spawn(move || {
            worker.run(|core| begun.send(core).unwrap_or_default());
        });
        self.threads.push(thread.map_err(StartError::system("a worker's thread"))?);
        let core = begins.recv().ok().flatten();
        self.workers.push((core, counters));
        Ok(())
    }

    /// Where clients are served: the addresses bound, in the order of the options.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where streams and datagrams are served, likewise.
    pub fn stream_addresses(&self) -> &[SocketAddr] {
        &self.stream_addresses
    }

    /// What the engine says of the revisions it is given.
    pub fn verdicts(&self) -> watch::Receiver<Verdict> {
        self.verdicts.clone()
    }

    /// What the workers have done so far.
    pub fn stats(&self) -> Stats {
        self.meter().stats()
    }

    /// The same, for whoever asks again and again.
    pub fn meter(&self) -> Meter {
        Meter {
            workers: self.workers.clone().into(),
            streams: self.streams.clone().into(),
            backlogs: self.backlogs.clone(),
            stream_backlogs: self.stream_backlogs.clone(),
            held: self.held.clone(),
            io: self.io.clone(),
        }
    }

    /// Sends clients elsewhere: from now on each connection's next response is its
    /// last. New connections are still accepted.
    pub fn drain(&self) {
        for worker in &self.draining {
            worker.send_replace(true);
        }
    }

    /// Stops: accepts no more, finishes what is in flight, and cuts off what is not
    /// finished when `patience` ends. What then waits for the access log is written,
    /// or counted as dropped if that takes nothing.
    pub async fn shutdown(mut self, patience: Duration) {
        self.drain();
        if let Some(orders) = &self.orders {
            orders.send_replace(Order::Leave { by: drain::deadline(patience) });
        }
        let threads = std::mem::take(&mut self.threads);
        let Some(background) = &self.background else { return };
        let joined = background.spawn_blocking(|| {
            threads.into_iter().filter_map(|thread| thread.join().err()).count()
        });
        if let Ok(1..) = joined.await {
            tracing::error!(name: model::severity::ALERT, "a worker ended in a panic");
        }
        for writer in self.log_writer.iter_mut().chain(&mut self.stream_log_writer) {
            let _waited = background.spawn_blocking(writer.wait()).await;
            writer.end(Instant::now());
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(background) = self.background.take() {
            // It may be dropped inside another runtime, where waiting is not allowed.
            background.shutdown_background();
        }
    }
}

/// A thread of streams: its core, and what it counts.
type Counted = (Option<usize>, Arc<Counters>, Arc<Tally>);

/// Reads what the workers count. Outlives the engine, and then stands still.
#[derive(Clone, Debug)]
pub struct Meter {
    workers: Arc<[(Option<usize>, Arc<Counters>)]>,
    streams: Arc<[Counted]>,
    backlogs: Arc<[Arc<Backlog>]>,
    stream_backlogs: Arc<[Arc<Backlog>]>,
    held: watch::Receiver<Held>,
    io: IoInUse,
}

impl Meter {
    /// What the workers have done so far.
    pub fn stats(&self) -> Stats {
        let workers = self.workers.iter().map(|(core, counters)| counters.stats(*core)).collect();
        let stream =
            |(core, counters, tally): &(_, Arc<Counters>, Arc<Tally>)| tally.stats(*core, counters);
        Stats {
            workers,
            streams: self.streams.iter().map(stream).collect(),
            access_log_dropped: self.access_log_dropped(),
            snapshots: *self.held.borrow(),
            io: self.io.clone(),
        }
    }

    /// Access-log lines so far that could not be handed over in time.
    pub fn access_log_dropped(&self) -> u64 {
        dropped(&self.backlogs)
    }

    /// The same of the log of streams.
    pub fn stream_log_dropped(&self) -> u64 {
        dropped(&self.stream_backlogs)
    }
}

fn dropped(backlogs: &[Arc<Backlog>]) -> u64 {
    backlogs.iter().map(|backlog| backlog.dropped()).sum()
}

/// What the engine has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By worker.
    pub workers: Vec<WorkerStats>,
    /// By thread of streams; there are none without listeners for them.
    pub streams: Vec<StreamStats>,
    /// Access-log lines that were dropped because they could not be handed over in time.
    pub access_log_dropped: u64,
    /// Which snapshots are in memory: long-lived requests keep old ones.
    pub snapshots: Held,
    /// What the express lane waits with.
    pub io: IoInUse,
}

impl Stats {
    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.workers.iter().map(|worker| worker.open).sum()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.workers.iter().map(|worker| worker.accepted).sum()
    }

    /// TLS handshakes that came to nothing.
    pub fn handshakes_failed(&self) -> u64 {
        self.workers.iter().map(|worker| worker.handshakes_failed).sum()
    }

    /// HTTP/2 connections that were ended for what their clients did.
    pub fn sent_away(&self) -> u64 {
        self.workers.iter().map(|worker| worker.sent_away).sum()
    }

    /// Connections closed for want of a PROXY header.
    pub fn proxy_headers_failed(&self) -> u64 {
        self.workers.iter().map(|worker| worker.proxy_headers_failed).sum()
    }

    /// Times that workers stopped accepting for want of places.
    pub fn pauses(&self) -> u64 {
        self.workers.iter().map(|worker| worker.pauses).sum()
    }

    /// Requests so far, refused ones included.
    pub fn requests(&self) -> u64 {
        self.workers.iter().map(|worker| worker.requests).sum()
    }

    /// Those of them that took the express lane.
    pub fn express(&self) -> u64 {
        self.workers.iter().map(|worker| worker.express).sum()
    }

    /// Connections lost to a panic.
    pub fn panics(&self) -> u64 {
        self.workers.iter().map(|worker| worker.panics).sum()
    }
}
