//! Heads in Pingora's types.
//!
//! Connection and framing fields are the lane's to write, from the request's terms; everything
//! else of a request's head is copied as the pipeline left it, and of a response's its edits are
//! repeated. Names keep their spelling and fields their order.

use crate::door;
use crate::proxy::head::{Edit, Head, Known, Name, ResponseHead, Version};
use crate::proxy::hygiene::{Framing, Terms};
use bytes::Bytes;
use http::HeaderValue;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// The head of a request by HTTP/2 in its final form, but for what only HTTP/1 says.
pub(super) fn replayed(head: &Head, terms: Terms) -> Result<RequestHeader> {
    let mut header = copied(head)?;
    header.set_version(http::Version::HTTP_2);
    if let Framing::Length(length) = terms.framing {
        header.append_header("Content-Length", length)?;
    }
    if terms.te_trailers {
        header.append_header("TE", TRAILERS)?;
    }
    Ok(header)
}

/// The head of a request on its way over HTTP/1: [`door::head::write`], for who takes it in parts.
pub(super) fn written(head: &Head, terms: Terms) -> Result<RequestHeader> {
    let mut header = copied(head)?;
    header.set_version(http::Version::HTTP_11);
    match terms.framing {
        Framing::Empty => {}
        Framing::Length(length) => drop(header.append_header("Content-Length", length)?),
        Framing::Chunked => drop(header.append_header("Transfer-Encoding", CHUNKED)?),
    }
    header.append_header("Connection", connection(terms))?;
    if terms.websocket {
        header.append_header("Upgrade", WEBSOCKET)?;
    }
    if terms.te_trailers {
        header.append_header("TE", TRAILERS)?;
    }
    Ok(header)
}

/// Everything of a head but the framing fields.
fn copied(head: &Head) -> Result<RequestHeader> {
    /// What the terms add to most: `Connection`, and where the body ends.
    const FRAMING: usize = 2;
    let target = door::head::readable(head.target());
    let fields = head.iter().size_hint().1.unwrap_or_default();
    let mut header = RequestHeader::build(head.method(), &target, Some(fields + FRAMING))?;
    for (name, value) in head.iter() {
        if !name.known().is_some_and(Known::is_framing) {
            header.append_header(spelled(name), value)?;
        }
    }
    Ok(header)
}

/// The connection is the lane's: it stays, unless it becomes a tunnel.
pub(super) fn connection(terms: Terms) -> HeaderValue {
    match terms.websocket {
        true => HeaderValue::from_static("keep-alive, Upgrade"),
        false => HeaderValue::from_static("keep-alive"),
    }
}

/// A response's head, for the pipeline to edit.
pub(super) fn head_of(header: &ResponseHeader) -> ResponseHead {
    let version = match header.version {
        http::Version::HTTP_2 => Version::Http2,
        http::Version::HTTP_11 => Version::Http11,
        _ => Version::Http10,
    };
    let fields = header.headers.iter().map(|(name, value)| (name.as_ref(), value.as_bytes()));
    let reason = header.get_reason_phrase().unwrap_or_default();
    ResponseHead::response(version, header.status.as_u16(), reason.as_bytes(), fields)
}

/// Repeats what the pipeline changed.
pub(super) fn repeat(head: &ResponseHead, header: &mut ResponseHeader) -> Result<()> {
    for edit in head.edits() {
        match edit {
            Edit::Set(name, value) => match name.known() {
                Some(known) => header.insert_header(known.as_str(), value)?,
                None => header.insert_header(spelled(name), value)?,
            },
            Edit::Add(name, value) => drop(header.append_header(spelled(name), value)?),
            Edit::Remove(name) => drop(header.remove_header(name.as_str())),
        }
    }
    Ok(())
}

/// A name for Pingora to keep: mostly there is no need for a copy.
fn spelled(name: Name<'_>) -> Bytes {
    match name.known().map(|known| known.as_str().as_bytes()) {
        Some(usual) if usual == name.as_bytes() => Bytes::from_static(usual),
        _ => Bytes::copy_from_slice(name.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::head::{Limits, Parser, Progress};
    use crate::proxy::hygiene;
    use bytes::BytesMut;

    fn read(text: &str) -> (Box<Head>, Terms) {
        let mut parser = Parser::new(Limits::default());
        assert_eq!(parser.advance(text.as_bytes()), Ok(Progress::Complete(text.len())));
        let mut head = parser.finish(BytesMut::from(text)).unwrap();
        let terms = hygiene::inspect(&mut head).unwrap();
        (head, terms)
    }

    /// The same as the door writes, for a connection that stays.
    #[track_caller]
    fn leaves_as_the_door_writes(request: &str) {
        let (mut head, terms) = read(&request.replace('\n', "\r\n"));
        head.set("X-Kong-Request-Id", b"0");
        head.set("x-custom", b"\x80");
        let header = written(&head, terms).unwrap();
        let line = format!("{} {} {:?}\r\n", header.method, header.uri, header.version);
        let mut found = line.into_bytes();
        header.header_to_h1_wire(&mut found);
        found.extend_from_slice(b"\r\n");

        let mut expected = BytesMut::new();
        door::head::write(&head, &terms, &mut expected);
        let expected = expected.escape_ascii().to_string();
        let expected = expected.replace("HTTP/1.0\\r\\n", "HTTP/1.1\\r\\n");
        let expected = expected.replace("Connection: close", "Connection: keep-alive");
        let expected = expected.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade");
        assert_eq!(found.escape_ascii().to_string(), expected, "{request}");
    }

    #[test]
    fn requests_leave_as_the_door_writes_them() {
        for request in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET /a%20b?c=|d HTTP/1.0\n\n",
            "GET /\u{e9} HTTP/1.1\nhOST: a\nx-A_b: 1\nEmpty:\nTE: trailers\n\n",
            "POST / HTTP/1.1\nHost: a\ncontent-LENGTH: 007\nConnection: close\n\n",
            "M-SEARCH / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nExpect: 100-continue\n\n",
            "GET / HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: WebSocket\nSec-WebSocket-Key: x\n\n",
        ] {
            leaves_as_the_door_writes(request);
        }
    }

    #[test]
    fn repeated_fields_stay_in_their_order() {
        let (head, terms) = read("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\na: 2\r\n\r\n");
        let mut found = Vec::new();
        written(&head, terms).unwrap().header_to_h1_wire(&mut found);
        let expected = b"Host: a\r\nA: 1\r\na: 2\r\nConnection: keep-alive\r\n";
        assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}
