//! CA certificates: services list the ones they trust, so a deletion looks there.

use axum::body::Body;
use http::Response;
use model::entities::{CaCertificate, Service};
use model::{Config, Listed as _};
use uuid::Uuid;

use super::super::call::Call;
use super::super::crud::no_content;
use super::super::problem::Problem;
use crate::write::{self, Refusal, find};

/// `DELETE /ca_certificates/{id}`
pub(in super::super) async fn delete(call: Call) -> Result<Response<Body>, Problem> {
    let key = call.key::<CaCertificate>()?;
    call.write(move |config, _| {
        let id = find::<CaCertificate>(config, &key).map(|authority| authority.id().uuid());
        if let Some((authority, service)) = id.and_then(|id| Some((id, user_of(config, id)?))) {
            return Err(Refusal::InUse { authority, service });
        }
        write::delete::<CaCertificate>(config, &key)
    })
    .await?;
    Ok(no_content())
}

/// A service that trusts this authority.
fn user_of(config: &Config, authority: Uuid) -> Option<Uuid> {
    let mut services = config.all::<Service>().iter();
    let trusts =
        |service: &&Service| service.ca_certificates.iter().flatten().any(|id| *id == authority);
    services.find(trusts).map(|service| service.id.uuid())
}
