//! TLS towards upstreams: whom the gateway believes, and what it shows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority;
mod identity;
mod log;
mod origin;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../proxy/support.rs"]
mod support;
mod trust;

use engine::options::Lanes;
use model::Config;
use model::entities::Service;
use model::testing::{ServiceBuilder, route, service};

/// Those that engines have which nobody tells otherwise.
const LANES: Lanes = Lanes { express: true };

/// A service at `url` without retries, whose name is the path it is asked for at.
fn at(name: &str, url: &str) -> ServiceBuilder {
    service(name).url(url).with("retries", 0)
}

/// Adds a service and the way to it.
fn serve(config: &mut Config, service: Service) {
    let name = service.name.as_ref().unwrap().as_str().to_owned();
    config.write(route(&name).path(&format!("/{name}")).to(&service).build());
    config.write(service);
}

fn get(name: &str) -> String {
    format!("GET /{name} HTTP/1.1\r\nHost: client.test\r\n\r\n")
}
