//! How much one client can make us remember.
//!
//! Each attack runs in a process of its own, this program started again for one test, and says
//! by how much it grew: what other tests allocate at the same time is none of it.

use super::frames::*;
use super::support::{Gateway, one, within};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// Says which attack a child runs.
const ATTACK: &str = "GATEWAY_TEST_ATTACK";
const MIB: usize = 1 << 20;

/// Bytes that are in memory of this process and of nobody else.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

/// By how much a child grew that ran this attack.
fn grown_by(attack: &str) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let (_, here) = module_path!().split_once("::").unwrap(); // without the name of the program
    let test = format!("{here}::in_a_process_of_its_own");
    child.args([&test, "--exact", "--nocapture"]).env(ATTACK, attack);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let grown = said.split("grown by ").nth(1).and_then(|rest| rest.split(' ').next());
    grown.unwrap_or_else(|| panic!("{said}")).parse().unwrap()
}

/// Nothing, unless it is told which.
#[tokio::test]
async fn in_a_process_of_its_own() {
    let Ok(attack) = std::env::var(ATTACK) else { return };
    let url = format!("http://{}/", endless().await);
    let gateway = Gateway::with(one(&url, |r| r.path("/r")), 1, |options| {
        options.listen[0].http2 = true;
    })
    .await;
    // Once in peace, for whatever is allocated only once.
    let mut client = Frames::begin(&gateway, &[]).await;
    client.send(HEADERS, WHOLE, 1, &get("/nowhere")).await;
    client.of(1).await.unwrap();
    let before = resident();
    let held = match attack.as_str() {
        "heads" => heads(&gateway).await,
        "responses" => responses(&gateway).await,
        "bodies" => bodies(&gateway).await,
        "lines" => lines(&gateway).await,
        other => panic!("no attack is called {other}"),
    };
    println!("grown by {} bytes", resident().saturating_sub(before));
    drop(held);
}

/// An origin that sends as much as is taken, and keeps none of it.
async fn endless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n";
                stream.write_all(head).await?;
                loop {
                    stream.write_all(&[b'x'; 16 * 1024]).await?;
                }
                #[allow(unreachable_code, reason = "names the type")]
                Ok::<(), std::io::Error>(())
            });
        }
    });
    addr
}

/// As many heads at a time as are allowed, each as large as the library takes, and no window for
/// their answers.
async fn heads(gateway: &Gateway) -> Vec<Frames> {
    let mut client = Frames::begin(gateway, &[(4, 0)]).await;
    // 34 bytes each, as they are counted: the shortest field there is, 2,000 times.
    let remembered = [&[0x40][..], &text(b"x"), &text(b"y")].concat();
    client.send(HEADERS, WHOLE, 1, &[get("/nowhere"), remembered].concat()).await;
    let block = [get("/nowhere"), vec![0xbe; 2000]].concat();
    for stream in 1..=127 {
        client.send(HEADERS, WHOLE, 1 + 2 * stream, &block).await;
    }
    for stream in 1..=127 {
        assert_eq!(client.of(1 + 2 * stream).await.unwrap().status(), Some(400));
    }
    vec![client]
}

/// As many endless responses at a time as are allowed, none of which is read.
async fn responses(gateway: &Gateway) -> Vec<Frames> {
    let mut client = Frames::begin(gateway, &[(4, i32::MAX as u32)]).await;
    client.send(WINDOW, 0, 0, &0x7fff_0000_u32.to_be_bytes()).await;
    for stream in 0..127 {
        client.send(HEADERS, WHOLE, 1 + 2 * stream, &get("/r")).await;
    }
    within(async {
        while gateway.handle.stats().requests() < 128 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Long enough for what fits to have come from the origin.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    vec![client]
}

/// Bodies that nobody reads yet, as far as their windows go.
async fn bodies(gateway: &Gateway) -> Vec<Frames> {
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut client = Frames::begin(gateway, &[]).await;
        for stream in 0..100 {
            let post = request(b"POST", b"/nowhere", b"a.test", &[]);
            client.send(HEADERS, END_HEADERS, 1 + 2 * stream, &post).await;
            client.send(DATA, 0, 1 + 2 * stream, &[b'x'; 10_000]).await;
            assert_eq!(client.of(1 + 2 * stream).await.unwrap().status(), Some(404));
        }
        held.push(client);
    }
    held
}

/// Heads of HTTP/1 that lack their last byte.
async fn lines(gateway: &Gateway) -> Vec<Frames> {
    let mut held = Vec::new();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}",
        format!("X: {}\r\n", "x".repeat(8000)).repeat(4)
    );
    let head = &head[..head.len() - 1];
    for _ in 0..64 {
        let mut client = super::support::Client::connect(gateway.addr).await;
        client.send(&head[..32_000]).await;
        held.push(Frames(client.0.stream));
    }
    // The worker is one, and serves in order: what it answers now it read after those.
    gateway.ask("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    held
}

/// A head is refused for having too many fields, and none of them is kept.
#[test]
fn heads_of_one_client_are_bounded() {
    let grown = grown_by("heads");
    assert!(grown < 12 * MIB, "{grown}");
}

/// What is on its way from an origin is bounded for each request; requests are for each client.
#[test]
fn responses_nobody_reads_are_bounded() {
    let grown = grown_by("responses");
    assert!(grown < 127 * MIB, "{grown}");
}

#[test]
fn bodies_nobody_reads_are_bounded() {
    let grown = grown_by("bodies");
    assert!(grown < 16 * MIB, "{grown}");
}

#[test]
fn half_heads_are_bounded() {
    let grown = grown_by("lines");
    assert!(grown < 64 * 80 * 1024, "{grown}");
}
