//! Where streams and datagrams are served.

use super::{LogSink, Probes};
use std::net::SocketAddr;
use std::time::Duration;

/// Streams and datagrams.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Where clients connect. Port 0 takes a free one, the same for every worker. If there are
    /// none, no thread is started for them.
    pub listen: Vec<StreamListen>,
    /// How threads wait for sockets.
    pub backend: StreamBackend,
    /// Where each stream is logged when it has ended; nowhere if there is none.
    pub access_log: Option<LogSink>,
    /// How long it may take a client to say who it wants, before its stream is passed on: the
    /// PROXY header, and the first message of a TLS handshake. 30 seconds, as with nginx.
    pub preread_timeout: Duration,
    /// How many clients each worker exchanges datagrams with at a time, per listener.
    pub datagram_sessions: usize,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams {
            listen: Vec::new(),
            backend: StreamBackend::default(),
            access_log: None,
            preread_timeout: Duration::from_secs(30),
            datagram_sessions: 8192,
        }
    }
}

/// How threads for streams wait for sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamBackend {
    /// By io_uring where it works, else by epoll.
    #[default]
    Auto,
    /// By epoll.
    Epoll,
}

/// One address for streams or datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamListen {
    /// Where to bind.
    pub addr: SocketAddr,
    /// Whether it takes datagrams.
    pub udp: bool,
    /// Clients speak TLS, which ends here or is passed on, as routes say.
    pub tls: bool,
    /// How many connections the kernel holds until they are accepted.
    pub backlog: u32,
    /// Whether an IPv6 address is for IPv6 alone.
    pub ipv6_only: bool,
    /// Whether the kernel asks silent clients if they are still there.
    pub keepalive: Option<Probes>,
    /// Every connection begins with a header of the PROXY protocol, and is closed without one.
    pub proxy_protocol: bool,
}

impl StreamListen {
    /// A listener for TCP with Kong's defaults.
    pub fn tcp(addr: SocketAddr) -> StreamListen {
        StreamListen {
            addr,
            udp: false,
            tls: false,
            backlog: 16_384,
            ipv6_only: true,
            keepalive: None,
            proxy_protocol: false,
        }
    }

    /// The same for TLS.
    pub fn tls(addr: SocketAddr) -> StreamListen {
        StreamListen { tls: true, ..StreamListen::tcp(addr) }
    }

    /// The same for datagrams.
    pub fn udp(addr: SocketAddr) -> StreamListen {
        StreamListen { udp: true, ..StreamListen::tcp(addr) }
    }
}
