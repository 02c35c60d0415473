//! A client that asks the same thing in different ways.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderName, HeaderValue, Request, Uri};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::hello::Hello;
use crate::support::{Response, Wire, within};

/// A request, before it is known how it is spoken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    /// `Host`, or `:authority`.
    pub(crate) host: Option<String>,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// How it is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Why a request cannot be put into the words of a version.
#[derive(Debug)]
pub(crate) struct Unspeakable;

/// Fields of an HTTP/1 connection, which HTTP/2 has no place for (RFC 9113 §8.2.2).
const OF_CONNECTIONS: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

impl Ask {
    /// The request that these bytes are in HTTP/1.
    pub(crate) fn of(text: &str) -> Ask {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap().split(' ');
        let mut ask = Ask {
            method: words.next().unwrap_or_default().to_owned(),
            target: words.next().unwrap_or_default().into(),
            body: body.into(),
            ..Ask::default()
        };
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            match name.eq_ignore_ascii_case("host") {
                true => ask.host = Some(value.to_owned()),
                false => ask.fields.push((name.to_owned(), value.to_owned())),
            }
        }
        ask
    }

    /// The bytes it is in HTTP/1. Without a host it can only be HTTP/1.0.
    pub(crate) fn http1(&self) -> Vec<u8> {
        let version = if self.host.is_some() { "HTTP/1.1" } else { "HTTP/1.0" };
        let mut text = [self.method.as_bytes(), b" ", &self.target].concat();
        text.extend(format!(" {version}\r\n").bytes());
        let host = self.host.iter().map(|host| ("Host", host.as_str()));
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in host.chain(fields) {
            text.extend(format!("{name}: {value}\r\n").bytes());
        }
        text.extend(b"\r\n");
        text.extend(&self.body);
        text
    }

    fn http2(&self, scheme: &str) -> Result<Request<()>, Unspeakable> {
        let host = self.host.as_deref().ok_or(Unspeakable)?;
        let target = Bytes::copy_from_slice(&self.target);
        let uri = Uri::builder().scheme(scheme).authority(host);
        let uri = uri.path_and_query(&target[..]).build().map_err(|_| Unspeakable)?;
        let mut request = Request::builder().method(self.method.as_str()).uri(uri);
        for (name, value) in &self.fields {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unspeakable)?;
            // Of `TE`, this one word is left.
            let value = match name.as_str() {
                "te" if value.contains("trailers") => "trailers",
                "te" => continue,
                name if OF_CONNECTIONS.contains(&name) => continue,
                _ => value,
            };
            request = request.header(name, HeaderValue::from_str(value).map_err(|_| Unspeakable)?);
        }
        request.body(()).map_err(|_| Unspeakable)
    }
}

/// Bytes both ways, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection on which one may ask again and again.
pub(crate) enum Connection {
    Http1(Wire<Box<dyn Stream>>),
    Http2 { requests: SendRequest<Bytes>, scheme: &'static str },
}

impl Connection {
    /// At this address, over TLS if there is a hello.
    pub(crate) async fn open(
        addr: SocketAddr,
        version: Version,
        hello: Option<Hello>,
    ) -> Connection {
        let alpn: &[u8] = if version == Version::Http2 { b"\x02h2" } else { b"\x08http/1.1" };
        let scheme = if hello.is_some() { "https" } else { "http" };
        let stream: Box<dyn Stream> = match hello {
            Some(hello) => Box::new(Hello { alpn, ..hello }.with(addr).await.unwrap().0.stream),
            None => Box::new(within(TcpStream::connect(addr)).await.unwrap()),
        };
        if version == Version::Http1 {
            return Connection::Http1(Wire::new(stream));
        }
        let (requests, connection) = within(h2::client::handshake(stream)).await.unwrap();
        tokio::spawn(connection); // it ends with the last handle on it
        Connection::Http2 { requests, scheme }
    }

    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<Response, Unspeakable> {
        match self {
            Connection::Http1(wire) => Ok(say(wire, &ask.http1(), ask.method == "HEAD").await),
            Connection::Http2 { requests, scheme } => {
                let request = ask.http2(scheme)?;
                Ok(within(exchange(requests.clone(), request, &ask.body)).await.unwrap())
            }
        }
    }
}

/// Says exactly this in HTTP/1, and reads the answer.
pub(crate) async fn say(wire: &mut Wire<Box<dyn Stream>>, bytes: &[u8], is_head: bool) -> Response {
    within(wire.stream.write_all(bytes)).await.unwrap();
    let response = within(wire.response(is_head)).await;
    response.unwrap_or_else(|| panic!("no response to {}", bytes.escape_ascii()))
}

/// One request of an HTTP/2 connection.
async fn exchange(
    requests: SendRequest<Bytes>,
    request: Request<()>,
    body: &[u8],
) -> Result<Response, h2::Error> {
    let mut requests = requests.ready().await?;
    let (response, mut sending) = requests.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        sending.send_data(Bytes::copy_from_slice(body), true)?;
    }
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        let _freed = stream.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let (status, fields) = (head.status.as_u16(), fields.collect());
    Ok(Response { status, line: String::new(), fields, body })
}
