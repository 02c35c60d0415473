//! Starting the threads of streams, each beside a worker and on its core.

use super::{Handle, StartError};
use crate::lanes::stream::Station;
use crate::lanes::stream::tls::Connector;
use crate::metrics::Counters;
use crate::options::{Options, StreamBackend, StreamListen};
use crate::proxy::exchange::Failures;
use crate::proxy::log;
use crate::resolve::Resolver;
use crate::snapshot::publish::Reader;
use crate::worker::drain::Order;
use crate::worker::listen::Board;
use crate::worker::ring::{self, Driver};
use crate::worker::stream::{Listener, StreamWorker};
use crate::worker::tls::{Terminator, TlsError};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use tokio::sync::watch;

/// What threads of streams have of the workers beside them.
pub(super) struct Shared<'a> {
    pub(super) options: &'a Arc<Options>,
    pub(super) tls: Option<Arc<Terminator>>,
    /// That of the workers.
    pub(super) resolver: Option<Arc<Resolver>>,
    pub(super) ordered: watch::Receiver<Order>,
}

/// Where the first thread of streams listens; the others do so at the same.
pub(super) fn addresses(listeners: &[Vec<Listener>]) -> Vec<SocketAddr> {
    let address = |listener: &Listener| match listener {
        Listener::Tcp(socket) => socket.local_addr().ok(),
        Listener::Udp(socket) => socket.local_addr().ok(),
    };
    listeners.first().into_iter().flatten().filter_map(address).collect()
}

/// What threads of streams wait with, said once.
fn driver(backend: StreamBackend) -> Driver {
    if backend == StreamBackend::Epoll {
        tracing::info!("streams are waited for with {}, as told", Driver::Epoll);
        return Driver::Epoll;
    }
    let probed = ring::probe();
    match &probed.why {
        None => tracing::info!("streams are waited for with {}", probed.driver),
        Some(why) => tracing::warn!("streams are waited for with {}: {why}", probed.driver),
    }
    probed.driver
}

impl Handle {
    /// Starts the threads of streams, each beside a worker.
    pub(super) fn begin_streams(
        &mut self,
        plan: Vec<Option<usize>>,
        listeners: Vec<Vec<Listener>>,
        readers: Vec<Reader>,
        shared: Shared<'_>,
    ) -> Result<(), StartError> {
        let Shared { options, tls, resolver, ordered } = shared;
        let Some(resolver) = resolver else { return Ok(()) };
        let driver = driver(options.streams.backend);
        let connector = Arc::new(Connector::new().map_err(TlsError::Library)?);
        let start = |sink| log::Writer::start(sink, plan.len());
        let log = options.streams.access_log.clone().map(start).transpose();
        let (writer, logs) = log.map_err(StartError::system("the log of streams"))?.unzip();
        let mut logs = logs.unwrap_or_default().into_iter();
        self.stream_backlogs = writer.iter().flat_map(log::Writer::backlogs).collect();
        self.stream_log_writer = writer;
        let freed = options.connections.map(|_| Arc::default());
        let counters = || Arc::new(Counters::telling(freed.clone()));
        let counters: Vec<_> = plan.iter().map(|_| counters()).collect();
        let (board, inboxes) = Board::new(&counters, options.connections.zip(freed));
        let board = Arc::new(board);
        let listen = options.streams.listen.iter().zip(&self.stream_addresses);
        let listen: Vec<_> =
            listen.map(|(listen, addr)| StreamListen { addr: *addr, ..*listen }).collect();
        let parts = plan.into_iter().zip(listeners).zip(inboxes).zip(readers).zip(counters);
        for (index, ((((core, listeners), inbox), reader), counters)) in parts.enumerate() {
            let station = Station {
                options: options.clone(),
                snapshots: Arc::new(reader),
                resolver: resolver.clone(),
                counters,
                tally: Arc::default(),
                access_log: logs.next(),
                failures: Failures::new(options.error_log),
                terminator: tls.clone(),
                connector: connector.clone(),
                pace: Arc::default(),
            };
            let (listen, orders, board) = (listen.clone(), ordered.clone(), board.clone());
            self.begin_stream(StreamWorker {
                index,
                core,
                driver,
                listeners,
                listen,
                inbox,
                orders,
                board,
                station,
            })?;
        }
        Ok(())
    }

    /// Starts one and waits until it serves.
    fn begin_stream(&mut self, worker: StreamWorker) -> Result<(), StartError> {
        let name = format!("streams-{}", worker.index);
        let (counters, tally) = (worker.station.counters.clone(), worker.station.tally.clone());
        let (begun, begins) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(name).spawn(move || {
            worker.run(|core| begun.send(core).unwrap_or_default());
        });
        self.threads.push(thread.map_err(StartError::system("a thread of streams"))?);
        let core = begins.recv().ok().flatten();
        self.streams.push((core, counters, tally));
        Ok(())
    }
}
