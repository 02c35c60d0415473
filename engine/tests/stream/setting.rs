//! An engine with listeners for streams, and what stands behind it.

use crate::support::{Gateway, within};
use engine::Options;
use engine::options::{LogSink, StreamBackend, StreamListen};
use model::Config;
use model::entities::{Route, Service};
use model::testing::{RouteBuilder, route, service};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const BACKENDS: [StreamBackend; 2] = [StreamBackend::Auto, StreamBackend::Epoll];

pub(crate) fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// An engine, where its first listener for streams is, and what it logs.
pub(crate) struct Setting {
    pub(crate) gateway: Gateway,
    pub(crate) addr: SocketAddr,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
}

impl Setting {
    /// One thread that listens so.
    pub(crate) async fn new(
        backend: StreamBackend,
        listen: StreamListen,
        config: Config,
    ) -> Setting {
        Setting::with(backend, listen, config, 1, |_| {}).await
    }

    pub(crate) async fn with(
        backend: StreamBackend,
        listen: StreamListen,
        config: Config,
        workers: usize,
        change: impl FnOnce(&mut Options),
    ) -> Setting {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = log.clone();
        let gateway = Gateway::with(config, workers, |options| {
            options.streams.listen = vec![listen];
            options.streams.backend = backend;
            let sink = LogSink::new(move |line| lines.lock().unwrap().push(line));
            options.streams.access_log = Some(sink);
            change(options);
        });
        let gateway = gateway.await;
        let addr = gateway.handle.stream_addresses()[0];
        Setting { gateway, addr, log }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        within(TcpStream::connect(self.addr)).await.unwrap()
    }

    /// What was logged, once it is so many lines: what is behind the time of each.
    pub(crate) async fn logged(&self, count: usize) -> Vec<String> {
        let lines = within(async {
            loop {
                let lines = self.log.lock().unwrap().clone();
                if lines.len() >= count {
                    return lines;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        let lines = lines.await;
        assert_eq!(lines.len(), count, "{lines:?}");
        lines.iter().map(|line| line.split("] ").nth(1).unwrap().to_owned()).collect()
    }

    /// The same without how long each took.
    pub(crate) async fn outcomes(&self, count: usize) -> Vec<String> {
        let lines = self.logged(count).await;
        lines.iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    }
}

/// A service that speaks so.
pub(crate) fn at(protocol: &str, addr: SocketAddr) -> model::testing::ServiceBuilder {
    let host = addr.ip().to_string();
    service("s").with("protocol", protocol).with("host", host).with("port", addr.port())
}

/// A route for this protocol, from anywhere.
pub(crate) fn over(protocol: &str) -> RouteBuilder {
    let anywhere = json!([{ "ip": "0.0.0.0/0" }]);
    route("r").with("protocols", json!([protocol])).with("sources", anywhere)
}

pub(crate) fn config(
    services: impl IntoIterator<Item = Service>,
    routes: impl IntoIterator<Item = Route>,
) -> Config {
    crate::support::config(services, routes)
}

/// All of TCP goes there.
pub(crate) fn all_to(addr: SocketAddr) -> Config {
    let service = at("tcp", addr).build();
    config([service.clone()], [over("tcp").to(&service).build()])
}

/// What stands behind the gateway.
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    listener: TcpListener,
}

impl Peer {
    pub(crate) async fn listen() -> Peer {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        Peer { addr: listener.local_addr().unwrap(), listener }
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        within(self.listener.accept()).await.unwrap().0
    }

    /// One that says what it is told, until its client has finished, and then this.
    pub(crate) async fn echo(goodbye: &'static str) -> SocketAddr {
        let peer = Peer::listen().await;
        let addr = peer.addr;
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = peer.listener.accept().await else { return };
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await?;
                    to.write_all(goodbye.as_bytes()).await
                });
            }
        });
        addr
    }
}

/// An address at which nobody is.
pub(crate) async fn nowhere() -> SocketAddr {
    Peer::listen().await.addr
}

/// All a stream says until it ends, by whatever.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let _reset_or_end = within(stream.read_to_end(&mut rest)).await;
    String::from_utf8_lossy(&rest).into_owned()
}

/// As many bytes as are expected.
pub(crate) async fn read(stream: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}
