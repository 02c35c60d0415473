//! Which route a request takes, and whether it is answered here.
//!
//! The order of the checks is Kong's: what is wrong with the message, then no
//! route, then the wrong scheme, then no service.

use super::exchange::Exchange;
use super::forwarded;
use super::head::Known;
use super::hygiene::Framing;
use super::path;
use super::reply::Reply;
use crate::router::{RequestView, RouteIndex};
use model::value::path::normal_form;

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Flow {
    /// It goes to its service.
    Next,
    /// It is answered here.
    Reply(Reply),
}

/// Finds the request's route and decides.
pub(crate) fn decide(exchange: &mut Exchange) -> Flow {
    if is_too_large(exchange) {
        return Flow::Reply(Reply::too_large());
    }
    let Some((route, prefix)) = find(exchange) else {
        return Flow::Reply(Reply::no_route());
    };
    exchange.take(route, prefix);
    if let Some(reply) = wrong_scheme(exchange) {
        return Flow::Reply(reply);
    }
    match exchange.service() {
        Some(_) => Flow::Next,
        None => Flow::Reply(Reply::no_service()),
    }
}

fn is_too_large(exchange: &Exchange) -> bool {
    let Framing::Length(length) = exchange.terms().framing else { return false };
    exchange.options().max_body.is_some_and(|most| length > most)
}

fn find(exchange: &Exchange) -> Option<(RouteIndex, usize)> {
    let head = exchange.head();
    let (raw, _query) = path::split_target(head.target());
    let path = normal_form(raw);
    let host = head.get(Known::Host).unwrap_or_default();
    let view = RequestView::new(host, exchange.client().port, &path, head.method());
    exchange.snapshot().routes.find(&view).map(|found| (found.index, found.prefix_len))
}

/// A route for https that is not for http as well is not served over http.
fn wrong_scheme(exchange: &Exchange) -> Option<Reply> {
    let status = exchange.route()?.https_only?;
    if forwarded::scheme(exchange) == b"https" {
        return None;
    }
    if status == 426 {
        return Some(Reply::https_required());
    }
    let host = forwarded::host(exchange);
    let location = [b"https://", host.as_slice(), exchange.head().target()].concat();
    Some(Reply::redirect(status, String::from_utf8_lossy(&location).into_owned()))
}
