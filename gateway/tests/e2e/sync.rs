//! A change on its way from the Admin API to where it is served.

use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use serde_json::json;

use crate::support::{ControlPlane, DataPlane, Http, Origin, PATIENCE, Relay, Site, within};

/// From the Admin API's reply to what clients see.
const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_change_is_served_within_a_second_of_the_reply() {
    let site = Site::new().await;
    let (control_plane, first) = site.cluster().await;
    let second = site.data_plane(&control_plane).await;
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let both = [&first, &second];

    control_plane.expose("a", "/x", &a.url("/")).await;
    everywhere(&both, async |plane| from(plane, "/x", "a").await).await;

    control_plane.post("/services", json!({ "name": "b", "url": b.url("/") })).await;
    control_plane.patch("/routes/a", json!({ "service": { "name": "b" } })).await;
    everywhere(&both, async |plane| from(plane, "/x", "b").await).await;

    control_plane.patch("/services/b", json!({ "path": "/deeper" })).await;
    everywhere(&both, async |plane| {
        let target = plane.get("/x/y").await?.json()["target"].clone();
        if target == "/deeper/y" { Ok(()) } else { Err(format!("target {target}")) }
    })
    .await;

    control_plane.patch("/routes/a", json!({ "paths": ["/z"] })).await;
    everywhere(&both, async |plane| {
        plane.get("/x").await?.with_status(404)?;
        from(plane, "/z", "b").await
    })
    .await;

    control_plane.delete("/routes/a").await;
    everywhere(&both, async |plane| plane.get("/z").await?.with_status(404).map(drop)).await;
}

#[tokio::test]
async fn the_control_plane_knows_what_its_data_planes_serve() {
    let site = Site::new().await;
    let control_plane = site.control_plane().await;
    let mut data_plane = DataPlane::new(&site, control_plane.cluster);
    data_plane.process.set("cluster_dp_labels", "region:eu-1, tier:edge");
    data_plane.start().await;
    control_plane.expose("a", "/a", "http://127.0.0.1:1").await;
    data_plane.answers("/a", 502).await;

    let row = within(PATIENCE, async || data_plane.is_joined(&control_plane).await).await;
    let hash = row["config_hash"].as_str().unwrap();
    assert!(hash.len() == 32 && hash.bytes().any(|digit| digit != b'0'), "{row}");
    assert_eq!(row["ip"], "127.0.0.1");
    assert_eq!(row["version"], model::VERSION);
    assert_eq!(row["labels"], json!({ "region": "eu-1", "tier": "edge" }));
    assert!(row["hostname"].as_str().is_some_and(|name| !name.is_empty()), "{row}");
    assert!(row["last_seen"].as_u64().is_some_and(|at| at > 1_700_000_000), "{row}");
    assert!((1..=1_209_600).contains(&row["ttl"].as_u64().unwrap()), "{row}");

    let id = data_plane.id().await;
    data_plane.process.kill();
    within(PATIENCE, async || {
        let rows = control_plane.data_planes().await;
        let row = rows.iter().find(|row| row["id"] == id.as_str()).expect("its row stays");
        if row["status"] == "disconnected" { Ok(()) } else { Err(row.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_request_ends_on_the_configuration_it_began_with() {
    let site = Site::new().await;
    let (control_plane, data_plane) = site.cluster().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    data_plane.answers("/a", 200).await;

    let (http, proxy) = (site.http.clone(), data_plane.proxy);
    let request = tokio::spawn(async move {
        http.send("GET", proxy, "/a/on-its-way", &[("x-delay", "1000")], None).await
    });
    origin.has_received("/on-its-way").await;
    control_plane.delete("/routes/a").await;
    control_plane.delete("/services/a").await;
    data_plane.answers("/a", 404).await;
    assert!(!request.is_finished(), "the change came first, or nothing is shown");
    assert_eq!(request.await.unwrap().unwrap().status, 200);
}

/// However much is configured, a change costs what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_among_ten_thousand_routes_is_a_few_bytes_on_the_link() {
    const ROUTES: usize = 10_000;
    const WRITERS: usize = 32;
    const MOST: u64 = 4096;
    let site = Site::alone().await;
    let mut control_plane = ControlPlane::new(&site);
    control_plane.process.set("log_level", "notice");
    control_plane.process.set("admin_access_log", "off");
    control_plane.http = Http::keeping(WRITERS);
    control_plane.start().await;
    let origin = Origin::start("a").await;
    control_plane.post("/services", json!({ "name": "a", "url": origin.url("/") })).await;
    let create = async |number: usize| {
        let route = json!({
            "name": format!("route-{number}"), "paths": [format!("/{number}")],
            "hosts": [format!("host-{}.test", number % 100)], "tags": ["one", "two"],
        });
        control_plane.post("/services/a/routes", route).await
    };
    stream::iter(0..ROUTES).map(create).buffer_unordered(WRITERS).collect::<Vec<_>>().await;

    let relay = Relay::to(control_plane.cluster).await;
    let mut data_plane = DataPlane::new(&site, relay.address);
    data_plane.start().await;
    within(PATIENCE, async || {
        let last = [("host", "host-99.test")];
        data_plane.send("GET", "/9999/x", &last, None).await.with_status(200)
    })
    .await;
    within(PATIENCE, async || data_plane.is_joined(&control_plane).await).await;

    for round in 0..3 {
        let before = (relay.bytes(), data_plane.hash().await.unwrap());
        let path = json!({ "paths": [format!("/changed/{round}")] });
        control_plane.patch("/routes/route-5000", path).await;
        within(PATIENCE, async || {
            let changed = data_plane.hash().await? != before.1;
            if changed { Ok(()) } else { Err("the change has not arrived".to_owned()) }
        })
        .await;
        within(PATIENCE, async || data_plane.is_joined(&control_plane).await).await;
        let bytes = relay.bytes() - before.0;
        eprintln!("{bytes} bytes for one route of {ROUTES}");
        assert!((1..=MOST).contains(&bytes), "{bytes} bytes for one route of {ROUTES}");
    }
}

/// Polls every data plane at once: they share the second.
async fn everywhere(
    planes: &[&DataPlane],
    look: impl AsyncFn(&DataPlane) -> Result<(), String> + Copy,
) {
    let looking = planes.iter().map(|plane| within(SOON, async || look(plane).await));
    join_all(looking).await;
}

async fn from(plane: &DataPlane, path: &str, origin: &str) -> Result<(), String> {
    let seen = plane.get(path).await?.with_status(200)?.json();
    if seen["origin"] == origin { Ok(()) } else { Err(format!("not from {origin}: {seen}")) }
}
