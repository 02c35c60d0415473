//! Leaving a connection so that the client reads the answer.
//!
//! A socket closed with bytes unread resets, and the reset may overtake the
//! answer. So what a client still sends is read and thrown away, for a while: to
//! keep the connection if it is little, to let the client finish if not.

use super::conn::Conn;
use super::transport::Transport;
use super::{More, more};
use crate::proxy::hygiene::Terms;
use bytes::{Buf as _, BytesMut};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How long a client is listened to after the last answer: nginx's `lingering_time`.
const LINGER: Duration = Duration::from_secs(30);
/// How long it may be silent meanwhile: nginx's `lingering_timeout`.
const SILENCE: Duration = Duration::from_secs(5);

/// Sends the reply to a request that goes no further, and parts.
pub(super) async fn refuse<T: Transport>(
    mut conn: Box<Conn<T>>,
    patience: Duration,
    mut reply: BytesMut,
) {
    conn.rd = BytesMut::new();
    let sent = in_time(&mut conn, patience, |conn, cx| {
        while !reply.is_empty() {
            let count = ready!(conn.poll_write(cx, &reply))?;
            reply.advance(count);
        }
        conn.poll_shutdown(cx)
    });
    if sent.await.is_ok() {
        linger(conn).await;
    }
}

/// Parts after the last request, whose response may still be in the buffer.
pub(super) async fn part<T: Transport>(mut conn: Box<Conn<T>>, patience: Duration) {
    let passage = &conn.passage;
    let read = passage.body.is_done() && passage.poison.is_none() && conn.rd.is_empty();
    let quiet = read || passage.transparent;
    // Closing alone would do where nothing is left to be read. But a request may arrive in between, and the
    // reset that answers it then overtakes what the client has not read yet, which a shutdown puts first.
    let sent = in_time(&mut conn, patience, Conn::poll_shutdown);
    if sent.await.is_ok() && !quiet {
        linger(conn).await;
    }
}

/// Parts after the last byte of another protocol than HTTP/1, of which the client may still
/// have something to say.
pub(super) async fn see_off<T: Transport>(mut conn: Box<Conn<T>>, patience: Duration) {
    let sent = in_time(&mut conn, patience, Conn::poll_shutdown);
    if sent.await.is_ok() {
        linger(conn).await;
    }
}

/// Makes ready for another request: everything sent, and the body gone. False if
/// that is not to be had.
pub(super) async fn settle<T: Transport>(conn: &mut Conn<T>, patience: Duration) -> bool {
    if conn.shut || conn.passage.transparent || conn.passage.poison.is_some() {
        return false;
    }
    if in_time(conn, patience, Conn::poll_drain).await.is_err() {
        conn.shut = true; // who has taken nothing for so long is not waited for again
        return false;
    }
    waste(conn).await
}

/// Reads away what is left of a body nobody wanted.
async fn waste<T: Transport>(conn: &mut Conn<T>) -> bool {
    if conn.passage.body.is_done() {
        return true;
    }
    // It was never told to send it, and may or may not do so: what comes next
    // could be either.
    if conn.passage.awaits_continue() {
        return false;
    }
    let deadline = Instant::now() + SILENCE;
    let mut wasted = 0_u64;
    loop {
        match conn.passage.body.feed(&conn.rd) {
            Ok(ours) => {
                conn.rd.advance(ours);
                wasted += ours as u64;
            }
            Err(_) => return false,
        }
        if conn.passage.body.is_done() {
            return true;
        }
        if wasted > Terms::WASTE || !matches!(more(conn, deadline).await, More::Came) {
            return false;
        }
    }
}

/// Listens until the client has left, or long enough.
async fn linger<T: Transport>(mut conn: Box<Conn<T>>) {
    let end = Instant::now() + LINGER;
    loop {
        conn.rd.clear();
        let deadline = end.min(Instant::now() + SILENCE);
        if !matches!(more(&mut conn, deadline).await, More::Came) {
            return;
        }
    }
}

/// Polls `step` until it is ready, or the client has taken nothing for too long.
async fn in_time<T: Transport>(
    conn: &mut Conn<T>,
    patience: Duration,
    mut step: impl FnMut(&mut Conn<T>, &mut Context<'_>) -> Poll<io::Result<()>>,
) -> io::Result<()> {
    let mut unsent = usize::MAX;
    let mut deadline = None;
    poll_fn(|cx| {
        if let Poll::Ready(done) = step(conn, cx) {
            return Poll::Ready(done);
        }
        if conn.unsent() < unsent {
            unsent = conn.unsent();
            deadline = Some(Instant::now() + patience);
        }
        let deadline = deadline.unwrap_or_else(Instant::now);
        conn.alarm.poll(deadline, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}
