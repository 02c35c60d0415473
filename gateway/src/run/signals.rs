//! Signals, as Kong's master process takes them: TERM and INT stop at once, QUIT
//! stops when everything in flight is finished, HUP reloads, USR1 reopens logs.

use std::collections::{BTreeMap, BTreeSet};
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

/// Takes up what can change while running, and names what cannot. What is returned is what the
/// process runs with from now on.
fn reload(running: &Texts, next: &Options, telemetry: &Telemetry) -> Texts {
    telemetry.set_level(next.logs.level);
    let wanted = saved(next);
    for name in differing(running, &wanted).filter(|name| !LIVE.contains(name)) {
        tracing::warn!("reload: {name} has changed, which takes effect at the next restart");
    }
    tracing::info!("reloaded");
    let live = wanted.into_iter().filter(|(name, _)| LIVE.contains(&name.as_str()));
    let fixed = running.iter().filter(|(name, _)| !LIVE.contains(&name.as_str()));
    fixed.map(|(name, text)| (name.clone(), text.clone())).chain(live).collect()
}

/// The properties that are not the same in both, each once.
fn differing<'a>(a: &'a Texts, b: &'a Texts) -> impl Iterator<Item = &'a str> {
    let names: BTreeSet<_> = a.keys().chain(b.keys()).map(String::as_str).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name))
}

fn saved(options: &Options) -> Texts {
    let settings = Saved::read(&options.prefix).ok().flatten().map(|saved| saved.settings());
    settings.as_ref().map(texts).unwrap_or_default()
}

fn texts(settings: &Settings) -> Texts {
    settings.iter().map(|(name, setting)| (name.to_owned(), setting.text.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named_once() {
        let texts = |pairs: &[(&str, &str)]| -> Texts {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let before = texts(&[("workers", "1"), ("prefix", "/p"), ("log_level", "info")]);
        let after = texts(&[("workers", "2"), ("prefix", "/p"), ("admin_listen", "off")]);
        let names: Vec<_> = differing(&before, &after).collect();
        assert_eq!(names, ["admin_listen", "log_level", "workers"]);
    }
}
