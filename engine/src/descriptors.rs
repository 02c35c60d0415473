//! How many descriptors are left, and for whom.
//!
//! A process has so many, and what is waited for with one in hand may need another: a client's
//! request a file for its body and a connection to its upstream, an operator's a connection to
//! see what is wrong. So the last ones are not for everybody. Nothing is counted: the system
//! gives out the lowest number that is free, so a number says how many are in use at least.

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, RawFd};

/// What a descriptor is for, from the first that must do without to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A connection of a client, who can wait.
    Client,
    /// A file for a request's body.
    Body,
    /// A connection to an upstream. What it leaves is for the rest of the process.
    Upstream,
}

/// Whether a descriptor that was just got leaves enough to those who go first.
pub(crate) fn may_keep(fd: &impl AsFd, of: Use) -> bool {
    is_below(fd.as_fd().as_raw_fd(), of)
}

/// The same of one that is known by its number.
pub(crate) fn is_below(fd: RawFd, of: Use) -> bool {
    let limit = getrlimit(Resource::Nofile).current;
    limit.is_none_or(|limit| u64::try_from(fd).is_ok_and(|fd| fd < bound(limit, of)))
}

/// Whether there is room for another beside one that is held.
pub(crate) fn is_room_beside(held: &impl AsFd, of: Use) -> bool {
    rustix::io::fcntl_dupfd_cloexec(held, 0).is_ok_and(|another| may_keep(&another, of))
}

/// How many there may be.
pub(crate) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What is said where there is room for none.
pub(crate) fn exhausted() -> io::Error {
    Errno::MFILE.into()
}

/// Whether that is what an error says.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| errno == Errno::MFILE || errno == Errno::NFILE)
}

/// An eighth is kept back from clients: no fewer than operators and a few requests need, no more
/// than are ever needed at once.
fn bound(limit: u64, of: Use) -> u64 {
    let reserve = (limit / 8).clamp(16, 1024).min(limit / 2);
    limit
        - match of {
            Use::Client => reserve,
            Use::Body => reserve / 2,
            Use::Upstream => reserve / 4,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_for_those_who_go_first() {
        for (limit, bounds) in [
            (1 << 20, [1_047_552, 1_048_064, 1_048_320]),
            (1024, [896, 960, 992]),
            (64, [48, 56, 60]),
            (10, [5, 8, 9]),
            (0, [0, 0, 0]),
        ] {
            assert_eq!([Use::Client, Use::Body, Use::Upstream].map(|of| bound(limit, of)), bounds);
        }
    }

    #[test]
    fn what_the_system_says_is_understood() {
        assert!(is_exhaustion(&exhausted()));
        assert!(is_exhaustion(&Errno::NFILE.into()));
        assert!(!is_exhaustion(&io::ErrorKind::StorageFull.into()));
        let file = tempfile::tempfile().unwrap();
        assert!(may_keep(&file, Use::Client) && is_room_beside(&file, Use::Client));
    }
}
