//! How the data planes fare. Only control planes of a cluster know.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use model::vitals::NodeReport;
use serde_json::{Map, Value, json as value};

use crate::api::call::Call;
use crate::api::json;
use crate::api::problem::Problem;

/// `GET /clustering/data-planes`
pub(crate) async fn data_planes(call: Call) -> Result<Response<Body>, Problem> {
    let nodes = nodes(&call)?;
    let page = call.query.page()?;
    let rest = nodes.iter().filter(|node| Some(node.id) > page.after);
    let listing = page.within(&call.path, &["size"], &call.query);
    Ok(json(StatusCode::OK, &listing.of(rest, |node| node.id)))
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
    let by_id: Map<String, Value> = nodes(&call)?.into_iter().map(about).collect();
    let mut response = json(StatusCode::OK, &by_id);
    let deprecation = HeaderName::from_static("deprecation");
    response.headers_mut().insert(deprecation, HeaderValue::from_static("true"));
    Ok(response)
}

fn nodes(call: &Call) -> Result<Vec<NodeReport>, Problem> {
    if !call.api().about.control_plane {
        return Err(Problem::NotAControlPlane);
    }
    Ok(call.api().vitals().data_planes())
}
