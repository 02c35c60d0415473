//! Between the pipeline's terms and Pingora's types.
//!
//! Nothing here decides about a request. Heads come and go by [`heads`].

use super::progress::Progress;
use super::{grpc, heads};
use crate::descriptors;
use crate::door::{Lost, framing::ChunkError};
use crate::lanes::http2;
use crate::proxy::exchange::Exchange;
use crate::proxy::head::Version;
use crate::proxy::log::Outcome;
use crate::proxy::reply::Reply;
use crate::proxy::response;
use crate::proxy::upstream::{self, Failure};
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{BError, Error, ErrorSource, ErrorType, Result};
use std::time::Duration;

const SWITCHING: http::StatusCode = http::StatusCode::SWITCHING_PROTOCOLS;

/// The type of errors whose cause is a failure the pipeline has named.
const NAMED: ErrorType = ErrorType::new("pipeline");

/// A failure of the pipeline's on its way through Pingora.
pub(super) fn named(failure: Failure, source: ErrorSource) -> BError {
    let mut error = Error::create(NAMED, source, None, Some(Box::new(failure)));
    error.set_retry(false);
    error
}

/// A body that was kept cannot be read back: told as Pingora tells it where it reads itself.
pub(super) fn lost_body(error: std::io::Error) -> BError {
    Error::because(ErrorType::ReadError, "reading a request's body", error).into_down()
}

/// A phase ran without a request. Every request is given one before the first.
pub(super) fn nothing_carried() -> BError {
    named(Failure::Internal, ErrorSource::Internal)
}

/// Before the first phase.
pub(super) fn begin(session: &mut Session, exchange: &Exchange) {
    let tunnel = exchange.terms().websocket.then(|| exchange.service()).flatten();
    // A tunnel may be silent for as long as its service may.
    let door = &exchange.options().door;
    let pause = tunnel.map_or(door.body_timeout, |service| service.read_timeout);
    session.set_read_timeout(Some(pause));
    session.set_write_timeout(Some(door.send_timeout));
    // The door says `100 Continue`; other interim responses end here, as nginx's do.
    session.set_ignore_info_resp(true);
    // Whether the connection goes on is the pipeline's to say, also while the body is still coming.
    session.set_close_on_response_before_downstream_finish(false);
}

/// How long a client may be silent within a body. What Pingora waits for is not to be seen from
/// here, so the upstream's time to accept more is on top. A call of gRPC may have its client say
/// nothing for long: it ends with its upstream's silence.
pub(super) fn progress(exchange: &Exchange, ended: bool) -> Progress {
    let service = exchange.service().filter(|service| !service.is_grpc());
    let pause = exchange.options().door.body_timeout;
    Progress::new(service.map(|service| pause.saturating_add(service.write_timeout)), ended)
}

/// How long a service may say nothing.
pub(super) fn patience(exchange: &Exchange) -> Duration {
    exchange.service().map(|service| service.read_timeout).unwrap_or_default()
}

/// A request was let go of while Pingora had it: its client sees the stream break off, the log why.
pub(super) fn let_go(exchange: &Exchange, failure: Failure) -> Outcome {
    let cause = match failure {
        Failure::BodyTimeout => "its client pauses",
        _ => "neither side says anything",
    };
    upstream::report(exchange, failure, &cause);
    failure.reply().map_or(Outcome::GONE, |reply| Outcome { status: reply.status(), sent: 0 })
}

/// The head that goes upstream. One that came by HTTP/2 is there, but for the connection's fields;
/// of others Pingora was shown the frame, except where the upstream speaks HTTP/2.
pub(super) fn request(exchange: &Exchange, request: &mut RequestHeader) -> Result<()> {
    if exchange.is_to_grpc() {
        return grpc::check(request);
    }
    if exchange.head().version() == Version::Http2 {
        return request.insert_header("Connection", heads::connection(exchange.terms()));
    }
    *request = heads::written(exchange.head(), exchange.terms())?;
    Ok(())
}

/// Counts the body against its limit.
pub(super) fn request_body(
    exchange: &mut Exchange,
    body: &mut Option<Bytes>,
    ends: bool,
) -> Result<()> {
    // HTTP/2 often ends a body with an empty frame. Pingora writes it as a chunk, which is the
    // last, and then the last chunk again: the upstream would take that for another request.
    if ends && body.as_ref().is_some_and(Bytes::is_empty) {
        *body = None;
    }
    if exchange.terms().websocket {
        return Ok(()); // which has no body: these are the other protocol's
    }
    let fits = exchange.receive(body.as_ref().map_or(0, Bytes::len));
    fits.then_some(()).ok_or_else(|| named(Failure::BodyTooLarge, ErrorSource::Downstream))
}

/// The head of the final response on its way to the client; whether the upstream goes on with its
/// connection.
pub(super) fn response(
    session: &mut Session,
    exchange: &Exchange,
    header: &mut ResponseHeader,
) -> Result<bool> {
    part_if_last(session, exchange);
    let mut head = heads::head_of(header);
    let stays = response::keeps_alive(&head);
    let prepared = response::prepare(exchange, &mut head);
    prepared.map_err(|failure| named(failure, ErrorSource::Upstream))?;
    heads::repeat(&head, header)?;
    if header.status != SWITCHING {
        header.set_version(http::Version::HTTP_11);
        unframe_for_old_clients(session, exchange, header);
    }
    Ok(stays)
}

/// Makes Pingora say `Connection: close` where the request's head did not yet.
fn part_if_last(session: &mut ServerSession, exchange: &Exchange) {
    if !exchange.keeps_alive() {
        session.set_keepalive(None);
    }
}

/// HTTP/1.0 has no chunks: the end of the connection ends the body.
fn unframe_for_old_clients(
    session: &mut ServerSession,
    exchange: &Exchange,
    header: &mut ResponseHeader,
) {
    let old = exchange.head().version() == Version::Http10;
    if old && header.remove_header("transfer-encoding").is_some() {
        session.set_keepalive(None);
    }
}

/// A try came to no connection: marks the error as the pipeline decides.
pub(super) fn unconnected(
    session: &mut Session,
    exchange: Option<&mut Exchange>,
    error: BError,
) -> BError {
    let failure = match failure_of(&error, false) {
        // A connection that many share went before this request was put on it.
        Failure::Broken { .. } | Failure::Untouched { .. } | Failure::Garbage => Failure::Connect,
        failure => failure,
    };
    judged(session, exchange, error, failure)
}

/// A try failed later: likewise.
pub(super) fn failed(
    session: &mut Session,
    exchange: Option<&mut Exchange>,
    error: BError,
    reused: bool,
) -> BError {
    let failure = failure_of(&error, reused);
    judged(session, exchange, error, failure)
}

fn judged(
    session: &mut Session,
    exchange: Option<&mut Exchange>,
    mut error: BError,
    failure: Failure,
) -> BError {
    let replayable = session.response_written().is_none() && !session.retry_buffer_truncated();
    let again = exchange.is_some_and(|ex| upstream::retries(ex, failure, replayable));
    tracing::debug!(%error, again, "a try failed");
    error.set_retry(again);
    error
}

/// No try is left: answers, if there is still someone and something to say.
pub(super) async fn give_up(
    session: &mut Session,
    exchange: Option<&mut Exchange>,
    error: &Error,
) -> u16 {
    let Some(exchange) = exchange else { return 0 };
    let answered = answer(session).map(|head| head.status);
    let failure = match failure_of(error, false) {
        Failure::BodyTimeout | Failure::Timeout if answered == Some(SWITCHING) => {
            Failure::TunnelSilent
        }
        failure => failure,
    };
    upstream::report(exchange, failure, error);
    if failure.parts() {
        exchange.part();
    }
    let Some(reply) = failure.reply() else { return 0 };
    if answered.is_some() {
        end_grpc(session, exchange, &reply).await;
        return 0;
    }
    let rendered = response::own(exchange, &reply);
    part_if_last(session, exchange);
    let (status, head) = (rendered.status, http2::header(&rendered));
    let ends = exchange.head().method() == b"HEAD" || rendered.body.is_empty();
    let sent = async {
        let head = Box::new(head?);
        match session.as_downstream_mut() {
            // What has no body ends with its head: clients of gRPC look for its status there only if
            // nothing follows.
            ServerSession::H2(client) if ends => client.write_response_header(head, true),
            ServerSession::Custom(client) if ends => client.write_response_header(head, true).await,
            client => {
                client.write_response_header(head).await?;
                client.write_response_body(rendered.body.into(), true).await
            }
        }
    };
    match sent.await {
        Ok(()) if exchange.keeps_alive() => exchange.client().note_answered(),
        Ok(()) => {}
        Err(error) => tracing::debug!(%error, "client left before it was answered"),
    }
    status
}

/// A client that is still sending has time to read its answer. Over HTTP/1 the door sees to that.
pub(super) async fn see_off(session: &mut Session) {
    if let ServerSession::H2(client) = session.as_downstream_mut() {
        http2::see_off(client).await;
    }
}

/// Ends a response of gRPC that has begun. Others just break off.
async fn end_grpc(session: &mut Session, exchange: &Exchange, reply: &Reply) {
    let Some(trailers) = grpc::last_words(exchange, reply) else { return };
    let sent = session.as_downstream_mut().write_response_trailers(trailers).await;
    if let Err(error) = sent {
        tracing::debug!(%error, "client left before its call was ended");
    }
}

/// What a Pingora error means to the pipeline.
fn failure_of(error: &Error, reused: bool) -> Failure {
    use ErrorType as E;
    if let Some(failure) = error.root_cause().downcast_ref::<Failure>() {
        return *failure;
    }
    if error.root_cause().downcast_ref().is_some_and(descriptors::is_exhaustion) {
        return Failure::Exhausted;
    }
    let of_upstream = *error.esource() == ErrorSource::Upstream;
    if let Some(failure) = grpc::failure_of(error, reused).filter(|_| of_upstream) {
        return failure;
    }
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, E::ReadError) if is_by::<ChunkError>(error) => {
            Failure::BodyMalformed
        }
        (ErrorSource::Downstream, E::ReadError) if is_by::<Lost>(error) => Failure::BodyLost,
        (ErrorSource::Downstream, E::ReadTimedout) => Failure::BodyTimeout,
        (ErrorSource::Downstream, _) => Failure::ClientGone,
        (ErrorSource::Upstream, E::ConnectTimedout | E::TLSHandshakeTimedout) => {
            Failure::ConnectTimeout
        }
        (ErrorSource::Upstream, E::ReadTimedout | E::WriteTimedout) => Failure::Timeout,
        (ErrorSource::Upstream, E::ReadError | E::WriteError | E::ConnectionClosed) => {
            Failure::Broken { reused }
        }
        (
            ErrorSource::Upstream,
            E::ConnectRefused
            | E::ConnectNoRoute
            | E::ConnectError
            | E::TLSHandshakeFailure
            | E::HandshakeError
            | E::InvalidCert,
        ) => Failure::Connect,
        (ErrorSource::Upstream, _) => Failure::Garbage,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Failure::Internal,
    }
}

/// Whether the door ended a body with this error.
fn is_by<E: std::error::Error + 'static>(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<E>())
}

/// The head the client was answered with, a switch of protocols included.
fn answer(session: &Session) -> Option<&ResponseHeader> {
    session.response_written().filter(|head| response::is_final(head.status.as_u16()))
}

/// How it went for the client.
pub(super) fn outcome(session: &Session) -> Outcome {
    answer(session).map_or(Outcome::GONE, |head| Outcome {
        status: head.status.as_u16(),
        sent: session.body_bytes_sent() as u64,
    })
}
