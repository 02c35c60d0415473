//! Targets, which have URLs below their upstream only.
//!
//! They are listed as Kong does it: the newest first.

use std::cmp::Reverse;

use axum::body::Body;
use http::{Response, StatusCode};
use model::entities::{Target, Upstream};

use super::super::call::Call;
use super::super::json;
use super::super::problem::Problem;
use crate::write::find;

type Reply = Result<Response<Body>, Problem>;

/// `GET /upstreams/{u}/targets`. A page goes on at a place in the order, which is what its offset says.
pub(in super::super) async fn list(call: Call) -> Reply {
    let (page, _) = (call.query.places()?, call.query.tags()?);
    let revision = call.revision();
    let upstream = find::<Upstream>(&revision.config, &call.key::<Upstream>()?);
    let upstream = upstream.ok_or(Problem::NotFound)?.id.uuid();
    let targets = revision.config.all::<Target>().pointing_at("upstream", upstream, None);
    let mut targets: Vec<&Target> = targets.collect();
    targets.sort_by_key(|target| Reverse((target.created_at, target.id)));
    let shown = page.of(&call.path, targets).map(|target| call.shown(target));
    Ok(json(StatusCode::OK, &shown))
}
