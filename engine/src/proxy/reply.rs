//! Responses the gateway writes itself.
//!
//! A [`Reply`] says what went wrong; how it looks depends on what the client
//! accepts and on where the reply comes from, since Kong has two generators with
//! different fallbacks. Statuses and words live here and in
//! [`hygiene`](super::hygiene), nowhere else.

use super::head::{Head, Known};
use super::hygiene::Refusal;
use bytes::{BufMut, BytesMut};

/// A response without an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    status: u16,
    message: &'static str,
    origin: Origin,
    headers: Vec<(&'static str, String)>,
}

/// Who answers: it decides the type of the body when the client has no preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Routing, balancing, plugins: JSON.
    Pipeline,
    /// The server underneath, and failed upstream connections: the type of the
    /// request's own body, else plain text.
    Server,
}

impl Reply {
    const fn pipeline(status: u16, message: &'static str) -> Reply {
        Reply { status, message, origin: Origin::Pipeline, headers: Vec::new() }
    }

    const fn server(status: u16, message: &'static str) -> Reply {
        Reply { status, message, origin: Origin::Server, headers: Vec::new() }
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

    /// The upstream took too long.
    pub(crate) const fn gateway_timeout() -> Reply {
        Reply::server(504, "The upstream server is timing out")
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// The head's fields and the body, for a request with this `head`, if one was read.
    pub(crate) fn render(&self, head: Option<&Head>, request_id: &str) -> Rendered {
        let media = self.media(head);
        let mut fields = Vec::with_capacity(8);
        let empty = self.message.is_empty();
        if !empty {
            fields.push(("Content-Type", media.name().to_owned()));
        }
        fields.extend(self.headers.iter().cloned());
        let body = if empty { String::new() } else { media.body(self.message, request_id) };
        Rendered { status: self.status, fields, body }
    }

    fn media(&self, head: Option<&Head>) -> Media {
        let ours = match self.origin {
            Origin::Pipeline => Media::Json,
            Origin::Server => Media::Plain,
        };
        let Some(head) = head else { return ours };
        let wanted = match (head.get(Known::Accept), self.origin) {
            (None, Origin::Server) => head.get(Known::ContentType),
            (accept, _) => accept,
        };
        wanted.and_then(Media::preferred).unwrap_or(ours)
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

/// The types a body can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Json,
    Plain,
    Html,
    Xml,
}

impl Media {
    const fn name(self) -> &'static str {
        match self {
            Media::Json => "application/json; charset=utf-8",
            Media::Plain => "text/plain; charset=utf-8",
            Media::Html => "text/html; charset=utf-8",
            Media::Xml => "application/xml; charset=utf-8",
        }
    }

    /// The client's favourite of those there are: the highest weight, and among
    /// equals the first.
    fn preferred(accept: &[u8]) -> Option<Media> {
        let mut best = (0, None);
        for range in accept.split(|&byte| byte == b',') {
            let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let media = parts.next().and_then(Media::of);
            let weight = parts.find_map(weight).unwrap_or(1000);
            if media.is_some() && weight > best.0 {
                best = (weight, media);
            }
        }
        best.1
    }

    fn of(range: &[u8]) -> Option<Media> {
        let is = |text: &[u8]| range.eq_ignore_ascii_case(text);
        match () {
            () if is(b"application/json") || is(b"application/*") || is(b"*/*") => {
                Some(Media::Json)
            }
            () if is(b"text/plain") || is(b"text/*") => Some(Media::Plain),
            () if is(b"text/html") => Some(Media::Html),
            () if is(b"application/xml") => Some(Media::Xml),
            () => None,
        }
    }

    fn body(self, message: &str, id: &str) -> String {
        match self {
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
        let rendered = reply.render(Some(&head(fields)), ID);
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
        body(&reply, &[("accept", "image/png")], PLAIN, &text);
        let json = format!(
            "{{\n  \"message\":\"The upstream server is timing out\",\n  \"request_id\":\"{ID}\"\n}}"
        );
        body(&reply, &[("content-type", "application/json")], JSON, &json);
        body(&reply, &[("accept", "*/*"), ("content-type", "text/html")], JSON, &json);
    }

    #[test]
    fn the_best_weight_wins_and_among_equals_the_first() {
        for (accept, expected) in [
            ("text/html, application/json", Some(Media::Html)),
            ("application/json;q=0.5, application/xml;q=0.9", Some(Media::Xml)),
            ("image/*, text/*;q=0.1", Some(Media::Plain)),
            ("text/plain; charset=utf-8; q=0.2, TEXT/HTML;Q=0.3", Some(Media::Html)),
            ("", None),
            ("text/html;q=0", None),
        ] {
            assert_eq!(Media::preferred(accept.as_bytes()), expected, "{accept}");
        }
    }

    #[test]
    fn html_and_xml_are_laid_out_as_kongs() {
        let html = "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n  <body>\n    <h1>Error</h1>\n    <p>M.</p>\n    <p>request_id: R</p>\n  </body>\n</html>\n";
        assert_eq!(Media::Html.body("M", "R"), html);
        let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>M</message>\n  <requestid>R</requestid>\n</error>\n";
        assert_eq!(Media::Xml.body("M", "R"), xml);
    }

    #[test]
    fn head_is_answered_without_the_body_but_with_its_length() {
        let rendered = Reply::no_route().render(None, ID);
        let mut whole = BytesMut::new();
        rendered.write(true, true, &mut whole);
        let text = String::from_utf8(whole.to_vec()).unwrap();
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\nDate: "), "{text}");
        assert!(text.contains(&format!("\r\nContent-Length: {}\r\n", rendered.body.len())));
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }
}
