//! Which address is tried, and what follows when a try fails.
//!
//! Only what went wrong with a connection is retried, never a status the upstream
//! sent. A request that may already have had its effect is not sent twice: unless its method
//! is idempotent, it is retried only where nothing of it had been sent, or where an HTTP/2
//! upstream says that it has done nothing with what was (RFC 9113 §8.7).

use super::exchange::Exchange;
use super::forwarded::host_name;
use super::head::Known;
use super::reply::Reply;
use crate::resolve;
use crate::snapshot::trust::ServerName;
use std::net::SocketAddr;

/// Why a request got no, or no complete, response from its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// Its name has no address.
    #[error("name resolution failed")]
    Unresolved,
    /// No connection came about.
    #[error("the upstream could not be connected to")]
    Connect,
    /// Nor within the time it had.
    #[error("connecting to the upstream took too long")]
    ConnectTimeout,
    /// It is not who it should be, or cannot prove it.
    #[error("the upstream's certificate is not trusted")]
    Untrusted,
    /// The connection came from the pool and is not to be used again: it has carried as many
    /// requests as it may. Nothing was sent on it.
    #[error("the connection has been used enough")]
    Retired,
    /// The connection broke before any of the response had been passed on.
    #[error("the upstream hung up")]
    Broken {
        /// It had been idle before: the upstream may have closed it meanwhile.
        reused: bool,
    },
    /// It said that it has not begun with the request.
    #[error("the upstream did not take the request")]
    Untouched {
        /// The connection had been there before: it was about to end.
        reused: bool,
    },
    /// gRPC cannot be spoken to it.
    #[error("the upstream does not speak HTTP/2")]
    NotHttp2,
    /// Reading or writing took too long.
    #[error("the upstream is timing out")]
    Timeout,
    /// Its answer was no HTTP.
    #[error("the upstream made no sense")]
    Garbage,
    /// Its answer could be taken to end in more than one place.
    #[error("the upstream's response is framed ambiguously")]
    Misframed,
    /// It speaks another protocol now than it was asked to.
    #[error("the upstream switched protocols unasked")]
    Unasked,
    /// The client's body is not framed as it said.
    #[error("the request's body is malformed")]
    BodyMalformed,
    /// It is larger than is allowed.
    #[error("the request's body is too large")]
    BodyTooLarge,
    /// It pauses for too long.
    #[error("the request's body took too long")]
    BodyTimeout,
    /// There was no room to keep it, or what was kept is gone.
    #[error("the request's body cannot be kept")]
    BodyLost,
    /// As many descriptors are in use as may be.
    #[error("there are no descriptors left")]
    Exhausted,
    /// Neither side has said anything for as long as the service may be silent.
    #[error("the tunnel was silent for too long")]
    TunnelSilent,
    /// The client has left.
    #[error("the client has left")]
    ClientGone,
    /// It is ours.
    #[error("internal error")]
    Internal,
}

impl Failure {
    /// Whether neither the upstream nor the gateway alone is to blame.
    fn is_the_clients(self) -> bool {
        self.is_the_bodys() || self == Failure::TunnelSilent
    }

    /// Whether it is the request's body that did not come right: nobody knows where the next request
    /// begins, so that the connection ends with the answer.
    fn is_the_bodys(self) -> bool {
        use Failure::{BodyMalformed, BodyTimeout, BodyTooLarge, ClientGone};
        matches!(self, BodyMalformed | BodyTooLarge | BodyTimeout | ClientGone)
    }

    /// Whether the connection ends with the answer, whatever its request said.
    pub(crate) fn parts(self) -> bool {
        self.is_the_bodys() || matches!(self, Failure::BodyLost | Failure::Exhausted)
    }

    /// What the client is told; nothing if it is not there, or speaks no HTTP any more.
    pub(crate) fn reply(self) -> Option<Reply> {
        Some(match self {
            Failure::Unresolved => Reply::no_address(),
            Failure::Connect
            | Failure::Untrusted
            | Failure::Broken { .. }
            | Failure::Untouched { .. }
            | Failure::NotHttp2
            | Failure::Garbage
            | Failure::Misframed
            | Failure::Unasked => Reply::bad_gateway(),
            Failure::ConnectTimeout | Failure::Timeout => Reply::gateway_timeout(),
            Failure::BodyMalformed => Reply::bad_request(),
            Failure::BodyTooLarge => Reply::too_large(),
            Failure::BodyTimeout => Reply::body_timeout(),
            Failure::Exhausted => Reply::unavailable(),
            Failure::BodyLost | Failure::Internal | Failure::Retired => Reply::internal(),
            Failure::TunnelSilent | Failure::ClientGone => return None,
        })
    }
}

/// Begins a try: the address it goes to.
pub(crate) async fn choose(exchange: &mut Exchange) -> Result<SocketAddr, Failure> {
    let service = exchange.service().ok_or(Failure::Internal)?;
    let port = service.port;
    let address = match service.address {
        Some(address) => Some(address),
        None => {
            let resolver = &exchange.client().station.resolver;
            resolver.address(service.host.as_str(), exchange.turn()).await
        }
    };
    exchange.begin_try();
    Ok(SocketAddr::new(address.ok_or(Failure::Unresolved)?, port))
}

/// Whether to try again. `replayable`: nothing of a response has been passed on, and
/// what was read of the body is still there.
pub(crate) fn retries(exchange: &mut Exchange, failure: Failure, replayable: bool) -> bool {
    if !replayable {
        return false;
    }
    let once_only = !is_repeatable(exchange);
    match failure {
        Failure::Connect | Failure::ConnectTimeout | Failure::Untrusted => may_go_on(exchange),
        Failure::Retired | Failure::Untouched { reused: true } => {
            exchange.forgive_try();
            true
        }
        Failure::Untouched { reused: false } => may_go_on(exchange),
        // A connection that went stale in the pool says nothing of the upstream.
        Failure::Broken { reused: true } if !once_only => {
            exchange.forgive_try();
            true
        }
        Failure::Broken { .. } | Failure::Timeout if !once_only => may_go_on(exchange),
        _ => false,
    }
}

/// Whether the request may be sent again though it may have had its effect.
pub(crate) fn is_repeatable(exchange: &Exchange) -> bool {
    is_idempotent(exchange.head().method())
}

/// Whether a request that may have had its effect may be sent again: RFC 9110 §9.2.2 leaves that
/// to methods that are known to have the same effect however often they come. Those are RFC
/// 9110's, and what the IANA registry says of WebDAV's that are in use.
fn is_idempotent(method: &[u8]) -> bool {
    matches!(
        method,
        b"GET"
            | b"HEAD"
            | b"PUT"
            | b"DELETE"
            | b"OPTIONS"
            | b"TRACE"
            | b"PROPFIND"
            | b"PROPPATCH"
            | b"MKCOL"
            | b"COPY"
            | b"MOVE"
            | b"UNLOCK"
            | b"REPORT"
            | b"SEARCH"
            | b"QUERY"
    )
}

/// Says that a request failed, and why: `cause` is what the lane knows of it. Where too
/// many fail, some are only counted, and the next line says how many.
pub(crate) fn report(exchange: &Exchange, failure: Failure, cause: &dyn std::fmt::Display) {
    let station = &exchange.client().station;
    let clients = failure.is_the_clients();
    let failures = &station.failures;
    let restraint = if clients { &failures.client } else { &failures.upstream };
    let Some(more) = restraint.take() else {
        return station.counters.count_unlogged();
    };
    let id = exchange.id().as_str();
    if clients {
        tracing::info!(request_id = id, %cause, "{failure}{more}");
        return;
    }
    let service = exchange.service().map(|service| service.id.to_string()).unwrap_or_default();
    let tries = exchange.tries();
    tracing::error!(request_id = id, service, tries, %cause, "{failure}{more}");
}

fn may_go_on(exchange: &Exchange) -> bool {
    exchange.service().is_some_and(|service| exchange.tries() <= u32::from(service.retries))
}

/// What a TLS upstream is asked for as: the Host it is sent, without a port.
pub(crate) fn server_name(exchange: &Exchange) -> Option<ServerName> {
    let name = host_name(exchange.head().get(Known::Host)?);
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    Some(
        resolve::literal(name)
            .map_or_else(|| ServerName::Dns(name.to_owned()), ServerName::Address),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_methods_that_are_known_to_be_are_idempotent() {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND", "UNLOCK"] {
            assert!(is_idempotent(method.as_bytes()), "{method}");
        }
        for method in ["POST", "PATCH", "LOCK", "BREW", "get", ""] {
            assert!(!is_idempotent(method.as_bytes()), "{method}");
        }
    }
}
