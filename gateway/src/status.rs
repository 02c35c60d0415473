//! The status listener: how this node fares, for probes and dashboards.
//!
//! Every role serves it, read-only but for draining, with the paths and bodies of Kong's Status API.
//! What a node can say of itself is its [`Node`]; this file only knows URLs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::telemetry::sink::Sink;

/// What the status listener asks of the node it belongs to.
pub trait Node: Send + Sync {
    /// The body of `GET /status`.
    fn status(&self) -> Value;

    /// Whether traffic should come here, or why not.
    fn ready(&self) -> Result<(), String>;
}

/// The logs of this process.
pub type Logs = [Sink; 6];

/// One node's status, and whether an operator has asked for traffic to stay away.
struct Status {
    node: Arc<dyn Node>,
    logs: Logs,
    draining: AtomicBool,
}

/// Serves the status of `node` on every listener, until what is returned is dropped.
pub fn serve(
    listeners: Vec<admin::Listener>,
    tls: &admin::Tls,
    node: Arc<dyn Node>,
    logs: Logs,
) -> Result<admin::Serving, admin::ServeError> {
    admin::serve(listeners, tls, router(node, logs))
}

fn router(node: Arc<dyn Node>, logs: Logs) -> Router {
    let status = Arc::new(Status { node, logs, draining: AtomicBool::new(false) });
    Router::new()
        .route("/status", get(show).fallback(not_allowed))
        .route("/status/", get(show).fallback(not_allowed))
        .route("/status/ready", get(ready).post(change).fallback(not_allowed))
        .route("/status/ready/", get(ready).post(change).fallback(not_allowed))
        .fallback(not_found)
        .with_state(status)
}

async fn show(State(status): State<Arc<Status>>) -> Json<Value> {
    let mut shown = status.node.status();
    let lost = status.logs.iter().map(|log| (log.name().to_owned(), log.lost().into()));
    shown["log_lines_lost"] = Value::Object(lost.collect());
    Json(shown)
}

async fn ready(State(status): State<Arc<Status>>) -> Response {
    if status.draining.load(Ordering::Relaxed) {
        return message(StatusCode::SERVICE_UNAVAILABLE, "draining");
    }
    match status.node.ready() {
        Ok(()) => message(StatusCode::OK, "ready"),
        Err(reason) => message(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

/// `status=draining`, in the query, a form or JSON. There is no way back but a restart, as in Kong.
async fn change(
    State(status): State<Arc<Status>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let wanted = query.as_deref().and_then(|query| in_form(query.as_bytes()));
    match wanted.or_else(|| in_body(&headers, &body)).as_deref() {
        Some("draining") => {
            status.draining.store(true, Ordering::Relaxed);
            tracing::info!("draining: no longer ready, by request");
            StatusCode::NO_CONTENT.into_response()
        }
        Some(other) => {
            let text = format!("status: \"{other}\" is not \"draining\"");
            message(StatusCode::BAD_REQUEST, &text)
        }
        None => {
            message(StatusCode::BAD_REQUEST, "status: required; the only value is \"draining\"")
        }
    }
}

fn in_body(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/json")) {
        let value: Value = serde_json::from_slice(body).ok()?;
        return value.get("status")?.as_str().map(str::to_owned);
    }
    in_form(body)
}

fn in_form(text: &[u8]) -> Option<String> {
    form_urlencoded::parse(text)
        .find(|(name, _)| name == "status")
        .map(|(_, value)| value.into_owned())
}

async fn not_found() -> Response {
    message(StatusCode::NOT_FOUND, "Not found")
}

async fn not_allowed() -> Response {
    message(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
}

fn message(status: StatusCode, text: &str) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, kind, json!({ "message": text }).to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Destination;
    use crate::telemetry::sink::Sinks;

    struct Idle;

    impl Node for Idle {
        fn status(&self) -> Value {
            json!({ "server": {} })
        }

        fn ready(&self) -> Result<(), String> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_each_log_lost_is_shown() {
        let mut sinks = Sinks::new();
        let off = |name| Sinks::new().open(name, &Destination::Off).unwrap();
        let access = sinks.open("access", &Destination::File("/dev/full".into())).unwrap();
        access.count_in(|| 2); // as by the engine
        access.line("short".to_owned());
        sinks.flush();
        let logs = [off("error"), off("a"), access, off("b"), off("c"), off("d")];
        let status = Status { node: Arc::new(Idle), logs, draining: AtomicBool::new(false) };
        let shown = show(State(Arc::new(status))).await.0;
        let expected = json!({ "error": 0, "a": 0, "access": 3, "b": 0, "c": 0, "d": 0 });
        assert_eq!(shown["log_lines_lost"], expected);
        assert!(shown["server"].is_object());
    }
}
