//! Which lines are logged, and by which word each begins.
//!
//! Kong has more levels than `tracing`. What tracing calls info is what an operator should see by
//! default, which Kong calls notice; what is worse than an error says so by the event's name, see
//! [`model::severity`]. All of that is known before an event is made, so a line that is not wanted
//! costs nothing.

use model::severity;
use tracing::subscriber::Interest;
use tracing::{Level as Tracing, Metadata};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};

use crate::options::Level;

/// Crates whose lines are ours.
const OURS: [&str; 5] = ["gateway", "admin", "cluster", "engine", "model"];

/// How severe an event is, in Kong's words.
pub(super) fn of(event: &Metadata<'_>) -> Level {
    match (*event.level(), event.name()) {
        (Tracing::ERROR, severity::EMERG) => Level::Emerg,
        (Tracing::ERROR, severity::ALERT) => Level::Alert,
        (Tracing::ERROR, severity::CRIT) => Level::Crit,
        (Tracing::ERROR, _) => Level::Error,
        (Tracing::WARN, _) => Level::Warn,
        (Tracing::INFO, _) => Level::Notice,
        (Tracing::DEBUG | Tracing::TRACE, _) => Level::Debug,
    }
}

/// Lets through what is at least this severe. Of libraries, only what is wrong; what they do, where
/// the level is `debug`.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtLeast(pub(super) Level);

impl AtLeast {
    fn lets_through(self, event: &Metadata<'_>) -> bool {
        let Self(least) = self;
        let crate_name = event.target().split("::").next().unwrap_or_default();
        if *event.level() == Tracing::TRACE {
            return false;
        }
        if OURS.contains(&crate_name) {
            return of(event) >= least;
        }
        let least_of_others = match least {
            Level::Debug => Level::Notice,
            level => level.max(Level::Warn),
        };
        of(event) >= least_of_others
    }
}

impl<S> Filter<S> for AtLeast {
    fn enabled(&self, event: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.lets_through(event)
    }

    fn callsite_enabled(&self, event: &'static Metadata<'static>) -> Interest {
        if self.lets_through(event) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.0 {
            Level::Debug => LevelFilter::DEBUG,
            Level::Info | Level::Notice => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error | Level::Crit | Level::Alert | Level::Emerg => LevelFilter::ERROR,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Notes the severity and the crate of whatever reaches it.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let event = event.metadata();
            let line = format!("{} {}", event.target(), of(event).word());
            self.0.lock().unwrap().push(line);
        }
    }

    fn heard(level: Level) -> Vec<String> {
        let heard = Heard::default();
        let subscriber =
            tracing_subscriber::registry().with(heard.clone().with_filter(AtLeast(level)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(name: severity::EMERG, target: "gateway::cli", "cannot start");
            tracing::error!(name: severity::ALERT, target: "engine::worker", "a worker is gone");
            tracing::error!(name: severity::CRIT, target: "cluster::cache", "the cache is corrupt");
            tracing::error!(target: "cluster", "no link");
            tracing::error!(target: "hyper", "no stream");
            tracing::warn!(name: severity::CRIT, target: "admin", "not worse for its name");
            tracing::warn!(target: "sqlx::query", "slow");
            tracing::info!(target: "engine::door", "open");
            tracing::info!(target: "sqlx::query", "asked");
            tracing::debug!(target: "engine::door", "ajar");
            tracing::debug!(target: "hyper", "read");
            tracing::trace!(target: "engine::door", "seen");
        });
        let heard = heard.0.lock().unwrap();
        heard.clone()
    }

    #[test]
    fn a_level_shows_what_is_as_severe_or_more() {
        let severest_first = [
            (Level::Emerg, &["gateway::cli emerg"][..]),
            (Level::Alert, &["engine::worker alert"]),
            (Level::Crit, &["cluster::cache crit"]),
            (Level::Error, &["cluster error", "hyper error"]),
            (Level::Warn, &["admin warn", "sqlx::query warn"]),
            (Level::Notice, &["engine::door notice"]),
            (Level::Info, &[]),
            (Level::Debug, &["sqlx::query notice", "engine::door debug"]),
        ];
        let mut expected = Vec::new();
        for (level, more) in severest_first {
            expected.extend(more.iter().map(|line| (*line).to_owned()));
            assert_eq!(heard(level), expected, "{level:?}");
        }
    }
}
