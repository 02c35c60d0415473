//! Which route a request would take, and why no other.
//!
//! The engine answers, about the newest revision: see [`model::explain`]. It may have to
//! compile it first, and looks at every route, so none of it happens where connections are
//! served, and one question is answered at a time: many askers take no more than one of what
//! the machine has, and what one had compiled the next need not compile.

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
    let turn = Arc::clone(&call.api().asking).acquire_owned().await;
    let turn = turn.map_err(|_| Problem::Internal)?;
    let (judge, revision) = (Arc::clone(&call.api().judge), call.revision());
    let explaining = spawn_blocking(move || {
        let _turn = turn; // until it is over, whoever may have left meanwhile
        judge.explain(&revision.config, &question)
    });
    let explanation = explaining.await.map_err(|_| Problem::Internal)?;
    Ok(json(StatusCode::OK, &explanation.map_err(Problem::Unservable)?))
}
