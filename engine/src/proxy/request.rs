//! What goes upstream: path, Host, forwarding fields.
//!
//! The head is edited in place, once per request; lanes write it from there. Which
//! connection and framing fields go along is decided by its
//! [`Terms`](super::hygiene::Terms).

use super::exchange::Exchange;
use super::head::Known;
use super::printed::Printed;
use super::{Text, forwarded, path, response};
use crate::snapshot::CompiledService;
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
    if let Some(host) = exchange.service().map(authority) {
        exchange.head_mut().set(Known::Host, &host);
    }
}

/// The service's host, and its port where that is not the protocol's.
pub(super) fn authority(service: &CompiledService) -> Text {
    let host = service.host.as_str();
    let usual = if service.protocol.is_tls() { 443 } else { 80 };
    let mut text = Text::new();
    // Two colons are an IPv6 address, which needs brackets to have a port.
    let bare = host.contains(':') && !host.starts_with('[');
    text.extend_from_slice(if bare { b"[" } else { b"" });
    text.extend_from_slice(host.as_bytes());
    text.extend_from_slice(if bare { b"]" } else { b"" });
    if service.port != usual {
        text.push(b':');
        text.extend_from_slice(Printed::new().print(service.port));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Snapshot, compile};
    use model::Config;
    use model::testing::{revision, service};

    #[test]
    fn a_port_is_named_unless_it_is_the_protocols_own() {
        for (protocol, host, port, expected) in [
            ("http", "a.test", 80, "a.test"),
            ("http", "a.test", 443, "a.test:443"),
            ("https", "a.test", 443, "a.test"),
            ("https", "a.test", 80, "a.test:80"),
            ("http", "127.0.0.1", 8080, "127.0.0.1:8080"),
            ("https", "::1", 443, "[::1]"),
            ("http", "::1", 81, "[::1]:81"),
        ] {
            let built = service("s").with("protocol", protocol).with("host", host);
            let service = built.with("port", port).build();
            let (id, mut config) = (service.id, Config::default());
            config.write(service);
            let snapshot = compile(&revision(1, config), &Snapshot::empty()).unwrap();
            let found = authority(snapshot.service(id).unwrap());
            assert_eq!(found.as_slice(), expected.as_bytes(), "{protocol} {host} {port}");
        }
    }
}
