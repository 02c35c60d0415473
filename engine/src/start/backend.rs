//! What the express lane waits with, and workers' companions if that is io_uring.
//!
//! All workers have one, or none has: what cannot be had is said once, at start, and the node serves
//! without it.

use crate::options::{Backend, Options};
use crate::proxy::exchange::Station;
use crate::worker::companion::{Companion, Reach};
use crate::worker::ring::{self, Driver};
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use tokio::sync::mpsc::unbounded_channel;

/// What the express lane waits with on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoInUse {
    /// `tokio`, or the kind of io_uring.
    pub name: String,
    /// Why it is not what was asked for, or not the best kind of it.
    pub why: Option<String>,
}

impl Default for IoInUse {
    fn default() -> IoInUse {
        IoInUse { name: "tokio".to_owned(), why: None }
    }
}

impl IoInUse {
    fn tokio_since(why: impl Into<String>) -> IoInUse {
        IoInUse { why: Some(why.into()), ..IoInUse::default() }
    }

    /// Says it once, where it was asked for.
    pub(super) fn log(&self, options: &Options) {
        let (name, why) = (&self.name, self.why.as_deref());
        match options.io_backend {
            Backend::Tokio => {}
            Backend::IoUring if *name == IoInUse::default().name => {
                tracing::warn!(why, "io_uring cannot be used: the express lane runs on tokio");
            }
            Backend::IoUring => {
                tracing::info!(backend = name, why, "the express lane runs on io_uring");
            }
        }
    }
}

/// The kind of ring that is to be used, if any.
pub(super) fn choose(options: &Options) -> (Option<Driver>, IoInUse) {
    match options.io_backend {
        Backend::Tokio => (None, IoInUse::default()),
        Backend::IoUring if !options.lanes.express => {
            (None, IoInUse::tokio_since("the express lane is off"))
        }
        Backend::IoUring => {
            let probed = ring::probe();
            let (driver, why) = (probed.driver, probed.why.clone());
            match driver {
                Driver::Epoll => (None, IoInUse::tokio_since(why.unwrap_or_default())),
                Driver::Deferred | Driver::Ring => {
                    (Some(driver), IoInUse { name: driver.to_string(), why })
                }
            }
        }
    }
}

/// Workers' ends of their companions, and the threads of those.
#[derive(Default)]
pub(super) struct Companions {
    pub(super) reaches: Vec<Reach>,
    pub(super) threads: Vec<JoinHandle<()>>,
}

/// Starts a companion for each worker, or for none, which `io` then says.
pub(super) fn start(
    driver: Option<Driver>,
    cores: &[Option<usize>],
    stations: Vec<Arc<Station>>,
    io: &mut IoInUse,
) -> Companions {
    let Some(driver) = driver else { return Companions::default() };
    let mut companions = Companions::default();
    for (worker, (station, core)) in stations.into_iter().zip(cores).enumerate() {
        // Those that have begun end when nobody reaches them any more.
        if let Err(error) = companions.add(worker, *core, driver, station) {
            *io = IoInUse::tokio_since(format!("worker {worker} has got no ring: {error}"));
            return Companions::default();
        }
    }
    companions
}

impl Companions {
    fn add(
        &mut self,
        worker: usize,
        core: Option<usize>,
        driver: Driver,
        station: Arc<Station>,
    ) -> io::Result<()> {
        let (given, inbox) = unbounded_channel();
        let (returned, back) = unbounded_channel();
        let companion = Companion { worker, core, driver, station, inbox, back: returned };
        let (begun, begins) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(format!("ring-{worker}")).spawn(move || {
            companion.run(|result| begun.send(result).unwrap_or_default());
        })?;
        begins.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended")))?;
        self.reaches.push(Reach { inbox: given, back });
        self.threads.push(thread);
        Ok(())
    }
}
