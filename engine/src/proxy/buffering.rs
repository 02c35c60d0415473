//! Whether a body passes as it comes or is waited for.
//!
//! Routes say so, for either direction. What is waited for without end would never come: tunnels
//! and gRPC, whose messages answer each other, always pass as they come, as in Kong.

use super::exchange::Exchange;
use super::hygiene::Framing;
use super::upstream::{self, Failure};
use crate::descriptors;
use crate::door::{Patience, Ungathered};

/// Whether all of a request's body is to be there before its service is connected to.
pub(crate) fn gathers(exchange: &Exchange) -> bool {
    let has_body = !matches!(exchange.terms().framing, Framing::Empty | Framing::Length(0));
    has_body && may_wait(exchange) && exchange.route().is_some_and(|route| route.request_buffering)
}

/// Whether a response may be taken faster than its client reads it.
pub(crate) fn holds(exchange: &Exchange) -> bool {
    may_wait(exchange) && exchange.route().is_some_and(|route| route.response_buffering)
}

fn may_wait(exchange: &Exchange) -> bool {
    !exchange.is_to_grpc() && !exchange.terms().websocket
}

/// On what conditions a body is waited for.
pub(crate) fn patience(exchange: &Exchange) -> Patience<'_> {
    let options = exchange.options();
    Patience {
        buffering: &options.buffering,
        pause: options.door.body_timeout,
        most: options.max_body,
    }
}

/// Notes how long the body is that has come, or says why it has not.
pub(crate) fn conclude(
    exchange: &mut Exchange,
    gathered: Result<u64, Ungathered>,
) -> Result<(), Failure> {
    let error = match gathered {
        Ok(length) => {
            exchange.gather(length);
            return Ok(());
        }
        Err(error) => error,
    };
    let failure = match &error {
        Ungathered::Malformed(_) => Failure::BodyMalformed,
        Ungathered::TooLarge(_) => Failure::BodyTooLarge,
        Ungathered::TooLate(_) => Failure::BodyTimeout,
        Ungathered::Gone => Failure::ClientGone,
        Ungathered::Disk(error) if descriptors::is_exhaustion(error) => Failure::Exhausted,
        Ungathered::Disk(_) => Failure::BodyLost,
    };
    upstream::report(exchange, failure, &error);
    // Nobody knows where the next request begins.
    exchange.part();
    Err(failure)
}
