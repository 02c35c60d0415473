//! What comes back: the upstream's head, made ours to send.
//!
//! What two readers could understand differently is refused, hop-by-hop fields
//! stop here, the gateway's own are added. A lane repeats the head's edits on
//! whatever form it holds the head in; connection fields are the lane's.

use super::Text;
use super::exchange::{Client, Exchange, RequestId};
use super::head::{Head, Known, ResponseHead, Version};
use super::hygiene::{self, Said, Terms};
use super::log::Outcome;
use super::printed::Printed;
use super::reply::{Rendered, Reply};
use super::upstream::Failure;
use crate::options::Headers;
use bytes::BytesMut;
use model::VERSION;
use std::time::Duration;

/// What the gateway calls itself in `Server` and `Via`.
const PRODUCT: &str = "gateway";

/// Types that get a `charset` when they come without, as nginx's `charset_types`.
const CHARSET_TYPES: &[&[u8]] = &[
    b"text/html",
    b"text/xml",
    b"text/plain",
    b"text/vnd.wap.wml",
    b"application/javascript",
    b"application/rss+xml",
];

/// Instructions of an upstream to nginx, which are not for the client.
const CONSUMED: &[&str] = &[
    "X-Accel-Redirect",
    "X-Accel-Expires",
    "X-Accel-Limit-Rate",
    "X-Accel-Buffering",
    "X-Accel-Charset",
];

/// `101 Switching Protocols`.
const SWITCHING: u16 = 101;

/// Whether a response of this status answers its request: afterwards nothing of
/// HTTP may follow on its behalf. A `101` does, the other interim ones do not.
pub(crate) fn is_final(status: u16) -> bool {
    status >= 200 || status == SWITCHING
}

/// Whether an upstream that answered so goes on with the connection (RFC 9112 §9.3): to be asked before
/// the head is [prepared](prepare) for the client, which takes that out.
pub(crate) fn keeps_alive(head: &ResponseHead) -> bool {
    let says = |wanted: &[u8]| {
        let mut options = head.get_all(Known::Connection).flat_map(hygiene::list);
        options.any(|option| option.eq_ignore_ascii_case(wanted))
    };
    !says(b"close") && (head.version() != Version::Http10 || says(b"keep-alive"))
}

/// Looks at an interim response, which goes no further. An error if nothing behind it can be believed.
pub(crate) fn pass_over(head: &mut ResponseHead) -> Result<(), Failure> {
    settle_framing(head)
}

/// Edits the head of a response on its way to the client. An error if it must not
/// reach one: it switches to what nobody asked for, or its end is unclear.
pub(crate) fn prepare(exchange: &Exchange, head: &mut ResponseHead) -> Result<(), Failure> {
    if head.status() == SWITCHING && !switches_as_asked(exchange.terms(), head) {
        return Err(Failure::Unasked);
    }
    settle_framing(head)?;
    strip(exchange, head);
    name_charset(head);
    let shown = exchange.options().headers;
    let mut printed = Printed::new();
    if shown.upstream_latency {
        head.set(Known::XKongUpstreamLatency, printed.millis(exchange.upstream_latency()));
    }
    if shown.proxy_latency {
        head.set(Known::XKongProxyLatency, printed.millis(exchange.proxy_latency()));
    }
    if shown.via {
        // The version Kong speaks to such services, whatever this one came by.
        let version = if exchange.is_to_grpc() { Version::Http2 } else { Version::Http11 };
        continue_via(head, version);
    }
    if shown.server && head.get(Known::Server).is_none() {
        head.set(Known::Server, product().as_bytes());
    }
    if shown.request_id {
        head.set(Known::XKongRequestId, exchange.id().as_bytes());
    }
    if shown.upstream_status {
        head.set(Known::XKongUpstreamStatus, printed.number(head.status()));
    }
    debug(exchange, |name, value| head.set(name, value.as_bytes()));
    Ok(())
}

/// Says which route and service a request took, to a client that asks in `Kong-Debug`
/// where that is allowed.
fn debug(exchange: &Exchange, mut field: impl FnMut(&'static str, &str)) {
    if !exchange.options().headers.debug || exchange.head().get(Known::KongDebug).is_none() {
        return;
    }
    let Some(route) = exchange.route() else { return };
    field("Kong-Route-Id", &route.id.to_string());
    if let Some(name) = &route.name {
        field("Kong-Route-Name", name.as_str());
    }
    let Some(service) = &route.service else { return };
    field("Kong-Service-Id", &service.id.to_string());
    if let Some(name) = &service.name {
        field("Kong-Service-Name", name.as_str());
    }
}

/// To WebSocket, which is all that is ever asked for, and to nothing else.
fn switches_as_asked(terms: Terms, head: &ResponseHead) -> bool {
    let mut protocols = head.get_all(Known::Upgrade).flat_map(hygiene::list);
    terms.websocket
        && head.version() == Version::Http11
        && protocols.next().is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
}

/// Leaves framing fields of one meaning only, or refuses: a client that found the
/// end elsewhere would take the rest for the response to its next request.
fn settle_framing(head: &mut ResponseHead) -> Result<(), Failure> {
    if head.status() < 200 || head.status() == 204 {
        // They end with their head, and may not say otherwise (RFC 9110 §8.6, RFC
        // 9112 §6.1). Who names a length that is none is not believed in that either.
        let is_coded = head.get(Known::TransferEncoding).is_some();
        let length = if is_coded { Ok(()) } else { one_length(head) };
        head.remove(Known::ContentLength);
        head.remove(Known::TransferEncoding);
        return length;
    }
    if is_chunked(head)? {
        head.remove(Known::ContentLength); // overridden (RFC 9112 §6.3)
        return Ok(());
    }
    one_length(head)
}

/// Any coding but `chunked` is refused, as is any coding in HTTP/1.0, which does not
/// know them (RFC 9112 §6.1): read to the end of the connection, such a body would
/// pass on coded but no longer marked as such.
fn is_chunked(head: &ResponseHead) -> Result<bool, Failure> {
    let mut codings = head.get_all(Known::TransferEncoding);
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None)
            if coding.eq_ignore_ascii_case(b"chunked") && head.version() != Version::Http10 =>
        {
            Ok(true)
        }
        _ => Err(Failure::Misframed),
    }
}

/// A length repeated, on several lines or in a list, becomes one (RFC 9110 §8.6).
fn one_length(head: &mut ResponseHead) -> Result<(), Failure> {
    let lengths = || {
        let values = head.get_all(Known::ContentLength);
        values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
    };
    let Some(length) = lengths().next() else { return Ok(()) };
    if hygiene::length_of(length).is_err() || lengths().any(|other| other != length) {
        return Err(Failure::Misframed);
    }
    if lengths().nth(1).is_some() {
        let length = Text::from_slice(length);
        head.set(Known::ContentLength, &length);
    }
    Ok(())
}

fn strip(exchange: &Exchange, head: &mut ResponseHead) {
    hygiene::strip_hop_by_hop(head);
    if !exchange.terms().te_trailers {
        head.remove(Known::Trailer);
    }
    // It is for this hop only, and a response that does not switch ends the matter.
    if head.status() != SWITCHING {
        head.remove(Known::Upgrade);
    }
    let accel =
        |name: &[u8]| name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"x-accel-"));
    if head.iter().any(|(name, _)| name.known().is_none() && accel(name.as_bytes())) {
        CONSUMED.iter().for_each(|name| head.remove(*name));
    }
}

/// nginx does so for every response, proxied ones included, and clients of Kong
/// have come to see it.
fn name_charset(head: &mut ResponseHead) {
    let Some(media) = head.get(Known::ContentType) else { return };
    if CHARSET_TYPES.iter().any(|known| media.eq_ignore_ascii_case(known)) {
        let mut named = Text::from_slice(media);
        named.extend_from_slice(b"; charset=UTF-8");
        head.set(Known::ContentType, &named);
    }
}

/// Adds us to `Via`, behind whoever is there already, as speaking `version`.
pub(crate) fn continue_via<L>(head: &mut Head<L>, version: Version) {
    let version = match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    };
    let mut via = Text::new();
    for before in head.get_all(Known::Via) {
        via.extend_from_slice(before);
        via.extend_from_slice(b", ");
    }
    via.extend_from_slice(version.as_bytes());
    via.push(b' ');
    via.extend_from_slice(product().as_bytes());
    head.set(Known::Via, &via);
}

/// A reply with the fields that every response of the gateway's own carries.
pub(crate) fn own(exchange: &Exchange, reply: &Reply) -> Rendered {
    let options = exchange.options();
    let rendered = reply.render(Some(exchange.head()), exchange.id().as_str(), &options.errors);
    let mut rendered = signed(rendered, options.headers, exchange.latency(), exchange.id());
    debug(exchange, |name, value| rendered.fields.push((name, value.to_owned())));
    rendered
}

/// The whole answer to a request that got no further than the door.
pub(crate) fn refuse(client: &Client, reply: &Reply, said: Said<'_>, out: &mut BytesMut) {
    let is_head = said.is_head();
    refused(client, reply, said).write(false, is_head, out);
}

/// The same, yet to be written; counted and logged already.
pub(crate) fn refused(client: &Client, reply: &Reply, said: Said<'_>) -> Rendered {
    let station = &client.station;
    station.counters.count_request();
    let id = station.ids.next();
    let rendered = reply.render(said.head(), id.as_str(), &station.options.errors);
    let rendered = signed(rendered, station.options.headers, Duration::ZERO, &id);
    if let Some(log) = &station.access_log {
        let sent = if said.is_head() { 0 } else { rendered.body.len() as u64 };
        log.record(client.peer.ip(), &id, said, Outcome { status: reply.status(), sent });
    }
    rendered
}

fn signed(mut reply: Rendered, shown: Headers, latency: Duration, id: &RequestId) -> Rendered {
    if shown.response_latency {
        let millis = latency.as_millis().to_string();
        reply.fields.push((Known::XKongResponseLatency.as_str(), millis));
    }
    if shown.server {
        reply.fields.push((Known::Server.as_str(), product().to_owned()));
    }
    if shown.request_id {
        reply.fields.push((Known::XKongRequestId.as_str(), id.as_str().to_owned()));
    }
    reply
}

/// `gateway/<version>`.
pub(crate) fn product() -> &'static str {
    static NAME: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| format!("{PRODUCT}/{VERSION}"));
    &NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(fields: &[(&str, &str)]) -> ResponseHead {
        head(Version::Http11, 200, fields)
    }

    fn head(version: Version, status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        Head::response(version, status, b"OK", fields)
    }

    #[test]
    fn only_bare_text_types_are_given_a_charset() {
        for (before, after) in [
            ("text/html", "text/html; charset=UTF-8"),
            ("Text/Plain", "Text/Plain; charset=UTF-8"),
            ("text/html; charset=latin1", "text/html; charset=latin1"),
            ("application/json", "application/json"),
        ] {
            let mut head = response(&[("content-type", before)]);
            name_charset(&mut head);
            assert_eq!(head.get(Known::ContentType), Some(after.as_bytes()), "{before}");
        }
    }

    #[test]
    fn framing_has_one_meaning_or_is_refused() {
        const LENGTH: &str = "Content-Length";
        const CODING: &str = "Transfer-Encoding";
        for (status, before, after) in [
            (200, &[][..], Some((None, None))),
            (200, &[(LENGTH, "3")], Some((Some("3"), None))),
            (200, &[(LENGTH, "3"), (LENGTH, "3")], Some((Some("3"), None))),
            (200, &[(LENGTH, "3, 3"), (LENGTH, "3")], Some((Some("3"), None))),
            (200, &[(LENGTH, "3"), (LENGTH, "4")], None),
            (200, &[(LENGTH, "3, 4")], None),
            (200, &[(LENGTH, "3,")], None),
            (200, &[(LENGTH, "+3")], None),
            (200, &[(LENGTH, "")], None),
            (200, &[(CODING, "Chunked")], Some((None, Some("Chunked")))),
            (200, &[(CODING, "chunked"), (LENGTH, "3")], Some((None, Some("chunked")))),
            (200, &[(CODING, "chunked"), (CODING, "chunked")], None),
            (200, &[(CODING, "gzip, chunked")], None),
            (200, &[(CODING, "identity")], None),
            (200, &[(CODING, "")], None),
            (304, &[(LENGTH, "3")], Some((Some("3"), None))),
            (204, &[(LENGTH, "3"), (CODING, "chunked")], Some((None, None))),
            (101, &[(LENGTH, "3"), (CODING, "gzip")], Some((None, None))),
            (204, &[(LENGTH, "x")], None),
            (103, &[(LENGTH, "3"), (LENGTH, "4")], None),
        ] {
            let mut head = head(Version::Http11, status, before);
            let text = |head: &ResponseHead, known| {
                let values: Vec<_> = head.get_all(known).map(<[u8]>::escape_ascii).collect();
                assert!(values.len() < 2, "{before:?}");
                values.first().map(ToString::to_string)
            };
            let left = settle_framing(&mut head).ok().map(|()| {
                (text(&head, Known::ContentLength), text(&head, Known::TransferEncoding))
            });
            let left = left.as_ref().map(|(length, coding)| (length.as_deref(), coding.as_deref()));
            assert_eq!(left, after, "{status} {before:?}");
        }
        let mut old = head(Version::Http10, 200, &[(CODING, "chunked")]);
        assert_eq!(settle_framing(&mut old), Err(Failure::Misframed));
    }

    #[test]
    fn via_goes_on() {
        let mut head = response(&[("Via", "1.1 a"), ("via", "1.0 b")]);
        continue_via(&mut head, Version::Http10);
        let expected = format!("1.1 a, 1.0 b, 1.0 {}", product());
        assert_eq!(head.get_all(Known::Via).collect::<Vec<_>>(), [expected.as_bytes()]);
    }

    #[test]
    fn an_upstream_that_goes_on_says_so() {
        let connection = |version, values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| ("Connection", *value)).collect();
            keeps_alive(&head(version, 200, &fields))
        };
        for (values, by_1_1, by_1_0) in [
            (&[] as &[&str], true, false),
            (&["Keep-Alive"], true, true),
            (&["x, Close"], false, false),
            (&["keep-alive", "close"], false, false),
            (&["close, keep-alive"], false, false),
        ] {
            assert_eq!(connection(Version::Http11, values), by_1_1, "{values:?}");
            assert_eq!(connection(Version::Http10, values), by_1_0, "{values:?}");
        }
    }
}
