//! Every tag, and what has it: `/tags` and `/tags/{tag}`.

use axum::body::Body;
use http::{Response, StatusCode};
use model::entities::Visit;
use model::violation::Violations;
use model::{Config, Entity, EntityKind, Id};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::call::Call;
use super::super::json;
use super::super::problem::Problem;

type Reply = Result<Response<Body>, Problem>;

/// That an entity has a tag. Listed by kind, tag and id.
#[derive(Clone, Debug, Serialize)]
struct Tagged {
    tag: String,
    entity_name: &'static str,
    entity_id: Uuid,
}

/// Where a list goes on: behind this one.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct After(String, String, Uuid);

/// `GET /tags`
pub(in super::super) async fn list(call: Call) -> Reply {
    show(&call, None)
}

/// `GET /tags/{tag}`
pub(in super::super) async fn one(call: Call) -> Reply {
    let tag = call.segment("tags").to_owned();
    show(&call, Some(&tag))
}

/// `POST /tags`: they come and go with what has them.
pub(in super::super) async fn refuse(_: Call) -> Reply {
    let message = "does not support insert/upsert/update/delete operations";
    Err(Problem::Invalid(Violations::field("tags", message)))
}

fn show(call: &Call, only: Option<&str>) -> Reply {
    let page = call.query.page_after::<After>()?;
    let revision = call.revision();
    let (mut found, wanted) = (Vec::new(), page.wanted());
    let after = page.after.as_ref();
    let first = after.and_then(|After(kind, ..)| EntityKind::from_name(kind));
    let kinds = EntityKind::ALL.iter().filter(|kind| first.is_none_or(|first| **kind >= first));
    for kind in kinds {
        let after = after.filter(|_| first == Some(*kind));
        let config = &revision.config;
        kind.visit(Collect { config, only, after, wanted, found: &mut found });
    }
    let offset =
        |last: &Tagged| After(last.entity_name.to_owned(), last.tag.clone(), last.entity_id);
    Ok(json(StatusCode::OK, &page.of(call, found, offset)))
}

/// Adds those of one kind, until there are enough.
struct Collect<'a> {
    config: &'a Config,
    only: Option<&'a str>,
    after: Option<&'a After>,
    wanted: usize,
    found: &'a mut Vec<Tagged>,
}

impl Visit for Collect<'_> {
    type Output = ();

    fn visit<E: Entity>(self) {
        let Self { config, only, after, wanted, found } = self;
        let after = after.map(|After(_, tag, id)| (tag.as_str(), Id::from(*id)));
        // A tag begins behind the lowest id it could have.
        let after = after.or(only.map(|tag| (tag, Id::lowest())));
        let tagged = config.all::<E>().tagged(after);
        let is_wanted = |(tag, _): &(&str, Id<E>)| only.is_none_or(|only| only == *tag);
        let room = wanted.saturating_sub(found.len());
        found.extend(tagged.take_while(is_wanted).take(room).map(|(tag, id)| Tagged {
            tag: tag.to_owned(),
            entity_name: E::KIND.name(),
            entity_id: id.uuid(),
        }));
    }
}
