//! Leaving: nobody who was let in is lost, and nobody stays for ever.

use crate::setting::{BACKENDS, Peer, Setting, all_to, loopback, read, rest};
use crate::support::within;
use engine::options::StreamListen;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

fn tcp() -> StreamListen {
    StreamListen::tcp(loopback())
}

#[tokio::test]
async fn streams_finish_while_no_more_are_let_in() {
    for backend in BACKENDS {
        let peer = Peer::listen().await;
        let setting = Setting::new(backend, tcp(), all_to(peer.addr)).await;
        let mut clients = Vec::new();
        for _ in 0..50 {
            clients.push((setting.connect().await, peer.accept().await));
        }
        let Setting { gateway, addr, log } = setting;
        let meter = gateway.handle.meter();
        let leaving = tokio::spawn(gateway.handle.shutdown(Duration::from_secs(60)));
        within(async {
            while let Ok(late) = TcpStream::connect(addr).await {
                late.set_zero_linger().unwrap(); // gone at once, on both sides
            }
        })
        .await;
        for (client, upstream) in &mut clients {
            client.write_all(b"still ").await.unwrap();
            read(upstream, "still ").await;
            upstream.write_all(b"here").await.unwrap();
            upstream.shutdown().await.unwrap();
            assert_eq!(rest(client).await, "here");
            client.shutdown().await.unwrap();
        }
        within(leaving).await.unwrap();
        let stats = meter.stats().streams;
        assert_eq!((stats[0].open, stats[0].failed), (0, 0));
        assert!(stats[0].ended >= 50);
        assert_eq!(Arc::strong_count(&log), 1, "nothing is left behind that could still log");
    }
}

/// Some wait for a place when the order comes: they have connected, and are served.
#[tokio::test]
async fn who_waits_for_a_place_has_one_when_the_rest_leave() {
    for backend in BACKENDS {
        let addr = Peer::echo("!").await;
        let few = |options: &mut engine::Options| options.connections = Some(2);
        let setting = Setting::with(backend, tcp(), all_to(addr), 1, few).await;
        let mut served = Vec::new();
        for _ in 0..2 {
            let mut client = setting.connect().await;
            client.write_all(b"x").await.unwrap();
            read(&mut client, "x").await;
            served.push(client);
        }
        let mut waiting = Vec::new();
        for _ in 0..5 {
            let mut client = setting.connect().await;
            client.write_all(b"hello").await.unwrap();
            waiting.push(client);
        }
        let Setting { gateway, .. } = setting;
        let open = || gateway.handle.stats().streams[0].open;
        within(async {
            while gateway.handle.stats().streams[0].pauses == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(open(), 2);
        // One of them goes, and one of those who wait has its place.
        drop(served.pop());
        read(&mut waiting[0], "hello").await;
        assert_eq!(open(), 2);
        let leaving = tokio::spawn(gateway.handle.shutdown(Duration::from_secs(60)));
        for client in &mut waiting[1..] {
            read(client, "hello").await;
        }
        drop((served, waiting));
        within(leaving).await.unwrap();
    }
}

#[tokio::test]
async fn who_is_left_at_the_limit_is_cut_off() {
    for backend in BACKENDS {
        let peer = Peer::listen().await;
        let setting = Setting::new(backend, tcp(), all_to(peer.addr)).await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push((setting.connect().await, peer.accept().await));
        }
        let since = Instant::now();
        let Setting { gateway, .. } = setting;
        within(gateway.handle.shutdown(Duration::from_millis(300))).await;
        assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
        for (client, upstream) in &mut clients {
            assert_eq!((rest(client).await, rest(upstream).await), (String::new(), String::new()));
        }
    }
}

/// Clients that connect again and again across the stop: each that was let in is served.
#[tokio::test]
async fn no_connection_is_lost_by_leaving() {
    for backend in BACKENDS {
        let addr = Peer::echo("!").await;
        let setting = Setting::with(backend, tcp(), all_to(addr), 2, |_| {}).await;
        let (served, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let crowd: Vec<_> = (0..16)
            .map(|_| {
                let (addr, served, is_over) = (setting.addr, served.clone(), is_over.clone());
                tokio::spawn(async move {
                    while !is_over.load(Ordering::Relaxed) {
                        let Ok(mut client) = TcpStream::connect(addr).await else { return };
                        if client.write_all(b"hello").await.is_err()
                            || client.shutdown().await.is_err()
                        {
                            continue; // reset before it was let in: not ours to lose
                        }
                        if rest(&mut client).await == "hello!" {
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        within(async {
            while served.load(Ordering::Relaxed) < 200 {
                tokio::task::yield_now().await
            }
        })
        .await;
        let Setting { gateway, log, .. } = setting;
        let meter = gateway.handle.meter();
        within(gateway.handle.shutdown(Duration::from_secs(30))).await;
        is_over.store(true, Ordering::Relaxed);
        for client in crowd {
            within(client).await.unwrap();
        }
        let stats = meter.stats().streams;
        assert!(stats.iter().all(|stats| stats.failed == 0 && stats.open == 0), "{stats:?}");
        // Each that was let in has its line, and its client has heard all.
        let lines = log.lock().unwrap().clone();
        assert!(lines.iter().all(|line| line.contains(" TCP 200 6 5 ")), "{lines:?}");
        assert_eq!(lines.len(), served.load(Ordering::Relaxed));
        let accepted: u64 = stats.iter().map(|stats| stats.accepted).sum();
        assert_eq!(lines.len() as u64, accepted);
    }
}

#[tokio::test]
async fn an_engine_that_is_dropped_leaves_at_once() {
    for backend in BACKENDS {
        let peer = Peer::listen().await;
        let setting = Setting::new(backend, tcp(), all_to(peer.addr)).await;
        let mut client = setting.connect().await;
        let _upstream = peer.accept().await;
        drop(setting);
        assert_eq!(rest(&mut client).await, "");
    }
}
