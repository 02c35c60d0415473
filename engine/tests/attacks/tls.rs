//! Handshakes, and what comes instead of them.

use super::hello::Hello;
use super::pem::{certificate, ec, sni};
use super::support::{Gateway, Origin, one, within};
use engine::Options;
use engine::options::{Listen, TlsVersion};
use model::Config;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

const GET: &str = "GET /r HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn secure(options: &mut Options) {
    options.listen = vec![Listen::tls(([127, 0, 0, 1], 0).into())];
}

/// What `openssl s_client` says when it says this.
async fn s_client(
    gateway: &Gateway,
    args: &'static [&'static str],
    input: &'static str,
) -> Option<String> {
    let address = gateway.addr.to_string();
    let run = move || {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &address]).args(args);
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().ok()?;
        client.stdin.take()?.write_all(input.as_bytes()).ok()?;
        let said = client.wait_with_output().ok()?;
        Some(String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    };
    let said = within(tokio::task::spawn_blocking(run)).await.unwrap();
    if said.is_none() {
        println!("skipped: there is no openssl");
    }
    said
}

/// Each would cost us a handshake within a connection that has had one: the library refuses.
#[tokio::test]
async fn a_client_cannot_renegotiate() {
    let gateway = Gateway::with(Config::default(), 1, secure).await;
    // `R` on a line of its own is s_client's word for it.
    let Some(said) = s_client(&gateway, &["-tls1_2"], "R\n").await else { return };
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(said.contains("no renegotiation"), "{said}");
    assert_eq!(gateway.handle.stats().workers[0].handshakes, 1);
}

#[tokio::test]
async fn old_versions_are_not_spoken() {
    let gateway = Gateway::with(Config::default(), 1, secure).await;
    for version in
        [&["-tls1", "-cipher", "ALL:@SECLEVEL=0"][..], &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]]
    {
        let Some(said) = s_client(&gateway, version, "").await else { return };
        assert!(
            said.contains("alert protocol version") || said.contains("no protocols available"),
            "{said}"
        );
    }
    assert_eq!(gateway.handle.stats().workers[0].handshakes, 0);
    let old = Hello { newest: Some(TlsVersion::V1_2), ..Hello::to("a.test") };
    assert!(old.with(gateway.addr).await.is_ok());
}

/// Records that hold no handshake, one that goes on for ever, and none at all.
#[tokio::test]
async fn what_is_no_handshake_is_cut_off() {
    let gateway = Gateway::with(Config::default(), 1, |options| {
        secure(options);
        options.door.head_timeout = Duration::from_millis(300);
    })
    .await;
    let large = [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 0x3ffb]].concat();
    let endless: Vec<u8> = [22, 3, 1, 0, 1, 1].repeat(10_000);
    let alerts = [21, 3, 3, 0, 2, 1, 0].repeat(10_000);
    let said: [(&str, &[u8]); 7] = [
        ("nothing", b""),
        ("garbage", &[0xff; 4000]),
        ("half a record", &[22, 3, 1, 0, 200, 1, 0]),
        ("a hello of 16 MiB", &large),
        ("a hello in pieces of a byte", &endless),
        ("alerts", &alerts),
        ("a record too large", &[22, 3, 3, 0xff, 0xff]),
    ];
    let count = said.len() as u64;
    for (name, said) in said {
        let mut client = gateway.connect().await;
        let _cut_off =
            within(tokio::io::AsyncWriteExt::write_all(&mut client.0.stream, said)).await;
        let mut answer = Vec::new();
        let _reset_or_end = within(client.0.stream.read_to_end(&mut answer)).await;
        assert!(answer.len() < 100, "{name}: {answer:?}");
    }
    within(async {
        while gateway.handle.stats().handshakes_failed() < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gateway.handle.stats().open(), 0);
}

/// A connection may ask for whom it likes: routes that care for the server name see that of the
/// handshake, not what `Host` says, so neither stands in for the other.
#[tokio::test]
async fn host_and_server_name_do_not_stand_in_for_each_other() {
    let origin = Origin::plain().await;
    let config = one(&origin.url("/"), |r| {
        r.path("/r")
            .with("snis", serde_json::json!(["inner.test"]))
            .with("protocols", serde_json::json!(["https"]))
    });
    let gateway = Gateway::with(config, 1, secure).await;
    let inner = "GET /r HTTP/1.1\r\nHost: inner.test\r\n\r\n";
    for (name, request, status) in [
        ("inner.test", GET, 200),
        ("inner.test", inner, 200),
        ("a.test", inner, 404),
        ("a.test", GET, 404),
    ] {
        let mut client = Hello::to(name).with(gateway.addr).await.unwrap();
        assert_eq!(client.ask(request).await.status, status, "{name} {request:?}");
    }
    let mut nameless = Hello::default().with(gateway.addr).await.unwrap();
    assert_eq!(nameless.ask(inner).await.status, 404);
}

/// Certificates change while clients shake hands, and none is left without one.
#[tokio::test]
async fn certificates_change_under_load() {
    let gateway = Gateway::with(Config::default(), 2, secure).await;
    let (addr, stop) = (gateway.addr, tokio::sync::watch::channel(false));
    let (stopping, stopped) = stop;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut shown = 0;
                while !*stopped.borrow() {
                    let subject = Hello::to("a.test").with(addr).await.unwrap().subject();
                    assert!(["localhost", "odd", "even"].contains(&subject.as_str()), "{subject}");
                    shown += 1;
                }
                shown
            })
        })
        .collect();
    let (odd, even) = (certificate(&ec("odd"), None), certificate(&ec("even"), None));
    for version in 1..=12 {
        let shown = if version % 2 == 0 { &even } else { &odd };
        let mut config = Config::default();
        config.write(shown.clone());
        config.write(sni("a.test", shown));
        gateway.apply(1 + version, config).await;
        let subject = Hello::to("a.test").with(addr).await.unwrap().subject();
        assert_eq!(subject, if version % 2 == 0 { "even" } else { "odd" });
    }
    stopping.send_replace(true);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    assert_eq!(gateway.handle.stats().handshakes_failed(), 0);
}
