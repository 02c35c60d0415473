//! Bodies that go too far, or that there is no room for: what clients of others' making are told.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use crate::support::{DbLess, Origin, Site, free_port};

/// More than sockets and windows hold.
const LARGE: usize = 8 << 20;

/// A node with a route that waits for bodies, `/kept`, and one that does not, `/passed`.
struct Served {
    node: DbLess,
    secure: SocketAddr,
    large: PathBuf,
    /// Gone when dropped.
    _origin: Origin,
    _site: Site,
}

impl Served {
    async fn start(set: impl FnOnce(&mut DbLess)) -> Served {
        let site = Site::new().await;
        let origin = Origin::start("taker").await;
        let large = site.path().join("large");
        fs::write(&large, vec![b'x'; LARGE]).unwrap();
        let mut node = DbLess::new(&site);
        let secure = free_port();
        node.process.set("proxy_listen", format!("{} http2, {secure} http2 ssl", node.proxy));
        set(&mut node);
        node.start().await;
        let route = |path: &str, buffering: bool| json!({ "name": path[1..], "paths": [path], "request_buffering": buffering });
        let document = json!({
            "_format_version": "3.0",
            "services": [{
                "name": "taker", "url": origin.url("/"),
                "routes": [route("/kept", true), route("/passed", false)],
            }],
        });
        assert_eq!(node.load(&document.to_string()).await.status, 201);
        Served { node, secure, large, _origin: origin, _site: site }
    }

    /// Uploads with curl, which does not say how much is to come.
    async fn curl(&self, version: &str, path: &str) -> Option<String> {
        let url = match version {
            "--http2" => format!("https://{}{path}", self.secure),
            _ => format!("http://{}{path}", self.node.proxy),
        };
        let mut curl = Command::new("curl");
        curl.args(["-sk", "-m", "30", version, "-T", "-", "-w", " %{http_code} %{exitcode}", &url]);
        curl.stdin(File::open(&self.large).unwrap()).stderr(Stdio::null());
        let Ok(output) = curl.output().await else {
            eprintln!("skipped: curl is not installed");
            return None;
        };
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

const VERSIONS: [&str; 3] = ["--http1.1", "--http2-prior-knowledge", "--http2"];

#[tokio::test]
async fn curl_reads_why_its_upload_goes_no_further() {
    let served =
        Served::start(|node| node.process.set("nginx_http_client_max_body_size", "64k")).await;
    for version in VERSIONS {
        for path in ["/kept", "/passed"] {
            let Some(said) = served.curl(version, path).await else { return };
            let (body, codes) = said.split_once("} ").unwrap_or_default();
            assert!(body.contains("\"Payload too large\""), "{version} {path}: {said}");
            assert_eq!(codes, "413 0", "{version} {path}");
        }
    }
}

/// Many at a time on a connection, all of them longer than is allowed.
#[tokio::test]
async fn nghttp_reads_an_answer_to_every_upload() {
    let served =
        Served::start(|node| node.process.set("nginx_http_client_max_body_size", "64k")).await;
    let large = served.large.display().to_string();
    for path in ["/kept", "/passed"] {
        let url = format!("http://{}{path}", served.node.proxy);
        let mut nghttp = Command::new("nghttp");
        nghttp.args(["-v", "--no-content-length", "-m", "8", "-d", &large, &url]);
        let Ok(output) = nghttp.stdin(Stdio::null()).output().await else {
            return eprintln!("skipped: nghttp is not installed");
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let count = |what: &str| said.matches(what).count();
        assert_eq!((count(":status: 413"), count("Payload too large")), (8, 8), "{path}: {said}");
    }
}
