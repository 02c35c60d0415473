//! What Kong tells of its own inside, which is not there: scripts ask for it nevertheless.

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::json as value;

use super::super::call::Call;
use super::super::crud::no_content;
use super::super::json;
use super::super::problem::Problem;

type Reply = Result<Response<Body>, Problem>;

/// `GET /timers`: there are none of Lua.
pub(in super::super) async fn timers(_: Call) -> Reply {
    let none = value!({ "total": 0, "runs": 0, "pending": 0, "waiting": 0, "running": 0 });
    let timers = value!({
        "worker": { "id": 0, "count": 1 },
        "stats": { "flamegraph": {}, "sys": none, "timers": {} },
    });
    Ok(json(StatusCode::OK, &timers))
}

/// `GET /status/dns`: as of a Kong with its first resolver.
pub(in super::super) async fn dns(_: Call) -> Reply {
    let message = value!({ "message": "not implemented with the legacy DNS client" });
    Ok(json(StatusCode::NOT_IMPLEMENTED, &message))
}

/// `DELETE /cache` and `DELETE /cache/{key}`: nothing is cached, so it is gone.
pub(in super::super) async fn forget(_: Call) -> Reply {
    Ok(no_content())
}

/// `GET /cache/{key}`
pub(in super::super) async fn cached(_: Call) -> Reply {
    Err(Problem::NotFound)
}
