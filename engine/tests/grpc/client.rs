//! A client of gRPC that says each frame when it is told to.

use super::hello::Hello;
use super::support::{Gateway, within};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

#[derive(Clone)]
pub(crate) struct Client(SendRequest<Bytes>);

impl Client {
    pub(crate) async fn in_clear(gateway: &Gateway) -> Client {
        let addr = gateway.handle.addresses()[0];
        let stream = within(TcpStream::connect(addr)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client::over(stream).await
    }

    pub(crate) async fn over_tls(gateway: &Gateway) -> Client {
        let hello = Hello { alpn: b"\x02h2", ..Hello::to("a.test") };
        Client::over(hello.with(gateway.handle.addresses()[1]).await.unwrap().0.stream).await
    }

    async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Client {
        let (requests, connection) = within(h2::client::handshake(io)).await.unwrap();
        tokio::spawn(connection);
        Client(requests)
    }

    /// Begins a call.
    pub(crate) async fn begin(&self, request: http::request::Builder) -> Call {
        self.try_begin(request).await.unwrap()
    }

    /// Begins a call, if the connection takes it.
    pub(crate) async fn try_begin(
        &self,
        request: http::request::Builder,
    ) -> Result<Call, h2::Error> {
        let mut requests = within(self.0.clone().ready()).await?;
        let (response, body) = requests.send_request(request.body(()).unwrap(), false)?;
        Ok(Call { response, body })
    }

    /// A call with one message, to its end.
    pub(crate) async fn call(&self, request: http::request::Builder, message: &[u8]) -> Answer {
        let mut call = self.begin(request).await;
        call.say(message, true);
        call.answer().await
    }
}

/// A call of this method.
pub(crate) fn method(path: &str) -> http::request::Builder {
    let request = Request::builder().method("POST").version(http::Version::HTTP_2);
    let request = request.uri(format!("http://a.test{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers")
}

/// A call under way.
pub(crate) struct Call {
    pub(crate) response: ResponseFuture,
    pub(crate) body: SendStream<Bytes>,
}

impl Call {
    /// Sends some bytes, however little the other side takes.
    pub(crate) fn say(&mut self, bytes: &[u8], ends: bool) {
        self.body.send_data(Bytes::copy_from_slice(bytes), ends).unwrap();
    }

    pub(crate) async fn answer(self) -> Answer {
        // What is sent goes on while the answer comes.
        let _body = self.body;
        read(within(self.response).await.unwrap()).await
    }
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    pub(crate) body: Vec<u8>,
    /// Nothing came behind its head, as gRPC wants it of a call that fails at once.
    pub(crate) is_head_only: bool,
    /// None if the stream broke off.
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        text(&self.head.headers, name)
    }

    /// gRPC's status, from wherever it is.
    pub(crate) fn code(&self) -> Option<&str> {
        let trailers = self.trailers.as_ref();
        self.field("grpc-status").or_else(|| text(trailers?, "grpc-status"))
    }

    pub(crate) fn message(&self) -> Option<&str> {
        let trailers = self.trailers.as_ref();
        self.field("grpc-message").or_else(|| text(trailers?, "grpc-message"))
    }
}

pub(crate) fn text<'h>(fields: &'h HeaderMap, name: &str) -> Option<&'h str> {
    fields.get(name).map(|value| value.to_str().unwrap())
}

pub(crate) async fn read(response: http::Response<RecvStream>) -> Answer {
    let (head, mut stream) = response.into_parts();
    let is_head_only = stream.is_end_stream();
    let mut body = Vec::new();
    while let Some(Ok(data)) = within(stream.data()).await {
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    let trailers = within(stream.trailers()).await.ok().map(Option::unwrap_or_default);
    Answer { head, body, is_head_only, trailers }
}
