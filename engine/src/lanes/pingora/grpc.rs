//! Upstreams that are spoken to over HTTP/2: those of gRPC.
//!
//! Many requests share a connection, so what one of them does must not hold up the others, and
//! what became of one when a connection ends is told by the protocol: only what the upstream says
//! it has not begun with may be sent again whatever it is (RFC 9113 §8.7). Trailers are part of
//! the response, and checked as its head is.

use super::relay::named;
use crate::proxy::exchange::Exchange;
use crate::proxy::reply::Reply;
use crate::proxy::upstream::Failure;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, TcpKeepalive};
use pingora::upstreams::peer::PeerOptions;
use pingora::{Error, ErrorSource, Result};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Requests at a time on one connection; more open another.
const STREAMS: u32 = 128;

/// Bytes of a response that may be on their way to us before its client has taken some: what a
/// slow client costs, and, per round trip, how fast a response can be.
const WINDOW: u32 = 256 * 1024;

/// Finds dead connections that have requests on them. HTTP/2's own pings would do it, too, but
/// servers of gRPC part with those who ping more often than every five minutes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(15),
    interval: Duration::from_secs(5),
    count: 3,
    user_timeout: Duration::from_secs(60),
};

/// Makes a peer one that is spoken to over HTTP/2 and nothing else: in cleartext without asking,
/// over TLS by ALPN.
pub(super) fn speak(options: &mut PeerOptions) {
    options.alpn = ALPN::H2;
    options.max_h2_streams = STREAMS as usize;
    options.h2_stream_window_size = Some(WINDOW);
    // Room for all of them: one client that takes nothing must not starve the others.
    options.h2_connection_window_size = Some(STREAMS * WINDOW);
    options.tcp_keepalive = Some(KEEPALIVE);
}

/// Whether the upstream has agreed on HTTP/2. One that did not is asked nothing: what it would make
/// of a call over HTTP/1.1 is no gRPC.
pub(super) fn check(request: &RequestHeader) -> Result<()> {
    let agreed = request.version == Version::HTTP_2;
    agreed.then_some(()).ok_or_else(|| named(Failure::NotHttp2, ErrorSource::Upstream))
}

/// So much of a body is looked at before it is sent; with another frame, of 16 KiB at most, it still
/// fits into what Pingora keeps of one for another try.
const AHEAD: usize = 32 * 1024;

/// Whether a request has come whole, as calls with one message do: reads what is there of it, which
/// Pingora then sends first.
pub(super) fn is_whole(client: &mut ServerSession) -> bool {
    client.enable_retry_buffering();
    let mut cx = Context::from_waker(Waker::noop());
    while !client.is_body_done() && client.body_bytes_read() < AHEAD {
        let read = pin!(client.read_request_body()).poll(&mut cx);
        if !matches!(read, Poll::Ready(Ok(Some(_)))) {
            break;
        }
    }
    client.is_body_done()
}

/// What an error of an upstream's HTTP/2 means to the pipeline, if it is one. `reused`: its
/// connection had been there before.
pub(super) fn failure_of(error: &Error, reused: bool) -> Option<Failure> {
    let cause = error.root_cause().downcast_ref::<h2::Error>()?;
    let refused = cause.reason() == Some(h2::Reason::REFUSED_STREAM);
    Some(match () {
        () if cause.is_io() => Failure::Broken { reused },
        // Ours: what it said was no HTTP/2.
        () if !cause.is_remote() => Failure::Garbage,
        // Only for requests behind the last that the upstream has begun with.
        () if cause.is_go_away() => Failure::Untouched { reused },
        // That the connection is an old one is not why, so it counts.
        () if refused => Failure::Untouched { reused: false },
        () => Failure::Broken { reused: false },
    })
}

/// Fields that mean something only before a body, or for one hop, or could be taken for what we
/// say ourselves (RFC 9110 §6.5.1): whoever merges trailers into a head must not come to believe
/// them.
const NEVER_TRAILERS: &[&str] = &[
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "expires",
    "host",
    "keep-alive",
    "location",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "www-authenticate",
    "x-kong-request-id",
];

/// Leaves only what may stand in trailers.
pub(super) fn settle_trailers(trailers: &mut HeaderMap) {
    for name in NEVER_TRAILERS {
        trailers.remove(*name);
    }
}

/// The end of a gRPC response that its upstream has not ended: why, where clients of gRPC look
/// for it. None for others, to whom only a broken stream says that something is missing.
pub(super) fn last_words(exchange: &Exchange, reply: &Reply) -> Option<HeaderMap> {
    if !exchange.head().is_grpc() {
        return None;
    }
    let mut trailers = HeaderMap::new();
    for (name, value) in reply.grpc() {
        trailers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).ok()?);
    }
    Some(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use h2::Reason;

    #[test]
    fn trailers_say_nothing_about_framing_or_whom_it_is_for() {
        let fields =
            ["grpc-status", "grpc-message", "x-own", "content-length", "host", "set-cookie"];
        let mut trailers: HeaderMap = fields
            .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")))
            .into_iter()
            .collect();
        settle_trailers(&mut trailers);
        let left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["grpc-status", "grpc-message", "x-own"]);
    }

    #[test]
    fn an_error_of_our_own_side_is_no_promise_of_the_upstreams() {
        let error = |reason: Reason| {
            Error::because(pingora::ErrorType::H2Error, "reading", h2::Error::from(reason))
        };
        for reason in [Reason::PROTOCOL_ERROR, Reason::REFUSED_STREAM] {
            assert_eq!(failure_of(&error(reason), true), Some(Failure::Garbage), "{reason}");
        }
        assert_eq!(failure_of(&Error::new(pingora::ErrorType::H2Error), true), None);
    }
}
