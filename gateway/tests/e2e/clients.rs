//! Clients that others wrote: curl, h2load and openssl, over HTTP/2 and TLS.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{DbLess, Origin, Pair, Site, free_port};

/// A node without a database that speaks HTTP/2, with TLS and without.
struct Served {
    site: Site,
    node: DbLess,
    /// Gone when dropped.
    _origin: Origin,
    secure: SocketAddr,
    pair: Pair,
}

impl Served {
    /// Its certificate, its service and its route come with `POST /config`.
    async fn start() -> Served {
        let site = Site::new().await;
        let origin = Origin::start("shop").await;
        let mut node = DbLess::new(&site);
        let secure = free_port();
        node.process.set("proxy_listen", format!("{} http2, {secure} http2 ssl", node.proxy));
        node.start().await;
        let pair = Pair::generate(site.path(), "shown");
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let document = json!({
            "_format_version": "3.0",
            "certificates": [{
                "cert": read(&pair.cert), "key": read(&pair.key), "snis": [{ "name": "shop.test" }],
            }],
            "services": [{
                "name": "shop", "url": origin.url("/base"),
                "routes": [{ "name": "shop", "hosts": ["shop.test"], "paths": ["/shop"] }],
            }],
        });
        assert_eq!(node.load(&document.to_string()).await.status, 201);
        Served { site, node, _origin: origin, secure, pair }
    }

    /// What curl is told so that the name leads to this node.
    fn resolving(&self) -> [String; 2] {
        [self.node.proxy, self.secure].map(|at| format!("shop.test:{}:{}", at.port(), at.ip()))
    }
}

/// What a program says and whether it was content; none if this machine does not have it.
async fn run(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stderr(Stdio::piped());
    let Ok(output) = command.output().await else {
        eprintln!("skipped: {program} is not installed");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), if said.is_empty() { errors.into_owned() } else { said }))
}

#[tokio::test]
async fn curl_is_served_over_http2() {
    let served = Served::start().await;
    let [plain, secure] = served.resolving();
    let body: String = (0..20_000).map(|number| format!("{number:06}")).collect();
    let file = served.site.path().join("body");
    fs::write(&file, &body).unwrap();
    let upload = format!("@{}", file.display());
    let ports = (served.node.proxy.port(), served.secure.port());
    for (version, scheme, port, expected) in [
        ("--http2-prior-knowledge", "http", ports.0, "2"),
        ("--http2", "https", ports.1, "2"),
        ("--http1.1", "https", ports.1, "1.1"),
        // The offer to switch is not taken up, and does no harm.
        ("--http2", "http", ports.0, "1.1"),
    ] {
        let url = format!("{scheme}://shop.test:{port}/shop/x?y=1");
        let to = ["--resolve", &plain, "--resolve", &secure];
        let what = ["--insecure", "--silent", "--show-error", "--data-binary", &upload];
        let written = ["--write-out", "\n%{http_version} %{http_code}", version, &url];
        let Some((content, said)) = run("curl", &[&to[..], &what, &written].concat()).await else {
            return;
        };
        assert!(content, "{version} {scheme}: {said}");
        let (answer, status) = said.rsplit_once('\n').unwrap();
        assert_eq!(status, format!("{expected} 200"), "{version} {scheme}");
        let seen: Value = serde_json::from_str(answer).unwrap();
        assert_eq!((&seen["method"], &seen["target"]), (&json!("POST"), &json!("/base/x?y=1")));
        assert!(seen["body"] == body.as_str(), "{version} {scheme}: the body has changed");
        assert_eq!(seen["headers"]["x-forwarded-proto"], scheme);
        let via = format!("{expected} gateway/{}", model::VERSION);
        assert_eq!(seen["headers"]["via"], via);
    }
}

/// Many streams of several connections at a time, and not one of them lost.
#[tokio::test]
async fn h2load_loses_nothing() {
    let served = Served::start().await;
    let (plain, secure) = (served.node.proxy, served.secure);
    for url in [format!("http://{plain}/shop/x"), format!("https://{secure}/shop/x")] {
        let args = ["-n", "3000", "-c", "8", "-m", "32", "-H", ":authority: shop.test", &url];
        let Some((content, said)) = run("h2load", &args).await else { return };
        assert!(content, "{url}: {said}");
        let line = said.lines().find(|line| line.starts_with("requests: ")).unwrap_or_default();
        let expected = "requests: 3000 total, 3000 started, 3000 done, 3000 succeeded, 0 failed, 0 errored, 0 timeout";
        assert_eq!(line, expected, "{url}: {said}");
        assert!(said.contains("Application protocol: h2"), "{url}: {said}");
        let line = said.lines().find(|line| line.starts_with("status codes: ")).unwrap_or_default();
        assert_eq!(line, "status codes: 3000 2xx, 0 3xx, 0 4xx, 0 5xx", "{url}: {said}");
    }
}

/// The certificate that was posted is shown for its name, and another for every other name.
#[tokio::test]
async fn openssl_is_shown_the_certificate_of_its_name_and_agrees_on_http2() {
    let served = Served::start().await;
    let at = served.secure.to_string();
    for (name, protocols, subject, agreed) in [
        ("shop.test", "h2,http/1.1", "kong_clustering", "ALPN protocol: h2"),
        ("shop.test", "http/1.1", "kong_clustering", "ALPN protocol: http/1.1"),
        ("other.test", "h2", "localhost", "ALPN protocol: h2"),
    ] {
        let args = ["s_client", "-connect", &at, "-servername", name, "-alpn", protocols];
        let Some((_, said)) = run("openssl", &args).await else { return };
        let unspaced = said.replace(" = ", "="); // as newer releases write it
        assert!(unspaced.contains(&format!("CN={subject}")), "{name}: {said}");
        assert!(said.contains(agreed), "{name} {protocols}: {said}");
        assert!(said.contains("TLSv1.3"), "{name}: {said}");
    }
    let args = ["s_client", "-connect", &at, "-servername", "shop.test"];
    let Some((_, said)) = run("openssl", &args).await else { return };
    let posted = fs::read_to_string(&served.pair.cert).unwrap();
    assert!(said.contains(posted.trim_end()), "{said}");
}
