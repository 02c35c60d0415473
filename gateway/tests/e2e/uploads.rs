//! Bodies that go too far, or that there is no room for: what clients of others' making are told.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{DbLess, Http, Origin, PATIENCE, Site, free_port, within};

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
        let site = Site::on(super::LANE).await;
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

/// A file system of its own, of a mebibyte: what does not fit is our fault, and leaves nothing behind.
#[tokio::test]
async fn on_a_full_disk_uploads_fail_one_by_one() {
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path().display().to_string();
    let mount = format!("mount -t tmpfs -o size=1m none {path}");
    let may_mount = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output().await;
    if !may_mount.is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: no file system may be mounted here");
    }
    let served = Served::start(|node| {
        let start = format!("{mount} && exec \"$0\" \"$@\"");
        node.process.launch_by(&["unshare", "-rm", "sh", "-c", &start]);
        node.process.set("nginx_http_client_body_temp_path", path);
    })
    .await;
    let http = Http::new();
    for version in VERSIONS {
        let Some(said) = served.curl(version, "/kept").await else { return };
        let (body, codes) = said.split_once("} ").unwrap_or_default();
        assert!(body.contains("\"An unexpected error occurred\""), "{version}: {said}");
        assert_eq!(codes, "500 0", "{version}");
        // What was kept of it is gone.
        let fits = Some("x".repeat(900 << 10));
        let sent = http.send("POST", served.node.proxy, "/kept", &[], fits).await;
        assert_eq!(sent.unwrap().status, 200, "{version}");
    }
    served
        .node
        .process
        .says(&["the request's body cannot be kept", "No space left on device"])
        .await;
}

/// Begins an upload that is too long for memory, and ends it when it is told to. Says how it was
/// answered.
async fn upload(at: SocketAddr, mut go_on: watch::Receiver<bool>) -> String {
    const HALF: usize = 100_000;
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head = format!("POST /kept HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 2 * HALF);
    let half = vec![b'x'; HALF];
    // Who is answered early may be cut off while it is still sending.
    let _cut = stream.write_all(&[head.as_bytes(), &half].concat()).await;
    let mut line = [0; 12];
    let told = tokio::select! {
        read = stream.read_exact(&mut line) => read.is_ok(),
        () = async { drop(go_on.wait_for(|go| *go).await) } => {
            let _cut = stream.write_all(&half).await;
            stream.read_exact(&mut line).await.is_ok()
        }
    };
    if told { String::from_utf8_lossy(&line[9..]).into_owned() } else { "none".to_owned() }
}

/// Seconds of CPU it has used.
fn cpu(node: &DbLess) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", node.process.id())).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// A process that may have few descriptors, and more clients than it has: those who have to wait do,
/// those who cannot be served are told so, and operators still see what is wrong.
#[tokio::test]
async fn without_descriptors_it_goes_on_answering() {
    let mut served = Served::start(|node| {
        node.process.launch_by(&["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
        node.process.set("nginx_worker_processes", 2);
    })
    .await;
    let (go_on, told) = watch::channel(false);
    let mut uploads = JoinSet::new();
    for _ in 0..100 {
        uploads.spawn(upload(served.node.proxy, told.clone()));
    }
    // Some are refused, and some wait: for their rest to be sent, or to be accepted.
    let first = uploads.join_next().await.unwrap().unwrap();
    assert_eq!(first, "503");
    let starts = std::time::Instant::now();
    let used = cpu(&served.node);
    let report = within(PATIENCE, async || {
        let report = served.node.report().await;
        let mut workers = report["workers"].as_array().unwrap().iter();
        let paused = workers.any(|worker| worker["accepting_paused"].as_u64() > Some(0));
        paused.then_some(()).ok_or_else(|| report.to_string())
    });
    report.await;
    assert_eq!(served.node.ask("/status").await.status, 200);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await; // for the CPU it takes
    let busy = (cpu(&served.node) - used) / starts.elapsed().as_secs_f64();
    assert!(busy < 0.5, "{busy} CPUs");

    go_on.send_replace(true);
    let mut answers = vec![first];
    while let Some(answer) = tokio::time::timeout(PATIENCE, uploads.join_next()).await.unwrap() {
        answers.push(answer.unwrap());
    }
    let count = |status: &str| answers.iter().filter(|answer| *answer == status).count();
    assert!(count("200") > 0, "{answers:?}");
    assert_eq!(count("200") + count("503"), 100, "{answers:?}");
    within(PATIENCE, async || served.node.get("/kept").await?.with_status(200)).await;
    served.node.process.assert_alive();
}
