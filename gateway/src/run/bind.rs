//! Binds the listeners that are not the workers': Admin API, status, cluster.
//!
//! Every address that cannot be bound is reported, with the property that names
//! it, before anything is served.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::options::Listen;

/// Connections that may wait to be accepted, where a listener does not say.
const BACKLOG: i32 = 16_384;

/// Addresses that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub(super) struct BindErrors(Vec<BindError>);

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("{property}: {address} cannot be listened on: {source}{}", hint(.source))]
struct BindError {
    property: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Binds listeners one property after the other, and keeps what failed.
#[derive(Default)]
pub(super) struct Binder {
    failed: Vec<BindError>,
}

impl Binder {
    /// Binds every listener of a property.
    pub(super) fn bind(
        &mut self,
        property: &'static str,
        listeners: &[Listen],
    ) -> Vec<TcpListener> {
        listeners.iter().filter_map(|listen| self.kept(property, listen, bind(listen))).collect()
    }

    /// Makes sure that the workers will find their addresses free. They share an
    /// address among themselves, which would also let them share it with
    /// another gateway's workers, and each would see half of the traffic.
    pub(super) fn probe(&mut self, property: &'static str, listeners: &[Listen]) {
        for listen in listeners.iter().filter(|listen| listen.addr.port() != 0) {
            let bound = match listen.udp {
                true => UdpSocket::bind(listen.addr).map(drop),
                false => bind(listen).map(drop),
            };
            self.kept(property, listen, bound);
        }
    }

    /// Everything was bound, or all that was not.
    pub(super) fn finish(self) -> Result<(), BindErrors> {
        if self.failed.is_empty() { Ok(()) } else { Err(BindErrors(self.failed)) }
    }

    fn kept<T>(
        &mut self,
        property: &'static str,
        listen: &Listen,
        bound: io::Result<T>,
    ) -> Option<T> {
        bound
            .map_err(|source| {
                self.failed.push(BindError { property, address: listen.addr, source });
            })
            .ok()
    }
}

fn bind(listen: &Listen) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(listen.addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // a restart need not wait for old connections to fade
    if let (Some(only), true) = (listen.ipv6_only, listen.addr.is_ipv6()) {
        socket.set_only_v6(only)?;
    }
    socket.bind(&listen.addr.into())?;
    let backlog = listen.backlog.map(|n| i32::try_from(n).unwrap_or(i32::MAX));
    socket.listen(backlog.unwrap_or(BACKLOG))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another process listens there; `ss -ltnp` names it)",
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need CAP_NET_BIND_SERVICE; see packaging/systemd)"
        }
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        _ => "",
    }
}
