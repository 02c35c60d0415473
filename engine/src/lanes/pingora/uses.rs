//! How many requests each upstream connection of a worker has carried.
//!
//! Pingora keeps no count, nor anything of ours with a cleartext connection, so they are told
//! apart by descriptor: a connection's first use begins its count anew.

use crate::options::Keepalive;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Counts for so many descriptors are made at once.
const PAGE: usize = 4096;
/// As many as are allowed to a process unless the system is told otherwise (`fs.nr_open`).
/// Connections beyond are not counted, and live on.
const PAGES: usize = (1 << 20) / PAGE;

/// Counts by descriptor, without a lock.
pub(super) struct Uses {
    most: u32,
    pages: Box<[OnceLock<Box<[AtomicU32]>>]>,
}

impl Uses {
    pub(super) fn new(keepalive: Keepalive) -> Uses {
        // Pingora's pool holds one at least, for as long as it takes to time out.
        let most = if keepalive.pool_size == 0 { Some(1) } else { keepalive.max_requests };
        let pages = (0..PAGES).map(|_| OnceLock::new()).collect();
        Uses { most: most.unwrap_or(u32::MAX), pages }
    }

    /// Counts one more; false if the connection has carried enough.
    pub(super) fn note(&self, fd: RawFd, reused: bool) -> bool {
        let Some(count) = self.count_of(fd) else { return true };
        let before = if reused { count.load(Relaxed) } else { 0 };
        if before >= self.most {
            return false;
        }
        count.store(before.saturating_add(1), Relaxed);
        true
    }

    /// The connection carries nothing after this: its upstream has said that it closes it.
    pub(super) fn retire(&self, fd: RawFd) {
        if let Some(count) = self.count_of(fd) {
            count.store(u32::MAX, Relaxed);
        }
    }

    fn count_of(&self, fd: RawFd) -> Option<&AtomicU32> {
        let fd = usize::try_from(fd).ok()?;
        let page = self.pages.get(fd / PAGE)?;
        let page = page.get_or_init(|| (0..PAGE).map(|_| AtomicU32::new(0)).collect());
        page.get(fd % PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(pool_size: usize, max_requests: Option<u32>) -> Uses {
        Uses::new(Keepalive { pool_size, max_requests, ..Keepalive::default() })
    }

    #[test]
    fn a_connection_carries_so_many_and_the_next_on_its_descriptor_as_many() {
        let uses = uses(512, Some(2));
        for _ in 0..3 {
            assert!(uses.note(7, false));
            assert!(uses.note(9000, false));
            assert!(uses.note(7, true));
            assert!(!uses.note(7, true));
            assert!(!uses.note(7, true));
            assert!(uses.note(9000, true));
        }
    }

    #[test]
    fn without_a_pool_each_carries_one() {
        let uses = uses(0, None);
        assert!(uses.note(7, false));
        assert!(!uses.note(7, true));
    }

    #[test]
    fn one_that_is_closed_carries_no_more_and_the_next_on_its_descriptor_does() {
        let uses = uses(512, None);
        assert!(uses.note(7, false));
        uses.retire(7);
        assert!(!uses.note(7, true));
        assert!(uses.note(7, false) && uses.note(7, true));
    }

    #[test]
    fn without_a_limit_and_beyond_the_table_all_pass() {
        let (unlimited, limited) = (uses(1, None), uses(1, Some(1)));
        assert!(unlimited.note(7, false) && unlimited.note(7, true));
        assert!(limited.note(RawFd::MAX, true) && limited.note(-1, true));
    }
}
