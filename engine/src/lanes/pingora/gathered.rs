//! An HTTP/2 request whose body has come already, as Pingora sees it.
//!
//! Pingora reads a body from the stream that carries it, and cannot be given one. So it is given
//! a session of another kind, which is that of the stream in everything but the body. What is
//! all in memory may be read again, for another try.

use super::relay;
use crate::door::Spool;
use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};
use std::future::poll_fn;
use std::time::Duration;

type Messages = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

/// The stream, and the body it brought.
pub(super) struct Gathered {
    stream: HttpSession,
    body: Body,
    begun: bool,
    is_empty: bool,
}

enum Body {
    Memory(Bytes),
    Spool(Spool),
}

impl Gathered {
    pub(super) fn new(stream: HttpSession, mut body: Spool) -> Gathered {
        let is_empty = body.is_empty();
        let body = match body.take_memory() {
            Some(bytes) => Body::Memory(bytes),
            None => Body::Spool(body),
        };
        Gathered { stream, body, begun: false, is_empty }
    }

    fn is_read(&self) -> bool {
        match &self.body {
            Body::Memory(_) => self.begun || self.is_empty,
            Body::Spool(spool) => spool.is_empty(),
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        if self.is_read() {
            return Ok(None);
        }
        let piece = match &mut self.body {
            Body::Memory(bytes) => bytes.clone(),
            Body::Spool(spool) => {
                let piece = poll_fn(|cx| spool.poll_piece(cx)).await;
                piece.map_err(relay::lost_body)?
            }
        };
        self.begun = true;
        Ok(Some(piece))
    }
}

/// There are no messages beside the body.
fn no_messages<T>() -> Result<T> {
    Error::e_explain(ErrorType::InternalError, "a stream has no messages of its own")
}

#[async_trait]
impl Session for Gathered {
    fn req_header(&self) -> &RequestHeader {
        self.stream.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.stream.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.read().await
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if no_body_expected || self.is_read() {
            return self.stream.read_body_or_idle(true).await;
        }
        self.read().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    fn is_body_done(&mut self) -> bool {
        self.is_read()
    }

    fn is_body_empty(&mut self) -> bool {
        self.is_empty
    }

    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        self.begun && matches!(self.body, Body::Spool(_))
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        match &self.body {
            Body::Memory(bytes) if self.begun => Some(bytes.clone()),
            _ => None,
        }
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.stream.write_response_header(resp, end)
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, end: bool) -> Result<()> {
        self.stream.write_response_header_ref(resp, end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.stream.write_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.stream.write_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        self.stream.response_duplex_vec(tasks).await
    }

    async fn finish(&mut self) -> Result<()> {
        self.stream.finish()
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        self.stream.shutdown();
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.stream.response_written()
    }

    fn body_bytes_sent(&self) -> usize {
        self.stream.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.stream.body_bytes_read()
    }

    fn request_summary(&self) -> String {
        self.stream.request_summary()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.stream.pseudo_raw_h1_request_header()
    }

    fn digest(&self) -> Option<&Digest> {
        self.stream.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.stream.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.stream.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.stream.server_addr()
    }

    /// The client has said all it had to say.
    fn set_read_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.stream.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.stream.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.stream.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.stream.get_total_drain_timeout()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Messages> {
        None
    }

    fn restore_custom_message_reader(&mut self, _reader: Messages) -> Result<()> {
        no_messages()
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(
        &mut self,
        _writer: Box<dyn CustomMessageWrite>,
    ) -> Result<()> {
        no_messages()
    }
}
