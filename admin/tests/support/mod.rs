//! A control plane of its own for each test, on port 0, in its own directory.

#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod conversation; // requests in, responses out
pub(crate) mod pem;
pub(crate) mod postgres; // a server to keep it in
pub(crate) mod secure; // clients that speak TLS

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admin::{Clock, LevelChange, LogLevel, Options, Postgres, Server, Storage};
use model::judge::Judge;
use model::testing::Knowing;
use model::value::Timestamp;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running control plane and a client for it.
pub(crate) struct Plane {
    pub(crate) server: Server,
    pub(crate) dir: Arc<TempDir>,
    client: reqwest::Client,
    base: String,
}

impl Plane {
    /// A new one, whose clock goes on by a second with every commit.
    pub(crate) async fn start() -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()), Arc::new(Knowing)).await
    }

    /// One on the database in this directory.
    pub(crate) async fn start_in(dir: Arc<TempDir>, judge: Arc<dyn Judge>) -> Self {
        let options = options(&dir, judge);
        Self::start_with(dir, options).await
    }

    /// One with these options.
    pub(crate) async fn start_with(dir: Arc<TempDir>, options: Options) -> Self {
        let server = Server::start(options).await.unwrap();
        let base = format!("http://{}", server.addresses()[0]);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { server, dir, client, base }
    }

    /// Stops it as an operator does, and starts it again.
    pub(crate) async fn restart(self) -> Self {
        let dir = Arc::clone(&self.dir);
        self.server.shutdown(Duration::MAX).await;
        Self::start_in(dir, Arc::new(Knowing)).await
    }

    /// A request to be completed.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Sends JSON, or nothing for null.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.request(method, path);
        let request = if body.is_null() { request } else { request.json(&body) };
        read(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, Value::Null).await
    }

    /// Creates something and returns it.
    #[track_caller]
    pub(crate) fn create(&self, path: &str, body: Value) -> impl Future<Output = Value> {
        let sent = self.send("POST", path, body);
        async move {
            let (status, created) = sent.await;
            assert_eq!(status, StatusCode::CREATED.as_u16(), "{created}");
            created
        }
    }
}

/// Options with a listener on port 0 and a clock that counts.
pub(crate) fn options(dir: &TempDir, judge: Arc<dyn Judge>) -> Options {
    options_of(storage(dir), judge)
}

/// Whether this is the binary that runs the suites on PostgreSQL.
pub(crate) const ON_POSTGRES: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"on_postgres");

/// A file in this directory, or a database of the server that goes with it. Where there is no server,
/// it is the file again.
fn storage(dir: &TempDir) -> Storage {
    let server = if ON_POSTGRES { postgres::Server::shared() } else { None };
    match server {
        Some(server) => Storage::Postgres(Box::new(on(server, database_of(server, dir)))),
        None => Storage::Sqlite(dir.path().join("gateway.db")),
    }
}

/// The same name each time a node is started on this directory.
fn database_of(server: &postgres::Server, dir: &TempDir) -> String {
    let note = dir.path().join("database");
    std::fs::read_to_string(&note).unwrap_or_else(|_| {
        let name = server.database();
        std::fs::write(&note, &name).unwrap();
        name
    })
}

/// A database of this server.
pub(crate) fn on(server: &postgres::Server, database: String) -> Postgres {
    Postgres {
        host: server.socket().to_str().unwrap().to_owned(),
        port: server.port(),
        database,
        // A machine that does other things may leave either alone for a while.
        timeout: Duration::from_secs(60),
        ..Postgres::default()
    }
}

/// The same, with the configuration kept elsewhere.
pub(crate) fn options_of(storage: Storage, judge: Arc<dyn Judge>) -> Options {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let seconds = AtomicI64::new(1000);
    Options {
        listeners: vec![listener.into()],
        hostname: "cp.test".to_owned(),
        configuration: json!({ "role": "control_plane" }),
        migrate: Some(Duration::from_secs(60)),
        clock: Clock::new(move || Timestamp::from_seconds(seconds.fetch_add(1, Ordering::Relaxed))),
        log_level: Some(Arc::new(Log::default())),
        ..Options::new(storage, judge)
    }
}

/// A log that knows two levels, and how long the last change was to last.
pub(crate) struct Log(pub(crate) Mutex<(&'static str, Option<Duration>)>);

impl Default for Log {
    fn default() -> Self {
        Self(Mutex::new(("notice", None)))
    }
}

impl LogLevel for Log {
    fn level(&self) -> &'static str {
        self.0.lock().unwrap().0
    }

    fn change(&self, level: &str, lasting: Option<Duration>) -> LevelChange {
        let level = match level {
            "notice" => "notice",
            "debug" => "debug",
            _ => return LevelChange::Unknown,
        };
        let mut now = self.0.lock().unwrap();
        if now.0 == level {
            return LevelChange::Already;
        }
        *now = (level, lasting);
        LevelChange::Changed
    }
}

/// Status and body; null for an empty one.
pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
    (status, body)
}
