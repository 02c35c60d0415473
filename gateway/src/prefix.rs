//! The directory a node lives in, and the one process that may live there.
//!
//! The process holds a POSIX record lock on `gateway.lock` for as long as it lives. Asking who holds
//! it neither takes the lock nor trusts a pid that was written down, so it cannot disturb a start or
//! name a stranger. `pids/gateway.pid` is for tools that expect one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{
    Flock, FlockType, Pid, PidfdFlags, Signal, fcntl_getlk, getpid, pidfd_open, pidfd_send_signal,
};

use crate::vault::Environment;

/// A node's directory.
#[derive(Clone, Debug)]
pub struct Prefix {
    path: PathBuf,
}

/// The right to live in a prefix; given up when the process ends, or when anything in it closes
/// another descriptor of that file, as is the way of POSIX locks: only this module opens it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    pid_file: PathBuf,
}

/// The process that lives in a prefix. Signals cannot reach another one that took over its number.
#[derive(Debug)]
pub struct Running {
    /// Its process id.
    pub pid: Pid,
    handle: OwnedFd,
}

/// Why a prefix cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrefixError {
    /// A command about a running node was given a directory that is not there.
    #[error("no such prefix: {}", .0.display())]
    Missing(PathBuf),

    /// Another process lives there.
    #[error("already running in {} (pid {pid})", .path.display())]
    Taken {
        /// The prefix.
        path: PathBuf,
        /// Who.
        pid: Pid,
    },

    /// Another process lives there, in another container on the same directory.
    #[error("already running in {} (by a process of another pid namespace)", .0.display())]
    Unseen(PathBuf),

    /// The system refused something.
    #[error("could not use the prefix: {what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Prefix {
    /// The prefix at `path`, made if it is not there, with what nodes keep their files in.
    ///
    /// Directories made here are for their owner only: databases, caches and keys lie in them.
    /// Those that were there keep their modes.
    pub fn prepare(path: &Path) -> Result<Self, PrefixError> {
        [path.to_owned(), path.join("logs"), path.join("pids")]
            .iter()
            .try_for_each(|directory| make(directory))?;
        Ok(Self { path: path.to_owned() })
    }

    /// The same for a node that starts. What cannot be made inside the prefix is left to whoever misses
    /// it: a log that goes there is an error, a pid file is not.
    pub fn enter(path: &Path) -> Result<Self, PrefixError> {
        make(path)?;
        let _ = Self::prepare(path);
        Ok(Self { path: path.to_owned() })
    }

    /// The prefix at `path`, which must be there.
    pub fn existing(path: &Path) -> Result<Self, PrefixError> {
        if path.is_dir() {
            Ok(Self { path: path.to_owned() })
        } else {
            Err(PrefixError::Missing(path.to_owned()))
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a detached process logs unless told otherwise.
    pub fn error_log(&self) -> PathBuf {
        self.path.join("logs/error.log")
    }

    /// Takes the prefix for this process.
    pub fn lock(&self) -> Result<Lock, PrefixError> {
        let path = self.lock_path();
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .mode(0o600)
            .open(&path);
        let file = file.map_err(failed("open", &path))?;
        while let Err(error) = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            if !matches!(error, Errno::AGAIN | Errno::ACCESS) {
                return Err(failed("lock", &path)(error));
            }
            // Asked again through the same file: closing a second one would give the lock up.
            if let Some(pid) = self.holder(&file)? {
                return Err(PrefixError::Taken { path: self.path.clone(), pid });
            }
        }
        Ok(Lock { _file: file, pid_file: self.path.join("pids/gateway.pid") })
    }

    /// The process that lives here, if one does.
    pub fn running(&self) -> Result<Option<Running>, PrefixError> {
        let path = self.lock_path();
        let file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let Some(pid) = self.holder(&file)? else { return Ok(None) };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(failed("watch the process of", &path)(error)),
        };
        // The handle is of whoever has that number now. If the lock still names it, it is the holder.
        Ok((self.holder(&file)? == Some(pid)).then_some(Running { pid, handle }))
    }

    /// Refuses if a process lives here.
    pub fn refuse_running(&self) -> Result<(), PrefixError> {
        match self.running()? {
            Some(running) => Err(PrefixError::Taken { path: self.path.clone(), pid: running.pid }),
            None => Ok(()),
        }
    }

    fn holder(&self, file: &File) -> Result<Option<Pid>, PrefixError> {
        let asked = fcntl_getlk(file, &Flock::from(FlockType::WriteLock));
        match asked.map_err(failed("ask who holds", &self.lock_path()))? {
            None => Ok(None),
            Some(Flock { pid: Some(pid), .. }) => Ok(Some(pid)),
            Some(Flock { pid: None, .. }) => Err(PrefixError::Unseen(self.path.clone())),
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join("gateway.lock")
    }
}

impl Running {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()), // gone already: nobody to tell
            Err(error) => Err(error.into()),
        }
    }

    /// The environment it was started with; that of this process, if this one may not know.
    pub fn environment(&self) -> Environment {
        Environment::of(self.pid).unwrap_or_else(|_| Environment::here())
    }

    /// Waits until it has ended; false if it has not after `patience`.
    pub fn ended_within(&self, patience: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
            match poll(&mut fds, Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Lock {
    /// Where tools look for the number of the process.
    pub fn pid_file(&self) -> &Path {
        &self.pid_file
    }

    /// Writes the pid file, in the place of whatever is there: it is of a process that is gone.
    pub fn write_pid(&self) -> Result<(), PrefixError> {
        let _ = fs::remove_file(&self.pid_file);
        let mut fresh = File::options();
        let fresh = fresh.write(true).create_new(true);
        let written = fresh
            .open(&self.pid_file)
            .and_then(|mut file| writeln!(file, "{}", getpid().as_raw_pid()));
        written.map_err(|error| {
            let _ = fs::remove_file(&self.pid_file); // rather none than an empty one
            failed("write", &self.pid_file)(error)
        })
    }
}

/// The lock itself goes with the process; the pid file would stay.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.pid_file);
    }
}

fn make(directory: &Path) -> Result<(), PrefixError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory).map_err(failed("create", directory))
}

fn failed<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> PrefixError {
    let path = path.to_owned();
    move |error| PrefixError::Io { what, path, source: error.into() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_made_is_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        Prefix::prepare(&path).unwrap();
        for made in ["", "logs", "pids"] {
            assert_eq!(
                fs::metadata(path.join(made)).unwrap().permissions().mode() & 0o777,
                0o700,
                "{made}"
            );
        }
    }

    #[test]
    fn a_directory_that_was_there_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Prefix::prepare(dir.path()).unwrap();
        assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn the_pid_file_lives_as_long_as_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = Prefix::prepare(dir.path()).unwrap();
        let lock = prefix.lock().unwrap();
        lock.write_pid().unwrap();
        let pid_file = dir.path().join("pids/gateway.pid");
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), format!("{}\n", std::process::id()));
        drop(lock);
        assert!(!pid_file.exists());
        assert!(prefix.running().unwrap().is_none());
    }

    #[test]
    fn what_is_in_the_pid_files_place_makes_way_or_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = Prefix::prepare(dir.path()).unwrap();
        let (lock, pid_file) = (prefix.lock().unwrap(), dir.path().join("pids/gateway.pid"));
        let made = std::process::Command::new("mkfifo").arg(&pid_file).status().unwrap();
        assert!(made.success());
        lock.write_pid().unwrap();
        assert!(fs::metadata(&pid_file).unwrap().is_file());
        fs::remove_file(&pid_file).unwrap();
        fs::create_dir(&pid_file).unwrap();
        let error = lock.write_pid().unwrap_err().to_string();
        assert!(error.starts_with("could not use the prefix: write "), "{error}");
    }

    #[test]
    fn a_node_enters_a_prefix_that_takes_no_directories() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("logs"), "").unwrap();
        assert!(Prefix::prepare(dir.path()).is_err());
        Prefix::enter(dir.path()).unwrap().lock().unwrap();
    }

    #[test]
    fn a_prefix_that_is_not_there_is_named() {
        let error = Prefix::existing(Path::new("/no/such/prefix")).unwrap_err();
        assert_eq!(error.to_string(), "no such prefix: /no/such/prefix");
    }
}
