//! Streams through real processes: configured on a control plane, carried by a data plane.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::Command;

use crate::support::{ControlPlane, DataPlane, PATIENCE, Pair, Site, free_port, within};

/// A cluster whose data plane takes streams in three ways.
struct Streams {
    control_plane: ControlPlane,
    data_plane: DataPlane,
    plain: SocketAddr,
    secure: SocketAddr,
    datagrams: SocketAddr,
}

impl Streams {
    async fn new(site: &Site) -> Self {
        let control_plane = site.control_plane().await;
        let mut data_plane = DataPlane::new(site, control_plane.cluster);
        let (plain, secure) = (free_port(), free_port());
        let datagrams = plain; // TCP and UDP may have the same
        let listen = format!("{plain}, {secure} ssl, {datagrams} udp");
        data_plane.process.set("stream_listen", listen);
        data_plane.process.set("proxy_stream_access_log", "logs/streams.log");
        data_plane.start().await;
        Self { control_plane, data_plane, plain, secure, datagrams }
    }

    /// A service at this address, and a route to it.
    async fn expose(&self, protocol: &str, to: SocketAddr, route: serde_json::Value) {
        let name = route["name"].as_str().unwrap().to_owned();
        let (host, port) = (to.ip().to_string(), to.port());
        let service = json!({ "name": name, "protocol": protocol, "host": host, "port": port });
        self.control_plane.post("/services", service).await;
        self.control_plane.post(&format!("/services/{name}/routes"), route).await;
    }

    /// What was logged, once it is so much.
    async fn logged(&self, count: usize) -> Vec<String> {
        let log = self.data_plane.process.prefix().join("logs/streams.log");
        within(PATIENCE, async || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count { Ok(lines) } else { Err(text) }
        })
        .await
    }
}

/// Says who it is, and then what it hears.
async fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                to.write_all(name.as_bytes()).await?;
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

async fn say(at: SocketAddr, text: &str) -> Result<String, String> {
    let mut client = TcpStream::connect(at).await.map_err(|error| error.to_string())?;
    client.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
    client.shutdown().await.map_err(|error| error.to_string())?;
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.map_err(|error| error.to_string())?;
    Ok(heard)
}

#[tokio::test]
async fn streams_and_datagrams_reach_the_services_of_their_routes() {
    let site = Site::new().await;
    let streams = Streams::new(&site).await;
    let anywhere = json!([{ "ip": "127.0.0.0/8" }]);
    let here = json!([{ "port": streams.plain.port() }]);
    let tcp = json!({ "name": "tcp", "protocols": ["tcp"], "destinations": here });
    streams.expose("tcp", echo("(echo) ").await, tcp).await;
    within(PATIENCE, async || match say(streams.plain, "hello").await? {
        heard if heard == "(echo) hello" => Ok(()),
        heard => Err(heard),
    })
    .await;

    let origin = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = origin.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 100];
        while let Ok((length, from)) = origin.recv_from(&mut buffer).await {
            origin.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    let udp = json!({ "name": "udp", "protocols": ["udp"], "sources": anywhere });
    streams.expose("udp", at, udp).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(streams.datagrams).await.unwrap();
    within(PATIENCE, async || {
        client.send(b"hello").await.unwrap();
        let mut buffer = [0; 100];
        let heard = tokio::time::timeout(PATIENCE / 20, client.recv(&mut buffer)).await;
        match heard {
            Ok(Ok(length)) if &buffer[..length] == b"hello" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    let lines = streams.logged(1).await;
    let line = lines.iter().find(|line| line.contains(" TCP 200 ")).expect("one that went well");
    assert!(line.starts_with("127.0.0.1 [") && line.contains("] TCP 200 12 5 0."), "{line}");
    let report = streams.data_plane.report().await.unwrap();
    let thread = &report["streams"][0];
    assert_eq!((&thread["stuck"], &thread["panics"]), (&json!(false), &json!(0)), "{report}");
    let backend = thread["backend"].as_str().unwrap();
    streams.data_plane.process.says(&["streams are waited for with", backend]).await;
}

#[tokio::test]
async fn tls_is_opened_or_passed_on_by_name() {
    let site = Site::new().await;
    let streams = Streams::new(&site).await;
    let pair = Pair::generate(site.path(), "shown");
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let certificate = json!({
        "cert": read(&pair.cert), "key": read(&pair.key), "snis": ["open.test"],
    });
    streams.control_plane.post("/certificates", certificate).await;
    let opened = json!({ "name": "open", "protocols": ["tls"], "snis": ["open.test"] });
    streams.expose("tcp", echo("(opened) ").await, opened).await;
    // What is behind it speaks TLS itself: another listener of ours.
    let inner = json!({ "name": "in", "protocols": ["tls"], "snis": ["passed.test"] });
    let far = Streams::new(&site).await;
    far.expose("tcp", echo("(passed) ").await, inner).await;
    let passed = json!({
        "name": "passed", "protocols": ["tls_passthrough"], "snis": ["passed.test"],
    });
    streams.expose("tcp", far.secure, passed).await;

    for (name, subject, greeting) in [
        ("open.test", "CN = kong_clustering", "(opened) "),
        ("passed.test", "CN = localhost", "(passed) "),
    ] {
        within(PATIENCE, async || {
            let said = ask(streams.secure, name, "hello").await;
            let is_right = [subject, greeting, "hello"].iter().all(|words| said.contains(words));
            if is_right { Ok(()) } else { Err(said) }
        })
        .await;
    }
}

/// What openssl says of a handshake for this name and of what it hears, up to these words.
async fn ask(at: SocketAddr, name: &str, last: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-ign_eof", "-servername", name, "-connect", &at.to_string()]);
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = openssl.kill_on_drop(true).spawn().expect("openssl, a client not of ours");
    client.stdin.take().unwrap().write_all(b"hello\n").await.unwrap();
    let (mut said, mut out) = (String::new(), client.stdout.take().unwrap());
    let mut buffer = [0; 4096];
    while !said.contains(last) {
        let heard = tokio::time::timeout(PATIENCE / 4, out.read(&mut buffer)).await;
        let Ok(Ok(count @ 1..)) = heard else { break };
        said += &String::from_utf8_lossy(&buffer[..count]);
    }
    said
}

#[tokio::test]
async fn quit_lets_streams_end_and_stop_does_not() {
    for (signal, is_patient) in [(Signal::QUIT, true), (Signal::TERM, false)] {
        let site = Site::new().await;
        let mut streams = Streams::new(&site).await;
        let here = json!([{ "port": streams.plain.port() }]);
        let tcp = json!({ "name": "tcp", "protocols": ["tcp"], "destinations": here });
        streams.expose("tcp", echo("!").await, tcp).await;
        within(PATIENCE, async || match say(streams.plain, "").await? {
            heard if heard == "!" => Ok(()),
            heard => Err(heard),
        })
        .await;
        let mut client = TcpStream::connect(streams.plain).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut first = [0; 6];
        client.read_exact(&mut first).await.unwrap();
        streams.data_plane.process.signal(signal);
        let mut rest = Vec::new();
        if is_patient {
            within(PATIENCE, async || match TcpStream::connect(streams.plain).await {
                Ok(_) => Err("somebody still listens".to_owned()),
                Err(_) => Ok(()),
            })
            .await;
            client.write_all(b" there").await.unwrap();
            client.shutdown().await.unwrap();
        }
        let _reset_or_end = client.read_to_end(&mut rest).await;
        let expected: &[u8] = if is_patient { b" there" } else { b"" };
        assert_eq!(rest, expected, "{signal:?}");
        assert!(streams.data_plane.process.exited(PATIENCE).await.success());
    }
}
