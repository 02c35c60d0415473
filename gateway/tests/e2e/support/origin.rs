//! What requests are proxied to.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;

/// Says in JSON what it received, after `x-delay` milliseconds and with status `x-status`, if the
/// request has those headers. Gone when dropped.
pub struct Origin {
    pub address: SocketAddr,
    newest: watch::Receiver<String>,
    serving: JoinHandle<()>,
}

impl Origin {
    /// One that says it is called `name`.
    pub async fn start(name: &'static str) -> Self {
        let (received, newest) = watch::channel(String::new());
        let router = Router::new().fallback(async move |request: Request| {
            received.send_replace(request.uri().to_string());
            echo(name, request).await
        });
        Self::bind(router, newest).await
    }

    /// Any service of the test's own.
    pub async fn serve(router: Router) -> Self {
        Self::bind(router, watch::channel(String::new()).1).await
    }

    async fn bind(router: Router, newest: watch::Receiver<String>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, newest, serving }
    }

    /// Its URL, with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits for a request with this target; it may not be answered yet.
    pub async fn has_received(&self, target: &str) {
        let mut newest = self.newest.clone();
        let seen = tokio::time::timeout(PATIENCE, newest.wait_for(|newest| newest == target));
        assert!(seen.await.is_ok_and(|seen| seen.is_ok()), "no request for {target}");
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn echo(name: &'static str, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if let Some(delay) = number(&head, "x-delay") {
        tokio::time::sleep(Duration::from_millis(delay.into())).await;
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let said = json!({
        "origin": name,
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": fields(&head.headers),
        "body": String::from_utf8_lossy(&body),
    });
    let status = number(&head, "x-status").and_then(|code| StatusCode::from_u16(code).ok());
    (status.unwrap_or_default(), axum::Json(said)).into_response()
}

fn number(head: &Parts, header: &str) -> Option<u16> {
    head.headers.get(header)?.to_str().ok()?.parse().ok()
}

/// Values of a repeated field are joined as a list.
fn fields(headers: &HeaderMap) -> Value {
    let joined = |name| {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
    };
    let fields: Map<String, Value> =
        headers.keys().map(|name| (name.to_string(), joined(name).into())).collect();
    fields.into()
}

/// An origin that takes connections and closes them without an answer.
pub async fn closing() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.readable().await; // the request is there: closing now is an answer to it
        }
    });
    address
}
