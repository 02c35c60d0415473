//! How the data planes fare. Only control planes of a cluster know.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use model::vitals::{NodeReport, Vitals};
use serde_json::{Map, Value, json as value};

use crate::api::call::Call;
use crate::api::json;
use crate::api::problem::Problem;

/// `GET /clustering/data-planes`
pub(crate) async fn data_planes(call: Call) -> Result<Response<Body>, Problem> {
    let (vitals, page) = (vitals(&call)?, call.query.page()?);
    let nodes = vitals.page(page.after, page.wanted());
    let listing = page.within(&call.path, &["size"], &call.query);
    Ok(json(StatusCode::OK, &listing.of(nodes.into_iter(), |node| node.id)))
}

/// `GET /clustering/status`: the older form of the same.
pub(crate) async fn status(call: Call) -> Result<Response<Body>, Problem> {
    let about = |node: NodeReport| {
        let NodeReport { id, hostname, ip, last_seen, config_hash, .. } = node;
        let about = value!({
            "config_hash": config_hash, "hostname": hostname, "ip": ip, "last_seen": last_seen,
        });
        (id.to_string(), about)
    };
    let nodes = vitals(&call)?.data_planes();
    let by_id: Map<String, Value> = nodes.into_iter().map(about).collect();
    let mut response = json(StatusCode::OK, &by_id);
    let deprecation = HeaderName::from_static("deprecation");
    response.headers_mut().insert(deprecation, HeaderValue::from_static("true"));
    Ok(response)
}

fn vitals(call: &Call) -> Result<Arc<dyn Vitals>, Problem> {
    if !call.api().about.control_plane {
        return Err(Problem::NotAControlPlane);
    }
    Ok(call.api().vitals())
}
