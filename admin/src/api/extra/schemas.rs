//! What entities look like, and whether something looks like one.

use axum::body::Body;
use http::{Response, StatusCode};
use model::catalog::PluginType;
use model::entities::{Vault, Visit};
use model::schema::{self, Object, Record};
use model::value::{Timestamp, VaultType};
use model::violation::Violations;
use model::{Entity, EntityKind, Terms};
use serde_json::{Value, json as value};

use crate::api::call::Call;
use crate::api::json;
use crate::api::problem::Problem;

type Reply = Result<Response<Body>, Problem>;

/// `GET /schemas/{entity}`
pub(crate) async fn describe(call: Call) -> Reply {
    Ok(json(StatusCode::OK, &kind(&call)?.schema().describe(call.terms().flavor)))
}

/// `GET /schemas/plugins/{name}`
pub(crate) async fn of_plugin(call: Call) -> Reply {
    Ok(json(StatusCode::OK, &plugin(&call)?.describe()))
}

/// `GET /plugins/schema/{name}`: what there was before that, and of it only what `config` is.
pub(crate) async fn of_config(call: Call) -> Reply {
    Ok(json(StatusCode::OK, &plugin(&call)?.describe_config()))
}

/// `GET /schemas/vaults/{name}`
pub(crate) async fn of_vault(call: Call) -> Reply {
    let name = call.segment("name");
    let is_known = VaultType::ALL.iter().any(|vault| vault.as_str() == name);
    // There is one type, whose configuration is that of all.
    let config = Vault::SCHEMA.describe_field("config").filter(|_| is_known);
    let config = config.ok_or_else(|| unknown("vault", name))?;
    Ok(json(StatusCode::OK, &config))
}

/// `POST /schemas/{entity}/validate`: the schema's word alone, not whether names are free.
pub(crate) async fn validate(call: Call) -> Reply {
    let kind = kind(&call)?;
    validate_as(call, kind)
}

/// `POST /schemas/plugins/validate`
pub(crate) async fn validate_plugin(call: Call) -> Reply {
    validate_as(call, EntityKind::Plugin)
}

/// `POST /schemas/vaults/validate`
pub(crate) async fn validate_vault(call: Call) -> Reply {
    validate_as(call, EntityKind::Vault)
}

fn validate_as(mut call: Call, kind: EntityKind) -> Reply {
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
    EntityKind::from_name(name).ok_or_else(|| unknown("entity", name))
}

fn plugin(call: &Call) -> Result<&'static PluginType, Problem> {
    let name = call.segment("name");
    call.terms().catalog.get(name).ok_or_else(|| unknown("plugin", name))
}

fn unknown(sort: &'static str, name: &str) -> Problem {
    Problem::NoSuchSchema { sort, name: name.to_owned() }
}

struct Validate(Object, Terms);

impl Visit for Validate {
    type Output = Result<(), Violations>;

    fn visit<E: Entity>(self) -> Self::Output {
        schema::check_in::<E>(self.1, Value::Object(self.0)).map(drop)
    }
}
