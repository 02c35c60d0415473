//! What a connection costs that has been served and does nothing. Measured in a process of its own, this
//! program started again for one test.

use super::GET;
use super::support::{Client, Gateway, Wire, one, within};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// Says how many clients a child is to have.
const CHILD: &str = "GATEWAY_TEST_IDLE";

/// Bytes that are in memory of this process and of nobody else.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

/// An origin that keeps nothing of what it is sent.
async fn forgetful() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut wire = Wire::new(stream);
                while wire.head().await.is_some() {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                    wire.stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    addr
}

/// Nothing, unless it is told to.
#[tokio::test]
async fn in_a_process_of_its_own() {
    let Some(clients) = std::env::var(CHILD).ok().and_then(|text| text.parse().ok()) else {
        return;
    };
    let url = format!("http://{}", forgetful().await);
    let gateway = Gateway::start(one(&url, |r| r.path("/r"))).await;
    // Once in peace, for whatever is allocated only once.
    let warm = crowd(gateway.addr, true, 100).await;
    let before = resident();
    let served = crowd(gateway.addr, true, clients).await;
    let both_ends = resident().saturating_sub(before);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let before = resident();
    let unheard = crowd(nobody.local_addr().unwrap(), false, 100).await;
    let one_end = resident().saturating_sub(before) / 100;
    println!("each {} bytes", (both_ends / clients).saturating_sub(one_end));
    // That all leave at once is nothing to it either.
    drop((warm, served, unheard));
    let gone = async {
        while gateway.handle.stats().open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(gone).await;
    assert_eq!(gateway.ask(GET).await.text(), "hello");
}

async fn crowd(addr: SocketAddr, asks: bool, size: usize) -> Vec<Client> {
    let mut clients = Vec::with_capacity(size);
    for _ in 0..size {
        let mut client = Client::connect(addr).await;
        if asks {
            assert_eq!(client.ask(GET).await.text(), "hello");
            client.0.buffer = Vec::new();
        }
        clients.push(client);
    }
    clients
}

#[test]
fn an_idle_connection_holds_less_than_8_kib() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["idle::in_a_process_of_its_own", "--exact", "--nocapture"]).env(CHILD, "4000");
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let each = said.split("each ").nth(1).and_then(|rest| rest.split(' ').next());
    let each: usize = each.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    println!("an idle connection holds {each} bytes");
    assert!(each <= 8 * 1024, "{each} bytes");
}
