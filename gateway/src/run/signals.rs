//! Signals, as Kong's master process takes them: TERM and INT stop at once, QUIT
//! stops when everything in flight is finished, HUP reloads, USR1 reopens logs.
//!
//! They are taken from the first moment on, see [`Starting`]: until the node serves, those that stop
//! end the process wherever it is, and the others wait until then.

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::{fs, process, thread};

use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::notify;
use crate::options::{self, Options, RereadError, Texts};
use crate::telemetry::Telemetry;

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Cut what is in flight.
    AtOnce,
    /// Finish it first.
    Graceful,
}

/// The signals this process listens to.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    /// What ends the process while it starts.
    watch: AbortHandle,
}

/// A process that is to serve and does not yet. It may be told to stop while it waits for something that
/// never comes, so a task ends it that waits for nothing else.
#[derive(Debug)]
pub struct Starting {
    runtime: Runtime,
    signals: Signals,
    pid_file: Arc<OnceLock<PathBuf>>,
}

impl Starting {
    /// Takes the signals over: to be called before anything that takes its time.
    pub fn begin() -> io::Result<Self> {
        let mut building = runtime::Builder::new_multi_thread();
        let runtime = building.thread_name("background").enable_all().build()?;
        let pid_file = Arc::<OnceLock<PathBuf>>::default();
        let inside = runtime.enter();
        let (hup, usr1) = (signal(SignalKind::hangup())?, signal(SignalKind::user_defined1())?);
        let (mut term, mut int, mut quit) = enders()?;
        let left = Arc::clone(&pid_file);
        let watch = runtime.spawn(async move {
            let kind = tokio::select! {
                _ = term.recv() => SignalKind::terminate(),
                _ = int.recv() => SignalKind::interrupt(),
                _ = quit.recv() => SignalKind::quit(),
            };
            end_now(kind.as_raw_value(), left.get().map(PathBuf::as_path));
        });
        let (term, int, quit) = enders()?;
        drop(inside);
        let signals = Signals { term, int, quit, hup, usr1, watch: watch.abort_handle() };
        Ok(Self { runtime, signals, pid_file })
    }

    /// Has this file removed if the process is told to stop before it serves.
    pub fn leaves(&self, pid_file: &Path) {
        let _ = self.pid_file.set(pid_file.to_owned()); // there is but one
    }

    /// What to serve with.
    pub fn go_on(self) -> (Runtime, Signals) {
        (self.runtime, self.signals)
    }
}

fn enders() -> io::Result<(Signal, Signal, Signal)> {
    Ok((
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::quit())?,
    ))
}

/// Ends what starts: a node has done as it was told, a command that is not one yet has not.
#[expect(clippy::disallowed_methods, reason = "whoever could return an exit code is waiting")]
fn end_now(signal: i32, pid_file: Option<&Path>) {
    let Some(pid_file) = pid_file else { process::exit(128 + signal) };
    notify::status("told to stop before it was ready");
    notify::stopping();
    let _ = fs::remove_file(pid_file);
    process::exit(0);
}

impl Signals {
    /// Says that the node serves, and does what signals ask until one asks to end. What a reload
    /// reads anew is given to `take_up`, beyond what every role takes up.
    pub(super) async fn serving(
        &mut self,
        options: &Options,
        telemetry: &Telemetry,
        take_up: impl AsyncFn(&Options),
    ) -> Stop {
        self.watch.abort();
        tracing::info!("gateway {} started as {}", model::VERSION, options.role.name());
        notify::ready();
        let mut running = options.texts.clone();
        let mut rereading = Rereading::default();
        loop {
            tokio::select! {
                _ = self.term.recv() => return Stop::AtOnce,
                _ = self.int.recv() => return Stop::AtOnce,
                _ = self.quit.recv() => return Stop::Graceful,
                _ = self.usr1.recv() => telemetry.reopen(),
                _ = self.hup.recv() => {
                    telemetry.reopen();
                    rereading = Rereading::begin(options);
                }
                read = rereading.done() => match read {
                    Ok(next) => {
                        take_up(&next).await;
                        running = reload(&running, &next, telemetry);
                    }
                    Err(error) => tracing::error!("reload: nothing changes: {error}"),
                },
            }
        }
    }

    /// Resolves when told to stop at once.
    pub(super) async fn at_once(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Options on their way: a file they name may be a pipe that nobody writes to, and a node that waits for
/// it must still end when it is told to.
#[derive(Default)]
struct Rereading(Option<oneshot::Receiver<Result<Options, RereadError>>>);

impl Rereading {
    /// Reads on a thread that nobody waits for. One that was under way no longer counts.
    fn begin(options: &Options) -> Self {
        let (tell, told) = oneshot::channel();
        let (prefix, mode) = (options.prefix.clone(), options.mode);
        let read = move || drop(tell.send(Options::reread(&prefix, mode)));
        if let Err(error) = thread::Builder::new().name("reload".to_owned()).spawn(read) {
            tracing::error!("reload: nothing changes: no thread to read with: {error}");
        }
        Self(Some(told))
    }

    /// Resolves once, when it has been read.
    async fn done(&mut self) -> Result<Options, RereadError> {
        if let Some(told) = &mut self.0
            && let Ok(read) = told.await
        {
            self.0 = None;
            return read;
        }
        self.0 = None;
        pending().await
    }
}

/// Takes up what can change while running, and names what cannot. What is returned is what the
/// process runs with from now on.
fn reload(running: &Texts, next: &Options, telemetry: &Telemetry) -> Texts {
    telemetry.set_level(next.logs.level);
    for name in options::waiting(running, &next.texts) {
        tracing::warn!("reload: {name} {}", options::WAITS);
    }
    tracing::info!("reloaded");
    options::taken_up(running, &next.texts)
}
