//! Control planes, data planes and nodes by themselves, as an operator meets them.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Http, PATIENCE, Process, Reply, Site, free_port, within};

/// A control plane: an Admin API, a database, a place for data planes to connect to.
pub struct ControlPlane {
    pub process: Process,
    pub admin: SocketAddr,
    pub cluster: SocketAddr,
    pub status: SocketAddr,
    pub http: Http,
}

/// A data plane: a proxy, and a status listener beside it.
pub struct DataPlane {
    pub process: Process,
    pub proxy: SocketAddr,
    pub status: SocketAddr,
    http: Http,
}

/// Both planes in one process, without a database.
pub struct DbLess {
    pub process: Process,
    pub admin: SocketAddr,
    pub proxy: SocketAddr,
    pub status: SocketAddr,
    http: Http,
}

impl DbLess {
    /// Not started yet, and with nothing to begin with.
    pub fn new(site: &Site) -> Self {
        let (admin, proxy, status) = (free_port(), free_port(), free_port());
        let mut process = process(site, "traditional");
        process.set("database", "off");
        process.set("admin_listen", admin);
        process.set("proxy_listen", proxy);
        process.set("status_listen", status);
        Self { process, admin, proxy, status, http: site.http.clone() }
    }

    /// Starts it, the first time or again; returns once all of it answers.
    pub async fn start(&mut self) {
        self.process.start();
        within(PATIENCE, async || {
            self.process.assert_alive();
            self.http.get(self.status, "/status").await?.with_status(200)?;
            self.http.get(self.admin, "/status").await?.with_status(200)?;
            self.get("/").await
        })
        .await;
    }

    /// `POST /config` with this YAML.
    pub async fn load(&self, yaml: &str) -> Reply {
        let headers = [("content-type", "text/yaml")];
        let sent = self.http.send("POST", self.admin, "/config", &headers, Some(yaml.to_owned()));
        sent.await.unwrap()
    }

    /// A request of an operator.
    pub async fn ask(&self, path: &str) -> Reply {
        self.http.get(self.admin, path).await.unwrap()
    }

    /// A request of a client.
    pub async fn get(&self, path: &str) -> Result<Reply, String> {
        self.http.get(self.proxy, path).await
    }

    /// What `GET /status/ready` says.
    pub async fn ready(&self) -> Reply {
        self.http.get(self.status, "/status/ready").await.unwrap()
    }

    /// The body of `GET /status` of the status listener.
    pub async fn report(&self) -> Value {
        self.http.get(self.status, "/status").await.unwrap().json()
    }
}

impl ControlPlane {
    /// Not started yet.
    pub fn new(site: &Site) -> Self {
        let (admin, cluster, status) = (free_port(), free_port(), free_port());
        let mut process = node(site, "control_plane");
        process.set("admin_listen", admin);
        process.set("cluster_listen", cluster);
        process.set("status_listen", status);
        Self { process, admin, cluster, status, http: site.http.clone() }
    }

    /// Starts it, the first time or again; returns once its Admin API answers.
    pub async fn start(&mut self) {
        self.process.start();
        within(PATIENCE, async || {
            self.process.assert_alive();
            self.http.get(self.admin, "/status").await?.with_status(200)
        })
        .await;
    }

    pub async fn send(&self, method: &str, path: &str, body: Value) -> Reply {
        let body = (!body.is_null()).then(|| body.to_string());
        let headers = [("content-type", "application/json")];
        self.http.send(method, self.admin, path, &headers, body).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Value {
        self.send("GET", path, Value::Null).await.with_status(200).unwrap().json()
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, body).await.with_status(201).unwrap().json()
    }

    pub async fn patch(&self, path: &str, body: Value) -> Value {
        self.send("PATCH", path, body).await.with_status(200).unwrap().json()
    }

    pub async fn delete(&self, path: &str) {
        self.send("DELETE", path, Value::Null).await.with_status(204).unwrap();
    }

    /// A service at `url`, and a route of the same name that leads to it from `path`.
    pub async fn expose(&self, name: &str, path: &str, url: &str) {
        self.post("/services", json!({ "name": name, "url": url })).await;
        let route = json!({ "name": name, "paths": [path] });
        self.post(&format!("/services/{name}/routes"), route).await;
    }

    /// The hash of the newest configuration.
    pub async fn hash(&self) -> Result<String, String> {
        hash_of(&self.http, self.status).await
    }

    /// The rows of `/clustering/data-planes`.
    pub async fn data_planes(&self) -> Vec<Value> {
        let page = self.get("/clustering/data-planes").await;
        page["data"].as_array().expect("a list").clone()
    }
}

impl DataPlane {
    /// Not started yet. Its control plane is, or will be, at `control_plane`.
    pub fn new(site: &Site, control_plane: SocketAddr) -> Self {
        let (proxy, status) = (free_port(), free_port());
        let mut process = node(site, "data_plane");
        process.set("cluster_control_plane", control_plane);
        process.set("proxy_listen", proxy);
        process.set("status_listen", status);
        Self { process, proxy, status, http: site.http.clone() }
    }

    /// Starts it, the first time or again; returns once its status listener and its proxy answer.
    pub async fn start(&mut self) {
        self.process.start();
        within(PATIENCE, async || {
            self.process.assert_alive();
            self.http.get(self.status, "/status").await?.with_status(200)?;
            self.get("/").await
        })
        .await;
    }

    /// A request of a client.
    pub async fn get(&self, path: &str) -> Result<Reply, String> {
        self.http.get(self.proxy, path).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Reply {
        self.http.send(method, self.proxy, path, headers, body).await.unwrap()
    }

    /// Waits until a request is answered with this status.
    pub async fn answers(&self, path: &str, status: u16) -> Reply {
        within(PATIENCE, async || self.get(path).await?.with_status(status)).await
    }

    /// The body of `GET /status`.
    pub async fn report(&self) -> Result<Value, String> {
        Ok(self.http.get(self.status, "/status").await?.with_status(200)?.json())
    }

    /// What `GET /status/ready` says.
    pub async fn ready(&self) -> Reply {
        self.http.get(self.status, "/status/ready").await.unwrap()
    }

    /// The hash of the configuration it serves.
    pub async fn hash(&self) -> Result<String, String> {
        hash_of(&self.http, self.status).await
    }

    /// Whether every one of its workers serves the newest configuration.
    pub async fn is_up_to_date(&self, control_plane: &ControlPlane) -> Result<(), String> {
        let (newest, served) = (control_plane.hash().await?, self.hash().await?);
        if newest == served { Ok(()) } else { Err(format!("serves {served}, not {newest}")) }
    }

    /// Its node id, from its own mouth.
    pub async fn id(&self) -> String {
        let report = self.report().await.unwrap();
        report["node_id"].as_str().unwrap_or_else(|| panic!("no node_id: {report}")).to_owned()
    }

    /// Its row on a control plane it is connected to and has nothing to learn from.
    pub async fn is_joined(&self, control_plane: &ControlPlane) -> Result<Value, String> {
        let (id, hash) = (self.id().await, self.hash().await?);
        let rows = control_plane.data_planes().await;
        let row = rows.iter().find(|row| row["id"] == id.as_str());
        let row = row.ok_or_else(|| format!("{id} is not among {rows:?}"))?;
        let joined = row["status"] == "connected"
            && row["sync_status"] == "normal"
            && row["config_hash"] == hash.as_str();
        if joined { Ok(row.clone()) } else { Err(format!("not joined with {hash}: {row}")) }
    }

    /// The directory its configuration is kept in.
    pub fn cache(&self) -> PathBuf {
        self.process.prefix().join("dbless.lmdb")
    }
}

/// Of a node at this site, which has the lane that the site is about.
fn process(site: &Site, role: &str) -> Process {
    let mut process = Process::new(site.place(role));
    if let Some(lane) = site.lane {
        process.set("express_lane", lane);
    }
    process
}

fn node(site: &Site, role: &'static str) -> Process {
    let mut process = process(site, role);
    process.set("role", role);
    process.set("cluster_cert", site.pair.cert.display());
    process.set("cluster_cert_key", site.pair.key.display());
    process.set("log_level", "debug");
    process
}

/// What a node says on its status listener.
async fn hash_of(http: &Http, status: SocketAddr) -> Result<String, String> {
    let report = http.get(status, "/status").await?.with_status(200)?.json();
    Ok(report["configuration_hash"].as_str().ok_or("no configuration_hash")?.to_owned())
}
