//! Children below their parent (`/services/{s}/routes`) and the parent below a
//! child (`/routes/{r}/service`), for any pair that a foreign key joins.
//!
//! `E` is what is shown or written, and what it hangs together with is told at run time: a function for
//! each pair of kinds would be hundreds.

use axum::body::Body;
use http::{Response, StatusCode};
use model::entities::Visit;
use model::id::Key;
use model::schema::Object;
use model::{Config, Entity, EntityKind, Id};
use serde_json::json as value;
use uuid::Uuid;

use super::call::Call;
use super::crud::no_content;
use super::json;
use super::problem::Problem;
use crate::write::{self, Refusal, find, target_of};

type Reply = Result<Response<Body>, Problem>;

/// How children hang on their parents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bond {
    /// The kind of the parent.
    pub(super) parent: EntityKind,
    /// That of the child, which has the foreign key.
    pub(super) child: EntityKind,
    /// The name of the key.
    pub(super) field: &'static str,
}

/// `GET /services/{s}/routes`. Tags must be well formed, but filter only top-level lists, as in Kong.
pub(super) async fn list<E: Entity>(call: Call, bond: Bond) -> Reply {
    let (page, _) = (call.query.page()?, call.query.tags()?);
    let revision = call.revision();
    let parent = named(&revision.config, bond.parent, &call.key_of(bond.parent)?)?;
    let after = page.after.map(Into::into);
    let children = revision.config.all::<E>().pointing_at(bond.field, parent, after);
    let listing = page.within(&call.path, &[], &call.query);
    let page = listing.of(children, |entity| entity.id().uuid());
    Ok(json(StatusCode::OK, &page.map(|entity| call.shown(entity))))
}

/// `POST /services/{s}/routes`: whatever the body says, it belongs to the parent.
pub(super) async fn create<E: Entity>(mut call: Call, bond: Bond) -> Reply {
    let (key, mut body) = (call.key_of(bond.parent)?, call.object(E::SCHEMA));
    let created = call.write(move |draft, now| {
        adopt(&mut body, bond.field, named(draft, bond.parent, &key)?);
        write::create::<E>(draft, now, body)
    });
    Ok(json(StatusCode::CREATED, &call.shown(&created.await?)))
}

/// `GET /services/{s}/routes/{r}`
pub(super) async fn get<E: Entity>(call: Call, bond: Bond) -> Reply {
    let (of, key) = (call.key_of(bond.parent)?, call.nested_key::<E>()?);
    let revision = call.revision();
    let child = child::<E>(&revision.config, bond, &of, &key)?;
    Ok(json(StatusCode::OK, &call.shown(child)))
}

/// `PUT /services/{s}/routes/{r}`: it belongs to the parent from now on, wherever it was before.
pub(super) async fn replace<E: Entity>(mut call: Call, bond: Bond) -> Reply {
    let (of, key) = (call.key_of(bond.parent)?, call.nested_key::<E>()?);
    let mut body = call.object(E::SCHEMA);
    let put = call.write(move |draft, now| {
        adopt(&mut body, bond.field, named(draft, bond.parent, &of)?);
        let key = match (key, E::NESTED_KEY.filter(|_| E::NESTED_KEY != E::ENDPOINT_KEY)) {
            // Nobody else may be called so by this parent, but others may by theirs.
            (Key::Name(name), Some(called)) => {
                let found = child::<E>(draft, bond, &of, &Key::Name(name.clone()));
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
pub(super) async fn merge<E: Entity>(mut call: Call, bond: Bond) -> Reply {
    let (of, key) = (call.key_of(bond.parent)?, call.nested_key::<E>()?);
    let body = call.object_over::<E>(&key);
    let merged = call.write(move |draft, now| {
        let child = child::<E>(draft, bond, &of, &key)?.id();
        write::merge::<E>(draft, now, &Key::Id(child.uuid()), body)
    });
    Ok(json(StatusCode::OK, &call.shown(&merged.await?)))
}

/// `DELETE /services/{s}/routes/{r}`: unlike at the top level, it must be there.
pub(super) async fn delete<E: Entity>(call: Call, bond: Bond) -> Reply {
    let (of, key) = (call.key_of(bond.parent)?, call.nested_key::<E>()?);
    call.write(move |draft, _| {
        let child = child::<E>(draft, bond, &of, &key)?.id();
        write::delete::<E>(draft, &Key::Id(child.uuid()))
    })
    .await?;
    Ok(no_content())
}

/// `GET /routes/{r}/service`
pub(super) async fn get_parent<P: Entity>(call: Call, bond: Bond) -> Reply {
    let key = call.key_of(bond.child)?;
    let revision = call.revision();
    let parent = parent_of(&revision.config, bond, &key)?.ok_or(Problem::NotFound)?;
    let parent = revision.config.get::<P>(parent.into()).ok_or(Problem::NotFound)?;
    Ok(json(StatusCode::OK, &call.shown(parent)))
}

/// `PUT /routes/{r}/service`: where there is none yet, one is created and linked.
pub(super) async fn replace_parent<P: Entity>(mut call: Call, bond: Bond) -> Reply {
    let (key, body) = (call.key_of(bond.child)?, call.object(P::SCHEMA));
    let put = call.write(move |draft, now| {
        if let Some(parent) = parent_of(draft, bond, &key)? {
            return write::replace::<P>(draft, now, &Key::Id(parent), body);
        }
        let created = write::create::<P>(draft, now, body)?;
        let mut link = Object::new();
        adopt(&mut link, bond.field, created.id().uuid());
        write::link(draft, now, bond.child, &key, link)?;
        Ok(created)
    });
    Ok(json(StatusCode::OK, &call.shown(&put.await?)))
}

/// `PATCH /routes/{r}/service`
pub(super) async fn merge_parent<P: Entity>(mut call: Call, bond: Bond) -> Reply {
    let (key, body) = (call.key_of(bond.child)?, call.object(P::SCHEMA));
    let merged = call.write(move |draft, now| {
        let parent = parent_of(draft, bond, &key)?.ok_or(Refusal::NotFound)?;
        write::merge::<P>(draft, now, &Key::Id(parent), body)
    });
    Ok(json(StatusCode::OK, &call.shown(&merged.await?)))
}

/// `DELETE /routes/{r}/service`: a parent is not deleted through its child.
pub(super) async fn delete_parent(call: Call, bond: Bond) -> Reply {
    let key = call.key_of(bond.child)?;
    let parent = parent_of(&call.revision().config, bond, &key)?;
    let allowed = Problem::NotAllowed("GET, HEAD, OPTIONS, PATCH, PUT");
    Err(if parent.is_some() { allowed } else { Problem::NotFound })
}

/// The child the URL names, if it belongs to the parent the URL names.
fn child<'a, E: Entity>(
    config: &'a Config,
    bond: Bond,
    of: &Key,
    key: &Key,
) -> Result<&'a E, Refusal> {
    let parent = named(config, bond.parent, of)?;
    let found = match key {
        Key::Name(name) if E::NESTED_KEY != E::ENDPOINT_KEY => {
            E::named(config.all::<E>().pointing_at(bond.field, parent, None), name)
        }
        key => find::<E>(config, key).filter(|child| target_of(*child, bond.field) == Some(parent)),
    };
    found.ok_or(Refusal::NotFound)
}

/// The id of the entity the URL names.
fn named(config: &Config, kind: EntityKind, key: &Key) -> Result<Uuid, Refusal> {
    struct Named<'a>(&'a Config, &'a Key);
    impl Visit for Named<'_> {
        type Output = Option<Uuid>;
        fn visit<E: Entity>(self) -> Self::Output {
            find::<E>(self.0, self.1).map(|found| found.id().uuid())
        }
    }
    kind.visit(Named(config, key)).ok_or(Refusal::NotFound)
}

/// The parent of the child the URL names, if it has one.
fn parent_of(config: &Config, bond: Bond, key: &Key) -> Result<Option<Uuid>, Refusal> {
    struct Target<'a>(&'a Config, Uuid, &'static str);
    impl Visit for Target<'_> {
        type Output = Option<Uuid>;
        fn visit<E: Entity>(self) -> Self::Output {
            target_of(self.0.get::<E>(Id::from(self.1))?, self.2)
        }
    }
    let child = named(config, bond.child, key)?;
    Ok(bond.child.visit(Target(config, child, bond.field)))
}

fn adopt(body: &mut Object, field: &str, parent: Uuid) {
    body.insert(field.to_owned(), value!({ "id": parent }));
}
