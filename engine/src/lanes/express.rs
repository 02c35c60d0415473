//! The express lane: HTTP/1.1 to an upstream in cleartext, with nothing between the sockets and the pipeline.
//!
//! It carries what most requests are, and gives the answers that the other lane gives. Where a request ends
//! is the door's to say, what goes either way the pipeline's; here are the upstream's connections, the order
//! of reading and writing, and the times they may take.

mod answer; // an upstream's answer: its head, and where its body ends
mod io; // what is needed of a runtime
mod ring; // the same by io_uring
mod pool; // connections that nobody uses just now
mod talk; // one try, both directions
mod trouble; // why one came to nothing
mod tunnel; // what is left when HTTP has given way
mod upload; // a request's body on its way
mod upstream; // a connection while it carries a request

use crate::descriptors::{self, Use};
use crate::door::{self, BoundedStream, Next, Transport};
use crate::options::Keepalive;
use crate::proxy::exchange::Exchange;
use crate::proxy::log::Outcome;
use crate::proxy::upstream as pipeline;
use crate::proxy::upstream::Failure;
use io::Io;
use pool::{Pool, Pooled};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use talk::{Done, Talk};
use tokio::time::Instant;
use trouble::{Cause, Trouble};
use upload::Upload;
use upstream::Upstream;

pub(crate) use io::Tokio;
pub(crate) use ring::{Released, Ring, RingStream, lingers};

/// Whether the lane can carry the request.
pub(crate) fn takes(exchange: &Exchange) -> bool {
    exchange.service().is_some_and(|service| service.tls.is_none() && !service.is_grpc())
}

/// One worker's instance: its upstream connections are its own.
pub(crate) struct Express<N: Io = Tokio> {
    io: N,
    pool: Pool<N::Stream>,
}

impl<N: Io> Express<N> {
    pub(crate) fn new(io: N, keepalive: Keepalive) -> Express<N> {
        Express { io, pool: Pool::new(keepalive) }
    }

    /// Looks after idle connections. Runs as long as its worker.
    pub(crate) async fn tend(&self) {
        self.pool.tend().await;
    }

    /// Carries one request.
    pub(crate) async fn carry<T: Transport>(
        &self,
        mut exchange: Box<Exchange>,
        mut stream: BoundedStream<T>,
    ) -> Next {
        exchange.client().station.counters.count_express();
        let mut upload = Upload::new(&exchange);
        loop {
            let trouble = match self.attempt(&mut exchange, &mut stream, &mut upload).await {
                Ok(Done { client_stays: true, .. }) => return Next::Keep,
                Ok(_) => return Next::Close,
                Err(trouble) => trouble,
            };
            let replayable = trouble.begun.is_none() && upload.is_replayable();
            if !pipeline::retries(&mut exchange, trouble.failure, replayable) {
                return give_up(exchange, stream, trouble).await;
            }
            tracing::debug!(cause = %trouble.cause, "another try: {}", trouble.failure);
        }
    }

    async fn attempt<T: Transport>(
        &self,
        exchange: &mut Exchange,
        stream: &mut BoundedStream<T>,
        upload: &mut Upload,
    ) -> Result<Done, Trouble> {
        let is_first = exchange.balanced().is_none();
        let address = pipeline::choose(exchange).await?;
        let mut up = match self.pool.take(address) {
            Some(idle) => Upstream::new(idle),
            None => Upstream::new(self.connect(address, exchange, stream).await?),
        };
        door::head::write_upstream(exchange.head(), &exchange.terms(), &mut up.wr);
        upload.begin(exchange, &mut up.wr);
        // The clock was looked at when the upstream was chosen, unless that was before another try, or a
        // connection had to be made since.
        let begun = exchange.balanced().filter(|_| is_first && up.is_reused());
        let done = Talk::new(stream, exchange, &mut up, upload, begun).hold().await?;
        if let Some(rest) = up.rest().filter(|_| done.upstream_stays) {
            self.pool.keep(address, rest, done.at);
        }
        Ok(done)
    }

    async fn connect<T: Transport>(
        &self,
        address: SocketAddr,
        exchange: &Exchange,
        stream: &mut BoundedStream<T>,
    ) -> Result<Pooled<N::Stream>, Trouble> {
        let patience = exchange.service().map(|service| service.connect_timeout);
        let deadline = Instant::now() + patience.unwrap_or_default();
        let watches = stream.has_said_all();
        let trouble = |failure, why| Poll::Ready(Err(Trouble::of(failure, Cause::Plain(why))));
        // Boxed: most requests do without.
        let mut connecting = Box::pin(self.io.connect(address));
        let connected = poll_fn(|cx| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(Ok(connected));
            }
            // All tries together may take minutes: nobody's place is kept for so long.
            if watches && stream.poll_gone(cx).is_ready() {
                return trouble(Failure::ClientGone, "it closed the connection");
            }
            if stream.poll_alarm(deadline, cx).is_ready() {
                return trouble(Failure::ConnectTimeout, "nothing came in time");
            }
            Poll::Pending
        });
        let why = |failure, error| Err(Trouble::of(failure, Cause::Io(error)));
        match pin!(connected).await? {
            Ok(io) if descriptors::is_below(io.fd(), Use::Upstream) => Ok(Pooled { io, uses: 0 }),
            Ok(_) => why(Failure::Exhausted, descriptors::exhausted()),
            Err(error) if descriptors::is_exhaustion(&error) => why(Failure::Exhausted, error),
            Err(error) => why(Failure::Connect, error),
        }
    }
}

/// No try is left: answers, if there is still someone and something to say.
async fn give_up<T: Transport>(
    mut exchange: Box<Exchange>,
    stream: BoundedStream<T>,
    trouble: Trouble,
) -> Next {
    let failure = trouble.failure;
    pipeline::report(&exchange, failure, &trouble.cause);
    if failure.parts() {
        exchange.part();
    }
    match (failure.reply(), trouble.begun) {
        (Some(reply), None) => super::answer(stream, exchange, &reply).await,
        (_, Some(status)) => {
            exchange.end(Outcome { status, sent: trouble.sent });
            Next::Close
        }
        (None, None) => Next::Close,
    }
}
