//! Starting, publishing under way, sharing connections out, leaving.

use super::GET;
use super::support::{Act, Client, Gateway, Origin, config, held, one, within};
use std::time::Duration;

#[tokio::test]
async fn workers_are_pinned_and_say_where() {
    let gateway = Gateway::with(config([], []), 2, |_| {}).await;
    let stats = gateway.handle.stats();
    assert_eq!(stats.workers.len(), 2);
    assert!(stats.workers.iter().all(|worker| worker.core.is_some()), "{stats:?}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let gateway = Gateway::start(config([], [])).await;
    let options = engine::Options {
        listen: vec![engine::options::Listen::plain(gateway.addr)],
        ..Default::default()
    };
    let (_revisions, followed) = tokio::sync::watch::channel(model::Revision::empty());
    let error = engine::Engine::start(options, followed).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", gateway.addr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_spread_evenly() {
    for connections in [64, 512] {
        let gateway = Gateway::with(config([], []), 8, |_| {}).await;
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(gateway.connect().await);
        }
        within(async {
            while gateway.handle.stats().open() < connections {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let stats = gateway.handle.stats();
        let busiest = stats.workers.iter().map(|worker| worker.open).max().unwrap();
        assert!(busiest * 8 * 4 <= connections * 5, "{connections}: {:?}", stats.workers);
        // Those that changed hands are served as well.
        for client in &mut clients {
            assert_eq!(client.ask(GET).await.status, 404);
        }
        assert_eq!(stats.accepted(), connections);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sees_one_revision() {
    let origin = Origin::start(|received| {
        let path = received.line.split(' ').nth(1).unwrap().to_owned();
        Act::ok(&format!("{path} {}", received.one("Host").unwrap()))
    })
    .await;
    // Path and service change together; the Host comes from the service, the path too.
    let pair = |version: u64| {
        let host = format!("127.0.0.{}", 1 + version % 2);
        let url = format!("http://{host}:{}/v{}", origin.addr.port(), version % 2);
        one(&url, |r| r.path("/r"))
    };
    let second = tokio::net::TcpListener::bind(("127.0.0.2", origin.addr.port())).await.unwrap();
    tokio::spawn(forward(second, origin.addr));
    let gateway = Gateway::with(pair(1), 2, |_| {}).await;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (addr, port) = (gateway.addr, origin.addr.port());
            tokio::spawn(async move {
                let mut client = Client::connect(addr).await;
                let mut seen = [0; 2];
                for _ in 0..100 {
                    let response = client.ask(GET).await;
                    let which = match response.text() {
                        text if text == format!("/v0 127.0.0.1:{port}") => 0,
                        text if text == format!("/v1 127.0.0.2:{port}") => 1,
                        mixed => panic!("{mixed}"),
                    };
                    seen[which] += 1;
                }
                seen
            })
        })
        .collect();
    for version in 2..60 {
        gateway.apply(version, pair(version)).await;
    }
    for client in clients {
        within(client).await.unwrap();
    }
}

/// Passes connections on: the same origin at another address.
async fn forward(listener: tokio::net::TcpListener, to: std::net::SocketAddr) {
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut to = tokio::net::TcpStream::connect(to).await.unwrap();
            tokio::io::copy_bidirectional(&mut from, &mut to).await.unwrap_or_default()
        });
    }
}

#[tokio::test]
async fn draining_makes_the_next_response_the_last() {
    let origin = Origin::plain().await;
    let gateway = Gateway::start(one(&origin.url(""), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(GET).await.one("Connection"), Some("keep-alive"));
    gateway.handle.drain();
    assert_eq!(client.ask(GET).await.one("Connection"), Some("close"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn shutting_down_waits_for_answers_and_accepts_no_more() {
    let (answer, answered) = tokio::sync::watch::channel(false);
    let origin = held(answered).await;
    let gateway = Gateway::start(one(&format!("http://{}", origin.addr), |r| r.path("/r"))).await;
    let mut client = gateway.connect().await;
    client.send(GET).await;
    within(origin.asked.notified()).await;
    let (addr, handle) = (gateway.addr, gateway.handle);
    let leaving = tokio::spawn(handle.shutdown(Duration::from_secs(60)));
    within(async {
        while tokio::net::TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    answer.send_replace(true);
    let response = client.response().await;
    assert_eq!((response.text(), response.one("Connection")), ("held", Some("close")));
    within(leaving).await.unwrap();
}

/// More than a task of the runtime takes at a time.
#[tokio::test]
async fn who_waits_for_a_place_has_one_when_the_rest_leave() {
    let origin = Origin::plain().await;
    let config = one(&origin.url(""), |r| r.path("/r"));
    let gateway = Gateway::with(config, 1, |options| options.connections = Some(1)).await;
    let mut first = gateway.connect().await;
    assert_eq!(first.ask(GET).await.status, 200);
    let mut waiting = Vec::new();
    for _ in 0..300 {
        let mut client = gateway.connect().await;
        client.send(GET).await;
        waiting.push(client);
    }
    assert_eq!(gateway.handle.stats().open(), 1);
    let leaving = tokio::spawn(gateway.handle.shutdown(Duration::from_secs(60)));
    for client in &mut waiting {
        assert_eq!(client.response().await.text(), "hello");
    }
    drop(first);
    within(leaving).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_stays_idle_is_cut_off_in_the_end() {
    let gateway = Gateway::start(config([], [])).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(GET).await.status, 404);
    within(gateway.handle.shutdown(Duration::from_millis(50))).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn beyond_the_places_there_are_clients_wait_their_turn() {
    let origin = Origin::plain().await;
    let config = one(&origin.url(""), |r| r.path("/r"));
    let gateway = Gateway::with(config, 1, |options| options.connections = Some(2)).await;
    let (mut one, mut two) = (gateway.connect().await, gateway.connect().await);
    for client in [&mut one, &mut two] {
        assert_eq!(client.ask(GET).await.status, 200);
    }
    let mut waiting = gateway.connect().await;
    waiting.send(GET).await;
    let paused = async {
        while gateway.handle.stats().pauses() == 0 {
            tokio::task::yield_now().await;
        }
    };
    within(paused).await;
    // Those who have a place are served meanwhile.
    assert_eq!(one.ask(GET).await.status, 200);
    assert_eq!(gateway.handle.stats().accepted(), 2);
    drop(two);
    assert_eq!(waiting.response().await.status, 200);
    assert_eq!(gateway.handle.stats().open(), 2);
}
