//! Either side gone: the data plane serves what it knows, and catches up.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{ControlPlane, DataPlane, Origin, PATIENCE, Site, free_port, within};

/// A lost control plane is tried again after 5 to 10 seconds, and then it has to be met.
const RECONNECT: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_data_plane_outlives_its_control_plane_and_its_own_end() {
    let site = Site::new().await;
    let (mut control_plane, mut data_plane) = site.cluster().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    data_plane.answers("/a", 200).await;
    within(PATIENCE, async || cached(&control_plane, &data_plane).await).await;
    let (id, hash) = (data_plane.id().await, data_plane.hash().await.unwrap());

    control_plane.process.kill();
    data_plane.process.says(&["lost control plane"]).await;
    data_plane.answers("/a", 200).await;
    assert_eq!(data_plane.ready().await.status, 200, "an outage is not the data plane's");

    data_plane.process.kill();
    data_plane.start().await;
    assert_eq!(data_plane.get("/a").await.unwrap().status, 200, "from the first request on");
    assert_eq!(data_plane.ready().await.status, 200);
    assert_eq!(data_plane.hash().await.unwrap(), hash);
    assert_eq!(data_plane.id().await, id, "a restart does not make another node of it");

    control_plane.start().await;
    let again = control_plane.get("/routes/a").await;
    assert_eq!(again["paths"], json!(["/a"]), "what was answered is not lost by a kill");
    control_plane.patch("/routes/a", json!({ "paths": ["/b"] })).await;
    within(RECONNECT, async || data_plane.get("/b").await?.with_status(200)).await;
    within(PATIENCE, async || data_plane.is_joined(&control_plane).await).await;
    assert_eq!(data_plane.get("/a").await.unwrap().status, 404);
    let rows = control_plane.data_planes().await;
    assert_eq!(rows.len(), 1, "the same node again: {rows:?}");
}

#[tokio::test]
async fn a_change_that_was_effective_survives_a_kill() {
    let site = Site::new().await;
    let (mut control_plane, mut data_plane) = site.cluster().await;
    let origin = Origin::start("a").await;
    for path in ["/one", "/two", "/three"] {
        control_plane.expose(&path[1..], path, &origin.url("/")).await;
        data_plane.answers(path, 200).await;
        within(PATIENCE, async || cached(&control_plane, &data_plane).await).await;
    }
    control_plane.process.kill();
    for _ in 0..3 {
        data_plane.process.kill();
        data_plane.start().await;
        for path in ["/one", "/two", "/three"] {
            assert_eq!(data_plane.get(path).await.unwrap().status, 200, "{path}");
        }
    }
}

/// However a write is interrupted, what is found afterwards is whole.
#[tokio::test]
async fn a_data_plane_killed_between_any_two_writes_starts_again() {
    let site = Site::new().await;
    let (control_plane, mut data_plane) = site.cluster().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    data_plane.answers("/a", 200).await;
    within(PATIENCE, async || cached(&control_plane, &data_plane).await).await;

    let mut changes = 0;
    for round in 0..10 {
        // Whenever it comes: each kill meets the node elsewhere in its work than the one before.
        let killed = tokio::time::sleep(Duration::from_millis(20 + round * 7));
        tokio::pin!(killed);
        loop {
            let paths = json!({ "paths": ["/a", format!("/{changes}")] });
            tokio::select! {
                _ = control_plane.patch("/routes/a", paths) => changes += 1,
                () = &mut killed => break,
            }
        }
        data_plane.process.kill();
        data_plane.start().await;
        assert_eq!(data_plane.get("/a").await.unwrap().status, 200, "from the first request on");
        let log = data_plane.process.log();
        assert!(log.contains("starting from the configuration cache"), "{log}");
        assert!(!log.contains("is corrupt"), "{log}");
        within(PATIENCE, async || cached(&control_plane, &data_plane).await).await;
    }
    assert!(changes > 10, "only {changes} changes were made");
}

#[tokio::test]
async fn a_change_that_was_answered_outlives_the_control_plane() {
    let site = Site::new().await;
    let mut control_plane = site.control_plane().await;
    control_plane.post("/services", json!({ "name": "a", "host": "a.test" })).await;

    let (http, admin) = (control_plane.http.clone(), control_plane.admin);
    let writing = tokio::spawn(async move {
        let headers = [("content-type", "application/json")];
        let mut answered = Vec::new();
        for number in 0.. {
            let (name, path) = (format!("route-{number}"), format!("/{number}"));
            let body = json!({ "name": name, "paths": [path] }).to_string();
            let path = "/services/a/routes";
            match http.send("POST", admin, path, &headers, Some(body)).await {
                Ok(reply) => answered.push(reply.with_status(201).unwrap().json()),
                Err(_) => break, // nobody is there any more
            }
        }
        answered
    });
    within(PATIENCE, async || {
        let page = control_plane.get("/routes?size=1000").await;
        let count = page["data"].as_array().map_or(0, Vec::len);
        if count > 20 { Ok(()) } else { Err(format!("{count} routes")) }
    })
    .await;
    control_plane.process.kill();
    let answered = writing.await.unwrap();
    control_plane.start().await;
    assert!(!answered.is_empty());
    for route in answered {
        let path = format!("/routes/{}", route["id"].as_str().unwrap());
        assert_eq!(control_plane.get(&path).await, route);
    }
}

#[tokio::test]
async fn changes_missed_are_made_up_for_at_once() {
    let site = Site::new().await;
    let (control_plane, mut data_plane) = site.cluster().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    data_plane.answers("/a", 200).await;
    data_plane.process.kill();
    for number in 0..50 {
        control_plane.patch("/routes/a", json!({ "paths": [format!("/{number}")] })).await;
    }
    data_plane.start().await;
    within(PATIENCE, async || data_plane.is_joined(&control_plane).await).await;
    assert_eq!(data_plane.get("/49").await.unwrap().status, 200);
    assert_eq!(data_plane.get("/48").await.unwrap().status, 404);
}

#[tokio::test]
async fn a_frozen_control_plane_holds_nothing_up() {
    let site = Site::new().await;
    let (control_plane, data_plane) = site.cluster().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    data_plane.answers("/a", 200).await;
    control_plane.process.signal(Signal::STOP);
    for _ in 0..20 {
        assert_eq!(data_plane.get("/a").await.unwrap().status, 200);
    }
    control_plane.process.signal(Signal::CONT);
    control_plane.patch("/routes/a", json!({ "paths": ["/b"] })).await;
    data_plane.answers("/b", 200).await;
}

#[tokio::test]
async fn a_data_plane_that_has_never_met_anyone_serves_nothing() {
    let site = Site::new().await;
    let mut data_plane = DataPlane::new(&site, free_port());
    data_plane.start().await;
    let reply = data_plane.get("/any").await.unwrap();
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["message"], "no Route matched with those values");
    assert_eq!(data_plane.hash().await.unwrap(), "0".repeat(32));
    let ready = data_plane.ready().await;
    assert_eq!(ready.status, 503);
    let why = ready.json()["message"].as_str().unwrap().to_owned();
    assert!(why.starts_with("no configuration available"), "{why}");
    data_plane.process.says(&["cannot reach control plane"]).await;
}

#[tokio::test]
async fn a_fallback_file_serves_until_the_control_plane_says_more() {
    let site = Site::new().await;
    let origin = Origin::start("file").await;
    let file = site.path().join("fallback.yml");
    let text = format!(
        "_format_version: \"3.0\"\nservices:\n- name: file\n  url: {}\n  routes:\n  - name: file\n    paths: [/file]\n",
        origin.url("/")
    );
    fs::write(&file, text).unwrap();
    let mut control_plane = ControlPlane::new(&site);
    let mut data_plane = DataPlane::new(&site, control_plane.cluster);
    data_plane.process.set("declarative_config", file.display());
    data_plane.start().await;
    assert_eq!(data_plane.get("/file").await.unwrap().json()["origin"], "file");

    control_plane.start().await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    within(RECONNECT, async || data_plane.get("/a").await?.with_status(200)).await;
    assert_eq!(data_plane.get("/file").await.unwrap().status, 404, "the control plane's counts");
    within(PATIENCE, async || cached(&control_plane, &data_plane).await).await;

    control_plane.process.kill();
    data_plane.process.kill();
    data_plane.start().await;
    assert_eq!(data_plane.get("/a").await.unwrap().status, 200, "the cache goes before the file");
    assert_eq!(data_plane.get("/file").await.unwrap().status, 404);
}

#[tokio::test]
async fn a_cache_that_is_removed_is_written_anew_without_a_control_plane() {
    let site = Site::new().await;
    let (mut control_plane, mut data_plane) = site.cluster().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    data_plane.answers("/a", 200).await;
    within(PATIENCE, async || cached(&control_plane, &data_plane).await).await;
    control_plane.process.kill();

    fs::remove_dir_all(data_plane.cache()).unwrap();
    within(PATIENCE, async || is_whole(&data_plane.cache())).await;
    data_plane.process.says(&["[warn]", "was removed or replaced while in use"]).await;
    data_plane.process.kill();
    data_plane.start().await;
    assert_eq!(data_plane.get("/a").await.unwrap().status, 200, "from the first request on");
}

/// A generation appears under its number once it is whole.
fn is_whole(cache: &Path) -> Result<(), String> {
    let names = fs::read_dir(cache).map_err(|error| error.to_string())?;
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let mut names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    if names.any(|name| is_number(&name)) { Ok(()) } else { Err("no generation".to_owned()) }
}

#[tokio::test]
async fn a_node_is_provisioned_in_an_outage_by_copying_a_cache() {
    let site = Site::new().await;
    let (mut control_plane, mut donor) = site.cluster().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    donor.answers("/a", 200).await;
    within(PATIENCE, async || cached(&control_plane, &donor).await).await;
    let id = donor.id().await;
    control_plane.process.kill();
    donor.process.kill();

    let mut heir = DataPlane::new(&site, control_plane.cluster);
    copy(&donor.cache(), &heir.cache());
    heir.start().await;
    assert_eq!(heir.get("/a").await.unwrap().status, 200);
    assert_ne!(heir.id().await, id, "a copied configuration is not a copied identity");

    control_plane.start().await;
    within(RECONNECT, async || heir.is_joined(&control_plane).await).await;
}

/// What the data plane serves is on its disk, says the control plane.
async fn cached(control_plane: &ControlPlane, data_plane: &DataPlane) -> Result<(), String> {
    let row = data_plane.is_joined(control_plane).await?;
    // Of what it serves now, not of what it served when it was heard of last.
    let is_newest = row["config_hash"] == data_plane.hash().await?;
    if is_newest && row["cached"] == true { Ok(()) } else { Err(format!("not cached: {row}")) }
}

/// A directory as `cp -r` copies it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
