//! Pipes through which the kernel moves bytes from one socket to another.
//!
//! io_uring's own splice is not used: it has a kernel thread wait for each socket that has
//! nothing to say. A pipe is held only while something is in it, so a thread needs as many
//! as it has connections that are stuck, and keeps a few.

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};

/// How many are kept for the next that needs one.
const KEPT: usize = 16;
/// What is moved at a time, if a pipe may hold so much. A quarter of that is what it holds untold.
const MOST: usize = 256 * 1024;

/// A pipe, and how much is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

/// What came of moving bytes into a pipe.
#[derive(Debug)]
pub(super) enum Spliced {
    /// So many.
    Moved(usize),
    /// There are none yet.
    Nothing,
    /// There will be no more.
    Ended,
    /// The kernel does not do that with this socket.
    Impossible,
}

impl Pipe {
    fn new() -> rustix::io::Result<Pipe> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user's pipes may hold so much together; one that holds less does as well, in more steps.
        let _grown_if_it_may = fcntl_setpipe_size(&write, MOST);
        Ok(Pipe { read, write, held: 0 })
    }

    /// How much is in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Moves what a socket has into it.
    pub(super) fn fill(&mut self, from: &TcpStream) -> io::Result<Spliced> {
        match moved(from, &self.write, MOST) {
            Ok(0) => Ok(Spliced::Ended),
            Ok(count) => {
                self.held += count;
                Ok(Spliced::Moved(count))
            }
            Err(Errno::AGAIN) => Ok(Spliced::Nothing),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(Spliced::Impossible),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves what is in it to a socket: nothing if that takes nothing now.
    pub(super) fn empty(&mut self, to: &TcpStream) -> io::Result<Option<usize>> {
        match moved(&self.read, to, self.held) {
            Ok(count) => {
                self.held -= count.min(self.held);
                Ok(Some(count))
            }
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn moved(from: impl AsFd, to: impl AsFd, most: usize) -> rustix::io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    rustix::io::retry_on_intr(|| splice(&from, None, &to, None, most, flags))
}

/// The pipes of a thread.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    kept: RefCell<Vec<Pipe>>,
    is_forbidden: Cell<bool>,
}

impl Pipes {
    /// An empty one; none where there is none to be had.
    pub(super) fn take(&self) -> Option<Pipe> {
        if self.is_forbidden.get() {
            return None;
        }
        self.kept.borrow_mut().pop().or_else(|| Pipe::new().ok())
    }

    /// Keeps it for the next, if it is empty.
    pub(super) fn give_back(&self, pipe: Pipe) {
        let mut kept = self.kept.borrow_mut();
        if pipe.held == 0 && kept.len() < KEPT {
            kept.push(pipe);
        }
    }

    /// How many are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept.borrow().len()
    }

    /// From now on there are none.
    pub(super) fn forbid(&self) {
        self.is_forbidden.set(true);
    }
}
