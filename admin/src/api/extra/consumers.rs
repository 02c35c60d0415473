//! Consumers, who can be looked for by what somebody else calls them.

use axum::body::Body;
use http::{Response, StatusCode};
use model::entities::Consumer;
use serde_json::json as value;

use super::super::call::Call;
use super::super::crud;
use super::super::json;
use super::super::problem::Problem;

/// `GET /consumers`, with `custom_id` that one alone.
pub(in super::super) async fn list(call: Call) -> Result<Response<Body>, Problem> {
    match call.query.get("custom_id") {
        None => crud::list::<Consumer>(call).await,
        Some("") => Err(Problem::Malformed("custom_id must be an unempty string")),
        Some(custom_id) => {
            let revision = call.revision();
            let found = revision.config.all::<Consumer>().by_unique("custom_id", custom_id);
            let found: Vec<_> = found.into_iter().map(|consumer| call.shown(consumer)).collect();
            Ok(json(StatusCode::OK, &value!({ "data": found, "next": null })))
        }
    }
}
