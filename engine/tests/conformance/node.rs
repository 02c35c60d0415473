//! An engine that listens without TLS and with it, for HTTP/1.1 and HTTP/2 alike.

use engine::Options;
use engine::options::Listen;
use model::Config;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use crate::client::{Connection, Version};
use crate::hello::Hello;
use crate::support::Gateway;

pub(crate) struct Node {
    pub(crate) gateway: Gateway,
    pub(crate) plain: SocketAddr,
    /// If it speaks TLS.
    pub(crate) secure: Option<SocketAddr>,
}

impl Node {
    /// Clients know its ports as 80 and 443.
    pub(crate) async fn start(
        config: Config,
        tls: bool,
        change: impl FnOnce(&mut Options),
    ) -> Node {
        let (plain, secure) = (free_port(), tls.then(free_port));
        let gateway = Gateway::with(config, 1, |options| {
            options.listen = vec![Listen::plain(plain)];
            options.listen.extend(secure.map(Listen::tls));
            options.listen.iter_mut().for_each(|listen| listen.http2 = true);
            options.public_ports.insert(plain.port(), 80);
            options.public_ports.extend(secure.map(|secure| (secure.port(), 443)));
            change(options);
        })
        .await;
        Node { gateway, plain, secure }
    }

    /// Connects without TLS, or with it and this hello.
    pub(crate) async fn open(&self, version: Version, hello: Option<Hello>) -> Connection {
        let addr = if hello.is_some() { self.secure.unwrap() } else { self.plain };
        Connection::open(addr, version, hello).await
    }
}

/// A port below those the system gives to whoever asks for any, and other than those of
/// other runs of the tests.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 100) as u16 * 200;
    loop {
        let port = first + NEXT.fetch_add(1, Relaxed) % 2000;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}
