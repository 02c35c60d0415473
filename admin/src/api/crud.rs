//! List, get, create, replace, merge and delete: written once, for any entity.

use axum::body::Body;
use http::{Response, StatusCode};
use model::{Config, Entity};

use super::call::Call;
use super::json;
use super::problem::Problem;
use super::query::{Shown, Tags};
use crate::write;

type Reply = Result<Response<Body>, Problem>;

/// `GET /routes`
pub(super) async fn list<E: Entity>(call: Call) -> Reply {
    let revision = call.revision();
    let page = listed::<E>(&call, &revision.config)?;
    Ok(json(StatusCode::OK, &page.map(|entity| call.shown(entity))))
}

/// The page of entities that the query asks for.
pub(super) fn listed<'a, E: Entity>(
    call: &Call,
    config: &'a Config,
) -> Result<Shown<&'a E>, Problem> {
    let (page, tags) = (call.query.page()?, call.query.tags()?);
    let table = config.all::<E>();
    let after = page.after.map(Into::into);
    let listing = page.within(&call.path, &["tags", "size"], &call.query);
    let id = |entity: &&E| entity.id().uuid();
    Ok(match &tags {
        None => listing.of(table.after(after), id),
        Some(Tags::All(tags)) => listing.of(table.with_all_tags(tags, after), id),
        Some(Tags::Any(tags)) => listing.of(table.with_any_tag(tags, after), id),
    })
}

/// `GET /routes/{id or name}`
pub(super) async fn get<E: Entity>(call: Call) -> Reply {
    let key = call.key::<E>()?;
    let revision = call.revision();
    let entity = write::find::<E>(&revision.config, &key).ok_or(Problem::NotFound)?;
    Ok(json(StatusCode::OK, &call.shown(entity)))
}

/// `POST /routes`
pub(super) async fn create<E: Entity>(mut call: Call) -> Reply {
    let body = call.object(E::SCHEMA);
    let created = call.write(|draft, now| write::create::<E>(draft, now, body)).await?;
    Ok(json(StatusCode::CREATED, &call.shown(&created)))
}

/// `PUT /routes/{id or name}`: 200 whether it was there or not.
pub(super) async fn replace<E: Entity>(mut call: Call) -> Reply {
    let (key, body) = (call.key::<E>()?, call.object(E::SCHEMA));
    let put = call.write(move |draft, now| write::replace::<E>(draft, now, &key, body)).await?;
    Ok(json(StatusCode::OK, &call.shown(&put)))
}

/// `PATCH /routes/{id or name}`
pub(super) async fn merge<E: Entity>(mut call: Call) -> Reply {
    let key = call.key::<E>()?;
    let body = call.object_over::<E>(&key);
    let merged = call.write(move |draft, now| write::merge::<E>(draft, now, &key, body)).await?;
    Ok(json(StatusCode::OK, &call.shown(&merged)))
}

/// `DELETE /routes/{id or name}`: 204 whether it was there or not.
pub(super) async fn delete<E: Entity>(call: Call) -> Reply {
    let key = call.key::<E>()?;
    call.write(move |draft, _| write::delete::<E>(draft, &key)).await?;
    Ok(no_content())
}

/// Done, and nothing to show for it.
pub(super) fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
