//! Getting to a control plane: which of those listed, when, and through TLS.
//!
//! Another listed control plane is tried at once, the same one again only after
//! 5 to 10 seconds, so that a fleet does not come back all at the same moment.
//! Names are resolved anew for each attempt.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tracing::{error, warn};

use crate::log::chain;
use crate::tls::{self, Connector, Secure, TlsError};

/// How long one address may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The pause before the same control plane is tried again is this, and up to as much more.
const PAUSE: Duration = Duration::from_secs(5);

/// A connection to a control plane that is who it must be.
pub(super) struct Dialed {
    pub(super) stream: Secure<TcpStream>,
    pub(super) address: SocketAddr,
    /// See [`tls::channel_binding`].
    pub(super) binding: [u8; 32],
}

/// Why a control plane was not reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("its name cannot be resolved")]
    Resolve(#[source] io::Error),
    #[error("its name has no address")]
    NoAddress,
    #[error("cannot connect to {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{address} is not accepted")]
    Tls {
        address: SocketAddr,
        #[source]
        source: TlsError,
    },
    #[error("no TLS handshake with {address} within {} s", HANDSHAKE.as_secs())]
    Slow { address: SocketAddr },
}

impl DialError {
    /// Says so: a control plane that is away is waited for, one that is not ours needs the operator.
    pub(super) fn log(&self, control_plane: &str) {
        let why = chain(self);
        if let DialError::Tls { .. } = self {
            error!("[clustering] no link to control plane {control_plane}: {why}");
        } else {
            warn!("[clustering] cannot reach control plane {control_plane}: {why}");
        }
    }
}

/// Dials one listed control plane (`host:port`): every address of its name, in turn.
pub(super) async fn dial(connector: &Connector, control_plane: &str) -> Result<Dialed, DialError> {
    let mut failed = DialError::NoAddress;
    for address in lookup_host(control_plane).await.map_err(DialError::Resolve)? {
        match connect(address).await {
            Ok(stream) => return secure(connector, stream, address).await,
            Err(source) => failed = DialError::Connect { address, source },
        }
    }
    Err(failed)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn secure(
    connector: &Connector,
    stream: TcpStream,
    address: SocketAddr,
) -> Result<Dialed, DialError> {
    let refused = |source| DialError::Tls { address, source };
    let stream = timeout(HANDSHAKE, connector.connect(stream))
        .await
        .map_err(|_| DialError::Slow { address })?
        .map_err(refused)?;
    let binding = tls::channel_binding(stream.ssl()).map_err(|error| refused(error.into()))?;
    Ok(Dialed { stream, address, binding })
}

/// The listed control planes, and when each may be tried again.
#[derive(Debug)]
pub(super) struct ControlPlanes {
    listed: Vec<(String, Instant)>,
    next: usize,
}

impl ControlPlanes {
    pub(super) fn new(listed: Vec<String>) -> Self {
        let now = Instant::now();
        Self { listed: listed.into_iter().map(|name| (name, now)).collect(), next: 0 }
    }

    /// The one to try next, and when: the first in turn that is due, else the one due first.
    pub(super) fn next(&self) -> Option<(usize, &str, Instant)> {
        let now = Instant::now();
        let turn = |at: usize| (at + self.listed.len() - self.next) % self.listed.len();
        let (at, (name, due)) = self
            .listed
            .iter()
            .enumerate()
            .min_by_key(|(at, (_, due))| ((*due).max(now), turn(*at)))?;
        Some((at, name, *due))
    }

    /// An attempt, or the link it led to, has ended. Returns the pause before the next attempt at it.
    pub(super) fn ended(&mut self, at: usize) -> Duration {
        let pause = PAUSE + jitter(PAUSE);
        if let Some((_, due)) = self.listed.get_mut(at) {
            *due = Instant::now() + pause;
            self.next = (at + 1) % self.listed.len();
        }
        pause
    }
}

/// A random part of `most`.
fn jitter(most: Duration) -> Duration {
    let mut bytes = [0; 4];
    let _ = boring::rand::rand_bytes(&mut bytes); // zeros would only mean no jitter
    most.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upcoming(planes: &ControlPlanes) -> (String, Duration) {
        let (_, name, due) = planes.next().expect("some are listed");
        (name.to_owned(), due.saturating_duration_since(Instant::now()))
    }

    #[tokio::test(start_paused = true)]
    async fn another_at_once_the_same_after_a_pause() {
        let mut planes = ControlPlanes::new(vec!["a".into(), "b".into()]);
        assert_eq!(upcoming(&planes), ("a".into(), Duration::ZERO));
        let pause_a = planes.ended(0);
        assert_eq!(upcoming(&planes), ("b".into(), Duration::ZERO));
        tokio::time::advance(Duration::from_millis(100)).await;
        planes.ended(1);
        let (name, wait) = upcoming(&planes);
        assert!((5..=10).contains(&pause_a.as_secs()), "{pause_a:?}");
        assert!(name == "a" || name == "b", "whichever is due first");
        assert!(wait > Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_link_moves_on_to_the_next_in_turn() {
        let mut planes = ControlPlanes::new(vec!["a".into(), "b".into(), "c".into()]);
        planes.ended(1);
        assert_eq!(upcoming(&planes).0, "c");
        assert!(ControlPlanes::new(Vec::new()).next().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_differ() {
        let mut planes = ControlPlanes::new(vec!["a".into()]);
        let pauses: Vec<_> = (0..20).map(|_| planes.ended(0)).collect();
        assert!(pauses.iter().all(|p| (PAUSE..=2 * PAUSE).contains(p)), "{pauses:?}");
        assert!(pauses.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
