//! HTTP/2 in front: one connection, many requests at a time.
//!
//! How many requests a connection carries, how long it may be idle and when it ends is decided
//! here. Each request passes the same inspection and the same pipeline as over HTTP/1, in a task
//! of its own; what is answered by us is answered without a lane, the rest is Pingora's to carry.

mod guard; // between the client and the library
mod meter; // frames that carry nothing, counted
mod visit; // requests, counted

use super::Lanes;
use super::{Carrier, Way, conduct};
use crate::door::{self, BoundedStream, Patience, Portable, Request, Spool, Ungathered};
use crate::options::Options;
use crate::proxy::exchange::Exchange;
use crate::proxy::head::{Head, Version};
use crate::proxy::hygiene::{self, Refusal, Said};
use crate::proxy::log::Outcome;
use crate::proxy::reply::{Rendered, Reply};
use crate::proxy::response;
use bytes::Bytes;
use guard::{Deadlines, Guard};
use h2::Reason;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, handshake};
use pingora::protocols::{Digest, GetSocketDigest as _};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use visit::Visit;

/// What a client may send of one request's body before we have read some of it: HTTP/2's default.
const WINDOW: u32 = 64 * 1024 - 1;
/// And of all bodies of a connection together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes that small pieces of bodies may take beyond what they hold while they wait for their
/// upstreams: a window full of short messages is no attack.
const DATA_OVERHEAD: usize = 4 * 1024 * 1024;
/// Bytes of responses that wait for one client and stream. The library's 400 KiB, times the
/// streams, would be too much for one connection.
const SEND_BUFFER: usize = 64 * 1024;
/// Bytes of fields that a client may have us remember: HTTP/2's default.
const FIELD_TABLE: u32 = 4096;
/// Requests that were taken back before anyone looked at them: nobody honest is that fast so often.
const TAKEN_BACK: usize = 20;
/// Requests the library cuts off for what a client does to them, over a connection's life; those
/// beyond the number at a time included, of which a hasty client may begin many.
const CUT_OFF: usize = 1024;
/// Requests that were cut off and are remembered, so that what was under way for them is no error.
const REMEMBERED: usize = 50;

/// How long what is left of a body is read away behind an answer of ours.
const SEEING_OFF: Duration = Duration::from_secs(1);

/// Serves one client that speaks HTTP/2.
pub(super) async fn serve<T: Portable>(carrier: Arc<Carrier>, stream: BoundedStream<T>) {
    let station = carrier.client.station.clone();
    let door = &station.options.door;
    let digest =
        Arc::new(Digest { socket_digest: stream.get_socket_digest(), ..Digest::default() });
    let homecoming = stream.homecoming();
    let deadlines = Deadlines { head: door.head_timeout, send: door.send_timeout };
    let (mut guard, stream) = Guard::before(stream, deadlines);
    let begun = handshake(Box::new(stream), Some(settings(&station.options)));
    let Ok(Ok(mut connection)) = timeout(door.head_timeout, begun).await else { return };

    let mut draining = station.draining.clone();
    let mut requests = JoinSet::new();
    let mut visit = Visit::new(door);
    let mut why = None;
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
                    why = Some("most of its requests are taken back");
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
                    Ok(Some(H2Accept::Rejected)) => {
                        why = Some("too many malformed requests");
                        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                        visit.part();
                    }
                    Ok(None) => break true,
                    // What the library would not take it has told the client why.
                    Err(error) => {
                        tracing::debug!(peer = %carrier.client.peer, %error, "HTTP/2 ends");
                        break true;
                    }
                }
                if visit.was_last() {
                    connection.graceful_shutdown();
                }
            }
            trouble = poll_fn(|cx| guard.poll_trouble(cx)) => {
                why = Some(trouble.says());
                let Some(reason) = trouble.reason() else { break false };
                connection.abrupt_shutdown(reason);
                visit.part();
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
    if let Some(why) = why {
        station.counters.count_sent_away();
        tracing::debug!(peer = %carrier.client.peer, why, "a client was sent away");
    }
    tracing::debug!(peer = %carrier.client.peer, cut_off = guard.resets(), "HTTP/2 ended");
    // Requests under way learn that their client has left, and end in the log.
    drop(connection);
    while let Some(done) = requests.join_next().await {
        visit.ended(&station, done, false);
    }
    if in_order {
        door::see_off(homecoming, door.send_timeout).await;
    }
}

/// Every limit the library has, said here, so that none is whatever a version of it thinks best.
fn settings(options: &Options) -> H2Options {
    let limits = options.door.head;
    let mut settings = H2Options::default();
    // What is more than a head may have is answered by us; what is far more, by the library.
    let most = 2 * limits.head + 32 * limits.fields;
    settings
        .max_header_list_size(u32::try_from(most).unwrap_or(u32::MAX))
        .header_table_size(FIELD_TABLE)
        .max_concurrent_streams(options.http2.streams)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .data_frame_budget(DATA_OVERHEAD)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(TAKEN_BACK)
        .max_local_error_reset_streams(Some(CUT_OFF))
        .max_concurrent_reset_streams(REMEMBERED);
    settings
}

/// One request, from its head to its log line. Says whether it was answered.
async fn exchange(carrier: Arc<Carrier>, mut session: HttpSession) -> bool {
    let started = Instant::now();
    // Without it, one that never opens its window would hold our answer for ever.
    session.set_write_timeout(Some(carrier.client.station.options.door.send_timeout));
    let limits = carrier.client.station.options.door.head;
    let mut head = Box::new(head_of(session.req_header()));
    let terms = match hygiene::inspect_http2(&mut head, limits, session.is_body_empty()) {
        Ok(terms) => terms,
        Err(refusal) => return refuse(&carrier, refusal, head, session).await,
    };
    let request = Request { head, terms, started, number: 1 };
    let way = Stream { session, body: None };
    conduct(Exchange::begin(&carrier.client, request), way, &carrier.lanes).await
}

/// A request's stream, and its body once that was waited for.
struct Stream {
    session: HttpSession,
    body: Option<Spool>,
}

impl Way for Stream {
    type Lanes = Lanes;
    /// Whether it was answered.
    type End = bool;
    const GONE: bool = false;

    fn has_body(&self) -> bool {
        false
    }

    async fn gather(&mut self, patience: Patience<'_>) -> Result<u64, Ungathered> {
        let mut kept = Spool::default();
        let late = |_| Ungathered::TooLate(patience.pause);
        while let Some(data) = timeout(patience.pause, self.session.read_body_bytes())
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
        Ok(self.body.insert(kept).len())
    }

    async fn answer(mut self, mut exchange: Box<Exchange>, reply: &Reply) -> bool {
        let rendered = response::own(&exchange, reply);
        let is_head = exchange.head().method() == b"HEAD";
        let sent = if is_head { 0 } else { rendered.body.len() as u64 };
        let answered = write(&mut self.session, &rendered, is_head).await.is_ok();
        if answered {
            exchange.end(Outcome { status: reply.status(), sent });
            see_off(&mut self.session).await;
        }
        answered
    }

    async fn pass_on(self, exchange: Box<Exchange>, lanes: &Lanes) -> bool {
        lanes.pingora.carry_http2(exchange, self.session, self.body).await
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
    head: Box<Head>,
    mut session: HttpSession,
) -> bool {
    tracing::debug!(%refusal, "request refused");
    let reply = Reply::refused(refusal, carrier.client.station.options.strict_status);
    let rendered = response::refused(&carrier.client, &reply, Said::Head(&head));
    let is_head = head.method() == b"HEAD";
    // The largest heads are those that are refused, and the client decides when it takes our answer.
    drop(head);
    if let Ok(nothing) = RequestHeader::build("GET", b"/", None) {
        *session.req_header_mut() = nothing;
    }
    let answered = write(&mut session, &rendered, is_head).await.is_ok();
    if answered {
        see_off(&mut session).await;
    }
    answered
}

/// Reads away what is left of a body that nobody wants, for a moment; then the stream is reset.
///
/// A reset at once would reach the client in one piece with the answer, and there are clients
/// that then tell of the reset alone (curl 7.88). One that has the answer ends its body by itself.
pub(super) async fn see_off(session: &mut HttpSession) {
    let until = Instant::now() + SEEING_OFF;
    while let Ok(Ok(Some(_))) = timeout_at(until, session.read_body_bytes()).await {}
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
