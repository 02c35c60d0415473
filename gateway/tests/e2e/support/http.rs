//! Requests and replies, by default a connection each: a restarted node must not meet an old one.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Whoever asks: an operator, a client.
#[derive(Clone)]
pub struct Http(Client);

/// What came back, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Http {
    pub fn new() -> Self {
        Self::keeping(0)
    }

    /// One that keeps this many idle connections.
    pub fn keeping(connections: usize) -> Self {
        let client = Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(connections)
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none());
        Self(client.build().unwrap())
    }

    pub async fn get(&self, at: SocketAddr, path: &str) -> Result<Reply, String> {
        self.send("GET", at, path, &[], None).await
    }

    /// An error is one of the connection; any status is a reply.
    pub async fn send(
        &self,
        method: &str,
        at: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Reply, String> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.0.request(method, format!("http://{at}{path}"));
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request = request.header(name, HeaderValue::from_str(value).unwrap());
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let failed = |error: reqwest::Error| format!("{at}{path}: {error:?}");
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, body: response.text().await.map_err(failed)? })
    }
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The reply, if this is its status.
    pub fn with_status(self, status: u16) -> Result<Self, String> {
        if self.status == status { Ok(self) } else { Err(format!("not {status}: {self:?}")) }
    }
}

/// Sends these bytes and reads until the other side closes.
pub async fn raw(at: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(super::PATIENCE, reading).await.expect("the other side closes").unwrap();
    String::from_utf8(answer).unwrap()
}
