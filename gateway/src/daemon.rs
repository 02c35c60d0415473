//! Leaving the terminal: a second process goes on, the first one waits until it is ready.
//!
//! The second is this program again, told by a hidden option to make a session of its own and to
//! take its settings from its standard input, where the first writes them. It says that it is ready,
//! or what went wrong, by [`crate::notify`]; no flag file is polled and no time is guessed.

use std::env;
use std::fs::File;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, setsid};
use uuid::Uuid;

use crate::conf::saved::Saved;
use crate::notify;
use crate::prefix::Prefix;

/// The hidden option of `start`.
pub const DETACHED: &str = "detached";

/// Starts the second process in `prefix` and waits until it serves. Returns its pid.
pub fn spawn(prefix: &Prefix, saved: &Saved, words: &[String]) -> anyhow::Result<u32> {
    let name = format!("gateway-start-{}", Uuid::new_v4());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)
        .context("could not listen for the new process")?;
    socket.set_nonblocking(true)?;
    let mut child =
        command(prefix, &name)?.args(words).spawn().context("could not start the new process")?;
    if let Some(stdin) = child.stdin.take() {
        let _ = saved.hand_over(stdin); // one that has ended reads nothing, and has said why
    }
    match outcome(&socket, &mut child)? {
        Outcome::Ready => Ok(child.id()),
        Outcome::Failed(Some(reason)) => bail!(reason),
        Outcome::Failed(None) => {
            bail!("the new process ended before it was ready; see {}", prefix.error_log().display())
        }
    }
}

/// What the second process does first: it leaves the terminal's session.
pub fn leave_session() -> io::Result<()> {
    match setsid() {
        Ok(_) | Err(Errno::PERM) => Ok(()), // refused: it leads a group already, so nothing is left to leave
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Ready,
    Failed(Option<String>),
}

fn command(prefix: &Prefix, socket: &str) -> anyhow::Result<Command> {
    let path = prefix.error_log();
    let log = File::options().create(true).append(true).mode(0o640).open(&path);
    let log = log.with_context(|| format!("could not open {}", path.display()))?;
    let mut command =
        Command::new(env::current_exe().context("could not find this program again")?);
    if let Some(name) = env::args_os().next() {
        command.arg0(name);
    }
    command.arg("start").arg(format!("--{DETACHED}")).arg("--prefix").arg(prefix.path());
    command.env(notify::SOCKET_VARIABLE, format!("@{socket}"));
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// Waits for the first of two events: the process says it is ready, or it ends.
fn outcome(socket: &UnixDatagram, child: &mut Child) -> anyhow::Result<Outcome> {
    let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty())
        .context("could not watch the new process")?;
    let mut said = Said::default();
    loop {
        let mut fds = [PollFd::new(socket, PollFlags::IN), PollFd::new(&handle, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let ended = child.try_wait()?.is_some();
        said.hear(socket)?;
        if said.ready {
            return Ok(Outcome::Ready);
        }
        if ended {
            return Ok(Outcome::Failed(said.status));
        }
    }
}

/// What the new process has said so far.
#[derive(Default)]
struct Said {
    ready: bool,
    status: Option<String>,
}

impl Said {
    fn hear(&mut self, socket: &UnixDatagram) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    self.take(&String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, words: &str) {
        for word in words.lines() {
            match word.split_once('=') {
                Some(("READY", "1")) => self.ready = true,
                Some(("STATUS", text)) => self.status = Some(text.to_owned()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixDatagram, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    #[test]
    fn ready_is_what_the_process_says() {
        let (ours, theirs) = pair();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        theirs.send(b"STATUS=compiling\nREADY=1").unwrap();
        assert_eq!(outcome(&ours, &mut child).unwrap(), Outcome::Ready);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_ends_has_failed_for_the_reason_it_gave_last() {
        for (words, reason) in
            [(None, None), (Some("STATUS=port taken"), Some("port taken".to_owned()))]
        {
            let (ours, theirs) = pair();
            let mut child = Command::new("sleep").arg("0").spawn().unwrap();
            if let Some(words) = words {
                theirs.send(words.as_bytes()).unwrap();
            }
            assert_eq!(outcome(&ours, &mut child).unwrap(), Outcome::Failed(reason));
        }
    }
}
