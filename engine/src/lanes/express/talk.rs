//! One try: a request to an upstream, and its answer on the way back.
//!
//! Both directions move at once, for an upstream may answer before it has heard everything. Whoever is
//! waited for has a time to move in: it begins anew with every byte.

use super::answer::{self, Download, End, HeadReader};
use super::trouble::{Cause, Trouble};
use super::tunnel::Tunnel;
use super::upload::Upload;
use super::upstream::Upstream;
use crate::door::{self, BoundedStream, Transport};
use crate::proxy::date;
use crate::proxy::exchange::Exchange;
use crate::proxy::head::{Known, ResponseHead, Version};
use crate::proxy::log::Outcome;
use crate::proxy::response;
use crate::proxy::upstream::Failure;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

/// Interim answers an upstream may give before its final one: each starts its time to say more anew.
const MOST_INTERIM: u32 = 1000;
/// `101 Switching Protocols`.
const SWITCHING: u16 = 101;

/// How a try ended well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    /// The client can tell where the answer ends, and its connection goes on.
    pub(super) client_stays: bool,
    /// The upstream goes on with its connection.
    pub(super) upstream_stays: bool,
    /// When that was, or shortly before.
    pub(super) at: Instant,
}

/// A request, its client and its upstream.
pub(super) struct Talk<'a, T: Transport, S> {
    stream: &'a mut BoundedStream<T>,
    exchange: &'a mut Exchange,
    up: &'a mut Upstream<S>,
    upload: &'a mut Upload,
    heads: HeadReader,
    interim: u32,
    /// When something last moved; not known where nobody has looked at the clock since.
    moved: Option<Instant>,
    /// The upstream has been waited for to take more.
    stuck: bool,
}

impl<'a, T: Transport, S: Transport> Talk<'a, T, S> {
    /// `begun`: when this try did, if somebody has looked at the clock.
    pub(super) fn new(
        stream: &'a mut BoundedStream<T>,
        exchange: &'a mut Exchange,
        up: &'a mut Upstream<S>,
        upload: &'a mut Upload,
        begun: Option<Instant>,
    ) -> Self {
        let (heads, interim, stuck) = (HeadReader::default(), 0, false);
        Talk { stream, exchange, up, upload, heads, interim, moved: begun, stuck }
    }

    /// Sends the request, whose head is in the upstream's buffer, and passes the answer on.
    pub(super) async fn hold(mut self) -> Result<Done, Trouble> {
        let mut head = poll_fn(|cx| self.poll_head(cx)).await?;
        let at = Instant::now();
        self.moved = Some(at);
        let upstream_stays = response::keeps_alive(&head);
        let mut download = self.prepare(&mut head, at)?;
        let status = head.status();
        // It waits for what comes with it.
        self.stream.begin_answer(status, |out| door::head::write_answer(&head, out));
        drop(head);
        if status == SWITCHING {
            return self.tunnel(at).await;
        }
        let mut has_waited = false;
        let passed = poll_fn(|cx| {
            let passed = self.poll_body(&mut download, cx);
            has_waited |= passed.is_pending();
            passed
        });
        let passed = passed.await;
        let sent = download.sent;
        if let Err(trouble) = passed {
            return Err(Trouble { begun: Some(status), sent, ..trouble });
        }
        self.exchange.end(Outcome { status, sent });
        Ok(Done {
            client_stays: self.exchange.is_kept(),
            upstream_stays: upstream_stays
                && !download.ends_with_connection()
                && self.upload.is_read()
                && self.up.listens(),
            at: if has_waited { Instant::now() } else { at },
        })
    }

    /// Sends the request until the head of its final answer is there.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<ResponseHead>, Trouble>> {
        let sending = self.poll_request(cx)?;
        loop {
            match self.heads.take(&mut self.up.rd) {
                Ok(Some(head)) if response::is_final(head.status()) => {
                    return Poll::Ready(Ok(head));
                }
                Ok(Some(mut head)) => {
                    response::pass_over(&mut head)?;
                    self.note_interim()?;
                    if !self.up.rd.is_empty() {
                        continue;
                    }
                }
                Ok(None) => {}
                Err(garbage) => {
                    let cause = Cause::Garbage(garbage);
                    return Poll::Ready(Err(Trouble::of(Failure::Garbage, cause)));
                }
            }
            match self.up.poll_fill(cx, 0) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(Err(self.broken(None))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken(Some(error)))),
                Poll::Pending => break,
            }
        }
        self.watch_client(sending, cx)?;
        self.poll_patience(sending, cx)
    }

    /// Another interim answer: they end here, as nginx's do, but say that there is more to come.
    fn note_interim(&mut self) -> Result<(), Trouble> {
        self.interim += 1;
        self.moved = None;
        match self.interim > MOST_INTERIM {
            true => Err(Trouble::of(Failure::Garbage, Cause::Plain("interim answers without end"))),
            false => Ok(()),
        }
    }

    fn broken(&mut self, error: Option<io::Error>) -> Trouble {
        let failure = Failure::Broken { reused: self.up.is_reused() };
        let cause = error.or_else(|| self.up.deafness()).map(Cause::Io);
        Trouble::of(failure, cause.unwrap_or(Cause::Plain("it closed the connection")))
    }

    /// Sends as much of the request as can be sent, and says what is waited for to send more.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Result<Sending, Trouble> {
        loop {
            if !self.up.listens() {
                return Ok(Sending::Done); // what it has heard it may answer
            }
            // What is there goes out together.
            let waits = self.poll_upload(cx)?.is_pending();
            let held = self.up.wr.len();
            if self.up.poll_send(cx).is_pending() {
                self.stuck = true;
                if self.up.wr.len() < held {
                    self.moved = None;
                }
                return Ok(Sending::Upstream);
            }
            if std::mem::take(&mut self.stuck) {
                self.moved = None;
            }
            match (waits, self.upload.is_read()) {
                (_, true) => return Ok(Sending::Done),
                (true, false) => return Ok(Sending::Client),
                (false, false) => self.moved = None,
            }
        }
    }

    /// Reads as much of the body as there is, and room for.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Trouble> {
        while self.upload.wants(&self.up.wr) {
            match self.upload.poll_read(self.stream, self.exchange, &mut self.up.wr, cx) {
                Poll::Ready(read) => read?,
                Poll::Pending => return Ok(Poll::Pending),
            }
            self.moved = None;
        }
        Ok(Poll::Ready(()))
    }

    /// A client that has nothing more to say may leave; then nobody needs the answer.
    fn watch_client(&mut self, sending: Sending, cx: &mut Context<'_>) -> Result<(), Trouble> {
        if sending == Sending::Done && self.upload.is_read() && self.stream.poll_gone(cx).is_ready()
        {
            return Err(Trouble::of(Failure::ClientGone, Cause::Plain("it closed the connection")));
        }
        Ok(())
    }

    /// Pending for as long as whoever is waited for has time.
    fn poll_patience<R>(
        &mut self,
        sending: Sending,
        cx: &mut Context<'_>,
    ) -> Poll<Result<R, Trouble>> {
        let service = self.exchange.service();
        let (limit, failure) = match sending {
            Sending::Client => {
                (Some(self.exchange.options().door.body_timeout), Failure::BodyTimeout)
            }
            Sending::Upstream => (service.map(|s| s.write_timeout), Failure::Timeout),
            Sending::Done => (service.map(|s| s.read_timeout), Failure::Timeout),
        };
        self.poll_until(limit.unwrap_or(Duration::ZERO), failure, cx)
    }

    fn poll_until<R>(
        &mut self,
        limit: Duration,
        failure: Failure,
        cx: &mut Context<'_>,
    ) -> Poll<Result<R, Trouble>> {
        let deadline = *self.moved.get_or_insert_with(Instant::now) + limit;
        let late = || Err(Trouble::of(failure, Cause::Plain("nothing came in time")));
        self.stream.poll_alarm(deadline, cx).map(|()| late())
    }

    /// Makes the head the client's. Nothing of it has been sent yet.
    fn prepare(&mut self, head: &mut ResponseHead, now: Instant) -> Result<Download, Trouble> {
        let is_head = self.exchange.head().method() == b"HEAD";
        let is_open = answer::is_open(head, is_head);
        if is_open {
            // A client that knows chunks need not lose its connection to learn where the answer ends.
            head.speak(Version::Http11);
            head.set(Known::TransferEncoding, b"chunked");
        }
        self.exchange.note_answer(now);
        response::prepare(self.exchange, head)?;
        if head.status() == SWITCHING {
            return Ok(Download::new(End::NOTHING, false));
        }
        let end = if is_open { End::Connection } else { answer::end_of(head, is_head) };
        let mut chunked = head.get(Known::TransferEncoding).is_some();
        if chunked && self.exchange.head().version() == Version::Http10 {
            // It knows no chunks: the end of the connection ends the body.
            head.remove(Known::TransferEncoding);
            self.exchange.part();
            chunked = false;
        }
        if !self.exchange.keeps_alive() {
            self.exchange.part();
        }
        date::with(now, |date| head.set(Known::Date, date));
        let stays = self.exchange.is_kept();
        head.set(Known::Connection, if stays { b"keep-alive" } else { b"close" });
        Ok(Download::new(end, chunked))
    }

    fn poll_client_patience<R>(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, Trouble>> {
        let limit = self.exchange.options().door.send_timeout;
        self.poll_until(limit, Failure::ClientGone, cx)
    }

    /// Passes the answer's body on, until its last byte is on its way.
    fn poll_body(
        &mut self,
        download: &mut Download,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Trouble>> {
        // Whatever keeps the answer from moving: a client may send everything before it reads anything.
        let sending = self.poll_request(cx)?;
        loop {
            if self.poll_deliver(download, cx)?.is_pending() {
                return self.poll_client_patience(cx);
            }
            if download.is_read() {
                return Poll::Ready(Ok(()));
            }
            match self.up.poll_fill(cx, download.expected()) {
                Poll::Ready(Ok(1..)) => self.moved = None,
                Poll::Ready(Ok(_)) if download.ends_with_connection() => download.finish(),
                Poll::Ready(Ok(_)) => return Poll::Ready(Err(self.broken(None))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken(Some(error)))),
                Poll::Pending => {
                    // Nothing that is there waits for what is not.
                    ready!(self.poll_flush(cx))?;
                    self.watch_client(sending, cx)?;
                    return self.poll_patience(sending, cx);
                }
            }
        }
    }

    /// Gives the client what has been read.
    fn poll_deliver(
        &mut self,
        download: &mut Download,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Trouble> {
        loop {
            let looked = download.look_at(&mut self.up.rd);
            looked.map_err(|error| Trouble::of(Failure::Garbage, Cause::Io(error.into())))?;
            let pending = download.pending(&self.up.rd);
            if pending.is_empty() {
                return Ok(Poll::Ready(()));
            }
            match Pin::new(&mut *self.stream).poll_write(cx, pending) {
                Poll::Ready(taken) => {
                    download.took(taken.map_err(gone)?, &mut self.up.rd);
                    self.moved = None;
                }
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        match Pin::new(&mut *self.stream).poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.map_err(gone)),
            Poll::Pending => self.poll_client_patience(cx),
        }
    }

    /// HTTP has given way to another protocol.
    async fn tunnel(self, at: Instant) -> Result<Done, Trouble> {
        let patience = self.exchange.service().map(|service| service.read_timeout);
        let mut tunnel = Tunnel::new(self.stream, self.up);
        let carried = tunnel.carry(patience.unwrap_or_default()).await;
        let sent = tunnel.sent;
        match carried {
            Ok(()) => {
                self.exchange.end(Outcome { status: SWITCHING, sent });
                Ok(Done { client_stays: false, upstream_stays: false, at })
            }
            Err(failure) => Err(Trouble { begun: Some(SWITCHING), sent, ..failure.into() }),
        }
    }
}

/// What keeps a request from being sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// Nothing: all of it is sent.
    Done,
    /// Its client has not sent more of it yet.
    Client,
    /// Its upstream takes no more just now.
    Upstream,
}

fn gone(error: io::Error) -> Trouble {
    Trouble::of(Failure::ClientGone, Cause::Io(error))
}
