//! Children below their parent (`/services/{s}/routes`) and the parent below a
//! child (`/routes/{r}/service`), for any pair that a foreign key joins.
//!
//! `P` is what the key points at, `E` what has it; `field` is its name.

use axum::body::Body;
use http::{Response, StatusCode};
use model::id::Key;
use model::schema::Object;
use model::{Config, Entity, Id};
use serde_json::json as value;
use uuid::Uuid;

use super::call::Call;
use super::crud::no_content;
use super::json;
use super::problem::Problem;
use crate::write::{self, Refusal, find, target_of};

type Reply = Result<Response<Body>, Problem>;

/// `GET /services/{s}/routes`. Tags must be well formed, but filter only top-level lists, as in Kong.
pub(super) async fn list<P: Entity, E: Entity>(call: Call, field: &'static str) -> Reply {
    let (page, _) = (call.query.page()?, call.query.tags()?);
    let revision = call.revision();
    let parent = parent::<P>(&revision.config, &call.key::<P>()?)?;
    let after = page.after.map(Into::into);
    let children = revision.config.all::<E>().pointing_at(field, parent.uuid(), after);
    let listing = page.within(&call.path, &[], &call.query);
    let page = listing.of(children, |entity| entity.id().uuid());
    Ok(json(StatusCode::OK, &page.map(|entity| call.shown(entity))))
}

/// `POST /services/{s}/routes`: whatever the body says, it belongs to the parent.
pub(super) async fn create<P: Entity, E: Entity>(mut call: Call, field: &'static str) -> Reply {
    let (key, mut body) = (call.key::<P>()?, call.object(E::SCHEMA));
    let created = call.write(move |draft, now| {
        adopt(&mut body, field, parent::<P>(draft, &key)?);
        write::create::<E>(draft, now, body)
    });
    Ok(json(StatusCode::CREATED, &call.shown(&created.await?)))
}

/// `GET /services/{s}/routes/{r}`
pub(super) async fn get<P: Entity, E: Entity>(call: Call, field: &'static str) -> Reply {
    let (of, key) = (call.key::<P>()?, call.nested_key::<E>()?);
    let revision = call.revision();
    let child = child::<P, E>(&revision.config, &of, &key, field)?;
    Ok(json(StatusCode::OK, &call.shown(child)))
}

/// `PUT /services/{s}/routes/{r}`: it belongs to the parent from now on, wherever it was before.
pub(super) async fn replace<P: Entity, E: Entity>(mut call: Call, field: &'static str) -> Reply {
    let (of, key, mut body) = (call.key::<P>()?, call.nested_key::<E>()?, call.object(E::SCHEMA));
    let put = call.write(move |draft, now| {
        adopt(&mut body, field, parent::<P>(draft, &of)?);
        let key = match (key, E::NESTED_KEY.filter(|_| E::NESTED_KEY != E::ENDPOINT_KEY)) {
            // Nobody else may be called so by this parent, but others may by theirs.
            (Key::Name(name), Some(called)) => {
                let found = child::<P, E>(draft, &of, &Key::Name(name.clone()), field);
                body.insert(called.to_owned(), name.into());
                Key::Id(found.map_or_else(|_| Uuid::new_v4(), |found| found.id().uuid()))
            }
            (key, _) => key,
        };
        write::replace::<E>(draft, now, &key, body)
    });
    Ok(json(StatusCode::OK, &call.shown(&put.await?)))
}

/// `PATCH /services/{s}/routes/{r}`: it must belong to the parent, but may be given to another.
pub(super) async fn merge<P: Entity, E: Entity>(mut call: Call, field: &'static str) -> Reply {
    let (of, key, body) = (call.key::<P>()?, call.nested_key::<E>()?, call.object(E::SCHEMA));
    let merged = call.write(move |draft, now| {
        let child = child::<P, E>(draft, &of, &key, field)?.id();
        write::merge::<E>(draft, now, &Key::Id(child.uuid()), body)
    });
    Ok(json(StatusCode::OK, &call.shown(&merged.await?)))
}

/// `DELETE /services/{s}/routes/{r}`: unlike at the top level, it must be there.
pub(super) async fn delete<P: Entity, E: Entity>(call: Call, field: &'static str) -> Reply {
    let (of, key) = (call.key::<P>()?, call.nested_key::<E>()?);
    call.write(move |draft, _| {
        let child = child::<P, E>(draft, &of, &key, field)?.id();
        write::delete::<E>(draft, &Key::Id(child.uuid()))
    })
    .await?;
    Ok(no_content())
}

/// `GET /routes/{r}/service`
pub(super) async fn get_parent<P: Entity, E: Entity>(call: Call, field: &'static str) -> Reply {
    let key = call.key::<E>()?;
    let revision = call.revision();
    let parent = parent_of::<P, E>(&revision.config, &key, field)?.ok_or(Problem::NotFound)?;
    let parent = revision.config.get(parent).ok_or(Problem::NotFound)?;
    Ok(json(StatusCode::OK, &call.shown(parent)))
}

/// `PUT /routes/{r}/service`: where there is none yet, one is created and linked.
pub(super) async fn replace_parent<P: Entity, E: Entity>(
    mut call: Call,
    field: &'static str,
) -> Reply {
    let (key, body) = (call.key::<E>()?, call.object(P::SCHEMA));
    let put = call.write(move |draft, now| {
        if let Some(parent) = parent_of::<P, E>(draft, &key, field)? {
            return write::replace::<P>(draft, now, &Key::Id(parent.uuid()), body);
        }
        let created = write::create::<P>(draft, now, body)?;
        let mut link = Object::new();
        adopt(&mut link, field, created.id());
        write::merge::<E>(draft, now, &key, link)?;
        Ok(created)
    });
    Ok(json(StatusCode::OK, &call.shown(&put.await?)))
}

/// `PATCH /routes/{r}/service`
pub(super) async fn merge_parent<P: Entity, E: Entity>(
    mut call: Call,
    field: &'static str,
) -> Reply {
    let (key, body) = (call.key::<E>()?, call.object(P::SCHEMA));
    let merged = call.write(move |draft, now| {
        let parent = parent_of::<P, E>(draft, &key, field)?.ok_or(Refusal::NotFound)?;
        write::merge::<P>(draft, now, &Key::Id(parent.uuid()), body)
    });
    Ok(json(StatusCode::OK, &call.shown(&merged.await?)))
}

/// `DELETE /routes/{r}/service`: a parent is not deleted through its child.
pub(super) async fn delete_parent<P: Entity, E: Entity>(call: Call, field: &'static str) -> Reply {
    let key = call.key::<E>()?;
    let parent = parent_of::<P, E>(&call.revision().config, &key, field)?;
    let allowed = Problem::NotAllowed("GET, HEAD, OPTIONS, PATCH, PUT");
    Err(if parent.is_some() { allowed } else { Problem::NotFound })
}

/// The parent the URL names.
fn parent<P: Entity>(config: &Config, key: &Key) -> Result<Id<P>, Refusal> {
    find::<P>(config, key).map(P::id).ok_or(Refusal::NotFound)
}

/// The child the URL names, if it belongs to the parent the URL names.
fn child<'a, P: Entity, E: Entity>(
    config: &'a Config,
    of: &Key,
    key: &Key,
    field: &'static str,
) -> Result<&'a E, Refusal> {
    let parent = parent::<P>(config, of)?.uuid();
    let found = match key {
        Key::Name(name) if E::NESTED_KEY != E::ENDPOINT_KEY => {
            E::named(config.all::<E>().pointing_at(field, parent, None), name)
        }
        key => find::<E>(config, key).filter(|child| target_of(*child, field) == Some(parent)),
    };
    found.ok_or(Refusal::NotFound)
}

/// The parent of the child the URL names, if it has one.
fn parent_of<P: Entity, E: Entity>(
    config: &Config,
    key: &Key,
    field: &str,
) -> Result<Option<Id<P>>, Refusal> {
    let child = find::<E>(config, key).ok_or(Refusal::NotFound)?;
    Ok(target_of(child, field).map(Id::from))
}

fn adopt<P: Entity>(body: &mut Object, field: &str, parent: Id<P>) {
    body.insert(field.to_owned(), value!({ "id": parent }));
}
