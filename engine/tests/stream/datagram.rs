//! Datagrams.

use crate::setting::{BACKENDS, Setting, at, config, loopback, over};
use crate::support::within;
use engine::options::StreamListen;
use model::Config;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

fn udp() -> StreamListen {
    StreamListen::udp(loopback())
}

fn all_to(addr: SocketAddr, idle: u64) -> Config {
    let service = at("udp", addr).with("read_timeout", idle).build();
    config([service.clone()], [over("udp").to(&service).build()])
}

async fn client(setting: &Setting) -> UdpSocket {
    let socket = UdpSocket::bind(loopback()).await.unwrap();
    socket.connect(setting.addr).await.unwrap();
    socket
}

async fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let length = within(socket.recv(&mut buffer)).await.unwrap();
    buffer.truncate(length);
    buffer
}

/// Answers with what it was sent and by whom.
async fn origin() -> SocketAddr {
    let socket = UdpSocket::bind(loopback()).await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let mut answer = buffer[..length].to_vec();
            answer.truncate(60_000);
            answer.extend(format!(" by {}", from.port()).into_bytes());
            let _lost = socket.send_to(&answer, from).await;
        }
    });
    addr
}

#[tokio::test]
async fn each_client_has_a_session_of_its_own() {
    for backend in BACKENDS {
        let setting = Setting::new(backend, udp(), all_to(origin().await, 60_000)).await;
        let (a, b) = (client(&setting).await, client(&setting).await);
        let mut ports = Vec::new();
        for (socket, text) in [(&a, "one"), (&b, "two"), (&a, "three"), (&b, "")] {
            socket.send(text.as_bytes()).await.unwrap();
            let answer = String::from_utf8(heard(socket).await).unwrap();
            let (said, port) = answer.split_once(" by ").unwrap();
            assert_eq!(said, text);
            ports.push(port.to_owned());
        }
        assert!(ports[0] == ports[2] && ports[1] == ports[3] && ports[0] != ports[1], "{ports:?}");
        let long = vec![7; 60_000];
        a.send(&long).await.unwrap();
        assert!(heard(&a).await.starts_with(&long));
        assert_eq!(setting.gateway.handle.stats().streams[0].sessions, 2);
    }
}

#[tokio::test]
async fn a_silent_session_ends_and_the_next_datagram_begins_another() {
    for backend in BACKENDS {
        let setting = Setting::new(backend, udp(), all_to(origin().await, 200)).await;
        let socket = client(&setting).await;
        let mut ports = Vec::new();
        for _ in 0..2 {
            socket.send(b"hello").await.unwrap();
            ports.push(heard(&socket).await);
            let sessions = || setting.gateway.handle.stats().streams[0].sessions;
            within(async {
                while sessions() > 0 {
                    tokio::task::yield_now().await
                }
            })
            .await;
        }
        assert_ne!(ports[0], ports[1]);
        let lines = setting.outcomes(2).await;
        assert!(
            lines.iter().all(|line| line.starts_with("UDP 200 ") && line.ends_with(" 5")),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn there_are_so_many_sessions_and_no_more() {
    for backend in BACKENDS {
        let config = all_to(origin().await, 60_000);
        let few = |options: &mut engine::Options| options.streams.datagram_sessions = 2;
        let setting = Setting::with(backend, udp(), config, 1, few).await;
        let mut sockets = Vec::new();
        for _ in 0..5 {
            let socket = client(&setting).await;
            socket.send(b"hello").await.unwrap();
            sockets.push(socket);
        }
        let dropped = || setting.gateway.handle.stats().streams[0].dropped;
        within(async {
            while dropped() < 3 {
                tokio::task::yield_now().await
            }
        })
        .await;
        assert_eq!(setting.gateway.handle.stats().streams[0].sessions, 2);
        for socket in &sockets[..2] {
            assert!(heard(socket).await.starts_with(b"hello by "));
        }
    }
}

#[tokio::test]
async fn nothing_is_said_to_who_has_no_route_or_a_service_that_is_gone() {
    for backend in BACKENDS {
        let gone = UdpSocket::bind(loopback()).await.unwrap().local_addr().unwrap();
        let setting = Setting::new(backend, udp(), Config::default()).await;
        let socket = client(&setting).await;
        socket.send(b"hello").await.unwrap();
        assert_eq!(setting.outcomes(1).await, ["UDP 500 0 5"]);
        setting.gateway.apply(2, all_to(gone, 60_000)).await;
        socket.send(b"hello").await.unwrap();
        assert_eq!(setting.outcomes(2).await[1], "UDP 502 0 5");
        let mut buffer = [0];
        let nothing = tokio::time::timeout(Duration::from_millis(50), socket.recv(&mut buffer));
        assert!(nothing.await.is_err());
    }
}

#[tokio::test]
async fn leaving_waits_for_those_who_talk_and_not_for_the_silent() {
    for backend in BACKENDS {
        let setting = Setting::new(backend, udp(), all_to(origin().await, 60_000)).await;
        let socket = client(&setting).await;
        socket.send(b"hello").await.unwrap();
        heard(&socket).await;
        let late = client(&setting).await;
        let since = Instant::now();
        let Setting { gateway, .. } = setting;
        let leaving = tokio::spawn(gateway.handle.shutdown(Duration::from_secs(30)));
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            socket.send(b"more").await.unwrap();
            assert!(heard(&socket).await.starts_with(b"more by "));
            // Nobody begins any more.
            late.send(b"late").await.unwrap();
        }
        let mut buffer = [0];
        let nothing = tokio::time::timeout(Duration::from_millis(50), late.recv(&mut buffer));
        assert!(nothing.await.is_err());
        within(leaving).await.unwrap();
        let took = since.elapsed();
        assert!(took > Duration::from_secs(2) && took < Duration::from_secs(15), "{took:?}");
    }
}
