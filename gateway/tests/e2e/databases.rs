//! Control planes that share a PostgreSQL, and what becomes of them without it.

#[path = "../../../admin/tests/support/postgres.rs"]
pub(crate) mod postgres;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{ControlPlane, DataPlane, Http, Origin, PATIENCE, Site, within};
use postgres::Server;

/// A control plane that is not started yet, on this database of the server.
pub(crate) fn control_plane(site: &Site, server: &Server, database: &str) -> ControlPlane {
    let mut control_plane = ControlPlane::new(site);
    let process = &mut control_plane.process;
    process.set("pg_host", "127.0.0.1");
    process.set("pg_port", server.port());
    process.set("pg_database", database);
    process.set("pg_timeout", 1000);
    control_plane
}

/// Makes the tables.
pub(crate) fn bootstrap(control_plane: &ControlPlane) {
    control_plane.process.configure();
    let output = control_plane.process.run("migrations bootstrap");
    assert!(output.status.success(), "{output:?}");
}

async fn is_ready(http: &Http, control_plane: &ControlPlane) -> Result<(), String> {
    http.get(control_plane.status, "/status/ready").await?.with_status(200).map(drop)
}

#[tokio::test]
async fn a_change_on_one_control_plane_reaches_the_data_planes_of_the_other() {
    let Some(server) = Server::start() else { return };
    let site = Site::new().await;
    let database = server.database();
    let mut one = control_plane(&site, &server, &database);
    let mut two = control_plane(&site, &server, &database);
    bootstrap(&one);
    one.start().await;
    two.start().await;
    let mut data_plane = DataPlane::new(&site, two.cluster);
    data_plane.start().await;
    let origin = Origin::start("a").await;
    one.expose("a", "/a", &origin.url("/")).await;
    data_plane.answers("/a", 200).await;

    let begun = Instant::now();
    one.patch("/routes/a", json!({ "paths": ["/b"] })).await;
    data_plane.answers("/b", 200).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    within(PATIENCE, async || data_plane.is_joined(&two).await).await;
    let ids = [one.get("/").await["node_id"].clone(), two.get("/").await["node_id"].clone()];
    assert_ne!(ids[0], ids[1], "each has an id of its own");
    drop((origin, data_plane));
}

#[tokio::test]
async fn without_its_database_a_control_plane_serves_old_and_new_data_planes() {
    let Some(server) = Server::start() else { return };
    let site = Site::new().await;
    let mut control_plane = control_plane(&site, &server, &server.database());
    bootstrap(&control_plane);
    control_plane.start().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    let mut old = DataPlane::new(&site, control_plane.cluster);
    old.start().await;
    old.answers("/a", 200).await;

    server.tell("stop");
    within(PATIENCE, async || {
        site.http.get(control_plane.status, "/status/ready").await?.with_status(503)
    })
    .await;
    let mut new = DataPlane::new(&site, control_plane.cluster);
    new.start().await;
    new.answers("/a", 200).await;
    old.process.kill();
    old.start().await;
    within(PATIENCE, async || old.is_joined(&control_plane).await).await;
    let paths = json!({ "paths": ["/b"] });
    let refused = control_plane.send("PATCH", "/routes/a", paths.clone()).await;
    assert_eq!(refused.status, 503);
    assert_eq!(control_plane.get("/routes/a").await["paths"], json!(["/a"]));

    // One that is started now waits, and says what for.
    control_plane.process.kill();
    control_plane.process.start();
    let reply = within(PATIENCE, async || {
        control_plane.process.assert_alive();
        site.http.get(control_plane.status, "/status/ready").await?.with_status(503)
    })
    .await;
    assert_eq!(reply.json()["message"], "failed to connect to database");
    control_plane.process.says(&["waiting for the database"]).await;
    assert_eq!(old.get("/a").await.unwrap().status, 200);

    server.tell("start");
    within(PATIENCE, async || is_ready(&site.http, &control_plane).await).await;
    let changed = control_plane.send("PATCH", "/routes/a", paths).await;
    assert_eq!(changed.status, 200);
    for data_plane in [&old, &new] {
        within(PATIENCE, async || data_plane.get("/b").await?.with_status(200)).await;
    }
}

#[tokio::test]
async fn a_restored_database_is_what_data_planes_serve() {
    let Some(server) = Server::start() else { return };
    let site = Site::new().await;
    let database = server.database();
    let mut control_plane = control_plane(&site, &server, &database);
    bootstrap(&control_plane);
    control_plane.start().await;
    let mut data_plane = DataPlane::new(&site, control_plane.cluster);
    data_plane.start().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    let backup = server.dump(&database);
    control_plane.expose("b", "/b", &origin.url("/")).await;
    data_plane.answers("/b", 200).await;

    // As operators do it: the control plane is stopped meanwhile.
    control_plane.process.kill();
    server.restore(&database, &backup);
    control_plane.start().await;
    within(2 * PATIENCE, async || data_plane.get("/b").await?.with_status(404)).await;
    data_plane.answers("/a", 200).await;
    within(PATIENCE, async || data_plane.is_joined(&control_plane).await).await;
    assert_eq!(control_plane.send("GET", "/routes/b", Value::Null).await.status, 404);
}
