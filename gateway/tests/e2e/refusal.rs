//! A revision that cannot be served: refused whole, the one before it served on, and the reason told
//! where the operator looks.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use admin::{Options, Storage};
use cluster::ed25519::PublicKey;
use model::Flavor;
use model::judge::Lenient;
use serde_json::{Value, json};

use crate::support::{self, DataPlane, Http, Origin, PATIENCE, Reply, Site, free_port, within};

/// As a regular expression it is well-formed, but what it compiles to is beyond all bounds.
const MONSTER: &str = "~/((a{1000}){1000}){1000}$";

/// The control plane as it is, but that it does not ask the engine before it writes: as one would be
/// whose data planes are of another version.
struct Careless {
    admin: SocketAddr,
    cluster: SocketAddr,
    http: Http,
    _running: (admin::Server, cluster::Server),
}

impl Careless {
    async fn start(site: &Site) -> Self {
        Self::start_in(site, Flavor::default()).await
    }

    async fn start_in(site: &Site, flavor: Flavor) -> Self {
        let (at, link) = (free_port(), free_port());
        let admin = admin::Server::start(Options {
            listeners: vec![TcpListener::bind(at).unwrap().into()],
            flavor,
            ..Options::new(
                Storage::Sqlite(site.place("careless").join("gateway.db")),
                Arc::new(Lenient),
            )
        })
        .await
        .unwrap();
        let trust = PublicKey::from_bytes(admin.trust());
        let cluster = support::link(site, link, trust, admin.revisions());
        admin.observe(cluster.vitals());
        Self { admin: at, cluster: link, http: site.http.clone(), _running: (admin, cluster) }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Reply {
        let (headers, body) = ([("content-type", "application/json")], Some(body.to_string()));
        self.http.send(method, self.admin, path, &headers, body).await.unwrap()
    }

    /// Makes a service and a route that can be served, and waits until they are.
    async fn serves_good(&self, origin: &Origin, data_plane: &DataPlane) {
        let service = json!({ "name": "a", "url": origin.url("/") });
        assert_eq!(self.send("POST", "/services", service).await.status, 201);
        let route = json!({ "name": "good", "paths": ["/good"] });
        assert_eq!(self.send("POST", "/services/a/routes", route).await.status, 201);
        data_plane.answers("/good", 200).await;
    }

    /// The row of the one data plane.
    async fn row(&self) -> Result<Value, String> {
        let page = self.http.get(self.admin, "/clustering/data-planes").await?.with_status(200)?;
        page.json()["data"].get(0).cloned().ok_or_else(|| "no data plane".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_compiled_changes_nothing_and_is_told() {
    let site = Site::new().await;
    let origin = Origin::start("a").await;
    let control_plane = Careless::start(&site).await;
    let mut data_plane = DataPlane::new(&site, control_plane.cluster);
    data_plane.start().await;
    control_plane.serves_good(&origin, &data_plane).await;
    let before = data_plane.hash().await.unwrap();

    // One write: the route moves, and gets a path that cannot be served.
    let change = json!({ "paths": ["/moved", MONSTER] });
    let reply = control_plane.send("PATCH", "/routes/good", change).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let id = reply.json()["id"].clone();
    let row = within(PATIENCE, async || {
        let row = control_plane.row().await?;
        if row["sync_status"] == "refused" { Ok(row) } else { Err(row.to_string()) }
    })
    .await;
    let problem = &row["refused"]["problems"][0];
    assert_eq!(problem["entity"], json!(["routes", id]), "{row}");
    assert!(problem["code"].as_str().is_some_and(|code| !code.is_empty()), "{row}");
    assert!(problem["message"].as_str().is_some_and(|text| text.contains("a{1000}")), "{row}");
    assert_eq!(row["config_hash"], before.as_str(), "what it serves, not what it was sent");
    assert_eq!(row["status"], "connected");
    data_plane.process.says(&["[error]", "is refused", "a{1000}"]).await;

    assert_eq!(data_plane.hash().await.unwrap(), before);
    assert_eq!(data_plane.get("/good").await.unwrap().status, 200);
    assert_eq!(data_plane.get("/moved").await.unwrap().status, 404, "not half of it either");
    assert_eq!(data_plane.ready().await.status, 200);

    // The next start is from what was served, whatever else had been sent.
    data_plane.process.kill();
    data_plane.start().await;
    assert_eq!(data_plane.get("/good").await.unwrap().status, 200);

    let reply = control_plane.send("PATCH", "/routes/good", json!({ "paths": ["/mended"] })).await;
    assert_eq!(reply.status, 200);
    within(Duration::from_secs(15), async || data_plane.get("/mended").await?.with_status(200))
        .await;
    within(PATIENCE, async || {
        let row = control_plane.row().await?;
        let settled = row["sync_status"] == "normal" && row["refused"].is_null();
        if settled { Ok(()) } else { Err(row.to_string()) }
    })
    .await;
}

// Each node is told how routes are written. Serving the rest would send requests elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expressions_are_refused_loudly_by_a_data_plane_of_another_flavor() {
    let site = Site::new().await;
    let origin = Origin::start("a").await;
    let control_plane = Careless::start_in(&site, Flavor::Expressions).await;
    let mut data_plane = DataPlane::new(&site, control_plane.cluster);
    data_plane.start().await;
    control_plane.serves_good(&origin, &data_plane).await;

    let route = json!({ "name": "e", "expression": "http.path == \"/good\"" });
    assert_eq!(control_plane.send("POST", "/services/a/routes", route).await.status, 201);
    let row = within(PATIENCE, async || {
        let row = control_plane.row().await?;
        if row["sync_status"] == "refused" { Ok(row) } else { Err(row.to_string()) }
    })
    .await;
    let problem = &row["refused"]["problems"][0];
    assert_eq!(
        (&problem["code"], &problem["field"]),
        (&json!("router_flavor"), &json!("expression"))
    );
    data_plane.process.says(&["[error]", "its router_flavor is traditional_compatible"]).await;
    assert_eq!(data_plane.get("/good").await.unwrap().status, 200);

    data_plane.process.kill();
    data_plane.process.set("router_flavor", "expressions");
    data_plane.start().await;
    within(PATIENCE, async || {
        let row = control_plane.row().await?;
        let settled = row["sync_status"] == "normal" && row["refused"].is_null();
        if settled { Ok(()) } else { Err(row.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn the_control_plane_does_not_write_what_its_data_planes_would_refuse() {
    let site = Site::new().await;
    let (control_plane, data_plane) = site.cluster().await;
    let origin = Origin::start("a").await;
    control_plane.expose("a", "/a", &origin.url("/")).await;
    data_plane.answers("/a", 200).await;
    let before = data_plane.hash().await.unwrap();

    let reply = control_plane.send("PATCH", "/routes/a", json!({ "paths": [MONSTER] })).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.body.contains("a{1000}"), "{reply:?}");
    assert_eq!(control_plane.get("/routes/a").await["paths"], json!(["/a"]));
    assert_eq!(data_plane.hash().await.unwrap(), before);
    let row = within(PATIENCE, async || data_plane.is_joined(&control_plane).await).await;
    assert!(row["refused"].is_null(), "{row}");
}

// Another order is refused by nobody, so it must be said.
#[tokio::test]
async fn nodes_that_read_routes_otherwise_are_told_apart() {
    let site = Site::new().await;
    let control_plane = site.control_plane().await;
    let mut data_plane = DataPlane::new(&site, control_plane.cluster);
    data_plane.process.set("router_priority", "documented");
    data_plane.start().await;
    let row = within(PATIENCE, async || data_plane.is_joined(&control_plane).await).await;
    assert_eq!(row["differing_settings"], json!({ "router_priority": "documented" }), "{row}");
    let said = "router_priority = documented (here kong_effective)";
    control_plane.process.says(&["[warn]", "other settings", said]).await;
    let said = "router_priority = kong_effective (here documented)";
    data_plane.process.says(&["[warn]", "other settings", said]).await;
}
