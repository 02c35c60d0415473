//! Bytes both ways, and how a stream ends.

use crate::setting::{
    BACKENDS, Peer, Setting, all_to, at, config, loopback, nowhere, over, read, rest,
};
use crate::support::within;
use engine::options::StreamListen;
use socket2::{Domain, Socket, Type};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn tcp() -> StreamListen {
    StreamListen::tcp(loopback())
}

#[tokio::test]
async fn an_end_is_carried_over_and_still_answered() {
    for backend in BACKENDS {
        let setting = Setting::new(backend, tcp(), all_to(Peer::echo("bye").await)).await;
        let mut client = setting.connect().await;
        client.write_all(b"hello ").await.unwrap();
        read(&mut client, "hello ").await;
        client.write_all(b"there").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, "therebye");
        assert_eq!(setting.outcomes(1).await, ["TCP 200 14 11"]);
        let stats = setting.gateway.handle.stats().streams;
        assert_eq!((stats[0].accepted, stats[0].ended, stats[0].failed), (1, 1, 0));
        assert_eq!((stats[0].sent, stats[0].received), (14, 11));
        assert!(!stats[0].stuck && !stats[0].backend.is_empty());
    }
}

#[tokio::test]
async fn an_upstream_that_ends_first_may_still_be_told() {
    for backend in BACKENDS {
        let peer = Peer::listen().await;
        let setting = Setting::new(backend, tcp(), all_to(peer.addr)).await;
        let mut client = setting.connect().await;
        let mut upstream = peer.accept().await;
        upstream.write_all(b"that is all").await.unwrap();
        upstream.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, "that is all");
        client.write_all(b"thank you").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut upstream).await, "thank you");
        assert_eq!(setting.outcomes(1).await, ["TCP 200 11 9"]);
    }
}

/// Enough to fill every buffer on the way many times over, with the far side reading late.
#[tokio::test]
async fn much_arrives_whole_both_ways_at_once() {
    const MUCH: usize = 24 * 1024 * 1024;
    for backend in BACKENDS {
        let setting = Setting::new(backend, tcp(), all_to(Peer::echo("").await)).await;
        let (mut from, mut to) = setting.connect().await.into_split();
        let sending = tokio::spawn(async move {
            let mut sent = 0_usize;
            while sent < MUCH {
                let chunk: Vec<u8> = (sent..sent + 65_536).map(|at| (at / 7) as u8).collect();
                to.write_all(&chunk).await.unwrap();
                sent += chunk.len();
            }
            to.shutdown().await.unwrap();
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (mut chunk, mut received) = (vec![0; 100_000], 0_usize);
        loop {
            let count = within(from.read(&mut chunk)).await.unwrap();
            if count == 0 {
                break;
            }
            let is_right =
                chunk[..count].iter().zip(received..).all(|(byte, at)| *byte == (at / 7) as u8);
            assert!(is_right, "{received}");
            received += count;
        }
        assert_eq!(received, MUCH);
        sending.await.unwrap();
        assert_eq!(setting.outcomes(1).await, [format!("TCP 200 {MUCH} {MUCH}")]);
    }
}

/// What is little is copied and what is much is moved by the kernel: neither overtakes the other.
#[tokio::test]
async fn little_and_much_arrive_in_order() {
    const SIZES: [usize; 9] = [1, 8191, 8192, 3, 40_000, 32_768, 300_000, 32_769, 10];
    for backend in BACKENDS {
        let setting = Setting::new(backend, tcp(), all_to(Peer::echo("").await)).await;
        let mut client = setting.connect().await;
        for (round, size) in SIZES.into_iter().cycle().take(60).enumerate() {
            let sent: Vec<u8> = (0..size).map(|at| (at / 3 + round) as u8).collect();
            let mut received = vec![0; size];
            let (mut from, mut to) = client.split();
            let exchanged =
                async { tokio::join!(to.write_all(&sent), from.read_exact(&mut received)) };
            let (written, read) = within(exchanged).await;
            assert!(written.is_ok() && read.is_ok_and(|count| count == size));
            assert!(sent == received, "{round}");
        }
    }
}

#[tokio::test]
async fn a_reset_ends_the_other_side() {
    for backend in BACKENDS {
        let peer = Peer::listen().await;
        let setting = Setting::new(backend, tcp(), all_to(peer.addr)).await;
        let client = setting.connect().await;
        let mut upstream = peer.accept().await;
        client.set_zero_linger().unwrap();
        drop(client);
        assert_eq!(rest(&mut upstream).await, "");
        assert_eq!(setting.outcomes(1).await, ["TCP 200 0 0"]);
    }
}

#[tokio::test]
async fn who_has_no_route_or_service_is_closed() {
    for backend in BACKENDS {
        let setting = Setting::new(backend, tcp(), Default::default()).await;
        assert_eq!(rest(&mut setting.connect().await).await, "");
        let without = config([], [over("tcp").build()]);
        setting.gateway.apply(2, without).await;
        assert_eq!(rest(&mut setting.connect().await).await, "");
        assert_eq!(setting.outcomes(2).await, ["TCP 500 0 0", "TCP 503 0 0"]);
        assert_eq!(setting.gateway.handle.stats().streams[0].failed, 2);
    }
}

#[tokio::test]
async fn a_name_is_resolved_and_another_of_its_addresses_tried() {
    for backend in BACKENDS {
        let addr = Peer::echo("").await;
        let service = at("tcp", addr).with("host", "localhost").build();
        let routes = [over("tcp").to(&service).build()];
        let setting = Setting::new(backend, tcp(), config([service], routes)).await;
        let mut client = setting.connect().await;
        client.write_all(b"x").await.unwrap();
        read(&mut client, "x").await;
    }
}

#[tokio::test]
async fn who_is_not_there_is_tried_again_and_then_given_up() {
    for backend in BACKENDS {
        let service = at("tcp", nowhere().await).with("retries", 2).build();
        let routes = [over("tcp").to(&service).build()];
        let setting = Setting::new(backend, tcp(), config([service], routes)).await;
        assert_eq!(rest(&mut setting.connect().await).await, "");
        assert_eq!(setting.outcomes(1).await, ["TCP 502 0 0"]);
    }
}

/// One whose queue of connections is full: the kernel ignores who would join.
#[tokio::test]
async fn connecting_takes_so_long_and_no_longer() {
    for backend in BACKENDS {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&loopback().into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        let join = |_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.connect_timeout(&addr, Duration::from_millis(100)).ok().map(|()| socket)
        };
        let _joined: Vec<_> = (0..16).map_while(join).collect();
        let service = at("tcp", addr.as_socket().unwrap());
        let service = service.with("connect_timeout", 200).with("retries", 1).build();
        let routes = [over("tcp").to(&service).build()];
        let setting = Setting::new(backend, tcp(), config([service], routes)).await;
        let since = Instant::now();
        assert_eq!(rest(&mut setting.connect().await).await, "");
        assert!(since.elapsed() >= Duration::from_millis(400), "{:?}", since.elapsed());
        assert_eq!(setting.outcomes(1).await, ["TCP 502 0 0"]);
    }
}

#[tokio::test]
async fn who_shakes_no_hands_is_tried_as_often() {
    for backend in BACKENDS {
        for hangs in [true, false] {
            let peer = Peer::listen().await;
            let service = at("tls", peer.addr).with("connect_timeout", 200).with("retries", 2);
            let service = service.build();
            let routes = [over("tcp").to(&service).build()];
            let setting = Setting::new(backend, tcp(), config([service], routes)).await;
            let mut client = setting.connect().await;
            let mut tried = Vec::new();
            for _ in 0..3 {
                tried.extend(Some(peer.accept().await).filter(|_| hangs));
            }
            assert_eq!(rest(&mut client).await, "");
            assert_eq!(setting.outcomes(1).await, ["TCP 502 0 0"]);
            let again = tokio::time::timeout(Duration::from_millis(10), peer.accept()).await;
            assert!(again.is_err(), "more than two tries again");
        }
    }
}

#[tokio::test]
async fn who_is_silent_for_too_long_is_closed() {
    for backend in BACKENDS {
        let peer = Peer::listen().await;
        let service = at("tcp", peer.addr).with("read_timeout", 300).build();
        let routes = [over("tcp").to(&service).build()];
        let setting = Setting::new(backend, tcp(), config([service], routes)).await;
        let mut client = setting.connect().await;
        let mut upstream = peer.accept().await;
        // Any byte, either way, is a sign of life.
        let mut since = Instant::now();
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(120)).await;
            since = Instant::now();
            upstream.write_all(b".").await.unwrap();
            read(&mut client, ".").await;
        }
        assert_eq!(rest(&mut client).await, "");
        assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
        assert_eq!(rest(&mut upstream).await, "");
        assert_eq!(setting.outcomes(1).await, ["TCP 200 4 0"]);
    }
}

/// The far side takes nothing, while the near side goes on talking.
#[tokio::test]
async fn who_takes_nothing_for_too_long_is_closed() {
    for backend in BACKENDS {
        let peer = Peer::listen().await;
        let service = at("tcp", peer.addr).with("write_timeout", 300).build();
        let routes = [over("tcp").to(&service).build()];
        let setting = Setting::new(backend, tcp(), config([service], routes)).await;
        let mut client = setting.connect().await;
        let _upstream = peer.accept().await;
        let chunk = vec![0; 1 << 20];
        let flood = async { while client.write_all(&chunk).await.is_ok() {} };
        within(flood).await;
        let line = setting.outcomes(1).await.remove(0);
        assert!(line.starts_with("TCP 200 0 "), "{line}");
    }
}

#[tokio::test]
async fn a_proxy_header_says_who_it_is_if_its_sender_is_trusted() {
    for backend in BACKENDS {
        for trusted in [true, false] {
            let addr = Peer::echo("").await;
            let service = at("tcp", addr).build();
            let source = serde_json::json!([{ "ip": "203.0.113.7" }]);
            let routes = [over("tcp").with("sources", source).to(&service).build()];
            let listen = StreamListen { proxy_protocol: true, ..tcp() };
            let config = config([service], routes);
            let setting = Setting::with(backend, listen, config, 1, |options| {
                if trusted {
                    options.forwarding.trusted = vec!["127.0.0.0/8".parse().unwrap()];
                }
            });
            let setting = setting.await;
            let mut client = setting.connect().await;
            client.write_all(b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\nhello").await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(rest(&mut client).await, if trusted { "hello" } else { "" });
            let mut without = setting.connect().await;
            without.write_all(b"hello").await.unwrap();
            assert_eq!(rest(&mut without).await, "");
            let first = if trusted { "TCP 200 5 5" } else { "TCP 500 0 0" };
            assert_eq!(setting.outcomes(2).await, [first, "TCP 400 0 0"]);
            assert_eq!(setting.gateway.handle.stats().streams[0].proxy_headers_failed, 1);
        }
    }
}

#[tokio::test]
async fn a_proxy_header_is_taken_and_nothing_behind_it_however_long_it_is() {
    const MOST: u16 = u16::MAX;
    let fixed = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &MOST.to_be_bytes()].concat();
    let addresses = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 80];
    let padding = vec![0; usize::from(MOST) - addresses.len()];
    let header = [&fixed[..], &addresses, &padding].concat();
    for backend in BACKENDS {
        let listen = StreamListen { proxy_protocol: true, ..tcp() };
        let setting = Setting::new(backend, listen, all_to(Peer::echo("").await)).await;
        for cut in [1, 14, 255, header.len() - 1, header.len()] {
            let mut client = setting.connect().await;
            client.set_nodelay(true).unwrap();
            let (first, then) = header.split_at(cut);
            client.write_all(first).await.unwrap();
            tokio::task::yield_now().await;
            client.write_all(&[then, b"hello"].concat()).await.unwrap();
            read(&mut client, "hello").await;
        }
        assert_eq!(setting.gateway.handle.stats().streams[0].proxy_headers_failed, 0);
    }
}

/// What a child process would inherit.
#[tokio::test]
async fn no_descriptor_is_left_open_to_children() {
    for backend in BACKENDS {
        let peer = Peer::listen().await;
        let setting = Setting::new(backend, tcp(), all_to(peer.addr)).await;
        let mut client = setting.connect().await;
        let mut upstream = peer.accept().await;
        client.write_all(b"x").await.unwrap();
        read(&mut upstream, "x").await;
        let ports = [client.local_addr().unwrap(), upstream.peer_addr().unwrap()];
        let mut found = 0;
        for fd in std::fs::read_dir("/proc/self/fd").unwrap() {
            let number = fd.unwrap().file_name();
            let path = std::path::Path::new("/proc/self/fdinfo").join(&number);
            let Ok(info) = std::fs::read_to_string(path) else { continue };
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            let flags = u32::from_str_radix(flags, 8).unwrap();
            let target = std::fs::read_link(std::path::Path::new("/proc/self/fd").join(&number));
            if !target.is_ok_and(|target| target.to_string_lossy().starts_with("socket:")) {
                continue;
            }
            found += 1;
            assert_ne!(flags & 0o2_000_000, 0, "close-on-exec of {number:?} among {ports:?}");
        }
        assert!(found >= 6, "{found}");
        drop((client, upstream));
    }
}

/// 10,000 in all, hundreds of them at a time.
#[tokio::test]
async fn thousands_come_and_go() {
    const AT_ONCE: usize = 500;
    for (backend, rounds) in [(BACKENDS[0], 20), (BACKENDS[1], 4)] {
        let addr = Peer::echo("!").await;
        let setting = Setting::with(backend, tcp(), all_to(addr), 2, |_| {}).await;
        for _ in 0..rounds {
            let talks = (0..AT_ONCE).map(|_| async {
                let mut client = setting.connect().await;
                client.write_all(b"hello").await.unwrap();
                read(&mut client, "hello").await;
                client.shutdown().await.unwrap();
                rest(&mut client).await
            });
            let answers = futures::future::join_all(talks).await;
            assert_eq!(answers.iter().filter(|answer| *answer == "!").count(), AT_ONCE);
        }
        let lines = setting.outcomes(rounds * AT_ONCE).await;
        assert!(lines.iter().all(|line| line == "TCP 200 6 5"));
        let stats = setting.gateway.handle.stats().streams;
        let accepted: u64 = stats.iter().map(|stats| stats.accepted).sum();
        assert_eq!(accepted as usize, rounds * AT_ONCE);
        assert!(stats.iter().all(|stats| stats.panics == 0 && stats.failed == 0), "{stats:?}");
    }
}

/// The kernel's choice is uneven for few; whoever has clearly more than the mean gives some away.
#[tokio::test]
async fn threads_have_about_as_many_each() {
    for backend in BACKENDS {
        let addr = Peer::echo("").await;
        let setting = Setting::with(backend, tcp(), all_to(addr), 8, |_| {}).await;
        let mut clients: Vec<TcpStream> = Vec::new();
        for _ in 0..64 {
            let mut client = setting.connect().await;
            client.write_all(b"x").await.unwrap();
            read(&mut client, "x").await;
            clients.push(client);
        }
        let stats = setting.gateway.handle.stats().streams;
        let most = stats.iter().map(|stats| stats.open).max().unwrap();
        assert!(most <= 10, "{:?}", stats.iter().map(|stats| stats.open).collect::<Vec<_>>());
    }
}
