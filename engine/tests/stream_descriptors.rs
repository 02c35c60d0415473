//! What an engine with streams opens, it closes: alone in its process, so that it can be counted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "stream/setting.rs"]
mod setting;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "proxy/support.rs"]
mod support;

/// Streams take none.
const LANES: engine::options::Lanes = engine::options::Lanes { express: true };

use engine::options::StreamListen;
use setting::{BACKENDS, Peer, Setting, all_to, loopback, rest};
use std::time::Duration;
use support::within;

/// A runtime frees nothing that waits: whoever is cut off must have been told to end.
#[tokio::test]
async fn all_that_was_opened_is_closed_though_streams_were_cut_off() {
    let mut open = Vec::new();
    for round in 0..6 {
        let peer = Peer::listen().await;
        let listen = StreamListen::tcp(loopback());
        let setting = Setting::new(BACKENDS[round % 2], listen, all_to(peer.addr)).await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push((setting.connect().await, peer.accept().await));
        }
        assert!(descriptors() > 100);
        let Setting { gateway, .. } = setting;
        within(gateway.handle.shutdown(Duration::from_millis(100))).await;
        for (client, upstream) in &mut clients {
            assert_eq!((rest(client).await, rest(upstream).await), (String::new(), String::new()));
        }
        drop((clients, peer));
        let mut count = descriptors();
        // Other parts of an engine close theirs in the background.
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            count = count.min(descriptors());
        }
        open.push(count);
    }
    // What is made once in a process is there after the first rounds.
    assert!(open[5] <= open[1], "{open:?}");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
