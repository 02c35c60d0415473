//! Signals, as Kong's master process takes them: TERM and INT stop at once, QUIT
//! stops when everything in flight is finished, HUP reloads, USR1 reopens logs.

use std::collections::BTreeMap;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::conf::Settings;
use crate::conf::saved::Saved;
use crate::notify;
use crate::options::Options;
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
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
}

/// Properties that a reload changes in a running process.
const LIVE: [&str; 1] = ["log_level"];

impl Signals {
    /// Takes the signals over. Must be called within a runtime.
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
        })
    }

    /// Says that the node serves, and does what signals ask until one asks to end.
    pub(super) async fn serving(&mut self, options: &Options, telemetry: &Telemetry) -> Stop {
        tracing::info!("gateway {} started as {}", model::VERSION, options.role.name());
        notify::ready();
        let mut running = saved(options);
        loop {
            tokio::select! {
                _ = self.term.recv() => return Stop::AtOnce,
                _ = self.int.recv() => return Stop::AtOnce,
                _ = self.quit.recv() => return Stop::Graceful,
                _ = self.usr1.recv() => telemetry.reopen(),
                _ = self.hup.recv() => {
                    telemetry.reopen();
                    match options.reread() {
                        Ok(next) => running = reload(&running, &next, telemetry),
                        Err(error) => tracing::error!("reload: nothing changes: {error}"),
                    }
                }
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

/// What the process runs with: the text of every property that was set.
type Texts = BTreeMap<String, String>;

/// Takes up what can change while running, and names what cannot.
fn reload(running: &Texts, next: &Options, telemetry: &Telemetry) -> Texts {
    telemetry.set_level(next.logs.level);
    let mut now = running.clone();
    let wanted = saved(next);
    for name in running.keys().chain(wanted.keys()) {
        if running.get(name) == wanted.get(name) {
            continue;
        }
        if LIVE.contains(&name.as_str()) {
            match wanted.get(name) {
                Some(text) => now.insert(name.clone(), text.clone()),
                None => now.remove(name),
            };
        } else if !now.contains_key(name) || now.get(name) == running.get(name) {
            tracing::warn!("reload: {name} has changed, which takes effect at the next restart");
        }
    }
    tracing::info!("reloaded");
    now
}

fn saved(options: &Options) -> Texts {
    let settings = Saved::read(&options.prefix).ok().flatten().map(|saved| saved.settings());
    settings.as_ref().map(texts).unwrap_or_default()
}

fn texts(settings: &Settings) -> Texts {
    settings.iter().map(|(name, setting)| (name.to_owned(), setting.text.clone())).collect()
}
