//! What entities look like, and whether something looks like one.

use axum::body::Body;
use http::{Response, StatusCode};
use model::entities::Visit;
use model::schema::{self, Object};
use model::violation::Violations;
use model::{Entity, value::Timestamp};
use model::{EntityKind, Terms};
use serde_json::{Value, json as value};

use crate::api::call::Call;
use crate::api::json;
use crate::api::problem::Problem;

/// `GET /schemas/{entity}`
pub(crate) async fn describe(call: Call) -> Result<Response<Body>, Problem> {
    Ok(json(StatusCode::OK, &kind(&call)?.schema().describe(call.terms().flavor)))
}

/// `POST /schemas/{entity}/validate`: the schema's word alone, not whether names are free.
pub(crate) async fn validate(mut call: Call) -> Result<Response<Body>, Problem> {
    let kind = kind(&call)?;
    let mut body = call.object(kind.schema());
    if let Some(ttl) = kind.schema().ttl() {
        body.remove(ttl.name); // Kong takes any
    }
    schema::stamp(kind.schema(), call.terms(), &mut body, Timestamp::from_seconds(1));
    kind.visit(Validate(body, call.terms())).map_err(Problem::Invalid)?;
    Ok(json(StatusCode::OK, &value!({ "message": "schema validation successful" })))
}

fn kind(call: &Call) -> Result<EntityKind, Problem> {
    let name = call.segment("name");
    EntityKind::from_name(name).ok_or_else(|| Problem::NoSuchSchema(name.to_owned()))
}

struct Validate(Object, Terms);

impl Visit for Validate {
    type Output = Result<(), Violations>;

    fn visit<E: Entity>(self) -> Self::Output {
        schema::check_in::<E>(self.1, Value::Object(self.0)).map(drop)
    }
}
