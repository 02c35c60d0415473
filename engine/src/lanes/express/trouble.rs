//! Why a try came to nothing: what it means to the pipeline, and what is said of it in the log.

use super::answer::Garbage;
use crate::proxy::upstream::Failure;
use std::fmt;
use std::io;

/// A try came to nothing, or to half of something.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) failure: Failure,
    /// What is known of it, for the log.
    pub(super) cause: Cause,
    /// The status of the answer that has begun.
    pub(super) begun: Option<u16>,
    /// Bytes of its body that the client was sent.
    pub(super) sent: u64,
}

/// What is said of a failure where it is logged.
#[derive(Debug)]
pub(super) enum Cause {
    /// What the system, or the door, says.
    Io(io::Error),
    /// What is wrong with an answer's head.
    Garbage(Garbage),
    /// What happened, in words.
    Plain(&'static str),
    /// The failure says all there is to say.
    Itself(Failure),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Io(error) => error.fmt(f),
            Cause::Garbage(garbage) => garbage.fmt(f),
            Cause::Plain(text) => f.write_str(text),
            Cause::Itself(failure) => failure.fmt(f),
        }
    }
}

impl Trouble {
    /// Before anything of an answer was sent.
    pub(super) fn of(failure: Failure, cause: Cause) -> Trouble {
        Trouble { failure, cause, begun: None, sent: 0 }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::of(failure, Cause::Itself(failure))
    }
}
