//! What carries a request once the pipeline has decided, and which lane does.
//!
//! A [`Carrier`] is a connection's way through: for each request it begins an
//! exchange, lets the pipeline decide, and either writes the pipeline's own reply
//! or gives the request to a lane. There is one lane so far.

pub(crate) mod pingora;
mod http2; // requests that come many at a time

use crate::door::{BoundedStream, Carry, Next, Request, Transport};
use crate::proxy::access::{self, Flow};
use crate::proxy::exchange::{Client, Exchange};
use crate::proxy::hygiene::{Refusal, Said};
use crate::proxy::log::Outcome;
use crate::proxy::reply::Reply;
use crate::proxy::upstream::Failure;
use crate::proxy::{buffering, request, response};
use bytes::BytesMut;
use pingora::Pingora;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;

/// Carries the requests of one connection.
pub(crate) struct Carrier {
    client: Arc<Client>,
    pingora: Arc<Pingora>,
}

impl Carrier {
    pub(crate) fn new(client: Arc<Client>, pingora: Arc<Pingora>) -> Carrier {
        Carrier { client, pingora }
    }

    /// Carries all requests of an HTTP/2 connection.
    pub(crate) async fn carry_http2<T: Transport>(self, stream: BoundedStream<T>) {
        http2::serve(Arc::new(self), stream).await;
    }
}

impl<T: Transport> Carry<T> for Carrier {
    async fn carry(&self, request: Request, mut stream: BoundedStream<T>) -> Next {
        let mut exchange = Exchange::begin(&self.client, request);
        match access::decide(&mut exchange) {
            Flow::Next => {
                if buffering::gathers(&exchange) && !stream.has_body() {
                    // Boxed: most requests do without.
                    let gathered = Box::pin(stream.gather(buffering::patience(&exchange))).await;
                    if let Err(failure) = buffering::conclude(&mut exchange, gathered) {
                        return give_up(&mut exchange, failure, &mut stream).await;
                    }
                }
                stream.hold_response(buffering::holds(&exchange));
                request::prepare(&mut exchange);
                stream.replay(exchange.head());
                self.pingora.carry(exchange, stream).await
            }
            Flow::Reply(reply) => answer(&mut exchange, &reply, &mut stream).await,
        }
    }

    fn refuse(&self, refusal: Refusal, said: Said<'_>, out: &mut BytesMut) {
        let reply = Reply::refused(refusal, self.client.station.options.strict_status);
        response::refuse(&self.client, &reply, said, out);
    }
}

/// Answers a request whose body did not come, if there is still someone to answer.
async fn give_up<T: Transport>(
    exchange: &mut Exchange,
    failure: Failure,
    stream: &mut BoundedStream<T>,
) -> Next {
    match failure.reply() {
        Some(reply) => answer(exchange, &reply, stream).await,
        None => Next::Close,
    }
}

/// Writes a reply of the pipeline's. The door reads away a body nobody wanted.
async fn answer<T: Transport>(
    exchange: &mut Exchange,
    reply: &Reply,
    stream: &mut BoundedStream<T>,
) -> Next {
    let keeps = exchange.keeps_alive();
    let rendered = response::own(exchange, reply);
    let mut out = BytesMut::new();
    let is_head = exchange.head().method() == b"HEAD";
    rendered.write(keeps, is_head, &mut out);
    let sent = if is_head { 0 } else { rendered.body.len() as u64 };
    match stream.write_all(&out).await {
        Ok(()) => {
            exchange.end(Outcome { status: reply.status(), sent });
            if keeps { Next::Keep } else { Next::Close }
        }
        Err(_) => Next::Close,
    }
}
