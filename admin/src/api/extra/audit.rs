//! `/audit`: who changed what, what that changed, and the way back.
//!
//! The past is read from the database, beside the writes that are under way.

mod shown; // an entity before and after

use axum::body::Body;
use http::{Response, StatusCode};
use model::RevisionId;
use model::causes::chain;
use serde_json::{Value, json as value};
use tracing::{debug, error};
use uuid::Uuid;

use crate::api::call::Call;
use crate::api::json;
use crate::api::problem::Problem;
use crate::store::{Logged, Looked, Noted, Past, Rebuilt, StoreError};

type Reply = Result<Response<Body>, Problem>;

/// `GET /audit`: how much of the past there is.
pub(crate) async fn sizes(call: Call) -> Reply {
    let (oldest, sizes) = past(&call)?.sizes().await.map_err(unread)?;
    let keep = &call.api().about.keep;
    let body = value!({
        "revisions": {
            "newest": written(call.revision().id.position()),
            "oldest_kept": oldest.map(written),
            "kept": sizes.revisions,
            "bytes": sizes.revision_bytes,
            "revision_log_keep": keep.revisions,
        },
        "audit": {
            "rows": sizes.notes,
            "since": sizes.notes_since,
            "audit_keep_days": keep.audit.as_secs() / 86_400,
        },
        "database_bytes": sizes.database_bytes,
    });
    Ok(json(StatusCode::OK, &body))
}

/// `GET /audit/revisions`: who made which, newest first.
pub(crate) async fn list(call: Call) -> Reply {
    let past = past(&call)?;
    let page = call.query.page()?;
    let noted = past.noted(page.after.map(Noted::place), page.wanted()).await;
    let listing = page.within(&call.path, &["size"], &call.query);
    let page = listing.of(noted.map_err(unread)?.into_iter(), Noted::key);
    Ok(json(StatusCode::OK, &page.map(|noted| about(&noted))))
}

/// `GET /audit/revisions/{n}`: what it changed.
pub(crate) async fn show(call: Call) -> Reply {
    let past = past(&call)?;
    let position = asked(&call)?;
    let page = call.query.page()?;
    let looked = past.look(position).await;
    let Looked { noted, logged, oldest } = looked.map_err(unread)?;
    let Some(Logged { step, undo: Some(undo) }) = logged else {
        return Err(folded(position, oldest));
    };
    let listing = page.within(&call.path, &["size"], &call.query);
    let from = page.after.map_or(0, |key| usize::try_from(key.as_u128()).unwrap_or(usize::MAX));
    let changes = step.changes.iter().enumerate().skip(from);
    let page = listing.of(changes, |(at, _)| Uuid::from_u128(*at as u128 + 1));
    let undo = shown::Undo::new(&undo);
    let page = page.map(|(_, change)| shown::change(change, &undo, call.terms()));
    let mut body = serde_json::to_value(page).map_err(|_| Problem::Internal)?;
    body["revision"] = noted.map_or_else(|| nobody(&step.id), |noted| about(&noted));
    body["revision"]["hash"] = step.id.hash.to_string().into();
    body["revision"]["changes"] = step.changes.len().into();
    Ok(json(StatusCode::OK, &body))
}

/// `POST /audit/revisions/{n}/restore`: appends a revision equal to it.
pub(crate) async fn restore(call: Call) -> Reply {
    let past = past(&call)?;
    let position = asked(&call)?;
    let rebuilt = past.rebuild(&call.revision(), position).await;
    let old = match rebuilt.map_err(unread)? {
        Rebuilt::There(old) => old,
        Rebuilt::Gone(oldest) => return Err(folded(position, oldest)),
    };
    let (hash, entities) = (old.hash(), old.len());
    let newest = call.api().committer.restore(call.author().clone(), *old).await?;
    let body = value!({
        "message": format!("the configuration is that of revision {}", written(position)),
        "restored": written(position),
        "newest": written(newest.position()),
        "configuration_hash": hash,
        "entities": entities,
    });
    Ok(json(StatusCode::CREATED, &body))
}

fn past(call: &Call) -> Result<&Past, Problem> {
    call.api().past.as_ref().ok_or(Problem::NoDatabase)
}

fn unread(failure: StoreError) -> Problem {
    match failure.is_expected() {
        true => debug!("[admin] the log was not read: {}", chain(&failure)),
        false => error!("[admin] the log cannot be read: {}", chain(&failure)),
    }
    Problem::Unavailable
}

/// The revision the URL names: `42`, of the newest epoch, or `1.42`. One that never was is not found.
fn asked(call: &Call) -> Result<(u64, u64), Problem> {
    let head = call.revision().id.position();
    let text = call.segment("revision");
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
    let position = match text.split_once('.') {
        Some((epoch, version)) => number(epoch).zip(number(version)),
        None => number(text).map(|version| (head.0, version)),
    };
    position.filter(|position| *position <= head).ok_or(Problem::NotFound)
}

fn written((epoch, version): (u64, u64)) -> String {
    format!("{epoch}.{version}")
}

fn folded(position: (u64, u64), oldest: Option<(u64, u64)>) -> Problem {
    Problem::Folded { revision: written(position), oldest: oldest.map(written) }
}

/// A revision without what it changed.
fn about(noted: &Noted) -> Value {
    value!({
        "revision": written(noted.position()),
        "epoch": noted.epoch,
        "version": noted.version,
        "at": noted.at,
        "who": noted.who,
        "from": noted.from,
        "what": noted.what,
        "kept": noted.is_kept,
    })
}

/// One of which it is not known any more who made it.
fn nobody(id: &RevisionId) -> Value {
    value!({
        "revision": written(id.position()),
        "epoch": id.epoch,
        "version": id.version,
        "at": null,
        "who": null,
        "from": null,
        "what": null,
        "kept": true,
    })
}
