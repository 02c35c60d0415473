//! Stop, quit, drain; and the workers that serve in between.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use rustix::process::Signal;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::{
    ControlPlane, DataPlane, Http, Origin, PATIENCE, Reply, Site, free_port, within,
};

#[tokio::test]
async fn quit_lets_requests_end() {
    let site = Site::new().await;
    let mut busy = Busy::for_milliseconds(&site, "1500").await;
    busy.data_plane.process.signal(Signal::QUIT);
    let reply = busy.request.await.unwrap().expect("a request that has begun is answered");
    assert_eq!(reply.status, 200);
    let status = busy.data_plane.process.exited(PATIENCE).await;
    assert!(status.success(), "{status}");
    assert!(busy.data_plane.get("/slow").await.is_err(), "nobody is there");
}

#[tokio::test]
async fn stop_does_not_wait_for_requests() {
    let site = Site::new().await;
    let mut busy = Busy::for_milliseconds(&site, "20000").await;
    let start = Instant::now();
    busy.data_plane.process.signal(Signal::TERM);
    let status = busy.data_plane.process.exited(Duration::from_secs(8)).await;
    assert!(status.success(), "{status} after {:?}", start.elapsed());
    assert!(busy.request.await.unwrap().is_err(), "it was cut off");
}

/// A data plane that answers a request, and all that takes part in it.
struct Busy {
    data_plane: DataPlane,
    request: JoinHandle<Result<Reply, String>>,
    _control_plane: ControlPlane,
    _origin: Origin,
}

impl Busy {
    /// The request has reached its origin, which takes this long.
    async fn for_milliseconds(site: &Site, delay: &'static str) -> Self {
        let (control_plane, data_plane) = site.cluster().await;
        let origin = Origin::start("slow").await;
        control_plane.expose("slow", "/slow", &origin.url("/")).await;
        data_plane.answers("/slow", 200).await;

        let proxy = data_plane.proxy;
        let request = tokio::spawn(async move {
            Http::new().send("GET", proxy, "/slow/on-its-way", &[("x-delay", delay)], None).await
        });
        origin.has_received("/on-its-way").await;
        Self { data_plane, request, _control_plane: control_plane, _origin: origin }
    }
}

#[tokio::test]
async fn both_planes_end_well_when_told() {
    let site = Site::new().await;
    let (mut control_plane, mut data_plane) = site.cluster().await;
    control_plane.process.signal(Signal::TERM);
    assert!(control_plane.process.exited(PATIENCE).await.success());
    data_plane.process.says(&["lost control plane", "goodbye"]).await;
    control_plane.start().await;
    control_plane.process.signal(Signal::QUIT);
    assert!(control_plane.process.exited(PATIENCE).await.success());

    let said = text(&data_plane.process.run("quit"));
    assert_eq!(said, "Gateway stopped (gracefully)\n");
    assert!(data_plane.process.exited(PATIENCE).await.success());
    data_plane.start().await;
    assert_eq!(text(&data_plane.process.run("stop")), "Gateway stopped\n");
    assert!(data_plane.process.exited(PATIENCE).await.success());
}

#[tokio::test]
async fn a_draining_node_serves_but_is_not_ready() {
    let site = Site::new().await;
    let (control_plane, data_plane) = site.cluster().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    data_plane.answers("/a", 200).await;
    assert_eq!(data_plane.ready().await.status, 200);

    let post = async |body: &str| {
        let headers = [("content-type", "application/json")];
        let body = Some(body.to_owned());
        let at = data_plane.status;
        site.http.send("POST", at, "/status/ready", &headers, body).await.unwrap().status
    };
    assert_eq!(post(r#"{"status":"asleep"}"#).await, 400);
    assert_eq!(data_plane.ready().await.status, 200);
    assert_eq!(post(r#"{"status":"draining"}"#).await, 204);
    let ready = data_plane.ready().await;
    assert_eq!((ready.status, &ready.json()["message"]), (503, &Value::from("draining")));
    assert_eq!(data_plane.get("/a").await.unwrap().status, 200);

    let said = text(&control_plane.process.run("drain"));
    assert_eq!(said, "Gateway's status successfully changed to 'draining'\n");
}

#[tokio::test]
async fn workers_are_pinned_to_the_cores_they_may_use() {
    let site = Site::new().await;
    let allowed = allowed_cores();
    let data_plane = alone(&site, &[]).await;
    assert_eq!(cores(&data_plane).await, allowed, "one worker per core");

    let last = allowed.last().unwrap();
    let data_plane = alone(&site, &["taskset", "-c", &last.to_string()]).await;
    assert_eq!(cores(&data_plane).await, [*last], "no more than the process may use");
    drop(data_plane);
    connections_are_even(&site, &["taskset", "-c", &last.to_string()]).await;
}

#[tokio::test]
async fn what_the_express_lane_waits_with_is_said() {
    let site = Site::new().await;
    let data_plane = alone(&site, &[]).await;
    assert_eq!(data_plane.report().await.unwrap()["io_backend"]["name"], "tokio");
    drop(data_plane);

    let mut data_plane = DataPlane::new(&site, free_port());
    data_plane.process.set("io_backend", "io_uring");
    data_plane.start().await;
    let report = data_plane.report().await.unwrap();
    let backend = &report["io_backend"];
    let name = backend["name"].as_str().expect("a name");
    assert!(name.starts_with("io_uring") || backend["why"].is_string(), "{backend}");
    let log = data_plane.process.log();
    let said = if name == "tokio" { "io_uring cannot be used" } else { "runs on io_uring" };
    assert_eq!(log.matches(said).count(), 1, "{log}");
}

#[tokio::test]
async fn a_quota_counts_as_well_as_cores_do() {
    let site = Site::new().await;
    let Some(group) = Group::half_a_core() else {
        eprintln!("skipped: this machine lets nobody make a control group with a CPU quota");
        return;
    };
    let enter = format!("echo $$ > {} && exec \"$0\" \"$@\"", group.members().display());
    let data_plane = alone(&site, &["sh", "-c", &enter]).await;
    assert_eq!(cores(&data_plane).await.len(), 1, "half a core, rounded up");
    drop(data_plane);
    connections_are_even(&site, &["sh", "-c", &enter]).await;
}

/// However little of the machine eight workers have, none has much more than its share of 64 clients.
async fn connections_are_even(site: &Site, launcher: &[&str]) {
    const WORKERS: u64 = 8;
    const CLIENTS: u64 = 64;
    let mut data_plane = DataPlane::new(site, free_port());
    data_plane.process.launch_by(launcher);
    data_plane.process.set("workers", WORKERS);
    data_plane.start().await;
    let clients = (0..CLIENTS).map(|_| TcpStream::connect(data_plane.proxy));
    let _clients = try_join_all(clients).await.unwrap();
    let open = async || {
        let report = data_plane.report().await?;
        let workers = report["workers"].as_array().into_iter().flatten();
        let open: Vec<_> =
            workers.filter_map(|worker| worker["connections_active"].as_u64()).collect();
        let all = open.len() as u64 == WORKERS && open.iter().sum::<u64>() == CLIENTS;
        if all { Ok(open) } else { Err(report["workers"].to_string()) }
    };
    let open = within(PATIENCE, open).await;
    let most = open.iter().max().copied().unwrap_or_default();
    assert!(most * 4 <= CLIENTS / WORKERS * 5, "over 1.25 times the mean: {open:?}");
}

/// A data plane without a control plane, started by this command.
async fn alone(site: &Site, launcher: &[&str]) -> DataPlane {
    let mut data_plane = DataPlane::new(site, free_port());
    data_plane.process.launch_by(launcher);
    data_plane.start().await;
    data_plane
}

/// Where its workers are, by its own report.
async fn cores(data_plane: &DataPlane) -> Vec<usize> {
    let report = data_plane.report().await.unwrap();
    let workers = report["workers"].as_array().unwrap_or_else(|| panic!("no workers: {report}"));
    let core = |worker: &Value| worker["core"].as_u64().expect("pinned") as usize;
    workers.iter().map(core).collect()
}

fn allowed_cores() -> Vec<usize> {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A control group with half a core, where the machine allows one: version 2, else version 1.
struct Group(PathBuf);

impl Group {
    fn half_a_core() -> Option<Self> {
        let name = format!("gateway-test-{}", std::process::id());
        let make = |root: &str, quota: &str, value: &str| {
            let group = Self(PathBuf::from(root).join(&name));
            fs::create_dir(&group.0).ok()?;
            // The kernel makes this file where it has quotas; nothing else must.
            let quota = fs::OpenOptions::new().write(true).open(group.0.join(quota));
            quota.ok()?.write_all(value.as_bytes()).ok()?;
            Some(group)
        };
        make("/sys/fs/cgroup", "cpu.max", "50000 100000")
            .or_else(|| make("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "50000"))
    }

    fn members(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
