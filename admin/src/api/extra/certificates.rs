//! Certificates, shown and written together with the names they are shown for.
//!
//! `snis` is no field: it lists the `snis` entities that point at a certificate, and writing it
//! writes those, in the same revision. A URL may call a certificate by one of its names.

use axum::body::Body;
use http::{Response, StatusCode};
use model::entities::{Certificate, Sni};
use model::id::Key;
use model::schema::{self, Object, Record};
use model::value::{SniPattern, Timestamp};
use model::violation::Violations;
use model::{Config, Entity as _, Id};
use serde::Serialize;
use serde_json::{Value, json as value};
use uuid::Uuid;

use super::super::call::Call;
use super::super::crud::{listed, no_content};
use super::super::json;
use super::super::problem::Problem;
use crate::write::{self, Draft, Refusal, find};

type Reply = Result<Response<Body>, Problem>;

/// `GET /certificates`
pub(in super::super) async fn list(call: Call) -> Reply {
    let revision = call.revision();
    let page = listed::<Certificate>(&call, &revision.config)?;
    Ok(json(StatusCode::OK, &page.map(|found| Shown::of(&revision.config, found))))
}

/// `GET /certificates/{id or name}`
pub(in super::super) async fn get(call: Call) -> Reply {
    let revision = call.revision();
    let key = key(&call, &revision.config)?;
    let certificate = find::<Certificate>(&revision.config, &key).ok_or(Problem::NotFound)?;
    Ok(json(StatusCode::OK, &Shown::of(&revision.config, certificate)))
}

/// `POST /certificates`
pub(in super::super) async fn create(mut call: Call) -> Reply {
    let body = call.object(Certificate::SCHEMA);
    let created = call.write(|draft, now| {
        let (body, names) = split(body)?;
        let certificate = write::create::<Certificate>(draft, now, body)?;
        write_names(draft, now, certificate.id, &names.unwrap_or_default())?;
        Ok(show(draft, &certificate))
    });
    Ok(json(StatusCode::CREATED, &created.await?))
}

/// `PUT /certificates/{id or name}`: names that are not listed go. A name nobody has is given to
/// a new certificate.
pub(in super::super) async fn replace(mut call: Call) -> Reply {
    let (key, body) = (call.key::<Certificate>()?, call.object(Certificate::SCHEMA));
    let put = call.write(move |draft, now| {
        let (body, names) = split(body)?;
        let mut names = names.unwrap_or_default();
        let id = match (find::<Certificate>(draft, &key), &key) {
            (Some(found), _) => found.id.uuid(),
            (None, Key::Id(id)) => *id,
            (None, Key::Name(name)) => {
                if !names.contains(name) {
                    names.push(name.clone());
                }
                Uuid::new_v4()
            }
        };
        let certificate = write::replace::<Certificate>(draft, now, &Key::Id(id), body)?;
        write_names(draft, now, certificate.id, &names)?;
        Ok(show(draft, &certificate))
    });
    Ok(json(StatusCode::OK, &put.await?))
}

/// `PATCH /certificates/{id or name}`: without `snis` the names stay.
pub(in super::super) async fn merge(mut call: Call) -> Reply {
    let key = key(&call, &call.revision().config)?;
    let body = call.object(Certificate::SCHEMA);
    let merged = call.write(move |draft, now| {
        let (body, names) = split(body)?;
        let certificate = write::merge::<Certificate>(draft, now, &key, body)?;
        if let Some(names) = names {
            write_names(draft, now, certificate.id, &names)?;
        }
        Ok(show(draft, &certificate))
    });
    Ok(json(StatusCode::OK, &merged.await?))
}

/// `DELETE /certificates/{id or name}`: its names go with it.
pub(in super::super) async fn delete(call: Call) -> Reply {
    let key = key(&call, &call.revision().config)?;
    call.write(move |draft, _| write::delete::<Certificate>(draft, &key)).await?;
    Ok(no_content())
}

/// What the URL calls a certificate by: a name must be somebody's.
fn key(call: &Call, config: &Config) -> Result<Key, Problem> {
    let key = call.key::<Certificate>()?;
    match &key {
        Key::Name(name) if Sni::by_key(config, name).is_none() => Err(Problem::NoSuchSni),
        _ => Ok(key),
    }
}

/// A certificate as clients see it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    certificate: &'a Certificate,
    snis: Vec<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(config: &'a Config, certificate: &'a Certificate) -> Shown<'a> {
        let mut snis: Vec<_> = names(config, certificate.id).map(|sni| sni.name.as_str()).collect();
        snis.sort_unstable();
        Shown { certificate, snis }
    }
}

/// The same, for when the configuration moves on.
fn show(config: &Config, certificate: &Certificate) -> Value {
    value!(Shown::of(config, certificate))
}

fn names(config: &Config, certificate: Id<Certificate>) -> impl Iterator<Item = &Sni> {
    config.all::<Sni>().pointing_at("certificate", certificate.uuid(), None)
}

/// The part of a body that is not the certificate's.
#[derive(Debug, Record)]
struct Names {
    /// The names the certificate is shown for.
    snis: Option<Vec<SniPattern>>,
}

/// Takes the names out of a body. `None`: it says nothing of them; null means that there are none.
fn split(mut body: Object) -> Result<(Object, Option<Vec<String>>), Refusal> {
    let given = match body.remove("snis") {
        None => return Ok((body, None)),
        // A form that lists one name does not show that it is a list.
        Some(Value::String(name)) => value!([name]),
        Some(other) => other,
    };
    let names: Names = schema::check(value!({ "snis": given })).map_err(Refusal::Invalid)?;
    let names = names.snis.unwrap_or_default();
    let names: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let repeated =
        names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|n| n == *name));
    match repeated {
        Some((_, name)) => Err(invalid(format!("{name} is duplicated"))),
        None => Ok((body, Some(names))),
    }
}

/// Makes these the names of a certificate, and no others.
fn write_names(
    draft: &mut Draft<'_>,
    now: Timestamp,
    certificate: Id<Certificate>,
    wanted: &[String],
) -> Result<(), Refusal> {
    let others: Vec<_> = names(draft, certificate)
        .filter(|sni| !wanted.iter().any(|name| name == sni.name.as_str()))
        .map(|sni| sni.id.uuid())
        .collect();
    for other in others {
        write::delete::<Sni>(draft, &Key::Id(other))?;
    }
    for name in wanted {
        match Sni::by_key(draft, name).map(|sni| sni.certificate.id) {
            Some(holder) if holder == certificate => {}
            Some(holder) => {
                return Err(invalid(format!(
                    "{name} already associated with existing certificate '{holder}'"
                )));
            }
            None => {
                let body = value!({ "name": name, "certificate": { "id": certificate } });
                let Value::Object(body) = body else { continue };
                write::create::<Sni>(draft, now, body)?;
            }
        }
    }
    Ok(())
}

fn invalid(message: String) -> Refusal {
    Refusal::Invalid(Violations::field("snis", message))
}
