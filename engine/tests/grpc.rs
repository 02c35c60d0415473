//! gRPC through the engine, over real sockets: what is checked, carried and tried again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "grpc/calls.rs"]
mod calls; // carried both ways, ended by whoever ends them
#[path = "grpc/checks.rs"]
mod checks; // what a route for gRPC does not serve
#[path = "grpc/client.rs"]
mod client;
#[path = "grpc/frames.rs"]
mod frames; // an upstream that says any frame
#[path = "grpc/again.rs"]
mod again; // what is tried again
#[path = "grpc/origin.rs"]
mod origin; // an upstream that speaks HTTP/2
#[path = "grpc/resets.rs"]
mod resets; // calls that are taken back
#[path = "grpc/sharing.rs"]
mod sharing; // many calls on one connection
#[path = "grpc/others.rs"]
mod others; // clients that are not gRPC's
#[path = "grpc/trailers.rs"]
mod trailers; // which go on
#[allow(dead_code, reason = "shared with other tests")]
#[path = "tls/hello.rs"]
mod hello;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "proxy/support.rs"]
mod support;

use engine::Options;
use engine::options::{Lanes, Listen};
use model::Config;
use model::testing::{RouteBuilder, ServiceBuilder, route, service};
use std::net::SocketAddr;
use support::{Gateway, config};

/// Those that engines have which nobody tells otherwise.
const LANES: Lanes = Lanes { express: true };

/// A service of gRPC there, with a route for it.
fn grpc(at: SocketAddr) -> Config {
    grpc_with(at, |service| service, |route| route)
}

fn grpc_with(
    at: SocketAddr,
    change_service: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
    change_route: impl FnOnce(RouteBuilder) -> RouteBuilder,
) -> Config {
    let service = service("s").with("protocol", "grpc").with("host", at.ip().to_string());
    let service = change_service(service.with("port", at.port())).build();
    let route = route("r").with("protocols", ["grpc", "grpcs"]).with("strip_path", false);
    let route = change_route(route.path("/").to(&service)).build();
    config([service], [route])
}

/// Listens for HTTP/2 without TLS, and with it.
fn http2(options: &mut Options) {
    let any = ([127, 0, 0, 1], 0).into();
    options.listen = vec![Listen::plain(any), Listen::tls(any)];
    options.listen.iter_mut().for_each(|listen| listen.http2 = true);
}

async fn gateway(config: Config) -> Gateway {
    Gateway::with(config, 1, http2).await
}
