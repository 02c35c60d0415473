//! Responses the gateway writes itself.
//!
//! A [`Reply`] says what went wrong; how it looks depends on what the client
//! accepts and on where the reply comes from, since Kong has two generators with
//! different fallbacks. Statuses and words live here and in
//! [`hygiene`](super::hygiene), nowhere else.

mod grpc;

use super::head::{Head, Known};
use super::hygiene::Refusal;
use crate::options::{Errors, Media};
use bytes::{BufMut, BytesMut};
use grpc::Code;

/// A response without an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    status: u16,
    message: &'static str,
    origin: Origin,
    headers: Vec<(&'static str, String)>,
    /// gRPC's, where it does not follow from the status.
    code: Option<Code>,
    /// What a plugin says in words of its own, in place of the message; of no type that is told.
    words: Option<Box<str>>,
}

/// Who answers: it decides the type of the body when the client has no preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Routing, balancing, plugins: JSON.
    Pipeline,
    /// The server underneath, and failed upstream connections: the type of the
    /// request's own body, else the one that is set, plain text if none is.
    Server,
}

impl Reply {
    const fn pipeline(status: u16, message: &'static str) -> Reply {
        Reply::from(Origin::Pipeline, status, message)
    }

    const fn server(status: u16, message: &'static str) -> Reply {
        Reply::from(Origin::Server, status, message)
    }

    const fn from(origin: Origin, status: u16, message: &'static str) -> Reply {
        Reply { status, message, origin, headers: Vec::new(), code: None, words: None }
    }

    /// An answer of a plugin's, which says itself what is in it.
    pub(crate) const fn own(status: u16) -> Reply {
        Reply::pipeline(status, "")
    }

    /// The same with this field.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: String) -> Reply {
        self.headers.push((name, value));
        self
    }

    /// The same with these words, whatever type the client would like them in.
    #[must_use]
    pub(crate) fn saying(mut self, body: &str) -> Reply {
        self.words = Some(body.into());
        self
    }

    /// No route matches.
    pub(crate) const fn no_route() -> Reply {
        Reply::pipeline(404, "no Route matched with those values")
    }

    /// A route without a service, and nothing else answered.
    pub(crate) const fn no_service() -> Reply {
        Reply::pipeline(503, "no Service found with those values")
    }

    /// The service's name has no address.
    pub(crate) const fn no_address() -> Reply {
        Reply::pipeline(503, "name resolution failed")
    }

    /// The route is for TLS only and the client may upgrade to it (RFC 9110 §15.5.22).
    pub(crate) fn https_required() -> Reply {
        let mut reply = Reply::pipeline(426, "Please use HTTPS protocol");
        reply.headers.push(("Upgrade", "TLS/1.2, HTTP/1.1".to_owned()));
        reply
    }

    /// The route is for TLS only and says where it is.
    pub(crate) fn redirect(status: u16, location: String) -> Reply {
        let mut reply = Reply::pipeline(status, "");
        reply.headers.push(("Location", location));
        reply
    }

    /// The route is for gRPC, which there is over HTTP/2 only.
    pub(crate) fn http2_required() -> Reply {
        let mut reply = Reply::pipeline(426, "Please use HTTP2 protocol");
        reply.headers.push(("Upgrade", "HTTP/2".to_owned()));
        reply
    }

    /// The route is for gRPC, and this is none.
    pub(crate) const fn not_grpc() -> Reply {
        Reply::pipeline(415, "Non-gRPC request matched gRPC route")
    }

    /// The route is for gRPC over TLS only: told to a client of gRPC, in its terms alone.
    pub(crate) const fn grpcs_required() -> Reply {
        let mut reply = Reply::server(200, "gRPC request matched gRPCs route");
        reply.code = Some(Code::CANCELED);
        reply
    }

    /// What the door would not take. `strict`: by the status that says so, where Kong's does not.
    pub(crate) const fn refused(refusal: Refusal, strict: bool) -> Reply {
        let status = match refusal {
            Refusal::HeadTooLarge | Refusal::TooManyFields if strict => 431,
            _ => refusal.status(),
        };
        Reply::server(status, refusal.message())
    }

    /// The body's framing broke while it was read.
    pub(crate) const fn bad_request() -> Reply {
        Reply::server(400, "Bad request")
    }

    /// The body is larger than is allowed.
    pub(crate) const fn too_large() -> Reply {
        Reply::server(413, "Payload too large")
    }

    /// The body did not come.
    pub(crate) const fn body_timeout() -> Reply {
        Reply::server(408, "Request timeout")
    }

    /// Something of ours failed.
    pub(crate) const fn internal() -> Reply {
        Reply::server(500, "An unexpected error occurred")
    }

    /// The upstream refused, hung up or made no sense.
    pub(crate) const fn bad_gateway() -> Reply {
        Reply::server(502, "An invalid response was received from the upstream server")
    }

    /// There is no room for the request just now. The words are Kong's for this status.
    pub(crate) const fn unavailable() -> Reply {
        Reply::server(503, "The upstream server is currently unavailable")
    }

    /// The upstream took too long.
    pub(crate) const fn gateway_timeout() -> Reply {
        Reply::server(504, "The upstream server is timing out")
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// The head's fields and the body, for a request with this `head`, if one was read.
    pub(crate) fn render(
        &self,
        head: Option<&Head>,
        request_id: &str,
        errors: &Errors,
    ) -> Rendered {
        if head.is_some_and(Head::is_grpc) {
            return self.render_grpc();
        }
        if let Some(words) = &self.words {
            let (fields, body) = (self.headers.clone(), words.clone().into_string());
            return Rendered { status: self.status, fields, body };
        }
        let media = self.media(head, errors.default_type);
        let mut fields = Vec::with_capacity(8);
        let empty = self.message.is_empty();
        if !empty {
            fields.push(("Content-Type", name_of(media).to_owned()));
        }
        fields.extend(self.headers.iter().cloned());
        let body =
            if empty { String::new() } else { body_of(media, self.message, request_id, errors) };
        Rendered { status: self.status, fields, body }
    }

    fn render_grpc(&self) -> Rendered {
        let mut fields = vec![("Content-Type", "application/grpc".to_owned())];
        fields.extend(self.grpc());
        fields.extend(self.headers.iter().cloned());
        Rendered { status: self.status, fields, body: String::new() }
    }

    /// What it says to gRPC: fields of a head, or of trailers if a response has begun.
    pub(crate) fn grpc(&self) -> [(&'static str, String); 2] {
        let code = self.code.unwrap_or(Code::of(self.status));
        // Kong's first generator has no words of its own for gRPC.
        let message = match self.origin {
            Origin::Pipeline => code.name(),
            Origin::Server => self.message,
        };
        [("grpc-status", code.number()), ("grpc-message", message.to_owned())]
    }

    fn media(&self, head: Option<&Head>, default: Media) -> Media {
        let field = |known| head.and_then(|head| head.get(known)).map(preferred);
        match self.origin {
            Origin::Pipeline => field(Known::Accept).unwrap_or(Media::Json),
            Origin::Server => {
                field(Known::Accept).or_else(|| field(Known::ContentType)).unwrap_or(default)
            }
        }
    }
}

/// A reply as it goes out, before what every response carries.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Rendered {
    /// The whole message as HTTP/1.1. `HEAD` is answered with the same head alone.
    pub(crate) fn write(&self, keep_alive: bool, is_head: bool, out: &mut BytesMut) {
        let reason = http::StatusCode::from_u16(self.status).ok();
        let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or_default();
        out.reserve(512 + self.body.len());
        out.put_slice(format!("HTTP/1.1 {} {reason}\r\n", self.status).as_bytes());
        let mut field = |name: &str, value: &str| {
            out.put_slice(name.as_bytes());
            out.put_slice(b": ");
            out.put_slice(value.as_bytes());
            out.put_slice(b"\r\n");
        };
        field("Date", &httpdate::fmt_http_date(std::time::SystemTime::now()));
        let offers = self.fields.iter().any(|(name, _)| *name == "Upgrade");
        field(
            "Connection",
            match (keep_alive, offers) {
                (true, true) => "keep-alive, Upgrade",
                (true, false) => "keep-alive",
                (false, true) => "close, Upgrade",
                (false, false) => "close",
            },
        );
        field("Content-Length", &self.body.len().to_string());
        for (name, value) in &self.fields {
            field(name, value);
        }
        out.put_slice(b"\r\n");
        if !is_head {
            out.put_slice(self.body.as_bytes());
        }
    }
}

/// The field that says so.
const fn name_of(media: Media) -> &'static str {
    match media {
        Media::Json => "application/json; charset=utf-8",
        Media::Plain => "text/plain; charset=utf-8",
        Media::Html => "text/html; charset=utf-8",
        Media::Xml => "application/xml; charset=utf-8",
    }
}

/// The client's favourite: the highest weight, and among equals the first. As in Kong
/// 3.10, what it likes best and we do not have is JSON, whatever else it would take.
fn preferred(accept: &[u8]) -> Media {
    let mut best = (0, Media::Json);
    for range in accept.split(|&byte| byte == b',') {
        let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let Some(name) = parts.next().filter(|name| name.contains(&b'/')) else { continue };
        let weight = parts.find_map(weight).unwrap_or(1000);
        if weight > best.0 {
            best = (weight, media_of(name));
        }
    }
    best.1
}

fn media_of(range: &[u8]) -> Media {
    if range.eq_ignore_ascii_case(b"text/*") {
        return Media::Plain;
    }
    let known = Media::ALL.iter().find(|(name, _)| range.eq_ignore_ascii_case(name.as_bytes()));
    known.map_or(Media::Json, |(_, media)| *media)
}

/// The words of the operator, else Kong's. The message stands as it is: all there are
/// need no escaping in any of the types.
fn body_of(media: Media, message: &str, id: &str, errors: &Errors) -> String {
    let template = match media {
        Media::Json => &errors.json,
        Media::Plain => &errors.plain,
        Media::Html => &errors.html,
        Media::Xml => &errors.xml,
    };
    if let Some(template) = template {
        return template.fill(message, id);
    }
    match media {
        Media::Json => {
            format!("{{\n  \"message\":\"{message}\",\n  \"request_id\":\"{id}\"\n}}")
        }
        Media::Plain => format!("{message}\nrequest_id: {id}\n"),
        Media::Html => format!(
            "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    \
             <title>Error</title>\n  </head>\n  <body>\n    <h1>Error</h1>\n    \
             <p>{message}.</p>\n    <p>request_id: {id}</p>\n  </body>\n</html>\n"
        ),
        Media::Xml => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  \
             <message>{message}</message>\n  <requestid>{id}</requestid>\n</error>\n"
        ),
    }
}

/// `q=0.8` in thousandths (RFC 9110 §12.4.2).
fn weight(parameter: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(parameter).ok()?;
    let (name, value) = text.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().ok()?;
    Some((value.clamp(0.0, 1.0) * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::super::head::Version;
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff";

    fn head(fields: &[(&str, &str)]) -> Head {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        Head::request(b"GET", b"/", Version::Http11, fields)
    }

    #[track_caller]
    fn body(reply: &Reply, fields: &[(&str, &str)], media: &str, expected: &str) {
        let rendered = reply.render(Some(&head(fields)), ID, &Errors::default());
        assert_eq!(rendered.fields.first(), Some(&("Content-Type", media.to_owned())));
        assert_eq!(rendered.body, expected, "{fields:?}");
    }

    const JSON: &str = "application/json; charset=utf-8";
    const PLAIN: &str = "text/plain; charset=utf-8";

    #[test]
    fn the_pipeline_prefers_json() {
        let json = format!(
            "{{\n  \"message\":\"no Route matched with those values\",\n  \"request_id\":\"{ID}\"\n}}"
        );
        let reply = Reply::no_route();
        for accept in ["application/json", "*/*", "image/png", "application/*", "text/html;q=0"] {
            body(&reply, &[("accept", accept)], JSON, &json);
        }
        body(&reply, &[], JSON, &json);
        body(&reply, &[("content-type", "text/html")], JSON, &json);
    }

    #[test]
    fn the_server_prefers_the_requests_own_type_then_text() {
        let reply = Reply::gateway_timeout();
        let text = format!("The upstream server is timing out\nrequest_id: {ID}\n");
        body(&reply, &[], PLAIN, &text);
        let json = format!(
            "{{\n  \"message\":\"The upstream server is timing out\",\n  \"request_id\":\"{ID}\"\n}}"
        );
        body(&reply, &[("content-type", "application/json")], JSON, &json);
        body(&reply, &[("accept", "*/*"), ("content-type", "text/html")], JSON, &json);
        // What is asked for and not to be had is JSON, for all that text would do.
        body(&reply, &[("accept", "image/png")], JSON, &json);
        body(&reply, &[("content-type", "application/x-www-form-urlencoded")], JSON, &json);
    }

    #[test]
    fn the_best_weight_wins_and_among_equals_the_first() {
        for (accept, expected) in [
            ("text/html, application/json", Media::Html),
            ("application/json;q=0.5, application/xml;q=0.9", Media::Xml),
            ("text/*;q=0.1", Media::Plain),
            ("text/plain; charset=utf-8; q=0.2, TEXT/HTML;Q=0.3", Media::Html),
            ("text/html;q=0.9, image/png", Media::Json),
            ("text/html, image/png", Media::Html),
            ("nonsense, text/html;q=0.1", Media::Html),
            ("text/html;q=nonsense, text/plain", Media::Html),
            ("", Media::Json),
            ("text/html;q=0", Media::Json),
        ] {
            assert_eq!(preferred(accept.as_bytes()), expected, "{accept}");
        }
    }

    #[test]
    fn grpc_is_told_in_the_head_alone_and_over_http2_only() {
        let asked = [(&b"content-type"[..], &b"application/grpc+proto"[..]), (b"accept", b"*/*")];
        let over = |version| Head::request(b"POST", b"/", version, asked);
        let rendered =
            |reply: Reply| reply.render(Some(&over(Version::Http2)), ID, &Errors::default());
        for (reply, status, code, message) in [
            (Reply::no_route(), 404, "5", "NotFound"),
            (Reply::no_service(), 503, "14", "Unavailable"),
            (Reply::gateway_timeout(), 504, "4", "The upstream server is timing out"),
            (Reply::grpcs_required(), 200, "1", "gRPC request matched gRPCs route"),
        ] {
            let rendered = rendered(reply);
            let fields = [
                ("Content-Type", "application/grpc"),
                ("grpc-status", code),
                ("grpc-message", message),
            ];
            assert_eq!(rendered.fields, fields.map(|(name, value)| (name, value.to_owned())));
            assert_eq!((rendered.status, rendered.body.as_str()), (status, ""));
        }
        let over_http1 = Reply::no_route();
        let over_http1 = over_http1.render(Some(&over(Version::Http11)), ID, &Errors::default());
        assert_eq!(over_http1.fields, [("Content-Type", JSON.to_owned())]);
    }

    #[test]
    fn html_and_xml_are_laid_out_as_kongs() {
        let html = "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n  <body>\n    <h1>Error</h1>\n    <p>M.</p>\n    <p>request_id: R</p>\n  </body>\n</html>\n";
        let body = |media| body_of(media, "M", "R", &Errors::default());
        assert_eq!(body(Media::Html), html);
        let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>M</message>\n  <requestid>R</requestid>\n</error>\n";
        assert_eq!(body(Media::Xml), xml);
    }

    #[test]
    fn head_is_answered_without_the_body_but_with_its_length() {
        let rendered = Reply::no_route().render(None, ID, &Errors::default());
        let mut whole = BytesMut::new();
        rendered.write(true, true, &mut whole);
        let text = String::from_utf8(whole.to_vec()).unwrap();
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\nDate: "), "{text}");
        assert!(text.contains(&format!("\r\nContent-Length: {}\r\n", rendered.body.len())));
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }
}
