//! The lanes of a thread that has a ring: the express lane, and the way to where the others are.
//!
//! A request that it cannot carry takes its connection along, with the exchange that was begun: it is
//! counted and logged once, and sees one snapshot.

use super::express::{self, Express, Ring, RingStream};
use super::{Way, answer, conduct, refuse};
use crate::door::{BoundedStream, Carry, Next, Patience, Request, Ungathered};
use crate::proxy::buffering;
use crate::proxy::exchange::{Client, Exchange};
use crate::proxy::hygiene::{Refusal, Said};
use crate::proxy::reply::Reply;
use bytes::BytesMut;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// Carries the requests of one connection, as far as its thread can.
pub(crate) struct RingCarrier {
    client: Arc<Client>,
    lane: Rc<Express<Ring>>,
    /// The request with which the connection leaves.
    leaving: Cell<Option<Box<Exchange>>>,
}

impl RingCarrier {
    pub(crate) fn new(client: Arc<Client>, lane: Rc<Express<Ring>>) -> RingCarrier {
        RingCarrier { client, lane, leaving: Cell::new(None) }
    }

    /// The request with which the connection leaves.
    pub(crate) fn take_leaving(&self) -> Option<Box<Exchange>> {
        self.leaving.take()
    }
}

impl Carry<RingStream> for RingCarrier {
    async fn carry(&self, request: Request, stream: BoundedStream<RingStream>) -> Next {
        let exchange = Exchange::begin(&self.client, request);
        conduct(exchange, Ride { stream, leaving: &self.leaving }, &self.lane).await
    }

    fn refuse(&self, refusal: Refusal, said: Said<'_>, out: &mut BytesMut) {
        refuse(&self.client, refusal, said, out);
    }
}

/// One request's way.
struct Ride<'a> {
    stream: BoundedStream<RingStream>,
    leaving: &'a Cell<Option<Box<Exchange>>>,
}

impl Way for Ride<'_> {
    type Lanes = Express<Ring>;
    type End = Next;
    const GONE: Next = Next::Close;

    fn must_leave(&self, exchange: &Exchange) -> bool {
        let needs_disk = buffering::gathers(exchange)
            && !self.has_body()
            && !self.stream.fits_memory(buffering::patience(exchange));
        needs_disk || !express::takes(exchange)
    }

    fn leave(self, exchange: Box<Exchange>) -> Next {
        self.leaving.set(Some(exchange));
        Next::Moved
    }

    fn has_body(&self) -> bool {
        self.stream.has_body()
    }

    async fn gather(&mut self, patience: Patience<'_>) -> Result<u64, Ungathered> {
        self.stream.gather(patience).await
    }

    async fn answer(self, exchange: Box<Exchange>, reply: &Reply) -> Next {
        answer(self.stream, exchange, reply).await
    }

    async fn pass_on(mut self, exchange: Box<Exchange>, lane: &Express<Ring>) -> Next {
        self.stream.hold_response(buffering::holds(&exchange));
        lane.carry(exchange, self.stream).await
    }
}
