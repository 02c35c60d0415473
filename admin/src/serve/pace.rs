//! Whether the answers on an HTTP/2 connection are being taken. A client that
//! opens no window for one of them leaves the connection idle, not stalled, so
//! nobody but the answer itself can tell.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use super::idle::Stream;
use super::wire::WRITE_TIMEOUT;

/// What is handed over at once. It is out of sight then: a client may leave that much untaken.
const PIECE: usize = 16 * 1024;

/// The answers under way on one connection, and since when each has not got on.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<Mutex<BTreeMap<u64, Instant>>>);

/// An answer that is handed over in pieces.
struct Paced {
    body: Body,
    rest: Bytes,
    number: u64,
    pace: Pace,
    /// Open until all has been handed over.
    _stream: Stream,
}

impl Pace {
    /// The answer on a stream, which must get on from now on.
    pub(super) fn keep(&self, body: Body, stream: Stream) -> Body {
        let mut under_way = self.lock();
        let number = under_way.last_key_value().map_or(0, |(last, _)| last + 1);
        under_way.insert(number, Instant::now());
        drop(under_way);
        Body::new(Paced { body, rest: Bytes::new(), number, pace: self.clone(), _stream: stream })
    }

    /// Resolves once an answer has not got on for too long.
    pub(super) async fn lost(&self) {
        loop {
            let oldest = self.lock().values().min().copied();
            let now = Instant::now();
            let patience_ends = oldest.unwrap_or(now) + WRITE_TIMEOUT;
            if patience_ends <= now {
                return;
            }
            sleep_until(patience_ends).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl hyper::body::Body for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).map(|f| f.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                None => return Poll::Ready(None),
            }
        }
        self.pace.lock().insert(self.number, Instant::now());
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.pace.lock().remove(&self.number);
    }
}
