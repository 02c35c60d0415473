//! HTTP/2 in front: one connection, many requests at a time.
//!
//! How many requests a connection carries, how long it may be idle and when it ends is decided
//! here. Each request passes the same inspection and the same pipeline as over HTTP/1, in a task
//! of its own; what is answered by us is answered without a lane, the rest is Pingora's to carry.

use super::Carrier;
use crate::door::{self, BoundedStream, Options, Patience, Request, Spool, Transport, Ungathered};
use crate::proxy::access::{self, Flow};
use crate::proxy::exchange::{Exchange, Station};
use crate::proxy::head::{Head, Version};
use crate::proxy::hygiene::{self, Refusal, Said};
use crate::proxy::log::Outcome;
use crate::proxy::reply::{Rendered, Reply};
use crate::proxy::upstream::Failure;
use crate::proxy::{buffering, request, response};
use bytes::Bytes;
use h2::Reason;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession, default_h2_options, handshake,
};
use pingora::protocols::{Digest, GetSocketDigest as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Requests at a time on one connection: nginx's `http2_max_concurrent_streams`.
const STREAMS: u32 = 128;
/// Bytes of responses that wait for one client and stream. The library's 400 KiB, times the
/// streams, would be too much for one connection.
const SEND_BUFFER: usize = 64 * 1024;
/// Malformed requests that one connection may make: after that it is an attack.
const MALFORMED: u32 = 32;
/// Requests that a client may take back before it is looked at how many those are of all.
const TAKEN_BACK: u32 = 100;

/// Serves one client that speaks HTTP/2.
pub(super) async fn serve<T: Transport>(carrier: Arc<Carrier>, stream: BoundedStream<T>) {
    let station = carrier.client.station.clone();
    let options = &station.options.door;
    let digest =
        Arc::new(Digest { socket_digest: stream.get_socket_digest(), ..Digest::default() });
    let homecoming = stream.homecoming();
    let begun = handshake(Box::new(stream), Some(settings(options)));
    let Ok(Ok(mut connection)) = timeout(options.head_timeout, begun).await else { return };

    let mut draining = station.draining.clone();
    let mut requests = JoinSet::new();
    let mut visit = Visit::new(options);
    let in_order = loop {
        tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining), if !visit.parting => {
                connection.graceful_shutdown();
                visit.part();
            }
            Some(done) = requests.join_next() => {
                visit.ended(&station, done, requests.is_empty());
                // Asking and taking back costs a client nothing, and us a request each time.
                if visit.is_an_attack() {
                    tracing::info!(peer = %carrier.client.peer, "requests are taken back in masses");
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    visit.part();
                }
            }
            next = HttpSession::from_h2_conn(&mut connection, digest.clone()) => {
                match next {
                    Ok(Some(H2Accept::Session(session))) => {
                        requests.spawn(exchange(carrier.clone(), session));
                    }
                    Ok(Some(H2Accept::Rejected)) if visit.may_err() => {}
                    Ok(None) => break true,
                    Ok(Some(H2Accept::Rejected)) | Err(_) => break false,
                }
                if visit.was_last() {
                    connection.graceful_shutdown();
                }
            }
            () = sleep_until(visit.idle_until), if requests.is_empty() => {
                if visit.parting {
                    break false;
                }
                connection.graceful_shutdown();
                visit.part();
            }
        }
    };
    // Requests under way learn that their client has left, and end in the log.
    drop(connection);
    while let Some(done) = requests.join_next().await {
        visit.ended(&station, done, false);
    }
    if in_order {
        door::see_off(homecoming).await;
    }
}

fn settings(options: &Options) -> H2Options {
    let mut settings = default_h2_options();
    // What is more than a head may have is answered by us; what is far more, by the library.
    let most = 2 * options.head.head + 32 * options.head.fields;
    settings.max_header_list_size(u32::try_from(most).unwrap_or(u32::MAX));
    settings.max_concurrent_streams(STREAMS);
    settings.max_send_buffer_size(SEND_BUFFER);
    settings
}

/// How far a connection has come.
struct Visit {
    idle: Duration,
    /// When it is told to leave if nothing happens, and when it is left if it was told.
    idle_until: Instant,
    /// Requests it may still make.
    left: u32,
    /// Malformed ones it may still make.
    errs: u32,
    /// Requests that are over.
    over: u32,
    /// Those of them that were not waited for.
    unanswered: u32,
    /// It was told that no further request will be served.
    parting: bool,
}

impl Visit {
    fn new(options: &Options) -> Visit {
        let idle = options.idle_timeout;
        let idle_until = Instant::now() + idle;
        Visit {
            idle,
            idle_until,
            left: options.requests.max(1),
            errs: MALFORMED,
            over: 0,
            unanswered: 0,
            parting: false,
        }
    }

    /// Counts a request; true once, for the last that is served.
    fn was_last(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        let is_last = self.left == 0 && !self.parting;
        if is_last {
            self.part();
        }
        is_last
    }

    /// Counts a malformed request; false when there have been too many.
    fn may_err(&mut self) -> bool {
        self.errs -= 1;
        self.errs > 0
    }

    /// Whether most of what it asks it does not wait for.
    fn is_an_attack(&self) -> bool {
        !self.parting && self.unanswered > TAKEN_BACK && self.unanswered > self.over / 2
    }

    /// It has been told that no further request will be served.
    fn part(&mut self) {
        self.parting = true;
        self.idle_until = Instant::now() + self.idle;
    }

    /// A request is over, one way or another.
    fn ended(&mut self, station: &Station, done: Result<bool, JoinError>, was_alone: bool) {
        self.over = self.over.saturating_add(1);
        match done {
            Ok(answered) => self.unanswered += u32::from(!answered),
            Err(error) if error.is_panic() => station.counters.count_panic(),
            Err(_) => {}
        }
        if was_alone {
            self.idle_until = Instant::now() + self.idle;
        }
    }
}

/// One request, from its head to its log line. Says whether it was answered.
async fn exchange(carrier: Arc<Carrier>, mut session: HttpSession) -> bool {
    let started = Instant::now();
    let limits = carrier.client.station.options.door.head;
    let mut head = Box::new(head_of(session.req_header()));
    let terms = match hygiene::inspect_http2(&mut head, limits, session.is_body_empty()) {
        Ok(terms) => terms,
        Err(refusal) => return refuse(&carrier, refusal, &head, &mut session).await,
    };
    let request = Request { head, terms, started, number: 1 };
    let mut exchange = Exchange::begin(&carrier.client, request);
    match access::decide(&mut exchange) {
        Flow::Next => {
            let mut body = None;
            if buffering::gathers(&exchange) {
                let gathered = gather(&mut session, buffering::patience(&exchange)).await;
                let gathered = gathered.map(|kept| body.insert(kept).len());
                if let Err(failure) = buffering::conclude(&mut exchange, gathered) {
                    return give_up(&exchange, failure, &mut session).await;
                }
            }
            request::prepare(&mut exchange);
            carrier.pingora.carry_http2(exchange, session, body).await
        }
        Flow::Reply(reply) => answer(&exchange, &reply, &mut session).await,
    }
}

/// Waits until all of a body has come.
async fn gather(session: &mut HttpSession, patience: Patience<'_>) -> Result<Spool, Ungathered> {
    let mut kept = Spool::default();
    let late = |_| Ungathered::TooLate(patience.pause);
    while let Some(data) = timeout(patience.pause, session.read_body_bytes())
        .await
        .map_err(late)?
        .map_err(|_| Ungathered::Gone)?
    {
        kept.push(&data);
        if let Some(most) = patience.most.filter(|most| kept.len() > *most) {
            return Err(Ungathered::TooLarge(most));
        }
        kept.relieve(patience.buffering).await.map_err(Ungathered::Disk)?;
    }
    kept.rewind().await.map_err(Ungathered::Disk)?;
    Ok(kept)
}

/// Answers a request whose body did not come, if there is still someone to answer.
async fn give_up(exchange: &Exchange, failure: Failure, session: &mut HttpSession) -> bool {
    match failure.reply() {
        Some(reply) => answer(exchange, &reply, session).await,
        None => {
            exchange.end(Outcome::GONE);
            false
        }
    }
}

/// The head in our terms: `:authority` is its Host, and cookies, which come in crumbs, are one
/// field again (RFC 9113 §8.2.3).
fn head_of(header: &RequestHeader) -> Head {
    let authority = header.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = authority.map(|authority| (&b"host"[..], authority));
    let crumbs: Vec<&[u8]> =
        header.headers.get_all(http::header::COOKIE).iter().map(|v| v.as_bytes()).collect();
    let cookie = crumbs.join(&b"; "[..]);
    let cookie = (!crumbs.is_empty()).then_some((&b"cookie"[..], cookie.as_slice()));
    let others = header.headers.iter().filter(|(name, _)| {
        *name != http::header::COOKIE && (authority.is_none() || *name != http::header::HOST)
    });
    let others = others.map(|(name, value)| (name.as_ref(), value.as_bytes()));
    let fields = host.into_iter().chain(others).chain(cookie);
    Head::request(header.method.as_str().as_bytes(), header.raw_path(), Version::Http2, fields)
}

async fn refuse(
    carrier: &Carrier,
    refusal: Refusal,
    head: &Head,
    session: &mut HttpSession,
) -> bool {
    tracing::debug!(%refusal, "request refused");
    let rendered = response::refused(&carrier.client, &Reply::refused(refusal), Said::Head(head));
    let is_head = head.method() == b"HEAD";
    write(session, &rendered, is_head).await.is_ok()
}

/// Writes a reply of the pipeline's. A body that nobody read is cut off with the stream.
async fn answer(exchange: &Exchange, reply: &Reply, session: &mut HttpSession) -> bool {
    let rendered = response::own(exchange, reply);
    let is_head = exchange.head().method() == b"HEAD";
    let sent = if is_head { 0 } else { rendered.body.len() as u64 };
    let answered = write(session, &rendered, is_head).await.is_ok();
    exchange.end(if answered { Outcome { status: reply.status(), sent } } else { Outcome::GONE });
    answered
}

async fn write(
    session: &mut HttpSession,
    rendered: &Rendered,
    is_head: bool,
) -> pingora::Result<()> {
    let ends = is_head || rendered.body.is_empty();
    session.write_response_header(Box::new(header(rendered)?), ends)?;
    if ends {
        return Ok(());
    }
    session.write_body(Bytes::copy_from_slice(rendered.body.as_bytes()), true).await
}

/// A reply's head as Pingora has heads. Connection and date are the writer's.
pub(super) fn header(rendered: &Rendered) -> pingora::Result<ResponseHeader> {
    let mut header = ResponseHeader::build(rendered.status, Some(rendered.fields.len() + 3))?;
    for (name, value) in &rendered.fields {
        header.insert_header(*name, value.as_str())?;
    }
    header.insert_header("Content-Length", rendered.body.len())?;
    Ok(header)
}
