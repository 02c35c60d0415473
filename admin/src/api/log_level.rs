//! `/debug/node/log-level`: how much the node says, while it runs.
//!
//! A control plane of a cluster, or a node by itself, is all there is of its kind: where Kong asks for
//! a change everywhere, it is this node that changes.

use std::time::Duration;

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::json as value;
use tracing::warn;

use super::call::Call;
use super::json;
use super::problem::Problem;

/// How long a change lasts unless said otherwise.
const DEFAULT: Duration = Duration::from_secs(60);

/// The level of the node's log, which can be changed for a while.
pub trait LogLevel: Send + Sync {
    /// The level that counts now, in Kong's words.
    fn level(&self) -> &'static str;

    /// Has another level count, for so long; without an end until it is changed again.
    fn change(&self, level: &str, lasting: Option<Duration>) -> LevelChange;
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelChange {
    /// It counts from now on.
    Changed,
    /// It was so already.
    Already,
    /// There is no such level.
    Unknown,
}

/// Why the level is not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LevelProblem {
    /// There is no such level.
    Unknown(String),
    /// It is to last for less than nothing.
    Timeout,
    /// Kong refuses it there.
    NoDatabase,
}

/// `GET /debug/node/log-level`
pub(super) fn show(log: &dyn LogLevel) -> Result<Response<Body>, Problem> {
    let level = log.level();
    Ok(json(StatusCode::OK, &value!({ "message": format!("log level: {level}") })))
}

/// `PUT /debug/node/log-level/{level}[?timeout=60]`
pub(super) fn change(call: &Call, log: &dyn LogLevel) -> Result<Response<Body>, Problem> {
    if !call.api().has_database() {
        return Err(Problem::Level(LevelProblem::NoDatabase));
    }
    let level = call.segment("level");
    let lasting = lasting(call.query.get("timeout")).map_err(Problem::Level)?;
    let message = match log.change(level, lasting) {
        LevelChange::Unknown => {
            return Err(Problem::Level(LevelProblem::Unknown(level.to_owned())));
        }
        LevelChange::Already => format!("log level is already {level}"),
        LevelChange::Changed => {
            let who = &call.author().who;
            match lasting {
                Some(lasting) => {
                    warn!("[admin] {who} set the log level to {level} for {lasting:?}")
                }
                None => warn!("[admin] {who} set the log level to {level}"),
            }
            "log level changed".to_owned()
        }
    };
    Ok(json(StatusCode::OK, &value!({ "message": message })))
}

/// Seconds, of which a part counts as a whole; 0 for ever. What is no number counts as not said.
fn lasting(text: Option<&str>) -> Result<Option<Duration>, LevelProblem> {
    let seconds = text.and_then(|text| text.parse::<f64>().ok()).map(f64::ceil);
    match seconds {
        None => Ok(Some(DEFAULT)),
        Some(seconds) if seconds < 0.0 => Err(LevelProblem::Timeout),
        Some(0.0) => Ok(None),
        Some(seconds) => Ok(Duration::try_from_secs_f64(seconds).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_lasts_for_so_long() {
        let seconds = |seconds| Ok(Some(Duration::from_secs(seconds)));
        for (text, expected) in [
            (None, seconds(60)),
            (Some("5"), seconds(5)),
            (Some("0.2"), seconds(1)),
            (Some("0"), Ok(None)),
            (Some("-0.5"), Ok(None)),
            (Some("-1"), Err(LevelProblem::Timeout)),
            (Some("soon"), seconds(60)),
            (Some("inf"), Ok(None)),
            (Some("NaN"), Ok(None)),
        ] {
            assert_eq!(lasting(text), expected, "{text:?}");
        }
    }
}
