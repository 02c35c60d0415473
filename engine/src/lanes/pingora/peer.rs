//! Where a try goes, in Pingora's terms, and whether what it came to may carry the request.
//!
//! Whom to trust and what to show was compiled with the service. Here is what keeps
//! connections apart: Pingora tells pooled ones apart by a hash of 64 bits, so each is asked
//! for what it was made for once more before it is used.

use super::grpc;
use super::relay::{named, nothing_carried};
use super::uses::Uses;
use crate::descriptors::{self, Use};
use crate::options::Keepalive;
use crate::proxy::exchange::Exchange;
use crate::proxy::upstream::{self, Failure};
use crate::snapshot::trust::ServerName;
use crate::snapshot::upstream_tls::Finding;
use crate::snapshot::{CompiledService, UpstreamTls};
use pingora::protocols::Digest;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, Peer as _};
use pingora::{BError, ErrorSource, Result};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

/// The address of this try, and how it is spoken to.
pub(super) async fn peer(exchange: &mut Exchange, keepalive: Keepalive) -> Result<Box<HttpPeer>> {
    let chosen = upstream::choose(exchange).await;
    let address = chosen.map_err(|failure| named(failure, ErrorSource::Upstream))?;
    let service = exchange.service().ok_or_else(nothing_carried)?;
    let mut peer = match &service.tls {
        Some(tls) => secured(address, tls, upstream::server_name(exchange)),
        None => HttpPeer::new(address, false, String::new()),
    };
    limit(&mut peer, service, keepalive);
    if service.is_grpc() {
        grpc::speak(&mut peer.options);
    }
    // The door has stripped what is hop-by-hop and nothing else may go missing.
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
    Ok(Box::new(peer))
}

/// Only HTTP/1.1 is offered (ALPN): what else a service speaks is set here.
fn secured(address: SocketAddr, tls: &UpstreamTls, name: Option<ServerName>) -> HttpPeer {
    let (sni, asked_for) = match name {
        Some(ServerName::Dns(name)) => (name, None),
        Some(ServerName::Address(address)) => (String::new(), Some(address)),
        None => (String::new(), None),
    };
    let mut peer = HttpPeer::new(address, true, sni);
    peer.client_cert_key = tls.client().cloned();
    peer.group_key = tls.mark(asked_for);
    // Pingora would make a store of authorities for every connection, knows no depth, and
    // verifies no address: the inspection does.
    peer.options.verify_cert = false;
    peer.options.verify_hostname = false;
    peer.options.upstream_tls_handshake_complete_hook = Some(tls.inspection(asked_for));
    peer
}

fn limit(peer: &mut HttpPeer, service: &CompiledService, keepalive: Keepalive) {
    let is_tls = peer.is_tls();
    let options = &mut peer.options;
    options.connection_timeout = Some(service.connect_timeout);
    options.total_connection_timeout = is_tls.then_some(service.connect_timeout);
    options.read_timeout = Some(service.read_timeout);
    options.write_timeout = Some(service.write_timeout);
    options.idle_timeout = match keepalive.pool_size {
        0 => Some(Duration::ZERO),
        _ => keepalive.idle_timeout,
    };
}

/// Whether a connection, new or from the pool, may carry the request. Nothing of it has been
/// sent yet. One that may not is closed.
pub(super) fn admit(
    peer: &HttpPeer,
    digest: Option<&Digest>,
    fd: RawFd,
    reused: bool,
    uses: &Uses,
) -> Result<()> {
    if !reused && !descriptors::is_below(fd, Use::Upstream) {
        return Err(named(Failure::Exhausted, ErrorSource::Upstream));
    }
    if peer.is_tls() {
        inspected(peer, digest)?;
    }
    if is_alone(peer) && !uses.note(fd, reused) {
        return Err(named(Failure::Retired, ErrorSource::Upstream));
    }
    Ok(())
}

/// Whether a connection carries one request at a time. Over HTTP/2 they share it, and it is not closed
/// under the others.
pub(super) fn is_alone(peer: &HttpPeer) -> bool {
    peer.get_alpn().is_none_or(|alpn| alpn.get_max_http_version() == 1)
}

fn inspected(peer: &HttpPeer, digest: Option<&Digest>) -> Result<()> {
    let tls = digest.and_then(|digest| digest.ssl_digest.as_ref());
    let finding = tls.and_then(|tls| tls.extension.get::<Finding>());
    let finding = finding.ok_or_else(|| named(Failure::Internal, ErrorSource::Internal))?;
    let sent = finding.sent.as_deref().unwrap_or_default();
    if finding.mark != peer.group_key || sent != peer.sni {
        return Err(untrusted("the connection was made for something else".to_owned()));
    }
    finding.verdict.as_ref().map_err(|why| untrusted(why.to_string())).copied()
}

fn untrusted(why: String) -> BError {
    let mut error = named(Failure::Untrusted, ErrorSource::Upstream);
    error.set_context(why);
    error
}
