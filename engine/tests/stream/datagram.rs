//! Datagrams.

use crate::setting::{BACKENDS, Setting, at, config, loopback, over};
use crate::support::within;
use engine::options::StreamListen;
use model::Config;
use model::testing::route;
use serde_json::json;
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

/// Runs the test of this name again in a network of its own, with all addresses of a loopback and
/// nobody else to listen to. True if this is that run.
#[allow(clippy::print_stderr, reason = "a test that tests nothing says so")]
fn is_alone(name: &str) -> bool {
    if std::env::var_os("ALONE").is_some() {
        return true;
    }
    let alone = "ip link set lo up && ALONE=1 exec \"$0\" \"$@\"";
    let run = |command: &[&std::ffi::OsStr]| {
        let mut inside = std::process::Command::new("unshare");
        inside.args(["-rn", "sh", "-c"]).args(command).output()
    };
    if !run(&["ip link set lo up".as_ref()]).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no network of its own can be made here");
        return false;
    }
    let this = std::env::current_exe().unwrap();
    let run = run(&[alone.as_ref(), this.as_ref(), "--exact".as_ref(), name.as_ref()]).unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
    false
}

#[tokio::test]
async fn one_of_all_addresses_is_what_routes_go_by_and_what_answers() {
    if !is_alone("datagram::one_of_all_addresses_is_what_routes_go_by_and_what_answers") {
        return;
    }
    for (backend, listen) in BACKENDS.into_iter().zip(["0.0.0.0:0", "[::]:0"]) {
        let mut listen = StreamListen::udp(listen.parse().unwrap());
        listen.ipv6_only = false;
        let setting = Setting::new(backend, listen, Config::default()).await;
        let (two, three) = (at("udp", origin().await).build(), at("udp", origin().await).build());
        let udp = |name: &str, ip: &str| {
            let route = route(name).with("protocols", json!(["udp"]));
            route.with("destinations", json!([{ "ip": ip }]))
        };
        let routes = [
            udp("two", "127.0.0.2").to(&two).build(),
            udp("three", "127.0.0.3").to(&three).build(),
        ];
        setting.gateway.apply(2, config([two, three], routes)).await;
        let socket = UdpSocket::bind(loopback()).await.unwrap();
        let mut said = Vec::new();
        for address in [[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 2]] {
            let to = SocketAddr::from((address, setting.addr.port()));
            socket.send_to(b"hello", to).await.unwrap();
            let mut buffer = [0; 100];
            let (length, from) = within(socket.recv_from(&mut buffer)).await.unwrap();
            assert_eq!(from, to);
            said.push(buffer[..length].to_vec());
        }
        assert!(said[0] == said[2] && said[0] != said[1], "a session each: {said:?}");
        let unrouted = SocketAddr::from(([127, 0, 0, 4], setting.addr.port()));
        socket.send_to(b"hello", unrouted).await.unwrap();
        assert_eq!(setting.outcomes(1).await, ["UDP 500 0 5"]);
    }
}
