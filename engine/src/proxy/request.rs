//! What goes upstream: path, Host, forwarding fields.
//!
//! The head is edited in place, once per request; lanes write it from there. Which
//! connection and framing fields go along is decided by its
//! [`Terms`](super::hygiene::Terms).

use super::exchange::Exchange;
use super::head::Known;
use super::{Text, forwarded, path, response};
use model::value::path::normal_form;

/// Edits the head of a request on its way to its service.
pub(crate) fn prepare(exchange: &mut Exchange) {
    let target = Text::from_slice(exchange.head().target());
    let (raw, query) = path::split_target(&target);
    let normal = normal_form(raw);
    let prefix = exchange.prefix();

    let taken = prefix.and_then(|len| normal.get(..len));
    forwarded::write(exchange, &target, taken);
    // Methods of gRPC are paths, and Kong leaves them alone.
    if !exchange.is_to_grpc() {
        write_target(exchange, &normal, query);
    }
    write_host(exchange);

    let version = exchange.head().version();
    response::continue_via(exchange.head_mut(), version);
    if exchange.options().headers.upstream_request_id {
        let id = *exchange.id();
        exchange.head_mut().set(Known::XKongRequestId, id.as_bytes());
    }
}

fn write_target(exchange: &mut Exchange, normal: &[u8], query: &[u8]) {
    let mut target = Text::new();
    let base = exchange.service().and_then(|service| service.path.as_ref());
    path::upstream(base.map(|path| path.as_str()), normal, exchange.prefix(), &mut target);
    path::append_query(query, &mut target);
    exchange.head_mut().set_target(&target);
}

/// The client's Host where the route says so and it sent one, else the service's.
fn write_host(exchange: &mut Exchange) {
    let preserves = exchange.route().is_some_and(|route| route.preserve_host);
    if preserves && exchange.head().get(Known::Host).is_some() {
        return;
    }
    let own = exchange.service().map(|service| Text::from_slice(service.authority.as_bytes()));
    if let Some(host) = own {
        exchange.head_mut().set(Known::Host, &host);
    }
}
