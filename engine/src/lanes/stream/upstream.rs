//! A target of a service: the first that can be reached, out of as many as may be tried.

use super::socket::Socket;
use super::tls::{self, Secured};
use super::{Desk, far};
use crate::descriptors::{self, Use};
use crate::snapshot::CompiledService;
use model::value::{Host, Protocol};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

/// The far side of a stream.
pub(super) enum End {
    Plain(Rc<Socket>),
    Secured(Box<Secured>),
}

/// Why there is no far side: what went wrong with the last that was tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    /// A name that stands for nothing.
    #[error("{0} has no address")]
    Unresolved(Host),
    /// It is not there, or does not want us.
    #[error("cannot connect to {address}, {tries} tried: {error}")]
    Refused { address: SocketAddr, tries: u32, error: io::Error },
    /// It is there but there is no agreement with it.
    #[error("no TLS with {address}, {tries} tried: {why}")]
    Handshake { address: SocketAddr, tries: u32, why: String },
}

/// Connects to a service as it is spoken to. `named`: the name the client asked for, if that is
/// to be asked for in turn.
pub(super) async fn reach(
    desk: &Desk,
    service: &CompiledService,
    named: Option<&str>,
) -> Result<End, Unreached> {
    let speaks = matches!(service.protocol, Protocol::Tls | Protocol::Https | Protocol::Grpcs);
    let Some(demands) = service.tls.as_ref().filter(|_| speaks) else {
        return plain(desk, service).await.map(End::Plain);
    };
    let mut tries = Tries::of(service);
    loop {
        let (address, socket) = tries.connect(desk).await?;
        let name = named.unwrap_or(service.host.as_str());
        let secured = Box::pin(tls::connect(desk, socket, demands, name));
        let secured = monoio::time::timeout(far(service.connect_timeout), secured).await;
        match secured.unwrap_or_else(|_| Err("it took too long".to_owned())) {
            Ok(secured) => return Ok(End::Secured(Box::new(secured))),
            Err(why) if tries.are_over() => {
                let tries = tries.made;
                return Err(Unreached::Handshake { address, tries, why });
            }
            Err(_) => {}
        }
    }
}

/// Connects to a service without a word.
pub(super) async fn plain(desk: &Desk, service: &CompiledService) -> Result<Rc<Socket>, Unreached> {
    Tries::of(service).connect(desk).await.map(|(_, socket)| socket)
}

/// Where a service is, by turns if that are several places.
pub(super) async fn address(
    desk: &Desk,
    service: &CompiledService,
) -> Result<SocketAddr, Unreached> {
    let ip = match service.address {
        Some(ip) => Some(ip),
        None => desk.station.resolver.address(service.host.as_str(), desk.next_turn()).await,
    };
    let ip = ip.ok_or_else(|| Unreached::Unresolved(service.host.clone()))?;
    Ok(SocketAddr::new(ip, service.port))
}

struct Tries<'a> {
    service: &'a CompiledService,
    made: u32,
}

impl Tries<'_> {
    fn of(service: &CompiledService) -> Tries<'_> {
        Tries { service, made: 0 }
    }

    fn are_over(&self) -> bool {
        self.made > u32::from(self.service.retries)
    }

    /// A connection, unless as many as may be have failed.
    async fn connect(&mut self, desk: &Desk) -> Result<(SocketAddr, Rc<Socket>), Unreached> {
        loop {
            let address = address(desk, self.service).await?;
            self.made += 1;
            let limit = far(self.service.connect_timeout);
            let connected = monoio::time::timeout(limit, Socket::connect(address)).await;
            let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut));
            let error = match connected.unwrap_or_else(late) {
                Ok(socket) if descriptors::may_keep(socket.io(), Use::Upstream) => {
                    return Ok((address, Rc::new(socket)));
                }
                Ok(_) => descriptors::exhausted(),
                Err(error) => error,
            };
            // Another try would need descriptors as well.
            if self.are_over() || descriptors::is_exhaustion(&error) {
                return Err(Unreached::Refused { address, tries: self.made, error });
            }
        }
    }
}
