//! Which route a request takes, and whether it is answered here.
//!
//! The order of the checks is Kong's: what is wrong with the message, then no
//! route, then the wrong scheme, then no gRPC where there should be, then plugins, then no
//! service.

use super::exchange::Exchange;
use super::forwarded;
use super::head::{Head, Known, Version};
use super::hygiene::Framing;
use super::path;
use super::reply::Reply;
use crate::plugins::chain;
use crate::router::{Fields, RequestView, RouteIndex, Scheme, folded_byte, split_host};
use crate::snapshot::GrpcOver;
use model::value::path::normal_form;
use std::net::SocketAddr;

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
    if let Some(reply) = wrong_scheme(exchange).or_else(|| wrong_protocol(exchange)) {
        return Flow::Reply(reply);
    }
    if let Flow::Reply(reply) = chain::access(exchange) {
        return Flow::Reply(reply);
    }
    match exchange.service() {
        // Where the answer of one ends could not be told to a client without chunks.
        Some(service) if service.is_grpc() && exchange.head().version() == Version::Http10 => {
            Flow::Reply(Reply::http2_required())
        }
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
    let client = exchange.client();
    let (raw, query) = path::split_target(head.target());
    let (host, port) = split_host(head.get(Known::Host).unwrap_or_default(), client.port);
    let view = RequestView {
        scheme: if client.tls { Scheme::Https } else { Scheme::Http },
        method: head.method(),
        host,
        port,
        path: &normal_form(raw),
        query: query.strip_prefix(b"?").unwrap_or_default(),
        sni: client.sni.as_deref().map(str::as_bytes),
        source: exchange.source(),
        destination: SocketAddr::new(client.local, client.port),
        fields: head,
    };
    exchange.snapshot().routes.find(&view).map(|found| (found.index, found.prefix_len))
}

impl Fields for Head {
    fn values<'f>(&'f self, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        let fields = self.iter().filter(|(found, _)| is_folded(found.as_bytes(), name));
        fields.map(|(_, value)| value)
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter().map(|(name, value)| (name.as_bytes(), value))
    }
}

/// Whether a field's name is this one, but for its case and `-` in place of `_`.
fn is_folded(name: &[u8], folded: &[u8]) -> bool {
    name.len() == folded.len() && name.iter().copied().map(folded_byte).eq(folded.iter().copied())
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

/// A route for gRPC serves nothing else, and not over cleartext if it is for TLS only.
fn wrong_protocol(exchange: &Exchange) -> Option<Reply> {
    let over = exchange.route()?.grpc?;
    if !exchange.head().names_grpc() {
        return Some(Reply::not_grpc());
    }
    if !exchange.head().is_grpc() {
        return Some(Reply::http2_required());
    }
    let in_clear = forwarded::scheme(exchange) != b"https";
    (over == GrpcOver::Tls && in_clear).then(Reply::grpcs_required)
}
