//! Tells whoever started this process how it fares, in systemd's words.
//!
//! `sd_notify(3)`: one datagram of `NAME=value` lines to the socket that `$NOTIFY_SOCKET` names.
//! [`crate::daemon`] listens for the same words, so a process is ready in one way only. Nobody
//! listening is not an error.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket.
pub const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// Everything that must be served is being served.
pub fn ready() {
    tell("READY=1");
}

/// No more is accepted; the process will end.
pub fn stopping() {
    tell("STOPPING=1");
}

/// One line for the operator, such as why a start failed.
pub fn status(text: &str) {
    tell(&format!("STATUS={}", text.replace('\n', "; ")));
}

/// The service goes on as process `pid`, and is ready.
pub fn handed_to(pid: u32) {
    tell(&format!("MAINPID={pid}\nREADY=1"));
}

fn tell(words: &str) {
    if let Some(socket) = env::var_os(SOCKET_VARIABLE).filter(|name| !name.is_empty())
        && let Err(error) = send(&socket, words)
    {
        tracing::debug!("could not notify {}: {error}", socket.to_string_lossy());
    }
}

fn send(socket: &OsString, words: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn a_socket_may_be_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(&path.into(), "READY=1").unwrap();
        assert_eq!(received(&socket), "READY=1");
    }

    #[test]
    fn a_socket_may_be_abstract() {
        let name = format!("gateway-test-{}", uuid::Uuid::new_v4());
        let socket =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(&format!("@{name}").into(), "STOPPING=1").unwrap();
        assert_eq!(received(&socket), "STOPPING=1");
    }
}
