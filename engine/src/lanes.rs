//! What carries a request once the pipeline has decided, and which lane does.
//!
//! A [`Carrier`] carries a connection's requests: each becomes an exchange, about which the
//! pipeline decides, whether it came by HTTP/1 or HTTP/2; what differs between them is a
//! [`Way`]. Then either the pipeline's own reply is sent, or a lane has the request: the express
//! lane what it can carry, Pingora everything else, request by request.

pub(crate) mod express; // most requests
pub(crate) mod pingora; // all of them
pub(crate) mod ring; // those that io_uring carries
mod http2; // requests that come many at a time
pub(crate) mod stream; // streams and datagrams

use crate::door::{BoundedStream, Carry, Next, Patience, Portable, Request, Transport, Ungathered};
use crate::proxy::access::{self, Flow};
use crate::proxy::exchange::{Client, Exchange};
use crate::proxy::hygiene::{Refusal, Said};
use crate::proxy::log::Outcome;
use crate::proxy::reply::Reply;
use crate::proxy::{buffering, request, response};
use bytes::BytesMut;
use express::Express;
use pingora::Pingora;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;

/// One worker's lanes.
pub(crate) struct Lanes {
    pub(crate) pingora: Pingora,
    /// Not there where it is switched off.
    pub(crate) express: Option<Express>,
}

impl Lanes {
    /// Looks after what lanes keep between requests. Runs as long as its worker.
    pub(crate) async fn tend(&self) {
        if let Some(express) = &self.express {
            express.tend().await;
        }
    }
}

/// Carries the requests of one connection.
pub(crate) struct Carrier {
    client: Arc<Client>,
    lanes: Arc<Lanes>,
}

impl Carrier {
    pub(crate) fn new(client: Arc<Client>, lanes: Arc<Lanes>) -> Carrier {
        Carrier { client, lanes }
    }

    /// Carries all requests of an HTTP/2 connection.
    pub(crate) async fn carry_http2<T: Portable>(self, stream: BoundedStream<T>) {
        http2::serve(Arc::new(self), stream).await;
    }

    /// Carries a request about which the pipeline has decided elsewhere.
    pub(crate) async fn carry_on<T: Portable>(
        &self,
        exchange: Box<Exchange>,
        stream: BoundedStream<T>,
    ) -> Next {
        proceed(exchange, stream, &self.lanes).await
    }
}

impl<T: Portable> Carry<T> for Carrier {
    async fn carry(&self, request: Request, stream: BoundedStream<T>) -> Next {
        conduct(Exchange::begin(&self.client, request), stream, &self.lanes).await
    }

    fn refuse(&self, refusal: Refusal, said: Said<'_>, out: &mut BytesMut) {
        refuse(&self.client, refusal, said, out);
    }
}

fn refuse(client: &Client, refusal: Refusal, said: Said<'_>, out: &mut BytesMut) {
    let reply = Reply::refused(refusal, client.station.options.strict_status);
    response::refuse(client, &reply, said, out);
}

/// One request's way from its client and back, whichever version of HTTP it came by.
trait Way: Sized {
    /// What can carry it.
    type Lanes;
    /// What its connection is to know when it is over.
    type End;
    /// Nobody was there any more to be answered.
    const GONE: Self::End;

    /// Whether only lanes on another thread can carry the request.
    fn must_leave(&self, _: &Exchange) -> bool {
        false
    }

    /// Sends it there.
    fn leave(self, _: Box<Exchange>) -> Self::End {
        Self::GONE
    }

    /// Whether all of the body is here, so that nobody has to wait for the client.
    fn has_body(&self) -> bool;

    /// Waits until it is, and says how long it is.
    fn gather(&mut self, patience: Patience<'_>) -> impl Future<Output = Result<u64, Ungathered>>;

    /// Sends a reply of the pipeline's.
    fn answer(self, exchange: Box<Exchange>, reply: &Reply) -> impl Future<Output = Self::End>;

    /// Gives the request to a lane.
    fn pass_on(
        self,
        exchange: Box<Exchange>,
        lanes: &Self::Lanes,
    ) -> impl Future<Output = Self::End>;
}

/// The pipeline, up to where a lane takes over.
async fn conduct<W: Way>(mut exchange: Box<Exchange>, way: W, lanes: &W::Lanes) -> W::End {
    if let Flow::Reply(reply) = access::decide(&mut exchange) {
        return way.answer(exchange, &reply).await;
    }
    if way.must_leave(&exchange) {
        return way.leave(exchange);
    }
    proceed(exchange, way, lanes).await
}

/// What follows when it has decided that the request goes to its service.
async fn proceed<W: Way>(mut exchange: Box<Exchange>, mut way: W, lanes: &W::Lanes) -> W::End {
    if buffering::gathers(&exchange) && !way.has_body() {
        // Boxed: most requests do without.
        let gathered = Box::pin(way.gather(buffering::patience(&exchange))).await;
        if let Err(failure) = buffering::conclude(&mut exchange, gathered) {
            let Some(reply) = failure.reply() else { return W::GONE };
            return way.answer(exchange, &reply).await;
        }
    }
    request::prepare(&mut exchange);
    way.pass_on(exchange, lanes).await
}

impl<T: Portable> Way for BoundedStream<T> {
    type Lanes = Lanes;
    type End = Next;
    const GONE: Next = Next::Close;

    fn has_body(&self) -> bool {
        BoundedStream::has_body(self)
    }

    async fn gather(&mut self, patience: Patience<'_>) -> Result<u64, Ungathered> {
        BoundedStream::gather(self, patience).await
    }

    async fn answer(self, exchange: Box<Exchange>, reply: &Reply) -> Next {
        answer(self, exchange, reply).await
    }

    async fn pass_on(mut self, exchange: Box<Exchange>, lanes: &Lanes) -> Next {
        self.hold_response(buffering::holds(&exchange));
        if let Some(express) = lanes.express.as_ref().filter(|_| express::takes(&exchange)) {
            return express.carry(exchange, self).await;
        }
        pingora::show(&exchange, &mut self);
        // Boxed: its future is large, and waits with most connections for nothing.
        Box::pin(lanes.pingora.carry(exchange, self)).await
    }
}

/// Sends a reply of the pipeline's over HTTP/1. The door reads away a body nobody wanted.
async fn answer<T: Transport>(
    mut stream: BoundedStream<T>,
    mut exchange: Box<Exchange>,
    reply: &Reply,
) -> Next {
    let keeps = exchange.keeps_alive();
    let rendered = response::own(&exchange, reply);
    let mut out = BytesMut::new();
    let is_head = exchange.head().method() == b"HEAD";
    rendered.write(keeps, is_head, &mut out);
    let sent = if is_head { 0 } else { rendered.body.len() as u64 };
    if stream.write_all(&out).await.is_err() {
        return Next::Close;
    }
    exchange.end(Outcome { status: reply.status(), sent });
    if keeps { Next::Keep } else { Next::Close }
}
