//! `drain`: a running node is told, at its status listener, to say that it is not ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::runtime;

use super::Place;
use super::console::Console;
use super::control::settings_of_node;
use crate::options::Mode;

const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn drain(place: &Place, console: &Console) -> anyhow::Result<()> {
    let settings = settings_of_node(&place.sources(), console)?;
    let options = console.options(&settings, Mode::Foreground)?;
    let listeners = &options.status.listen;
    ensure!(!listeners.is_empty(), "no status listeners found in configuration");
    let listener = listeners.iter().find(|listen| !listen.tls);
    let listener = listener.context("no status listener without TLS found in configuration")?;
    let url = format!("http://{}/status/ready", reachable(listener.addr));

    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let status =
        runtime.block_on(post(&url)).with_context(|| format!("failed to send request to {url}"))?;
    ensure!(
        status == StatusCode::NO_CONTENT,
        "unexpected response status from {url}: {}",
        status.as_u16()
    );
    console.say(format_args!("{}'s status successfully changed to 'draining'", console.name));
    Ok(())
}

async fn post(url: &str) -> anyhow::Result<StatusCode> {
    let body = Full::new(Bytes::from_static(br#"{"status":"draining"}"#));
    let request = Request::post(url).header(CONTENT_TYPE, "application/json").body(body)?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    Ok(tokio::time::timeout(PATIENCE, client.request(request)).await??.status())
}

/// A listener on every address is reached on the loopback one.
pub(super) fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}
