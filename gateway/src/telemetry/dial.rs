//! The level of the log, turned up or down while the process runs: by a reload for good, by the Admin
//! API for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use admin::{LevelChange, LogLevel};
use tokio::time::sleep;
use tracing_subscriber::{Registry, reload};

use super::level::AtLeast;
use crate::options::Level;

/// The dial of this process's log. Clones turn the same one.
#[derive(Clone, Debug)]
pub struct Dial {
    filter: reload::Handle<AtLeast, Registry>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// What `log_level` says.
    configured: Level,
    now: Level,
    /// How often it was turned: what was to turn it back later does so only if nobody has since.
    turns: u64,
}

impl Dial {
    pub(super) fn new(filter: reload::Handle<AtLeast, Registry>, configured: Level) -> Self {
        let state = State { configured, now: configured, turns: 0 };
        Self { filter, state: Arc::new(Mutex::new(state)) }
    }

    /// Changes the least severe level that is logged, for good. The same level as before leaves alone
    /// what counts for a while.
    pub(super) fn configure(&self, level: Level) {
        let mut state = self.lock();
        if state.configured != level {
            state.configured = level;
            self.turn(&mut state, level);
        }
    }

    /// Returns how often it was turned.
    fn turn(&self, state: &mut State, level: Level) -> u64 {
        state.now = level;
        state.turns += 1;
        // It fails only once logging has ended, and then there is no level to change.
        let _ = self.filter.reload(AtLeast(level));
        state.turns
    }

    fn turn_back(&self, turn: u64) {
        let mut state = self.lock();
        if state.turns == turn {
            let configured = state.configured;
            self.turn(&mut state, configured);
            drop(state);
            tracing::info!("the log level is {} again", configured.word());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogLevel for Dial {
    fn level(&self) -> &'static str {
        self.lock().now.word()
    }

    fn change(&self, level: &str, lasting: Option<Duration>) -> LevelChange {
        let Some(level) = Level::of(level) else { return LevelChange::Unknown };
        let mut state = self.lock();
        if state.now == level {
            return LevelChange::Already;
        }
        let turn = self.turn(&mut state, level);
        drop(state);
        if let Some(lasting) = lasting {
            let dial = self.clone();
            tokio::spawn(async move {
                sleep(lasting).await;
                dial.turn_back(turn);
            });
        }
        LevelChange::Changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_lasts_until_its_time_is_over_or_the_next() {
        let (_layer, handle) = reload::Layer::new(AtLeast(Level::Notice));
        let dial = Dial::new(handle, Level::Notice);
        let minute = Some(Duration::from_secs(60));
        let later = async |seconds| sleep(Duration::from_secs(seconds)).await;

        assert_eq!(dial.change("loud", minute), LevelChange::Unknown);
        assert_eq!(dial.change("notice", minute), LevelChange::Already);
        assert_eq!(dial.change("debug", minute), LevelChange::Changed);
        assert_eq!(dial.level(), "debug");
        later(61).await;
        assert_eq!(dial.level(), "notice");

        dial.change("debug", minute);
        later(30).await;
        dial.change("error", minute);
        later(31).await;
        assert_eq!(dial.level(), "error", "the first change no longer counts");
        later(30).await;
        assert_eq!(dial.level(), "notice");

        dial.change("debug", None);
        later(86_400).await;
        assert_eq!(dial.level(), "debug");
        dial.configure(Level::Notice);
        assert_eq!(dial.level(), "debug", "a reload that says nothing new");
        dial.configure(Level::Warn);
        assert_eq!(dial.level(), "warn");
    }
}
