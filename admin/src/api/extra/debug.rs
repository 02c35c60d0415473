//! Which route a request would take, and why no other.
//!
//! The engine answers, about the newest revision: see [`model::explain`]. It may have to
//! compile it first, and looks at every route, so none of it happens where connections are
//! served.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use model::explain::Question;
use model::schema::{self, Record};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::api::call::Call;
use crate::api::json;
use crate::api::problem::Problem;

/// `POST /debug/route`
pub(crate) async fn route(mut call: Call) -> Result<Response<Body>, Problem> {
    let body = call.object(Question::SCHEMA);
    let question: Question = schema::check(Value::Object(body)).map_err(Problem::Invalid)?;
    let (judge, revision) = (Arc::clone(&call.api().judge), call.revision());
    let explaining = spawn_blocking(move || judge.explain(&revision.config, &question));
    let explanation = explaining.await.map_err(|_| Problem::Internal)?;
    Ok(json(StatusCode::OK, &explanation.map_err(Problem::Unservable)?))
}
